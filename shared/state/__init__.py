"""Checkpoints and what was seen."""
