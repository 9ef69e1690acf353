"""`comparison_report.html`: one run as one file that opens from disk, in any browser, without a network."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ptycho._io.atomic import replacing
from ptycho.report.names import ALIGNED_FILE, PAGE_FILE
from ptycho.report.page._answers import answers
from ptycho.report.page._course import courses, placements
from ptycho.report.page._findings import findings, judgements
from ptycho.report.page._layers import ImageSet, read_images
from ptycho.report.page._render import colour_maps, rendered
from ptycho.report.page._rows import metric_sections
from ptycho.report.page._saved import SavedRun, read_run
from ptycho.report.page._tables import Curves
from ptycho.report.page._worst import worst_tiles

_SCRIPTS = ("vendor/openseadragon.min.js", "vendor/uPlot.iife.min.js", "assets/charts.js", "assets/page.js")
_STYLES = ("vendor/uPlot.min.css", "assets/page.css")


def write_page(folder: str | os.PathLike[str]) -> Path:
    """Write `comparison_report.html` into the folder of a finished comparison, from what is saved there.

    Parameters
    ----------
    folder : path
        With `run_report.json` and the tables; images are shown if either NPZ of the reconstructions is there.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    DataError
        It holds no comparison, or a damaged file.
    OSError
        The page cannot be written; an older one is untouched.
    """
    run = read_run(Path(folder))
    page = Path(folder) / PAGE_FILE
    content = page_of(run, read_images(run))
    with replacing(page) as file:
        file.write(content.encode())
    return page


def page_of(run: SavedRun, images: ImageSet) -> str:
    """Return the page of a run.

    Parameters
    ----------
    run : SavedRun
    images : ImageSet
        Its images; empty for a page without.
    """
    sections = metric_sections(run)
    report = run.report
    return rendered(
        "run.html",
        scripts=_SCRIPTS,
        styles=_STYLES,
        run=run,
        report=report,
        answers=answers(run, sections, worst_tiles(run)),
        judgements=judgements(run),
        findings=findings(run),
        sections=sections,
        images=images,
        courses=courses(run),
        placements=placements(run),
        command=shlex.join(report.texts("run", "command")),
        versions=report.scalars("versions"),
        settings=report.scalars("settings"),
        inputs=report.records("inputs"),
        is_registered=images.source == ALIGNED_FILE,
        data=_data(run, images),
    )


def _data(run: SavedRun, images: ImageSet) -> dict[str, Any]:
    """Return what the page's script reads."""
    return {
        "images": [
            {
                "label": image.label,
                "isTruth": image.is_truth,
                "plane": [image.plane.offset, image.plane.slope_y, image.plane.slope_x],
                "scale": image.amplitude_scale,
                "layers": sorted(image.layers),
            }
            for image in images.images
        ],
        "shape": images.shape_yx,
        "fullShape": run.shape_yx,
        "origin": [run.window[0], run.window[2]],
        "block": images.block,
        "pixelNm": run.pixel_nm,
        "maps": colour_maps(),
        "charts": _charts(run),
    }


def _charts(run: SavedRun) -> list[dict[str, Any]]:
    against = [(arm.label, arm.frc) for arm in run.arms if arm.frc is not None]
    halves = [(arm.label, arm.half_set_frc) for arm in run.arms if arm.half_set_frc is not None]
    found = []
    for key, curves, threshold in (("truth", against, 0.5), ("halves", halves, 1 / 7)):
        for channel in ("amplitude", "phase"):
            if curves:
                found.append(_frc_chart(f"frc-{key}-{channel}", curves, channel, threshold))
    for number, course in enumerate(courses(run)):
        steps = [asdict(step) for step in course.steps]
        found.append({"id": f"course-{number}", "kind": "course", "label": course.label, "steps": steps})
    return found


def _frc_chart(name: str, curves: list[tuple[str, Curves]], channel: str, threshold: float) -> dict[str, Any]:
    lines = [{"label": label, "x": curve.frequency, "y": getattr(curve, channel)} for label, curve in curves]
    return {"id": name, "kind": "frc", "lines": lines, "threshold": threshold}
