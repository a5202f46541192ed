"""CHiME-Home downloaded, checked and unpacked: `python -m audiotag.chime_home`."""
