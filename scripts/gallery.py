"""Make the pictures of `docs/gallery.md`, and that of the demo in README.md, from what the commands write today.

``make gallery`` runs the demo, a study of nine small scans and what a notebook shows, and photographs the pages in
headless Chromium (Debian's, driven by Playwright). It takes a few minutes; ``--work DIR`` keeps what was computed, and
goes on with what is there.
"""

from __future__ import annotations

import argparse
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from scripts.browser import NAMES

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
GALLERY = IMAGES / "gallery"
_CROP = ("--stitch-crop-size", "24")
_DEMO_WIDTH_PX = 1400
_QUALITY = 75


@dataclass(frozen=True)
class Photograph:
    """A page to be photographed: which, on what screen, and from where on.

    Attributes
    ----------
    name : str
        Of the picture, without its suffix.
    page : str
        In the working folder.
    width, height : int
        Of the screen in pixels.
    scheme : {"light", "dark"}
    start : str
        The element that stands at the top of the picture.
    """

    name: str
    page: str
    width: int
    height: int
    scheme: Literal["light", "dark"] = "light"
    start: str = "body"


PHOTOGRAPHS = (
    Photograph("report", "demo/comparison_report.html", 1250, 1050),
    Photograph("report-images", "demo/comparison_report.html", 1250, 900, start="#images"),
    Photograph("report-phone", "demo/comparison_report.html", 400, 860, "dark"),
    Photograph("report-wipe", "demo/comparison_report.html", 900, 900, "dark", ".wipe"),
    Photograph("study", "study/study.html", 1250, 900),
    Photograph("study-figures", "study/study.html", 1250, 640, start="#figures"),
    Photograph("notebook", "notebook.html", 1000, 900),
)
PLOTS = {
    "comparison": "demo/comparison_plot.png",
    "errors": "demo/comparison_errors.png",
    "frc": "demo/frc_curves.png",
    "scan": "scan.png",
}


def main(argv: list[str] | None = None) -> int:
    """Make all pictures and say how large they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "gallery", metavar="DIR")
    work = parser.parse_args(argv).work
    steps: dict[str, Callable[[Path], object]] = {
        "demo/comparison_report.html": _demo,
        "scan.png": _scan,
        "study/study.html": _study,
        "notebook.html": _notebook,
    }
    for name, make in steps.items():
        if not (work / name).exists():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            make(work)
    GALLERY.mkdir(parents=True, exist_ok=True)
    _demo_picture(work / "demo" / "comparison_plot.png")
    for name, source in PLOTS.items():
        _write_photograph(name, (work / source).read_bytes(), width_px=860)
    _photograph(work)
    for path in sorted(GALLERY.iterdir()):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")
    return 0


def _compare(*words: str) -> None:
    from ptycho.cli.compare_models import main as compare

    if compare([*words, "--quiet"]) != 0:
        raise SystemExit(f"compare-models {' '.join(words)} failed; see its message above.")


def _demo(work: Path) -> None:
    _compare("--demo", "--output_dir", str(work / "demo"), "--overwrite", *_CROP)


def _scan(work: Path) -> None:
    from ptycho.demo import demo_scan
    from ptycho.report import plot_scan

    plot_scan(demo_scan(), work / "scan.png")


def _study(work: Path) -> None:
    """Compare the demo's networks on nine scans: three doses, three objects each."""
    from ptycho.data import SimulationSettings, simulate, write_npz
    from ptycho.demo import model_folder
    from ptycho.report import write_study

    folders = []
    for photons in (300, 3000, 100_000):
        for seed in (1, 2, 3):
            name = f"{photons}-photons-{seed}"
            settings = SimulationSettings(
                object_shape_yx=(160, 200), step_px=7.0, n_lines=30, seed=seed, photons_per_frame=photons
            )
            write_npz(work / f"{name}.npz", simulate(settings))
            networks = [
                word for kind in ("pinn", "baseline") for word in (f"--{kind}_dir", str(model_folder(kind)))
            ]
            scan = ("--test_data", str(work / f"{name}.npz"))
            _compare(*networks, *scan, "--output_dir", str(work / name), "--overwrite", *_CROP)
            folders.append(work / name)
    write_study(folders, work / "study")


def _notebook(work: Path) -> None:
    """Write what a notebook shows of a scan, of a run in batches and of a comparison, as a page."""
    import ptycho
    from autobatch import run_in_batches
    from autobatch.testing import inject_oom
    from ptycho.demo import demo_scan, model_folder

    scan = demo_scan().select(np.arange(400))
    with inject_oom(at=[3]):
        run = run_in_batches(lambda start, stop: np.zeros(stop - start), 1000, batch_size=128)
    arms = [ptycho.load_arm(model_folder(kind)) for kind in ("pinn", "baseline")]
    result = ptycho.compare(arms, scan, settings=ptycho.ComparisonSettings(crop_size=24))
    cells = (
        f"<pre>{name}</pre>{value._repr_html_()}"
        for name, value in (("scan", scan), ("result", result), ("run", run))
    )
    style = "<style>body{font:15px sans-serif;margin:1rem}pre{background:#f3f4f6;padding:.5rem}</style>"
    page = f'<!doctype html><meta charset="utf-8"><title>Notebook</title>{style}<body data-ready>{"".join(cells)}'
    (work / "notebook.html").write_text(page, encoding="utf-8")


def _demo_picture(plot: Path) -> None:
    """Write the picture of README.md, in 256 colours."""
    from PIL import Image

    with Image.open(plot) as picture:
        height = round(picture.height * _DEMO_WIDTH_PX / picture.width)
        small = picture.convert("RGB").resize((_DEMO_WIDTH_PX, height), Image.Resampling.LANCZOS)
        small.quantize(256, dither=Image.Dither.NONE).save(IMAGES / "demo.png", optimize=True)


def _photograph(work: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=_chromium(), args=["--no-sandbox", "--disable-gpu"])
        for each in PHOTOGRAPHS:
            context = browser.new_context(
                viewport={"width": each.width, "height": each.height}, color_scheme=each.scheme
            )
            page = context.new_page()
            page.goto((work / each.page).absolute().as_uri())
            page.wait_for_selector("body[data-ready]", timeout=60_000)
            page.locator(each.start).first.evaluate("element => element.scrollIntoView({block: 'start'})")
            # Tiles of the images fade in.
            page.wait_for_timeout(1500)
            _write_photograph(each.name, page.screenshot(), width_px=each.width)
            context.close()
        browser.close()


def _chromium() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit(
            "Chromium is not installed, which photographs the pages; run: apt-get install chromium"
        )
    return found


def _write_photograph(name: str, content: bytes, *, width_px: int) -> None:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        shown = picture.convert("RGB")
        if shown.width > width_px:
            height = round(shown.height * width_px / shown.width)
            shown = shown.resize((width_px, height), Image.Resampling.LANCZOS)
        shown.save(GALLERY / f"{name}.jpg", quality=_QUALITY, optimize=True)


if __name__ == "__main__":
    raise SystemExit(main())
