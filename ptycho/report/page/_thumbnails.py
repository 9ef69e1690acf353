"""Small pictures of the images of many runs, on one colour scale."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ptycho.report.page._layers import small_images
from ptycho.report.page._study import Study

_SIDE_PX, _MOST_RUNS = 128, 24


@dataclass(frozen=True)
class Thumbnail:
    """The phase of one arm of one run as a PNG; `source` is "" where there is none."""

    run: str
    label: str
    source: str


def thumbnails(study: Study) -> tuple[tuple[Thumbnail, ...], ...]:
    """Return a row an arm, a column a run, of the first 24 runs; phases without their planes on one scale."""
    runs = study.runs[:_MOST_RUNS]
    found = {run.name: small_images(run.run, most_side_px=_SIDE_PX) for run in runs}
    phases = [phase for images in found.values() for _, phase in images.values()]
    if not phases:
        return ()
    limits = _limits(phases)
    return tuple(
        tuple(Thumbnail(run.name, label, _picture(found[run.name].get(label), limits)) for run in runs)
        for label in study.labels
    )


def _limits(images: Sequence[np.ndarray]) -> tuple[float, float]:
    values = np.concatenate([image[np.isfinite(image)] for image in images])
    low, high = np.percentile(values, (0.5, 99.5)) if values.size else (0.0, 0.0)
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def _picture(images: tuple[np.ndarray, np.ndarray] | None, limits: tuple[float, float]) -> str:
    if images is None:
        return ""
    from matplotlib import colormaps
    from matplotlib.image import imsave

    phase, (low, high) = images[1], limits
    pixels = colormaps["cividis"](np.clip((np.nan_to_num(phase) - low) / (high - low), 0, 1), bytes=True)
    pixels[np.isnan(phase)] = 0
    file = io.BytesIO()
    imsave(file, pixels, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
