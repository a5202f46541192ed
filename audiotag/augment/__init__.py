"""Augmentations: one function each."""
