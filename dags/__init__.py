"""WHEN things run: short files that wire and nothing else."""
