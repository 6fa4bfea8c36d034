"""Every setting of a run, with its default, in typed sections. Loads no torch."""
