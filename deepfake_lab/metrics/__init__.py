"""Metrics of detection: pure functions, and a torchmetrics shell that gathers trials."""
