"""How a `ScanData` shows itself: in one line, and in a notebook with mean frame, path and probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptycho._showing import html, pictures
from ptycho._showing.one_line import bounded

if TYPE_CHECKING:
    from ptycho.data.scan import ScanData

# So few are read from the file of a scan of any size.
_MOST_FRAMES, _MOST_POINTS = 64, 1000
_PATH_SIDE = 160


def in_one_line(scan: ScanData) -> str:
    """Return the facts of a scan, without reading a frame."""
    return bounded(
        f"ScanData({', '.join(f'{value} {name}' if name else value for name, value in _facts(scan))})"
    )


def as_html(scan: ScanData) -> str:
    """Return the facts of a scan as a table, and pictures of it."""
    mean = np.mean(np.square(scan.frames(_few(scan.n_frames, _MOST_FRAMES)), dtype=np.float64), axis=0)
    frame = np.log10(np.maximum(mean, mean[mean > 0].min(initial=1.0)))
    frame[np.False_ if scan.mask is None else ~scan.mask] = np.nan
    shown = [
        ("mean frame, logarithmic", _picture(frame, pictures.MAGNITUDE, "mean diffraction frame")),
        ("path of the patch centres", _path(scan)),
        ("probe, amplitude", _picture(np.abs(scan.probe), pictures.GREY, "amplitude of the probe")),
    ]
    if scan.object_guess is not None:
        height, width = scan.object_guess.shape
        step = -(-max(height, width) // (2 * _PATH_SIDE))
        phase = np.angle(scan.object_guess[::step, ::step])
        shown.append(("object, phase", _picture(phase, pictures.SIGNED, "phase of the object")))
    facts = html.table((), [(name or "frames", value) for name, value in _facts(scan)])
    return html.block("ScanData", facts, html.side_by_side(shown))


def _facts(scan: ScanData) -> list[tuple[str, str]]:
    """Return what is there as names and values; the frames, which come first, have no name."""
    frames = f"{scan.n_frames:,} frames of {scan.patch_size}×{scan.patch_size} px"
    facts = [("", frames)]
    if scan.object_guess is not None:
        facts.append(("object", "{}×{} px".format(*scan.object_guess.shape)))
    if scan.labels is not None:
        facts.append(("labels", f"{len(scan.labels):,}"))
    if scan.scan_index is not None:
        facts.append(("scans", f"{np.unique(scan.scan_index).size:,}"))
    if scan.n_masked:
        facts.append(("masked pixels a frame", f"{scan.n_masked:,}"))
    if scan.geometry is not None:
        facts.append(("pixel of the object", f"{scan.geometry.object_pixel_m * 1e9:.4g} nm"))
    return facts


def _few(n_frames: int, most: int) -> slice:
    return slice(0, n_frames, -(-n_frames // most))


def _picture(image: np.ndarray, colours: str, alt: str) -> html.Markup:
    return pictures.picture(image, pictures.limits_of([image], (0.0, 100.0)), colours, alt=alt)


def _path(scan: ScanData) -> html.Markup:
    """Return the path as a line of at most a thousand points, in the text's own colour."""
    positions_yx = scan.positions_yx[_few(scan.n_frames, _MOST_POINTS)]
    corner_yx, extent = positions_yx.min(axis=0), max(float(np.ptp(positions_yx, axis=0).max()), 1.0)
    places = (positions_yx - corner_yx) / extent * (_PATH_SIDE - 10) + 5
    points = " ".join(f"{x:.1f},{y:.1f}" for y, x in places)
    return html.Markup(
        f'<svg width="{_PATH_SIDE}" height="{_PATH_SIDE}" role="img" aria-label="path of the scan">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="0.6"/>'
        f'<circle cx="{places[0][1]:.1f}" cy="{places[0][0]:.1f}" r="4" fill="#0072B2"/></svg>'
    )
