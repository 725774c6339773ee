"""Losses: a detector's output and its batch to named terms."""
