"""The truth about a study: its folder, and its results."""
