"""Statistics: which differences are real."""
