"""Hyperparameter tuning with Optuna: search space, shared study, pruning, report."""
