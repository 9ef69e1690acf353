"""Stitching: patches and scan positions onto one canvas."""

from ptycho.stitching._geometry import canvas_around as canvas_around
from ptycho.stitching._memory import canvas_bytes as canvas_bytes
from ptycho.stitching._memory import check_canvas_memory as check_canvas_memory
from ptycho.stitching.canvas import Canvas as Canvas
from ptycho.stitching.stitch import add_in_batches as add_in_batches
from ptycho.stitching.stitch import reassemble_position as reassemble_position
from ptycho.stitching.stitch import stitch_patches as stitch_patches
