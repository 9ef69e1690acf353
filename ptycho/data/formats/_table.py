"""The one list of formats: a new one is a module of this folder and a line here."""

from __future__ import annotations

from ptycho.data.formats import (
    cdtools_result,
    cxi,
    eiger,
    emd,
    fold_slice,
    fold_slice_result,
    frame_array,
    hxn,
    nxcxi,
    own,
    position_table,
    ptychodus_frames,
    ptychodus_pinn,
    ptychodus_product,
    ptychodus_training,
    ptylab,
    ptypy_data,
    ptypy_result,
    pynx_result,
    tike,
)
from ptycho.data.formats._format import Format

# The first that recognises a file reads it, so that a special case stands before its general one.
FORMATS: tuple[Format, ...] = (
    ptychodus_pinn.FORMAT,
    own.FORMAT,
    tike.FORMAT,
    ptychodus_product.NPZ_FORMAT,
    ptychodus_frames.NPZ_FORMAT,
    ptypy_data.FORMAT,
    ptypy_result.FORMAT,
    emd.FORMAT,
    cdtools_result.FORMAT,
    pynx_result.FORMAT,
    nxcxi.FORMAT,
    cxi.FORMAT,
    ptychodus_training.FORMAT,
    ptychodus_product.FORMAT,
    ptychodus_frames.FORMAT,
    ptylab.INPUT,
    ptylab.RESULT,
    fold_slice.FRAMES,
    fold_slice.POSITIONS,
    hxn.FORMAT,
    fold_slice_result.FORMAT,
    fold_slice_result.HDF5_FORMAT,
    eiger.FORMAT,
    frame_array.FORMAT,
    frame_array.TIFF_FORMAT,
    frame_array.SERIES_FORMAT,
    position_table.FORMAT,
)
