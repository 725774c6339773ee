"""deepfake_lab: audio deepfake detection that one can trust."""

__version__ = "0.1.0"
