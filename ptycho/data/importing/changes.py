"""What a user says of the frames and lengths of a scan, put upon them: axes, orientation, corrections, cropping."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ptycho.data.formats._frames import FrameStack, oriented
from ptycho.data.formats._parts import Parts
from ptycho.data.importing.places import Sources
from ptycho.data.importing.positions import object_pixel_of
from ptycho.data.importing.settings import ImportSettings
from ptycho.data.importing.windows import Window, beam_centre, padding_for, probe_through, window_of
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

_SAMPLE_FRAMES = 16
# Corner energy over centre energy that no centred far field reaches.
_CORNER_EXCESS = 2.0
# Sizes of the object's pixel that differ by more contradict each other.
_SAME_PIXEL = 0.01


def with_lengths(parts: Parts, settings: ImportSettings) -> Parts:
    """Return the parts with the lengths of the settings, which overrule an object's pixel that the file has."""
    given = {
        name: getattr(settings, name)
        for name in ("photon_energy_j", "detector_distance_m", "detector_pixel_m", "object_pixel_m")
        if getattr(settings, name) is not None
    }
    if given and "object_pixel_m" not in given:
        # What follows from the lengths is not kept beside others.
        given["object_pixel_m"] = None
    return replace(parts, **given)


_FLAGS = {
    "photon_energy_j": "`photon_energy_j`",
    "detector_distance_m": "`detector_distance_m`",
    "detector_pixel_m": "`detector_pixel_m`",
}


def with_object_pixel(parts: Parts, settings: ImportSettings, known: Parts | None) -> Parts:
    """Return the parts with the object's pixel of the scan's own file where none follows; say what has no effect.

    Parameters
    ----------
    parts : Parts
        Those of all files, with the lengths of the settings.
    settings : ImportSettings
    known : Parts, optional
        What the scan's own file holds, if its format is known.
    """
    _warn_of_other_pixel(parts, settings)
    given = [flag for field, flag in _FLAGS.items() if getattr(settings, field) is not None]
    lacking = [flag for field, flag in _FLAGS.items() if getattr(parts, field) is None]
    if not given or not lacking or parts.object_pixel_m is not None or parts.missing():
        return parts
    logger.warning(
        "%s: %s changes no pixel of the object, which does not follow without %s; pass these too, or `object_pixel_m`",
        parts.names,
        " and ".join(given),
        " and ".join(lacking),
    )
    return replace(parts, object_pixel_m=None if known is None else known.object_pixel_m)


def _warn_of_other_pixel(parts: Parts, settings: ImportSettings) -> None:
    given = settings.object_pixel_m
    if given is None or parts.frames is None:
        return
    following = object_pixel_of(replace(parts, object_pixel_m=None), parts.frames.side)
    if following is not None and not math.isclose(given, following, rel_tol=_SAME_PIXEL):
        logger.warning(
            "%s: `object_pixel_m` is %.4g nm but %.4g nm follow from photon energy, detector distance and detector "
            "pixel; `object_pixel_m` is taken, so check which of them is right",
            parts.names,
            given * 1e9,
            following * 1e9,
        )


def with_frames_changed(
    parts: Parts, settings: ImportSettings, sources: Sources, *, mask: np.ndarray | None, guessing: bool
) -> Parts:
    """Return the parts with their frames as the settings say: axes, values, DC term, orientation, corrections, mask."""
    stack = parts.frames
    if stack is None:
        return parts
    stack = _corrected(stack, settings, sources)
    values = settings.values or (_guessed_values(stack) if guessing else None)
    if values is not None:
        stack = replace(stack, are_amplitudes=values == "amplitude")
    bad = _union(parts.bad_pixels, mask, stack.shape[1:])
    for turn in _turns(stack, settings, guessing=guessing):
        stack = stack.turned(turn)
        bad = None if bad is None else turn(bad[np.newaxis])[0]
    return replace(
        parts,
        frames=replace(stack, lowest=settings.min_count, highest=settings.max_count),
        bad_pixels=bad,
    )


def with_axes(parts: Parts, settings: ImportSettings, *, guessing: bool) -> Parts:
    """Return the parts with their frames in the order (n, rows, columns)."""
    return (
        parts
        if parts.frames is None
        else replace(parts, frames=_ordered(parts.frames, settings, parts, guessing=guessing))
    )


def with_window(parts: Parts, settings: ImportSettings) -> Parts:
    """Return the parts cropped and binned: detector pixel, object's pixel, probe and positions in pixels follow."""
    stack = parts.frames
    if stack is None or (settings.crop is None and settings.centre_yx is None and settings.bin == 1):
        return parts
    shape, bad, padding = stack.shape[1:], parts.bad_pixels, ((0, 0), (0, 0))
    centre = beam_centre(stack, bad) if settings.centre_yx == "auto" else settings.centre_yx
    if settings.pad and settings.crop is not None:
        padding = padding_for(shape, centre, settings.crop, settings.bin)
        stack, bad, centre = _padded(stack, bad, centre, padding)
    window = window_of(stack.shape[1:], centre, settings.crop, settings.bin)
    rows, columns = window.slices
    parts = replace(
        parts,
        frames=replace(stack.turned(lambda images: images[..., rows, columns]), bin=settings.bin),
        bad_pixels=None if bad is None else bad[rows, columns],
        detector_pixel_m=None if parts.detector_pixel_m is None else parts.detector_pixel_m * settings.bin,
    )
    return _scaled(parts, window, shape, padding)


_Padding = tuple[tuple[int, int], tuple[int, int]]


def _padded(
    stack: FrameStack, bad: np.ndarray | None, centre: Any, padding: _Padding
) -> tuple[FrameStack, np.ndarray, tuple[int, int]]:
    """Return frames with pixels around them, of which all are bad, and where their centre is then."""
    inside = np.zeros(stack.shape[1:], bool) if bad is None else bad
    at = [extent // 2 for extent in stack.shape[1:]] if centre is None else centre
    wider = stack.turned(lambda images: np.pad(images, ((0, 0), *padding)))
    return (
        wider,
        np.pad(inside, padding, constant_values=True),
        (at[0] + padding[0][0], at[1] + padding[1][0]),
    )


def _scaled(parts: Parts, window: Window, shape: tuple[int, ...], padding: _Padding) -> Parts:
    """Return the parts with their object's pixel, probe, positions and object as the window needs them."""
    depends = parts.object_pixel_m is not None or parts.position_unit == "px"
    if depends and shape[0] != shape[1]:
        raise DataError(
            f"the object's pixel of {parts.names} belongs to frames of {shape[0]}x{shape[1]} pixels, which are not "
            "square, so that of cropped ones is not known; pass `photon_energy_j`, "
            "`detector_distance_m` and `detector_pixel_m`, and positions in metres."
        )
    factor = min(shape) / window.side
    probe = parts.probe
    if probe is not None and probe.shape[-2:] != window.shape:
        if probe.shape[-2:] != shape:
            raise DataError(
                f"the probe of {parts.names} has shape {probe.shape} but the frames are {shape[0]}x{shape[1]} and, "
                f"once cropped, {window.shape[0]}x{window.shape[1]}; name a probe of one of these sizes by `probe`."
            )
        probe = probe_through(window, probe, padding)
    changes: dict[str, Any] = {"probe": probe}
    if factor != 1 and parts.object_image is not None:
        logger.warning("%s: its object has the pixels of the whole frames; it is left out", parts.names)
        changes.update(object_image=None, origin_yx=None)
    if parts.object_pixel_m is not None:
        changes["object_pixel_m"] = parts.object_pixel_m * factor
    if parts.position_unit == "px" and parts.positions_yx is not None:
        changes["positions_yx"] = parts.positions_yx / factor
    return replace(parts, **changes)


def _ordered(stack: FrameStack, settings: ImportSettings, parts: Parts, *, guessing: bool) -> FrameStack:
    axes = settings.axes
    n_positions = None if parts.positions_yx is None else len(parts.positions_yx)
    if axes is None and guessing and n_positions not in (None, stack.shape[0]):
        axes = _guessed_axes(stack, n_positions)
    if axes is not None and "q" in axes:
        return stack.by_raster(axes)
    if axes in ("yxn", "xyn"):
        stack = stack.counted_last()
    return stack.turned(oriented(4)) if axes in ("nxy", "xyn") else stack


def _guessed_axes(stack: FrameStack, n_positions: int | None) -> str | None:
    """Return the axes that give as many frames as there are positions, where those of the file do not."""
    if stack.raster is not None:
        fits, axes, shape = (
            n_positions == stack.shape[1] * stack.shape[2],
            "qqyx",
            (*stack.raster, *stack.shape[1:]),
        )
    else:
        fits, axes, shape = n_positions == stack.shape[2], "yxn", stack.shape
    if not fits:
        return None
    logger.info(
        "%s has shape %s and there are %d positions: `axes` is taken to be %s",
        stack.name,
        shape,
        n_positions,
        axes,
    )
    return axes


def _corrected(stack: FrameStack, settings: ImportSettings, sources: Sources) -> FrameStack:
    images: dict[str, Any] = {}
    for name in ("dark", "flat"):
        place = getattr(settings, name)
        if place is not None:
            values = sources.array(place, f"`{name}`").values
            images[name] = values.reshape(-1, *values.shape[-2:]).mean(axis=0) if values.ndim > 2 else values
    return replace(stack, **images)


def _guessed_values(stack: FrameStack) -> str:
    sample = stack.sample(_SAMPLE_FRAMES)
    if sample.dtype.kind != "f":
        return "intensity"
    positive = sample[np.isfinite(sample) & (sample > 0)].astype(np.float64)
    if _are_whole(positive):
        return "intensity"
    if _are_whole(positive**2):
        logger.info("%s: the squares of its values are whole: `values` is taken to be amplitude", stack.name)
        return "amplitude"
    logger.warning(
        "%s: its values are no whole numbers, so they may be intensity or amplitude: `values` is taken to be intensity",
        stack.name,
    )
    return "intensity"


def _are_whole(values: np.ndarray) -> bool:
    return bool(values.size) and bool((np.abs(values - np.rint(values)) <= 1e-5 * values).all())


def _turns(
    stack: FrameStack, settings: ImportSettings, *, guessing: bool
) -> list[Callable[[np.ndarray], np.ndarray]]:
    dc = settings.dc
    if dc is None and guessing and _is_at_corner(stack):
        logger.info("%s: the beam is at the corners: `dc` is taken to be corner", stack.name)
        dc = "corner"
    turns: list[Callable[[np.ndarray], np.ndarray]] = []
    if dc == "corner":
        turns.append(lambda images: np.fft.fftshift(images, axes=(-2, -1)))
    if settings.frame_orientation:
        turns.append(oriented(settings.frame_orientation))
    return turns


def _is_at_corner(stack: FrameStack) -> bool:
    sample = stack.sample(_SAMPLE_FRAMES).astype(np.float64)
    if sample.dtype.kind == "f":
        # What marks a dead pixel is no light.
        sample = np.where(np.isfinite(sample) & (sample < 60_000), sample, 0)
    mean = sample.mean(axis=0)

    def middle(image: np.ndarray) -> float:
        rows, columns = (slice(side // 4, side - side // 4) for side in image.shape)
        return float(image[rows, columns].sum())

    return middle(np.fft.fftshift(mean)) > _CORNER_EXCESS * middle(mean)


def _union(first: np.ndarray | None, second: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray | None:
    if second is None:
        return first
    if second.shape != shape:
        raise DataError(
            f"the mask has shape {second.shape} but the frames are {shape[0]}x{shape[1]}; name that of these frames by "
            "`mask`."
        )
    return second if first is None else first | second
