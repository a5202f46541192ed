"""The forms in which a corpus lies on disk, one file a layout."""
