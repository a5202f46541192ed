"""Recordings to be heard: clips that a study's rows get wrong, and recordings that its winner tagged, on a page."""
