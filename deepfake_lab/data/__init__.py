"""Manifests, corpora, and the one data module that serves them."""
