"""Ray Tune around one trial."""
