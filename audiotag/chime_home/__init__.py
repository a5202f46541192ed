"""The command that downloads CHiME-Home, with its stereo recordings if asked for: `python -m audiotag.chime_home`."""
