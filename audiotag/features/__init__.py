"""Waveforms to log-mel features, kept on disk."""
