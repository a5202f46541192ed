"""Which networks and augmentations there are, and what their sources say of their hyperparameters.

Sources are read and not run: importing a network would import torch, 1.5 s that the driver of a study can do without,
and a study's folder may come from a stranger.
"""
