"""How `ImageMetrics` show themselves: in one line, and in a notebook with the images that were scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ptycho._showing import html, pictures
from ptycho._showing.one_line import bounded

if TYPE_CHECKING:
    from ptycho.evaluation.results import ChannelPair, ImageMetrics

# Names, units of amplitude and phase, and how many digits say something.
_FIGURES: Mapping[str, tuple[str, str, str, str]] = {
    "mae": ("MAE", "", " rad", ".3g"),
    "mse": ("MSE", "", " rad²", ".3g"),
    "psnr": ("PSNR", " dB", " dB", ".1f"),
    "ssim": ("SSIM", "", "", ".3f"),
    "ms_ssim": ("MS-SSIM", "", "", ".3f"),
    "frc50": ("FRC50", "", "", ".3g"),
    "frc1over7": ("FRC 1/7", "", "", ".3g"),
}
_IN_A_LINE = ("ssim", "psnr", "mae", "frc50")


def in_one_line(metrics: ImageMetrics) -> str:
    """Return the figures that tell most."""
    figures = (f"{_FIGURES[name][0]} {pair_in_short(metrics, name)}" for name in _IN_A_LINE)
    height, width = metrics.window.shape_yx
    collapsed = f", collapsed in {' and '.join(metrics.collapsed)}" if metrics.collapsed else ""
    return bounded(
        f"ImageMetrics(amplitude / phase: {', '.join(figures)}; {metrics.convention}, {height}×{width} px{collapsed})"
    )


def pair_in_short(metrics: ImageMetrics, name: str) -> str:
    """Return one figure of amplitude and phase, such as ``"0.755 / 0.870"``."""
    pair: ChannelPair = getattr(metrics, name)
    digits = _FIGURES[name][3]
    return " / ".join(
        "–" if value is None else format(value, digits) for value in (pair.amplitude, pair.phase)
    )


def as_html(metrics: ImageMetrics) -> str:
    """Return all figures, and the images that were scored with their errors."""
    unit = "" if metrics.frc is None else f" ({metrics.frc.unit})"
    rows = [
        (
            f"{heading}{unit if name.startswith('frc') else ''}",
            _with_unit(getattr(metrics, name).amplitude, digits, of_amplitude),
            _with_unit(getattr(metrics, name).phase, digits, of_phase),
        )
        for name, (heading, of_amplitude, of_phase, digits) in _FIGURES.items()
    ]
    height, width = metrics.window.shape_yx
    heading = f"ImageMetrics, {metrics.convention} convention, {height}×{width} px"
    table = html.table(("", "amplitude", "phase"), rows)
    return html.block(heading, table, html.side_by_side(_pictures(metrics)), html.sentences(metrics.notes))


def _with_unit(value: float | None, digits: str, unit: str) -> str | None:
    return None if value is None else f"{value:{digits}}{unit}"


def _pictures(metrics: ImageMetrics) -> list[tuple[str, html.Markup]]:
    images = metrics.images
    grey = pictures.limits_of([images.true_amplitude])
    turns = pictures.limits_of([images.true_phase])
    error = pictures.limits_of([abs(images.phase_error)], (0.0, 98.0))[1]
    return [
        (name, pictures.picture(image, limits, colours, alt=f"{name} as scored"))
        for name, image, limits, colours in (
            ("amplitude", images.amplitude, grey, pictures.GREY),
            ("true amplitude", images.true_amplitude, grey, pictures.GREY),
            ("phase", images.phase, turns, pictures.GREY),
            ("true phase", images.true_phase, turns, pictures.GREY),
            ("phase error", images.phase_error, (-error, error), pictures.SIGNED),
        )
    ]
