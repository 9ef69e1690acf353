"""What else an image could be if it does not match as it is: turned, mirrored, conjugated, of another pixel size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ptycho.image._likeness import likeness_of
from ptycho.image._overlay import Field, Overlay
from ptycho.image._search import best_match, quick_match

# A match that was chosen among some sixty has to be surer than one that was not, by the logarithm of their number …
_MORE_EVIDENCE = 4.0
# … and is worth a word if it is clearly better than that of the image as it is.
_BETTER = 1.25
_SIDE_PX = 192
_SCALES_PER_DOUBLING = 18

_TURNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "": lambda image: image,
    "flipped top to bottom": lambda image: image[::-1],
    "flipped left to right": lambda image: image[:, ::-1],
    "rotated by 180°": lambda image: image[::-1, ::-1],
    "transposed": lambda image: image.T,
    "rotated by 90° anticlockwise": lambda image: image.T[::-1],
    "rotated by 90° clockwise": lambda image: image.T[:, ::-1],
    "transposed about the other diagonal": lambda image: image.T[::-1, ::-1],
}


@dataclass(frozen=True)
class _Change:
    """Something that may have been done to an image, and how to undo it."""

    name: str
    undo: Callable[[Field], Field]


def better_alternative(moving: Field, reference: Field, correlation: float) -> str | None:
    """Return as what the moving image would match better, as a clause; None if as nothing that was tried.

    Parameters
    ----------
    moving, reference : Field
    correlation : float
        Of the image as it is.
    """
    fields = _squared(moving), _squared(reference)
    factor = -(-fields[0].values.shape[0] // _SIDE_PX)
    small = fields[0].binned(factor), fields[1].binned(factor)
    for changes in (_turns(), _scales(*small)):
        change = max(changes, key=lambda each: quick_match(each.undo(small[0]), small[1]).correlation)
        found = best_match(change.undo(fields[0]), fields[1])
        if found.correlation > _BETTER * correlation and _is_sure(found, change.undo(fields[0]), fields[1]):
            return f"{change.name} it would match with a correlation of {found.correlation:.3f}"
    return None


def _is_sure(overlay: Overlay, moving: Field, reference: Field) -> bool:
    likeness = likeness_of(overlay, moving, reference)
    return likeness.doubt is None and likeness.evidence > likeness.needed + _MORE_EVIDENCE


def _turns() -> Iterator[_Change]:
    for name, turn in _TURNS.items():
        if name:
            yield _Change(name, lambda field, turn=turn: field.changed(turn))
        both = f"{name} and conjugated" if name else "conjugated"
        yield _Change(both, lambda field, turn=turn: field.changed(turn).conjugated)


def _scales(moving: Field, reference: Field) -> list[_Change]:
    """Return the pixel size that matches best between half and twice its own, and those near it."""
    steps = np.arange(-_SCALES_PER_DOUBLING, _SCALES_PER_DOUBLING + 1) / _SCALES_PER_DOUBLING
    coarse = [_of_scale(scale) for scale in 2.0 ** steps[steps != 0]]
    correlations = [quick_match(each.undo(moving), reference).correlation for each in coarse]
    best = 2.0 ** steps[steps != 0][int(np.argmax(correlations))]
    return [_of_scale(scale) for scale in best * (1 + np.linspace(-0.04, 0.04, 9))]


def _of_scale(scale: float) -> _Change:
    return _Change(f"with pixels {scale:.2f} times as large", lambda field: _rescaled(field, scale))


def _rescaled(field: Field, scale: float) -> Field:
    """Return the field as it is if its pixels are so many times larger, about its centre, in a frame of its shape."""
    height, width = field.values.shape
    rows, columns = (np.arange(size) / scale + (size - 1) / 2 * (1 - 1 / scale) for size in (height, width))
    places = np.broadcast_to(rows[:, None], (height, width)), np.broadcast_to(columns, (height, width))

    def resampled(image: np.ndarray) -> np.ndarray:
        # What becomes smaller must lose its finest detail first, or it comes back as detail that is not there.
        blurred = ndimage.gaussian_filter(image, 0.5 * max(0.0, 1 / scale - 1))
        return np.asarray(ndimage.map_coordinates(blurred, places, order=1))

    valid = resampled(field.valid.astype(float)) > 1 - 1e-6
    values = resampled(np.real(field.values)) + 1j * resampled(np.imag(field.values))
    return Field.whole(np.where(valid, values, 0), valid)


def _squared(field: Field) -> Field:
    """Return the field in the middle of a square that holds it turned too."""
    side = max(field.values.shape)
    margins = [((side - size) // 2, side - size - (side - size) // 2) for size in field.values.shape]
    return field.changed(lambda image: np.pad(image, margins))
