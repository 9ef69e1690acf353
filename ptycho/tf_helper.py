"""Door for callers that know stitching by its older address; nothing in this package imports it."""

from ptycho.stitching import reassemble_position

__all__ = ["reassemble_position"]
