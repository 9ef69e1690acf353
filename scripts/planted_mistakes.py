"""Plant every mistake that the checks on data name in scans that are right; print whether it is named, and alarms.

    .venv/bin/python scripts/planted_mistakes.py [--star siemens-star-small.npz.bz2] [--no-orientation]

Each mistake is written into a file, which is read as `ptycho inspect` reads it. It is named if what is said matches the
words that stand beside it below; the last column tells how many other doubts there were. The good scans are the ten
kinds of scripts/orientation_figures.py. The tables are those of docs/formats.md.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from ptycho.cli._settings_as_flags import settings_as_flags
from ptycho.data import (
    ImportSettings,
    ScanData,
    ScanGeometry,
    SimulationSettings,
    consistent_probe,
    inspect_file,
    read_scan,
    simulate,
    write_npz,
)
from ptycho.data.overlap import beam_width_px, median_step
from ptycho.orientation import Turn, check_orientation

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Mistake:
    """One mistake: how it gets into a file, and the words that name it."""

    name: str
    words: str
    plant: Callable[[Path, ScanData, np.random.Generator], None]
    importing: ImportSettings | None = None


def in_arrays(change: Callable[[Arrays, np.random.Generator], None]) -> Callable[..., None]:
    """Return a way to plant that changes the arrays of our own NPZ."""

    def plant(path: Path, scan: ScanData, rng: np.random.Generator) -> None:
        write_npz(path, scan)
        with np.load(path) as file:
            arrays = dict(file)
        arrays["diffraction"] = arrays["diffraction"].astype(np.float64)
        change(arrays, rng)
        np.savez(path, **{name: value for name, value in arrays.items() if name[1:] != "coords_start"})

    return plant


def in_frames(change: Callable[[np.ndarray, np.random.Generator], np.ndarray | None]) -> Callable[..., None]:
    """Return a way to plant that changes the amplitudes (n, N, N), in place or by what it returns."""

    def in_them(arrays: Arrays, rng: np.random.Generator) -> None:
        changed = change(arrays["diffraction"], rng)
        if changed is not None:
            arrays["diffraction"] = changed

    return in_arrays(in_them)


def in_positions(change: Callable[[np.ndarray], None]) -> Callable[..., None]:
    """Return a way to plant that changes the positions (n, 2) in place; the object, which they would leave, goes."""

    def in_them(arrays: Arrays, _: np.random.Generator) -> None:
        positions = np.stack([arrays["ycoords"], arrays["xcoords"]], axis=1)
        change(positions)
        arrays["ycoords"], arrays["xcoords"] = positions.T
        arrays.pop("objectGuess", None)

    return in_arrays(in_them)


def hot(frames: np.ndarray, _: np.random.Generator) -> None:
    """A pixel far from the beam counts in every frame."""
    frames[:, 5, frames.shape[1] // 2 + 8] = 1000


def dead(frames: np.ndarray, _: np.random.Generator) -> None:
    """A pixel of the beam's bright part never counts."""
    mean = np.mean(frames**2, axis=0)
    # Not those about the DC term, which are not looked at.
    middle = frames.shape[1] // 2
    mean[middle - 2 : middle + 3, middle - 2 : middle + 3] = 0
    row, column = np.unravel_index(np.argmax(mean), mean.shape)
    frames[:, row, column] = 0


def gap(value: float) -> Callable[..., None]:
    """Two rows hold one and the same value in every frame."""

    def change(frames: np.ndarray, _: np.random.Generator) -> None:
        frames[:, 10:12] = value

    return in_frames(change)


def bright(frames: np.ndarray, _: np.random.Generator) -> None:
    """One frame has 10⁴ times its energy."""
    frames[4] *= 100


def dark(frames: np.ndarray, rng: np.random.Generator) -> None:
    """Three frames of a beam that was off."""
    frames[7:10] = np.sqrt(rng.poisson(0.2, frames[7:10].shape))


def blank(frames: np.ndarray, _: np.random.Generator) -> None:
    """Two frames without a count."""
    frames[[3, 8]] = 0


def no_beam(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Dark counts in every frame."""
    return np.sqrt(rng.poisson(3.0, frames.shape))


def not_finite(frames: np.ndarray, _: np.random.Generator) -> None:
    """One frame of NaN."""
    frames[6] = np.nan


def intensity(arrays: Arrays, _: np.random.Generator) -> None:
    """Counts without the square root, and no object."""
    arrays["diffraction"] = np.rint(arrays["diffraction"] ** 2)
    arrays.pop("objectGuess", None)


def subtracted(arrays: Arrays, rng: np.random.Generator) -> None:
    """Counts less a dark level that is no whole number."""
    intensity(arrays, rng)
    arrays["diffraction"] = np.clip(arrays["diffraction"] - 0.37, 0, None)


def corner(frames: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """The DC term where an FFT leaves it."""
    return np.fft.ifftshift(frames, axes=(1, 2))


def times(factor: float) -> Callable[[np.ndarray], None]:
    """Positions in another unit."""

    def change(positions: np.ndarray) -> None:
        positions *= factor

    return change


def in_steps_of(beam_widths: float) -> Callable[..., None]:
    """Return a way to plant neighbours that lie so many widths of the beam apart."""

    def change(arrays: Arrays, _: np.random.Generator) -> None:
        positions = np.stack([arrays["ycoords"], arrays["xcoords"]], axis=1)
        step_px = median_step(positions)
        assert step_px is not None  # there are hundreds
        positions *= beam_widths * beam_width_px(arrays["probeGuess"]) / step_px
        arrays["ycoords"], arrays["xcoords"] = positions.T
        arrays.pop("objectGuess", None)

    return in_arrays(change)


def repeated(positions: np.ndarray) -> None:
    """A stage that was read too seldom."""
    positions[21:40] = positions[20]


def stray(positions: np.ndarray) -> None:
    """One position far from all others."""
    positions[11, 1] += 1e5


def near_field(path: Path, scan: ScanData, _: np.random.Generator) -> None:
    """The lengths of a lensless microscope."""
    lengths = ScanGeometry(object_pixel_m=1e-6, photon_energy_j=2e-15, detector_distance_m=0.02)
    write_npz(path, replace(scan, geometry=lengths))


def counts(scan: ScanData) -> np.ndarray:
    """Return the frames as a detector stores them."""
    return np.rint(scan.amplitude.astype(np.float64) ** 2).astype(np.uint32)


def last_axis_counts(path: Path, scan: ScanData, _: np.random.Generator) -> None:
    """A CXI file with frames in MATLAB's order (H, W, n)."""
    with h5py.File(path, "w") as file:
        file["cxi_version"] = 160
        detector = file.create_group("entry_1/instrument_1/detector_1")
        detector["data"] = np.moveaxis(counts(scan), 0, -1)
        detector["distance"], detector["x_pixel_size"], detector["y_pixel_size"] = 2.0, 75e-6, 75e-6
        file["entry_1/instrument_1/source_1/energy"] = 1.28e-15
        y, x = scan.positions_yx.T * 3e-8
        file["entry_1/sample_1/geometry_1/translation"] = np.stack([x, y, 0 * x], axis=1)


def with_motors(path: Path, scan: ScanData) -> None:
    """Write all but the frames of an HDF5 file of no known format."""
    with h5py.File(path, "w") as file:
        file["y"], file["x"] = scan.positions_yx.T
        file["probe"] = scan.probe


def virtual(path: Path, scan: ScanData, _: np.random.Generator) -> None:
    """Frames that are taken from a file that is not there."""
    with_motors(path, scan)
    layout = h5py.VirtualLayout(shape=scan.amplitude.shape, dtype="u4")
    layout[:] = h5py.VirtualSource("gone.h5", "frames", shape=scan.amplitude.shape)
    with h5py.File(path, "r+") as file:
        file.create_virtual_dataset("frames", layout)


def dead_link(path: Path, scan: ScanData, _: np.random.Generator) -> None:
    """Frames that are a link to nothing."""
    with_motors(path, scan)
    with h5py.File(path, "r+") as file:
        file["frames"] = h5py.SoftLink("/entry/frames")


def two_modes(path: Path, scan: ScanData, _: np.random.Generator) -> None:
    """A probe whose first mode is not the strongest."""
    with_motors(path, scan)
    with h5py.File(path, "r+") as file:
        file["frames"] = counts(scan)
        del file["probe"]
        file["probe"] = np.stack([0.1 * scan.probe[::-1], scan.probe])


def finished(
    change: Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]],
) -> Callable[..., None]:
    """Return a way to plant that changes object and positions of a finished reconstruction of the scan."""

    def plant(path: Path, scan: ScanData, rng: np.random.Generator) -> None:
        side, positions = scan.patch_size, scan.positions_yx - scan.positions_yx.min(axis=0)
        positions += side / 2
        shape = np.ceil(positions.max(axis=0) + side / 2).astype(int)
        image = np.exp(1j * rng.uniform(0, 1, shape))
        image, positions = change(image, positions, side)
        np.savez(
            path,
            reconstructed_object=image,
            reconstructed_probe=scan.probe,
            algorithm="ePIE",
            computation_time_seconds=1.0,
            positions_yx=positions,
        )

    return plant


NAMED = ImportSettings(frames=":frames", y=":y", x=":x", position_unit="px", probe=":probe")
MISTAKES = (
    Mistake("hot pixel", r"do not measure: 1 hot: row 5 column", in_frames(hot)),
    Mistake("dead pixel", r"do not measure: 1 dead: row", in_frames(dead)),
    Mistake("gap of NaN", r"\(rows 10 to 11, .* gaps between the modules", gap(np.nan)),
    Mistake("gap of √65535", r"\(rows 10 to 11, .* gaps between the modules", gap(65535**0.5)),
    Mistake("gap of √(2³² - 1)", r"\(rows 10 to 11, .* gaps between the modules", gap((2.0**32 - 1) ** 0.5)),
    Mistake("gap of -1", r"\(rows 10 to 11, .* gaps between the modules", gap(-1.0)),
    Mistake(
        "one frame too bright", r"1 of \d+ frames have more than 20 times .*`skip='4'`", in_frames(bright)
    ),
    Mistake(
        "frames of dark counts", r"3 of \d+ frames hold dark counts alone.*`skip='7:10'`", in_frames(dark)
    ),
    Mistake("blank frames", r"2 of \d+ frames are zero everywhere.*`skip='3,8'`", in_frames(blank)),
    Mistake("no beam in any frame", r"there seems to be no beam", in_frames(no_beam)),
    Mistake("a frame of NaN", r"not finite .* in 1 of \d+ frames.*`skip='6'`", in_frames(not_finite)),
    Mistake("intensity without an object", r"intensity", in_arrays(intensity)),
    Mistake("intensity less a dark level", r"intensity", in_arrays(subtracted)),
    Mistake("DC term at the corner", r"corner|fftshift", in_frames(corner)),
    Mistake("positions in µm", r"neighbouring positions lie .* micrometres", in_positions(times(0.03))),
    Mistake("positions in nm", r"neighbouring positions lie .* nanometres", in_positions(times(30))),
    Mistake("positions farther apart than the beam is wide", r"frames hardly overlap", in_steps_of(1.5)),
    Mistake("steps of nine tenths of the beam", r"frames overlap by 10 %", in_steps_of(0.9)),
    Mistake("repeated positions", r"19 of \d+ positions are exactly those", in_positions(repeated)),
    Mistake("a stray position", r"frame 11 is at .* pixels from the middle of the scan", in_positions(stray)),
    Mistake("near field", r"are near field", near_field),
    Mistake("(H, W, n)", r"`axes='yxn'`", last_axis_counts),
    Mistake("virtual frames without their source", r"would read as zeros", virtual, NAMED),
    Mistake("dead link", r"is a link to /entry/frames, which does not exist", dead_link, NAMED),
    Mistake(
        "the strongest mode is not the first", r"the strongest, number 1 .* not the first", two_modes, NAMED
    ),
    Mistake(
        "real object of a reconstruction",
        r"a phase image in radians as",
        finished(lambda image, positions, _: (np.angle(image), positions)),
    ),
    Mistake(
        "reconstruction with corners as positions",
        r"seem to be the corners of the patches",
        finished(lambda image, positions, side: (image, positions - side / 2)),
    ),
    Mistake(
        "reconstruction with positions from its centre",
        r"seem to be counted from the centre of the object",
        finished(lambda image, positions, _: (image, positions - (np.array(image.shape) - 1) / 2)),
    ),
)


def judged(mistake: Mistake, scan: ScanData, folder: Path) -> str:
    """Return whether a mistake in a scan is named, and how many other things are doubted."""
    path = folder / "planted.npz"
    mistake.plant(path, scan, np.random.default_rng(7))
    found = inspect_file(path, importing=mistake.importing)
    said = [*found.doubts, *([found.refusal] if found.refusal else [])]
    named = [text for text in said if re.search(mistake.words, text)]
    word, n_others = "named" if named else "MISSED", len(said) - len(named)
    return f"{word}, {n_others} others" if n_others else word


def turned(scan: ScanData, number: int) -> str:
    """Return what is said of a scan whose positions were turned."""
    wrong = replace(
        scan, positions_yx=Turn(number).inverse.of_positions(scan.positions_yx), object_guess=None
    )
    found = check_orientation(wrong)
    if found.verdict != "turned" or not found.trials:
        return f"MISSED: {found.verdict}"
    best = found.trials[0].positions
    return (
        settings_as_flags(best.positions_settings(found.importing))
        if best.number == number
        else f"WRONG: {best.number}"
    )


def rows(scans: dict[str, ScanData], *, with_orientation: bool) -> Iterator[str]:
    """Yield the table of mistakes."""
    yield f"| mistake | {' | '.join(scans)} |"
    yield "|---" * (len(scans) + 1) + "|"
    with tempfile.TemporaryDirectory() as folder:
        for mistake in MISTAKES:
            yield f"| {mistake.name} | {' | '.join(judged(mistake, scan, Path(folder)) for scan in scans.values())} |"
    for number in range(1, 8) if with_orientation else ():
        yield f"| positions turned, {number} | {' | '.join(turned(scan, number) for scan in scans.values())} |"


def alarms(scans: dict[str, ScanData]) -> Iterator[str]:
    """Yield the table of good scans."""
    yield "| good scan | frames | doubts |"
    yield "|---|---:|---|"
    with tempfile.TemporaryDirectory() as folder:
        for name, scan in scans.items():
            write_npz(Path(folder) / "good.npz", scan)
            found = inspect_file(Path(folder) / "good.npz")
            said = [*found.doubts, *([found.refusal] if found.refusal else [])]
            yield f"| {name} | {scan.n_frames} | {'; '.join(said) or 'none'} |"


def main(argv: Sequence[str] | None = None) -> None:
    """Print both tables."""
    # A script beside this one, which is in no package.
    from orientation_figures import GOOD_SCANS, make

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--star", type=Path, help="the Siemens star in tike's layout")
    parser.add_argument("--no-orientation", action="store_true", help="leave the turned positions out")
    arguments = parser.parse_args(argv)
    scans = {"simulated": simulate(SimulationSettings())}
    if arguments.star is not None:
        scans["Siemens star"] = consistent_probe(read_scan(arguments.star))
    for line in rows(scans, with_orientation=not arguments.no_orientation):
        print(line, flush=True)
    print()
    good = {f"{each.name}, seed {number}": make(each, number) for number, each in enumerate(GOOD_SCANS)}
    for line in alarms({**scans, **good}):
        print(line, flush=True)


if __name__ == "__main__":
    main()
