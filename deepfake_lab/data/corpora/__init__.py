"""Corpora: one module knows one on-disk layout and makes manifest rows of it."""
