"""Arrays that lie in a file and are read when they are used: whether the file still holds them."""

from __future__ import annotations

import mmap

import numpy as np

from ptycho.errors import DataError


def refuse_truncated(array: np.ndarray) -> None:
    """Refuse an array that is mapped from a file which has become too short for it.

    Reading beyond the end of a mapped file kills the process by SIGBUS. What is not mapped passes.

    Raises
    ------
    DataError
        Says which file, how long it was, and how long it is.
    """
    mapped = None
    owner: object = array
    while isinstance(owner, np.ndarray):
        mapped = owner if isinstance(owner, np.memmap) else mapped
        owner = owner.base
    if mapped is None or not isinstance(owner, mmap.mmap):
        return
    # The mapping begins at a multiple of the system's unit, before the array's first byte.
    begin = mapped.offset - mapped.offset % mmap.ALLOCATIONGRANULARITY
    needed, there = begin + len(owner), owner.size()
    if there < needed:
        raise DataError(
            f"{mapped.filename or 'the file of the frames'} was cut while it was used: frames lie in its first "
            f"{needed} bytes, but {there} are left; run again on a file that stays as it is."
        )
