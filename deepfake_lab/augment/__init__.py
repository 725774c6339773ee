"""Augmentation: training recordings disturbed in ways that leave their class alone."""
