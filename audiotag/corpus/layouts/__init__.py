"""The layouts in which a corpus can lie on disk, one file per layout: a new one is a file and its name here."""

from importlib import import_module

from audiotag.corpus.layouts.layout import Layout

FILES = (  # the first that detects itself in a folder reads it
    "folder",
    "esc50",
    "urbansound8k",
    "fsd50k",
    "speech_commands",
    "openmic2018",
    "sonyc_ust",
    "synthetic",
    "chime_home",
    "class_folders",
)
_LAYOUTS: list[Layout] = [import_module(f"{__name__}.{file}").LAYOUT for file in FILES]
LAYOUTS = {layout.name: layout for layout in _LAYOUTS}
