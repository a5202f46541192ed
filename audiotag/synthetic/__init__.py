"""A small synthetic corpus in the layout of CHiME-Home."""
