"""Build the distributions, look for gaps in them, and try the wheel alone: ``make release-check``.

Built is what git tracks, copied elsewhere, so that no file left over in the checkout can fill a gap.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("autobatch", "ptycho")
RESULTS = ("comparison_metrics.csv", "comparison_plot.png", "reconstructions.npz", "run_report.json")


class GapError(Exception):
    """Something is missing from a distribution, or from what it does."""


def main() -> int:
    """Check the release; return 0, or 1 after one line that says what is wrong."""
    try:
        with tempfile.TemporaryDirectory(prefix="release-check-") as folder:
            tracked = _output("git", "ls-files", cwd=ROOT).splitlines()
            source, wheel = build(tracked, Path(folder) / "source")
            raise_if_missing(source, expected_in_source(tracked), names_in_source(source))
            raise_if_missing(wheel, expected_in_wheel(tracked), names_in_wheel(wheel))
            try_alone(wheel, Path(folder) / "alone")
    except (GapError, subprocess.CalledProcessError) as error:
        print(f"release-check: error: {error}", file=sys.stderr)
        return 1
    print(f"release-check: {source.name} and {wheel.name} are complete, and the wheel runs by itself")
    return 0


def build(tracked: Iterable[str], folder: Path) -> tuple[Path, Path]:
    """Build both distributions from a copy of the `tracked` files into ``dist/``; return their paths."""
    for name in tracked:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    _output(sys.executable, "-m", "build", "--outdir", str(dist), str(folder), cwd=folder)
    (source,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    return source, wheel


def expected_in_source(tracked: Iterable[str]) -> set[str]:
    """Everything but the settings of the host and of git, which begin with a dot."""
    return {name for name in tracked if not name.startswith(".")}


def expected_in_wheel(tracked: Iterable[str]) -> set[str]:
    """Every file of the packages, data and type markers included."""
    return {name for name in tracked if name.startswith(tuple(f"{package}/" for package in PACKAGES))}


def names_in_source(path: Path) -> set[str]:
    """Names in a source distribution, without its top folder."""
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def names_in_wheel(path: Path) -> set[str]:
    """Names in a wheel."""
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def raise_if_missing(path: Path, expected: set[str], names: set[str]) -> None:
    """Raise `GapError` if `names`, the content of `path`, lacks one of `expected`."""
    missing = sorted(expected - names)
    if missing:
        raise GapError(
            f"{path.name} lacks {len(missing)} of {len(expected)} files ({', '.join(missing[:5])}); "
            "name them in MANIFEST.in or in package-data of pyproject.toml."
        )
    print(f"{path.name}: all {len(expected)} files")


def try_alone(wheel: Path, folder: Path) -> None:
    """Install `wheel` into an empty environment in `folder` and run the demo from there."""
    _output(sys.executable, "-m", "venv", str(folder / "env"), cwd=ROOT)
    binaries = folder / "env" / "bin"
    _output(
        str(binaries / "python"), "-m", "pip", "install", "--quiet", "--no-compile", str(wheel), cwd=folder
    )
    where = _output(str(binaries / "python"), "-c", "import ptycho; print(ptycho.__file__)", cwd=folder)
    if not where.startswith(str(folder)):
        raise GapError(f"ptycho was imported from {where} but must come from the wheel; unset PYTHONPATH.")
    print(_output(str(binaries / "compare-models"), "--version", cwd=folder))
    demo = ("--demo", "--output_dir", "out", "--stitch-crop-size", "24")
    print(_output(str(binaries / "compare-models"), *demo, cwd=folder))
    raise_if_missing(folder / "out", set(RESULTS), {path.name for path in (folder / "out").iterdir()})


def _output(*command: str, cwd: Path) -> str:
    """Run `command`, show its errors, and return what it printed."""
    print(f"$ {' '.join(command)}", file=sys.stderr)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return run.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
