"""What a plot of a comparison shows: images with uncovered pixels masked, colour limits, words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptycho._showing.one_line import shortened
from ptycho.comparison.shown import Panel
from ptycho.errors import DataError

if TYPE_CHECKING:
    from ptycho.comparison import ArmResult, ComparisonResult
    from ptycho.report.options import PlotOptions

# Phases that fill more than this much of a turn are better read from a cyclic map.
_NEARLY_A_TURN = 1.5 * math.pi


@dataclass(frozen=True)
class ColourScale:
    """Limits of a colour scale and whether its two ends mean the same."""

    low: float
    high: float
    cyclic: bool = False

    def with_ends(self, low: float | None, high: float | None) -> ColourScale:
        """Return the scale with those ends replaced that are given; for phases, in radians.

        One given end that lies beyond the other moves the other with it, at the same width.
        """
        if low is None and high is None:
            return self
        if low is not None and high is not None and not low < high:
            raise DataError(
                f"phase limits are {low:g} and {high:g} but the first must be the smaller; give both, in order."
            )
        # One given end may lie beyond the other, which was not chosen and so gives way.
        width = max(self.high - self.low, 1e-6 * abs(low or high or 0.0))
        if low is None:
            low = self.low if high is None or self.low < high else high - width
        if high is None:
            high = self.high if low < self.high else low + width
        return ColourScale(low, high, cyclic=math.isclose(high - low, 2 * math.pi, rel_tol=1e-3))

    def fold(self, image: np.ma.MaskedArray) -> np.ma.MaskedArray:
        """Return `image` with every turn beyond a cyclic scale taken off; otherwise as it is."""
        if not self.cyclic:
            return image
        return np.ma.MaskedArray(self.low + np.mod(image.data - self.low, self.high - self.low), image.mask)


def percentile_scale(
    images: Iterable[np.ma.MaskedArray], p_min: float, p_max: float, *, phase: bool = False
) -> ColourScale:
    """Return the limits that hold the `p_min`-th to `p_max`-th percentile of all visible pixels together.

    Limits of a phase lie symmetrically about 0, or a whole turn apart if the phases fill one.
    """
    values = _visible(images)
    if not values.size:
        return ColourScale(-1.0 if phase else 0.0, 1.0)
    low, high = (float(value) for value in np.percentile(values, (p_min, p_max)))
    if not phase:
        return ColourScale(low, high) if high > low else ColourScale(low - 0.5, low + 0.5)
    if high - low > _NEARLY_A_TURN:
        return ColourScale(-math.pi, math.pi, cyclic=True)
    reach = max(abs(low), abs(high)) or 1.0
    return ColourScale(-reach, reach)


def error_scale(images: Iterable[np.ma.MaskedArray], percentile: float = 98.0) -> ColourScale:
    """Return limits symmetric about 0 that hold `percentile` of the moduli of all visible pixels together."""
    values = _visible(images)
    reach = float(np.percentile(np.abs(values), percentile)) if values.size else 0.0
    return ColourScale(-(reach or 1.0), reach or 1.0)


def spread_scale(images: Iterable[np.ma.MaskedArray], percentile: float = 98.0) -> ColourScale:
    """Return limits from 0 that hold `percentile` of all visible pixels together; for values of one sign."""
    return ColourScale(0.0, error_scale(images, percentile).high)


def _visible(images: Iterable[np.ma.MaskedArray]) -> np.ndarray:
    return np.concatenate([image.compressed() for image in images])


def clipped_share(images: Iterable[np.ma.MaskedArray], scale: ColourScale) -> float:
    """Return the share of all visible pixels that lie beyond the ends of `scale`; none does of a cyclic one."""
    values = _visible(images)
    if scale.cyclic or not values.size:
        return 0.0
    return float(np.mean((values < scale.low) | (values > scale.high)))


def scale_bar_of(width_px: int, pixel_m: float | None) -> tuple[float, str]:
    """Return the longest of 1, 2, 5, 10 … that fits into a quarter of the width, and its name.

    Parameters
    ----------
    width_px : int
    pixel_m : float, optional
        Side of a pixel in metres; where it is not known the bar has whole pixels.

    Returns
    -------
    length_px : float
    name : str
        Such as ``"20 px"`` or ``"500 nm"``.
    """
    room = max(width_px / 4, 1.0)
    if pixel_m is None:
        length_px = _round_below(room)
        return length_px, f"{length_px:.0f} px"
    length_m = _round_below(room * pixel_m)
    return length_m / pixel_m, in_metres(length_m)


def _round_below(most: float) -> float:
    # A hair more, for a power of ten may lie a hair above itself.
    decade = 10.0 ** math.floor(math.log10(most * (1 + 1e-9)))
    return max(step * decade for step in (1, 2, 5) if step * decade <= most * (1 + 1e-9))


def in_metres(length_m: float) -> str:
    """Return a length in µm from one on, else in nm."""
    return f"{length_m * 1e6:.3g} µm" if length_m >= 0.9995e-6 else f"{length_m * 1e9:.3g} nm"


def figures_of_merit(arm: ArmResult | None, channel: str, *, separator: str = " · ") -> str:
    """Return the figures that stand above a panel; empty for the truth and for an arm without scores."""
    if arm is None or arm.metrics is None:
        return ""
    cutoff = ".3f" if arm.metrics.convention == "standard" else ".3g"
    formats = {"ssim": ("SSIM", ".3f"), "mae": ("MAE", "#.2g"), "frc50": ("FRC50", cutoff)}
    values = {name: getattr(getattr(arm.metrics, name), channel) for name in formats}
    return separator.join(
        f"{heading} {'–' if values[name] is None else format(values[name], spec)}"
        for name, (heading, spec) in formats.items()
    )


def comparison_caption(
    result: ComparisonResult, options: PlotOptions, scales: Mapping[str, ColourScale], panels: Sequence[Panel]
) -> str:
    """Return what a reader has to know beside the images, failed arms included."""
    sentences = [
        _extent(result),
        _colours(options, scales, panels, "over all arms" if result.truth is None else "of the ground truth"),
        f"Each phase has its {result.settings.phase_align} removed. Hatched: not reconstructed.",
    ]
    metrics = next((arm.metrics for arm in result.arms if arm.metrics is not None), None)
    if metrics is not None:
        unit = "cycles/pixel" if metrics.convention == "standard" else "rings"
        named = "" if metrics.convention == "standard" else f" All by the {metrics.convention} convention."
        sentences.append(f"MAE of phases in rad, FRC50 in {unit}.{named}")
    if result.truth is None:
        sentences.append("Without a ground truth there are no metrics.")
    sentences += [f"{failure.what} failed: {shortened(failure.reason, 160)}" for failure in result.failures]
    return " ".join(sentences)


def reconstruction_caption(
    result: ComparisonResult, options: PlotOptions, scales: Mapping[str, ColourScale], panel: Panel
) -> str:
    """Return what a reader has to know beside the image of a single arm."""
    return (
        f"{shortened(result.arms[0].label)}: {_extent(result)} {_colours(options, scales, [panel], 'of the image')} "
        f"The phase has its {result.settings.phase_align} removed. Hatched: not reconstructed."
    )


def _colours(
    options: PlotOptions, scales: Mapping[str, ColourScale], panels: Sequence[Panel], whose: str
) -> str:
    """Say which percentiles the colours span, and how much of what is seen that leaves out."""
    beyond = (
        f"{clipped_share([getattr(panel, channel) for panel in panels], scale):.0%} of the {channel}s"
        for channel, scale in scales.items()
    )
    return (
        f"Colours span percentiles {options.p_min:g} to {options.p_max:g} {whose}: {' and '.join(beyond)} lie beyond "
        "and have the colours of the ends."
    )


def _extent(result: ComparisonResult) -> str:
    height, width = result.window.shape_yx
    size = f"{height}×{width} px"
    if (pixel_m := result.object_pixel_m) is not None:
        size += f" ({in_metres(height * pixel_m)} × {in_metres(width * pixel_m)})"
    if all(arm.kind != "model" for arm in result.arms):
        return f"{result.n_frames:,} frames, {size}."
    return f"{result.n_frames:,} frames, crops of {result.settings.crop_size} px on {size}."


def plain(text: str) -> str:
    """Keep matplotlib from taking a user's words for a formula, or for a line to leave out of a legend."""
    escaped = text.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped
