"""The search space, and which configuration is tried next."""
