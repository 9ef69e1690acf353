"""The one list of formats: a new one is a module of this folder and a line here."""

from __future__ import annotations

from ptycho.data.formats import (
    cdtools_result,
    cxi,
    frame_array,
    own,
    position_table,
    ptychodus_frames,
    ptychodus_pinn,
    ptychodus_product,
    ptychodus_training,
    pynx_result,
    tike,
)
from ptycho.data.formats._format import Format

# The first that recognises a file reads it, so that a special case stands before its general one.
FORMATS: tuple[Format, ...] = (
    ptychodus_pinn.FORMAT,
    own.FORMAT,
    tike.FORMAT,
    cdtools_result.FORMAT,
    pynx_result.FORMAT,
    cxi.FORMAT,
    ptychodus_training.FORMAT,
    ptychodus_product.FORMAT,
    ptychodus_product.NPZ_FORMAT,
    ptychodus_frames.FORMAT,
    ptychodus_frames.NPZ_FORMAT,
    frame_array.FORMAT,
    position_table.FORMAT,
)
