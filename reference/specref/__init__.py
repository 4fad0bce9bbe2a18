"""specref: the reference that says whether a speculative decoder is right."""

__version__ = "0.2.0"
