"""What a canvas takes and whether it is there: arithmetic, no canvas is made for it."""

from __future__ import annotations

import numpy as np

from autobatch import device_memory

# Asking for the free memory takes a tenth of a millisecond, which small canvases need not spend.
_SURELY_FREE_BYTES = 2**26
_EXBIBYTE = 2**60


def canvas_bytes(
    shape_yx: tuple[int, int],
    *,
    crop_size: int,
    accumulate: str = "float32",
    overlap_variance: bool = False,
) -> int:
    """Return the memory of a `Canvas` of these arguments, whatever the number of patches.

    Parameters
    ----------
    shape_yx : (int, int)
        Rows and columns.
    crop_size : int
        Side M of the crops.
    accumulate, overlap_variance
        As for `Canvas`; a second moment implies double precision.

    Returns
    -------
    int
        Bytes of the sums (H, W), of the point weights (H - M + 1, W - M + 1) and of the second moment (H, W).
    """
    height, width = shape_yx
    sums = 16 if overlap_variance or accumulate == "float64" else 8  # complex128, complex64
    points = 8 * (height - crop_size + 1) * (width - crop_size + 1)  # float64
    squares = 8 if overlap_variance else 0  # float64
    return height * width * (sums + squares) + points


def check_canvas_memory(
    n_bytes: int, shape_yx: tuple[int, int], positions_yx: np.ndarray | None = None
) -> None:
    """Refuse canvases that take more than the memory there is, naming the position that makes them so large.

    Parameters
    ----------
    n_bytes : int
        Of all of them together; see `canvas_bytes`.
    shape_yx : (int, int)
        Rows and columns of one.
    positions_yx : (n, 2) float64, optional
        Patch centres in pixels that the shape follows from.

    Raises
    ------
    ValueError
        With the shape, the bytes needed and free, and the most extreme position.
    """
    if n_bytes <= _SURELY_FREE_BYTES:
        return
    free = device_memory("cpu").free_bytes
    if n_bytes <= free:
        return
    size = f"{n_bytes / 2**30:,.1f} GiB" if n_bytes < _EXBIBYTE else "more than 1 EiB"
    message = (
        f"a canvas of {shape_yx[0]}x{shape_yx[1]} pixels needs {size} but {free / 2**30:,.1f} GiB are free"
    )
    if positions_yx is None:
        raise ValueError(f"{message}; pass a smaller shape.")
    distance = np.abs(positions_yx - np.median(positions_yx, axis=0)).max(axis=1)
    worst = int(distance.argmax())
    y, x = positions_yx[worst]
    raise ValueError(
        f"{message}; the most extreme position is index {worst} at (y, x) = ({y:g}, {x:g}) pixels: "
        "check its unit, or remove that frame."
    )
