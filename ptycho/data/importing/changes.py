"""What a user says of the parts of a scan, put upon them: axes, orientation, cropping, units, lengths."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ptycho.data.formats._frames import FrameStack, oriented
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._quantities import metres_per
from ptycho.data.importing.places import Sources
from ptycho.data.importing.settings import ImportSettings
from ptycho.data.importing.windows import Window, beam_centre, probe_through, window_of
from ptycho.data.overlap import median_step
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
    "photon_energy_j": "--energy (--wavelength, --electron)",
    "detector_distance_m": "--distance",
    "detector_pixel_m": "--detector-pixel",
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
        "%s: %s changes no pixel of the object, which does not follow without %s; pass these too, or --pixel-size",
        parts.names,
        " and ".join(given),
        " and ".join(lacking),
    )
    return replace(parts, object_pixel_m=None if known is None else known.object_pixel_m)


def _warn_of_other_pixel(parts: Parts, settings: ImportSettings) -> None:
    given = settings.object_pixel_m
    if given is None or parts.frames is None:
        return
    following = _object_pixel(replace(parts, object_pixel_m=None), parts.frames.side)
    if following is not None and not math.isclose(given, following, rel_tol=_SAME_PIXEL):
        logger.warning(
            "%s: --pixel-size is %.4g nm but %.4g nm follow from photon energy, detector distance and detector pixel; "
            "--pixel-size is taken, so check which of them is right",
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
    stack = _ordered(stack, settings, parts, guessing=guessing)
    stack = _corrected(stack, settings, sources)
    if _values(stack, settings, guessing=guessing) == "amplitude":
        stack = stack.squared()
    bad = _union(parts.bad_pixels, mask, stack.shape[1:])
    for turn in _turns(stack, settings, guessing=guessing):
        stack = stack.turned(turn)
        bad = None if bad is None else turn(bad[np.newaxis])[0]
    return replace(
        parts,
        frames=replace(stack, lowest=settings.min_count, highest=settings.max_count),
        bad_pixels=bad,
    )


def with_window(parts: Parts, settings: ImportSettings) -> Parts:
    """Return the parts cropped and binned: detector pixel, object's pixel, probe and positions in pixels follow."""
    stack = parts.frames
    if stack is None or (settings.crop is None and settings.centre_yx is None and settings.bin == 1):
        return parts
    centre = beam_centre(stack, parts.bad_pixels) if settings.centre_yx == "auto" else settings.centre_yx
    window = window_of(stack.shape[1:], centre, settings.crop, settings.bin)
    rows, columns = window.slices
    parts = replace(
        parts,
        frames=replace(stack.turned(lambda images: images[..., rows, columns]), bin=settings.bin),
        bad_pixels=None if parts.bad_pixels is None else parts.bad_pixels[rows, columns],
        detector_pixel_m=None if parts.detector_pixel_m is None else parts.detector_pixel_m * settings.bin,
    )
    return _scaled(parts, window, stack.shape[1:])


def _scaled(parts: Parts, window: Window, shape: tuple[int, ...]) -> Parts:
    """Return the parts with their object's pixel, probe, positions and object as the window needs them."""
    depends = parts.object_pixel_m is not None or parts.position_unit == "px"
    if depends and shape[0] != shape[1]:
        raise DataError(
            f"the object's pixel of {parts.names} belongs to frames of {shape[0]}x{shape[1]} pixels, which are not "
            "square, so that of cropped ones is not known; pass --energy, --distance and "
            "--detector-pixel, and positions in metres."
        )
    factor = min(shape) / window.side
    probe = parts.probe
    if probe is not None and probe.shape[-2:] != window.shape:
        if probe.shape[-2:] != shape:
            raise DataError(
                f"the probe of {parts.names} has shape {probe.shape} but the frames are {shape[0]}x{shape[1]} and, "
                f"once cropped, {window.shape[0]}x{window.shape[1]}; name a probe of one of these sizes by --probe."
            )
        probe = probe_through(window, probe)
    changes: dict[str, Any] = {"probe": probe}
    if factor != 1 and parts.object_image is not None:
        logger.warning("%s: its object has the pixels of the whole frames; it is left out", parts.names)
        changes.update(object_image=None, origin_yx=None)
    if parts.object_pixel_m is not None:
        changes["object_pixel_m"] = parts.object_pixel_m * factor
    if parts.position_unit == "px" and parts.positions_yx is not None:
        changes["positions_yx"] = parts.positions_yx / factor
    return replace(parts, **changes)


def with_positions_changed(
    parts: Parts, settings: ImportSettings, unit: str | None, *, named: bool
) -> tuple[Parts, tuple[str, ...]]:
    """Return the parts with their positions in metres or pixels, turned as the settings say, and what to ask for.

    Parameters
    ----------
    parts : Parts
    settings : ImportSettings
    unit : str, optional
        Of positions that were named or guessed, as far as it is told.
    named : bool
        Whether the positions were; those of a known format have a unit.
    """
    positions = parts.positions_yx
    if positions is None:
        return parts, ()
    if settings.turns_positions:
        parts = _without_object(replace(parts, positions_yx=_turned(positions, settings)))
    unit = settings.position_unit or unit
    if unit is None and not named:
        return parts, ()
    if unit is None:
        unit = _guessed_unit(parts)
    if unit is None:
        return parts, (
            f"the unit of the positions (--position-units m, mm, um, nm or px; {_extent(positions)})",
        )
    if unit == "px":
        return replace(parts, position_unit="px"), ()
    assert parts.positions_yx is not None
    metres = parts.positions_yx * metres_per(unit, f"the positions of {parts.names}")
    return replace(parts, positions_yx=metres, position_unit="m"), ()


def _turned(positions: np.ndarray, settings: ImportSettings) -> np.ndarray:
    turned = positions[:, ::-1] if settings.swap_xy else positions
    turned = turned * np.array([-1 if settings.flip_y else 1, -1 if settings.flip_x else 1])
    angle = np.deg2rad(settings.rotation_deg)
    cosine, sine = np.cos(angle), np.sin(angle)
    # (y, x) as columns: y goes to (cos, sin).
    return turned @ np.array([[cosine, sine], [-sine, cosine]]) if settings.rotation_deg else turned


def _without_object(parts: Parts) -> Parts:
    if parts.object_image is not None:
        logger.warning("%s: its object does not lie under turned positions; it is left out", parts.names)
    return replace(parts, object_image=None, origin_yx=None)


def _guessed_unit(parts: Parts) -> str | None:
    """Return the one unit in which neighbouring positions lie between half a pixel and a frame apart."""
    positions = parts.positions_yx
    if parts.frames is None or positions is None or not np.isfinite(positions).all():
        return None
    step = median_step(positions)
    if step is None:
        return None
    side = parts.frames.side
    pixel = _object_pixel(parts, side)
    fitting = [
        unit
        for unit in ("m", "mm", "um", "nm")
        if pixel is None or 0.5 <= step * metres_per(unit, "") / pixel <= side
    ]
    if pixel is None:
        # No scan moves by less than a thousandth of a pixel, nor by 10 µm in steps of a beam.
        fitting = ["m"] if step < 1e-4 else []
    if 0.5 <= step <= side:
        fitting.append("px")
    if len(fitting) != 1:
        return None
    logger.info("%s: --position-units is taken to be %s, from steps of %.3g", parts.names, fitting[0], step)
    return fitting[0]


def _object_pixel(parts: Parts, side: int) -> float | None:
    from ptycho.data.geometry import ScanGeometry

    if parts.object_pixel_m is not None:
        return parts.object_pixel_m
    energy, distance, pixel = parts.photon_energy_j, parts.detector_distance_m, parts.detector_pixel_m
    if energy is None or distance is None or pixel is None or side < 1:
        return None
    return ScanGeometry.of_far_field(
        photon_energy_j=energy, detector_distance_m=distance, detector_pixel_m=pixel, patch_size=side
    ).object_pixel_m


def _extent(positions: np.ndarray) -> str:
    height, width = np.ptp(positions, axis=0)
    return f"they span {height:.4g} in y and {width:.4g} in x"


def _ordered(stack: FrameStack, settings: ImportSettings, parts: Parts, *, guessing: bool) -> FrameStack:
    axes = settings.axes
    n_positions = None if parts.positions_yx is None else len(parts.positions_yx)
    if axes is None and guessing and n_positions == stack.shape[2] != stack.shape[0]:
        logger.info(
            "%s has shape %s and there are %d positions: --axes is taken to be yxn",
            stack.name,
            stack.shape,
            n_positions,
        )
        axes = "yxn"
    if axes in ("yxn", "xyn"):
        stack = stack.counted_last()
    return stack.turned(oriented(4)) if axes in ("nxy", "xyn") else stack


def _corrected(stack: FrameStack, settings: ImportSettings, sources: Sources) -> FrameStack:
    images: dict[str, Any] = {}
    for name in ("dark", "flat"):
        place = getattr(settings, name)
        if place is not None:
            values = sources.array(place, f"--{name}").values
            images[name] = values.reshape(-1, *values.shape[-2:]).mean(axis=0) if values.ndim > 2 else values
    return replace(stack, **images)


def _values(stack: FrameStack, settings: ImportSettings, *, guessing: bool) -> str:
    if settings.values is not None or not guessing:
        return settings.values or "intensity"
    sample = stack.sample(_SAMPLE_FRAMES)
    if sample.dtype.kind != "f":
        return "intensity"
    positive = sample[np.isfinite(sample) & (sample > 0)].astype(np.float64)
    if _are_whole(positive):
        return "intensity"
    if _are_whole(positive**2):
        logger.info("%s: the squares of its values are whole: --values is taken to be amplitude", stack.name)
        return "amplitude"
    logger.warning(
        "%s: its values are no whole numbers, so they may be intensity or amplitude: --values is taken to be intensity",
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
        logger.info("%s: the beam is at the corners: --dc is taken to be corner", stack.name)
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
            "--mask."
        )
    return second if first is None else first | second
