"""Picture of a scan: its mean frame, its path, its probe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from ptycho.data.inspection import mean_intensity
from ptycho.data.overlap import beam_width_px
from ptycho.report._axes import caption, in_own_style, new_figure, save, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ptycho.data import ScanData

_PANEL_INCHES = 3.6


@in_own_style
def plot_scan(scan: ScanData, path: str | os.PathLike[str]) -> None:
    """Draw the mean frame (logarithmic), the patch centres in their order with the beam's size, and the probe.

    Parameters
    ----------
    scan : ScanData
    path : path
        The PNG; it appears whole or not at all.
    """
    figure = new_figure(4 * _PANEL_INCHES + 0.5, _PANEL_INCHES + 0.9)
    frame, way, modulus, phase = figure.subplots(1, 4)
    _draw_mean_frame(frame, scan)
    _draw_path(way, scan)
    modulus.imshow(np.abs(scan.probe), cmap="gray")
    title(modulus, "probe, amplitude")
    phase.imshow(
        np.angle(scan.probe), cmap="twilight_shifted", vmin=-np.pi, vmax=np.pi, interpolation="nearest"
    )
    title(phase, "probe, phase (-π to π)")
    caption(
        figure,
        f"{scan.n_frames} frames of {scan.patch_size}x{scan.patch_size} pixels. Mean frame: amplitude², logarithmic, "
        "masked pixels in red. Path: patch centres in pixels of the object, from blue (first) to yellow (last); the "
        "circle is the beam at the first, with 90 % of its energy.",
    )
    save(figure, path)


def _draw_mean_frame(ax: Axes, scan: ScanData) -> None:
    mean = mean_intensity(scan)
    least = mean[mean > 0].min()
    image = np.ma.masked_array(np.log10(np.maximum(mean, least)), mask=scan.mask is not None and ~scan.mask)
    ax.patch.set_facecolor("red")
    ax.imshow(image, cmap="viridis", interpolation="nearest")
    title(ax, "mean frame")


def _draw_path(ax: Axes, scan: ScanData) -> None:
    from matplotlib.patches import Circle

    y, x = scan.positions_yx.T
    ax.plot(x, y, color="0.8", linewidth=0.5, zorder=1)
    ax.scatter(x, y, c=np.arange(scan.n_frames), cmap="viridis", s=6, zorder=2)
    ax.add_patch(Circle((x[0], y[0]), beam_width_px(scan.probe) / 2, fill=False, edgecolor="red", zorder=3))
    ax.set_aspect("equal")
    ax.invert_yaxis()
    title(ax, "path")
