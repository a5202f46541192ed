"""The winner of a study applied to recordings."""
