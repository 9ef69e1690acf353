"""Small pictures of the images of many runs, on one colour scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho._showing.pictures import limits_of, png_source
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
    limits = limits_of(phases, (0.5, 99.5))
    return tuple(
        tuple(Thumbnail(run.name, label, _picture(found[run.name].get(label), limits)) for run in runs)
        for label in study.labels
    )


def _picture(images: tuple[np.ndarray, np.ndarray] | None, limits: tuple[float, float]) -> str:
    return "" if images is None else png_source(images[1], limits, "cividis")
