"""The mall: a simulator with a known truth (docs/simulator.md), which evaluation alone may read."""
