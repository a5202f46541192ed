"""The layouts in which a corpus can lie on disk, one file per layout: a new one is a file and its name in LAYOUTS."""

from audiotag.corpus.layouts import chime_home, esc50, folder, synthetic, urbansound8k

LAYOUTS = {  # by name; the first that detects itself in a folder reads it
    module.LAYOUT.name: module.LAYOUT for module in (folder, esc50, urbansound8k, synthetic, chime_home)
}
