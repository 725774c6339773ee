"""Generators of full size, with the names and layers of their authors' code, for weights that those have published.

`python -m deepfake_lab.convert` makes vocoders of the lab out of them. They make copies and are not trained here.
"""
