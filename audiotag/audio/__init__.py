"""Recordings to waveforms: read, describe, check for damage, resample."""
