"""Stitching: patches and scan positions onto one canvas."""

from ptycho.stitching.canvas import Canvas as Canvas
from ptycho.stitching.reassembly import add_in_batches as add_in_batches
from ptycho.stitching.reassembly import reassemble_position as reassemble_position
from ptycho.stitching.reassembly import stitch_patches as stitch_patches
