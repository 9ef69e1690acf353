"""`ptycho-inspect`: what a file is, what is in it, and every doubt about it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho.cli import _errors, _flags, _import_flags, _named_inputs, _orientation, _paths
from ptycho.cli._parser import Parser
from ptycho.cli._settings_as_flags import settings_as_flags
from ptycho.cli._showing import in_one_line

if TYPE_CHECKING:
    from ptycho.data import ImportSettings, Inspection, Reconstruction, ScanData, ScanFigures

_MOST_DATASETS = 40


def build_parser(prog: str = "ptycho-inspect") -> Parser:
    """Return the parser of `ptycho-inspect`, called `prog` in its messages."""
    parser = _flags.argument_parser(
        prog,
        "Say what a file is, what is in it, and what seems wrong with it. Of a file of no known format: its datasets, "
        "and the flags that would read it. The flags below are those of every command that reads a scan.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="any file; it is not changed")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw the mean frame, the scan's path with the beam, and the probe, as .png, .pdf or .svg",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the files to write if they exist")
    _flags.add_mask_hot(parser)
    _orientation.add_flag(parser)
    parser.add_argument(
        "--try-orientations",
        action="store_true",
        help="try those of the frames too, up to eight times the work: for a probe that is no disk",
    )
    _import_flags.add_import_flags(parser)
    # What is said while it is read is part of what is printed.
    parser.set_defaults(quiet=True)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Inspect, print and draw; the work of `main` once the arguments are parsed."""
    from ptycho.data import inspect_file, write_recipe

    _named_inputs.inputs_of(arguments)
    if arguments.plot is not None:
        from ptycho.report.figure_files import format_of

        format_of(arguments.plot)
    for path in (arguments.plot, arguments.save_recipe):
        if path is not None:
            _paths.check_output_file(path, overwrite=arguments.overwrite)
    settings = _import_flags.settings_of(arguments)
    found = inspect_file(
        arguments.file,
        importing=settings,
        partners=arguments.partners,
        layout=arguments.layout,
        mask_hot=arguments.mask_hot,
    )
    found = _with_orientation(found, arguments, settings)
    for line in report_of(found):
        print(in_one_line(settings_as_flags(line)))
    with _errors.working():
        if arguments.save_recipe is not None:
            write_recipe(arguments.save_recipe, settings, scan=arguments.file)
        if arguments.plot is not None and found.scan is not None:
            from ptycho.report import plot_scan

            plot_scan(found.scan, arguments.plot)
            print(in_one_line(f"drawn: {arguments.plot}"))
    return 0


def _with_orientation(
    found: Inspection, arguments: argparse.Namespace, settings: ImportSettings
) -> Inspection:
    """Return what was found with what the check of the orientation says, if it is to be made."""
    wanted = arguments.try_orientations or _orientation.is_wanted(arguments, arguments.file)
    if found.scan is None or found.refusal is not None or not wanted:
        return found
    from ptycho.orientation import OrientationSettings, check_orientation

    turns = check_orientation(
        found.scan,
        importing=settings,
        settings=OrientationSettings(frames_too=arguments.try_orientations),
    )
    if turns.verdict == "turned":
        return replace(found, doubts=(*found.doubts, turns.in_words()))
    return replace(found, notes=(*found.notes, turns.in_words()))


def report_of(found: Inspection) -> Iterator[str]:
    """Yield the lines that are printed."""
    yield f"{found.path}: {found.kind}, {_title(found)}"
    if found.scan is None or found.layout is None:
        yield from _datasets(found)
    for path, target in found.dead_links:
        yield f"  dead link: {path} leads to {target}, which does not exist"
    if found.reconstruction is not None:
        yield _finished(found.reconstruction)
    if found.scan is not None and found.figures is not None:
        yield from _scan(found.scan, found.figures)
    yield from _said("notes", found.notes)
    yield from _said("doubts", found.doubts)
    # What would read it says all that its refusal does.
    is_guided = found.scan is None and found.layout is None and found.settings and not found.is_finished
    if found.refusal is not None and not is_guided:
        yield f"{'no scan' if found.reconstruction is not None else 'refused'}: {found.refusal}"
    if is_guided:
        yield f"to read it, if its datasets are what their names say: {found.settings}"
        yield from (f"  and {lacking}" for lacking in found.lacking)
    elif found.scan is not None and not found.doubts and found.refusal is None:
        yield "no doubts"


def _title(found: Inspection) -> str:
    if found.layout:
        return f"format {found.layout}"
    return "a finished reconstruction" if found.is_finished else "of no format that is known here"


def _finished(finished: Reconstruction) -> str:
    sides = f"object {_sides(finished.object.shape)}, probe {_sides(finished.probe.shape)}"
    positions = finished.positions_yx
    placed = "no positions" if positions is None else f"{len(positions)} positions"
    if positions is not None and len(positions):
        (low_y, low_x), (high_y, high_x) = positions.min(axis=0), positions.max(axis=0)
        placed += f", centres y {low_y:.1f} to {high_y:.1f}, x {low_x:.1f} to {high_x:.1f} px"
    return f"  a finished reconstruction by {finished.label}: {sides}, {placed}"


def _datasets(found: Inspection) -> Iterator[str]:
    width = max((len(path) for path, _, _ in found.datasets[:_MOST_DATASETS]), default=0)
    for path, shape, kind in found.datasets[:_MOST_DATASETS]:
        yield f"  {path:{width}}  {'x'.join(map(str, shape)) or 'one number'}  {kind}"
    if len(found.datasets) > _MOST_DATASETS:
        yield f"  … and {len(found.datasets) - _MOST_DATASETS} more"


def _scan(scan: ScanData, figures: ScanFigures) -> Iterator[str]:
    side, pixel = scan.patch_size, None if scan.geometry is None else scan.geometry.object_pixel_m
    low, median, high = figures.frame_counts
    (low_y, low_x), (high_y, high_x) = scan.positions_yx.min(axis=0), scan.positions_yx.max(axis=0)
    centre_y, centre_x = figures.beam_centre_yx_px
    rows = {
        "frames": f"{scan.n_frames} of {side}x{side} pixels",
        "counts": f"{median:.4g} a frame (median; {low:.4g} to {high:.4g}), "
        f"at most {figures.brightest_count:.4g} a pixel",
        "beam": f"centre of mass at pixel {centre_y:.1f}, {centre_x:.1f} (the middle is {side // 2}, {side // 2})",
        "masked": f"{scan.n_masked} of {side * side} pixels",
        "centres": f"y {low_y:.1f} to {high_y:.1f}, x {low_x:.1f} to {high_x:.1f} px",
        "extent": " x ".join(_length(each, pixel) for each in figures.extent_yx_px),
        "step": "-"
        if figures.step_px is None
        else f"{_length(figures.step_px, pixel)} to the nearest (median)",
        "probe": f"90 % of its energy within a circle {_length(figures.beam_width_px, pixel)} wide",
        "overlap": "not known"
        if figures.overlap is None
        else f"{figures.overlap:.0%} (1 - step / that width)",
        "object": "none" if scan.object_guess is None else f"{_sides(scan.object_guess.shape)} pixels",
        "pixel": "not known; positions are in pixels" if pixel is None else f"{_metres(pixel)} of the object",
    }
    rows.update(_lengths(scan, figures))
    for name, text in rows.items():
        yield f"  {name:9} {text}"


def _lengths(scan: ScanData, figures: ScanFigures) -> dict[str, str]:
    found: dict[str, str] = {}
    lengths = scan.geometry
    if lengths is not None and lengths.photon_energy_ev is not None:
        found["energy"] = f"{lengths.photon_energy_ev / 1e3:.6g} keV"
    if lengths is not None and lengths.detector_distance_m is not None:
        found["distance"] = _metres(lengths.detector_distance_m)
    if lengths is not None and lengths.detector_pixel_m is not None:
        found["detector"] = f"{_metres(lengths.detector_pixel_m)} pixels, after binning"
    if figures.fresnel_number is not None:
        found["Fresnel"] = (
            f"number {figures.fresnel_number:.3g}, (width on the sample)² / (wavelength · distance)"
        )
    return found


def _said(heading: str, sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield f"{heading}:"
        yield from (f"  - {sentence}" for sentence in sentences)


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _length(pixels: float, pixel_m: float | None) -> str:
    return f"{pixels:.4g} px" if pixel_m is None else f"{pixels:.4g} px ({_metres(pixels * pixel_m)})"


def _metres(value: float) -> str:
    for factor, unit in ((1.0, "m"), (1e-3, "mm"), (1e-6, "µm")):
        if value >= factor:
            return f"{value / factor:.4g} {unit}"
    return f"{value / 1e-9:.4g} nm"


def main(argv: Sequence[str] | None = None, *, prog: str = "ptycho-inspect") -> int:
    """Run `ptycho-inspect` with `argv`, called `prog` in its messages, and return its exit code."""
    return _errors.run(build_parser(prog), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
