"""Which frames of a scan are taken, and the light that each of them had."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import numpy as np

from ptycho.data.formats._parts import Parts
from ptycho.data.importing.places import Sources
from ptycho.data.importing.settings import ImportSettings
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

# Numbers and slices of Python; anything else is a place.
_NUMBERS = re.compile(r"[-\d:,\s]+")


def with_frames_chosen(parts: Parts, settings: ImportSettings, sources: Sources) -> Parts:
    """Return the parts with the frames of `select` but not of `skip`, divided by their share of the monitor.

    Positions that are as many as all frames are chosen with them; as many as the frames that are taken belong to these.
    """
    stack = parts.frames
    if stack is None:
        return parts
    n_frames = stack.shape[0]
    if settings.monitor is not None:
        stack = replace(stack, scale=_scale(settings.monitor, n_frames, sources))
        parts = replace(parts, frames=stack)
    if settings.select is None and settings.skip is None:
        _refuse_dark_monitor(stack.scale, np.arange(n_frames))
        return parts
    taken = np.ones(n_frames, bool)
    if settings.select is not None:
        taken &= _marked(settings.select, n_frames, sources, "`select`")
    if settings.skip is not None:
        taken &= ~_marked(settings.skip, n_frames, sources, "`skip`")
    if not taken.any():
        raise DataError(
            f"`select` and `skip` leave none of the {n_frames} frames of {parts.names}; take others."
        )
    logger.info("%s: %d of %d frames are taken", parts.names, np.count_nonzero(taken), n_frames)
    _refuse_dark_monitor(stack.scale, np.flatnonzero(taken))
    return _chosen(parts, taken)


def _chosen(parts: Parts, taken: np.ndarray) -> Parts:
    """Return the parts with the frames that are `taken` (n,), and with their positions."""
    assert parts.frames is not None
    numbers = parts.frame_ids
    changes: dict[str, np.ndarray] = {} if numbers is None else {"frame_ids": numbers[taken]}
    n_positions = 0 if parts.positions_yx is None else len(parts.positions_yx)
    if n_positions == taken.size and (numbers is None or parts.position_ids is None):
        given = {name: getattr(parts, name) for name in ("positions_yx", "position_ids", "scan_index")}
        changes.update({name: value[taken] for name, value in given.items() if value is not None})
    elif numbers is not None and parts.position_ids is None and numbers.max() == n_positions - 1:
        # Some frames are missing, and there is a position for every number.
        changes["position_ids"] = np.arange(n_positions)
    return replace(parts, frames=parts.frames.chosen(taken), **changes)


def _marked(text: str, n_frames: int, sources: Sources, flag: str) -> np.ndarray:
    """Return which frames a flag names, (n,) bool."""
    marked = np.zeros(n_frames, bool)
    if _NUMBERS.fullmatch(text):
        for part in text.split(","):
            marked[_slice_or_number(part.strip(), n_frames, flag)] = True
        return marked
    found = sources.array(text, flag)
    values = found.values.ravel()
    is_list_of_marks = values.size == n_frames and np.isin(values, (0, 1)).all()
    if values.dtype.kind == "b" or is_list_of_marks:
        if values.size != n_frames:
            raise DataError(
                f"{found.name} has {values.size} marks for {n_frames} frames; name another by {flag}."
            )
        return values.astype(bool)
    if (
        values.dtype.kind not in "iuf"
        or np.any(values != np.rint(values))
        or np.any((values < 0) | (values >= n_frames))
    ):
        raise DataError(
            f"{found.name} is {values.dtype} of shape {found.values.shape} but {flag} needs numbers of frames, from 0 "
            f"to {n_frames - 1}, or a mark of 0 or 1 for each of the {n_frames}; name another."
        )
    marked[values.astype(np.int64)] = True
    return marked


def _slice_or_number(text: str, n_frames: int, flag: str) -> slice | int:
    try:
        bounds = [int(part) if part.strip() else None for part in text.split(":")]
        if len(bounds) > 1:
            return slice(*bounds)
        (number,) = bounds
        assert number is not None
    except (ValueError, TypeError, AssertionError):
        raise DataError(
            f"{flag} has {text!r}, which is no number of a frame and no slice; write numbers from 0 and "
            "START:STOP:STEP as in Python, such as 0:500:2,700."
        ) from None
    if not -n_frames <= number < n_frames:
        raise DataError(f"{flag} names frame {number} but there are {n_frames}, from 0; name others.")
    return number


def _scale(place: str, n_frames: int, sources: Sources) -> np.ndarray:
    """Return what the counts of each frame are to be multiplied by, (n,) float64; infinite where there was no light."""
    found = sources.array(place, "`monitor`")
    values = found.values.ravel()
    if values.size != n_frames or values.dtype.kind not in "iuf":
        raise DataError(
            f"{found.name} is {values.dtype} of shape {found.values.shape} but a monitor has one number for each of "
            f"the {n_frames} frames; name another by `monitor`."
        )
    monitor = values.astype(np.float64)
    lit = monitor[np.isfinite(monitor) & (monitor > 0)]
    if not lit.size:
        raise DataError(f"{found.name} holds no number above 0; name another by `monitor`, or leave it out.")
    return np.divide(
        np.median(lit), monitor, out=np.full(n_frames, np.inf), where=np.isfinite(monitor) & (monitor > 0)
    )


def _refuse_dark_monitor(scale: np.ndarray | None, wanted: np.ndarray) -> None:
    dark = [] if scale is None else wanted[np.isinf(scale[wanted])]
    if len(dark):
        raise DataError(
            f"the monitor is not above 0 in {len(dark)} frames, the first of them {dark[0]}; leave them out by `skip`, "
            "or leave out `monitor`."
        )
