"""Typed rules: conditions over events, traits and genes; one engine for triggers, segments and policies."""
