"""Adversaries: small changes of waveforms, made to mislead a detector."""
