"""Picture of a scan: its mean frame, its path, its probe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from ptycho.data.inspection import mean_intensity
from ptycho.data.overlap import beam_width_px
from ptycho.report._axes import caption, new_sheet, title, whole_figure
from ptycho.report.figure_files import in_own_style, save
from ptycho.report.options import PlotOptions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ptycho.data import ScanData

_PANEL_INCHES = 3.6
# Of the probe's largest amplitude: below it the phase fades, for without light it is noise.
_VISIBLE = 0.1


@in_own_style
def plot_scan(
    scan: ScanData,
    path: str | os.PathLike[str] | None = None,
    *,
    options: PlotOptions | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the mean frame (logarithmic), the patch centres in their order with the beam's size, and the probe.

    Parameters
    ----------
    scan : ScanData
    path : path, optional
        A file in the format of its suffix, .png, .pdf or .svg, which appears whole or not at all.
    options : PlotOptions, optional
    ax : matplotlib.axes.Axes, optional
        Of a grid of the caller's: the panels take its place, and it is gone.

    Returns
    -------
    matplotlib.figure.Figure
        The figure that holds the panels.

    Raises
    ------
    DataError
        `ax` has no place in a grid, or the file's suffix is another.
    """
    options = options or PlotOptions()
    figure = new_sheet(4 * _PANEL_INCHES + 0.5, _PANEL_INCHES + 0.9, dpi=options.dpi, place=ax)
    frame, way, modulus, phase = figure.subplots(1, 4)
    _draw_mean_frame(frame, scan)
    _draw_path(way, scan)
    _draw_probe(modulus, phase, scan.probe)
    caption(
        figure,
        f"{scan.n_frames} frames of {scan.patch_size}x{scan.patch_size} pixels. Mean frame: amplitude², logarithmic, "
        "masked pixels in red, a cross on the pixel of the direct beam. Path: patch centres in "
        f"{_unit(scan)[1]}, from blue (first) to yellow (last); the circle is the beam at the first, with 90 % of its "
        "energy. Phase: fading where there is no light.",
    )
    save(whole_figure(figure), path, options)
    return whole_figure(figure)


def _draw_mean_frame(ax: Axes, scan: ScanData) -> None:
    mean = mean_intensity(scan)
    least = mean[mean > 0].min()
    image = np.ma.masked_array(np.maximum(mean, least), mask=scan.mask is not None and ~scan.mask)
    ax.patch.set_facecolor("red")
    drawn = ax.imshow(image, cmap="viridis", norm="log", interpolation="nearest")
    whole_figure(ax.figure).colorbar(drawn, ax=ax, fraction=0.046, pad=0.03)
    middle = scan.patch_size // 2
    ax.plot(middle, middle, marker="+", color="white", markersize=7, markeredgewidth=0.8)
    title(ax, "mean frame (counts a pixel)")


def _draw_probe(modulus: Axes, phase: Axes, probe: np.ndarray) -> None:
    amplitude = np.abs(probe)
    modulus.imshow(amplitude, cmap="gray")
    title(modulus, "probe, amplitude")
    light = np.clip(amplitude / (_VISIBLE * amplitude.max()), 0, 1)
    phase.imshow(
        np.angle(probe),
        cmap="twilight_shifted",
        vmin=-np.pi,
        vmax=np.pi,
        interpolation="nearest",
        alpha=light.astype(np.float64),
    )
    title(phase, "probe, phase (-π to π)")


def _draw_path(ax: Axes, scan: ScanData) -> None:
    from matplotlib.patches import Circle

    length, unit = _unit(scan)
    y, x = scan.positions_yx.T * length
    ax.plot(x, y, color="0.8", linewidth=0.5, zorder=1)
    ax.scatter(x, y, c=np.arange(scan.n_frames), cmap="viridis", s=6, zorder=2)
    ax.add_patch(
        Circle((x[0], y[0]), length * beam_width_px(scan.probe) / 2, fill=False, edgecolor="red", zorder=3)
    )
    ax.set_aspect("equal")
    ax.invert_yaxis()
    title(ax, f"path ({unit.split()[0]})")


def _unit(scan: ScanData) -> tuple[float, str]:
    """Return the side of a pixel of the object and its unit: µm where the geometry is known, else pixels."""
    if scan.geometry is None:
        return 1.0, "pixels of the object"
    return scan.geometry.object_pixel_m * 1e6, "µm"
