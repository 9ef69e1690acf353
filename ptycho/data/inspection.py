"""`inspect_file`: what a file is, what is in it, and every doubt about it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ptycho._io.archive import Archive
from ptycho._io.hdf5 import Hdf5File
from ptycho._io.mapped import blocks_of
from ptycho.data.checks import check_plausible
from ptycho.data.formats import detect_format, read_reconstruction, read_scan
from ptycho.data.formats._containers import kind_of, open_container
from ptycho.data.importing.guessing import Entry, entries_of, guess, guess_lengths
from ptycho.data.importing.settings import ImportSettings
from ptycho.data.overlap import beam_width_px, fresnel_number, median_step, overlap_of
from ptycho.data.reconstruction import Reconstruction, holds_reconstruction
from ptycho.data.scan import ScanData
from ptycho.errors import DataError

_LOGGER = "ptycho.data"


@dataclass(frozen=True, kw_only=True)
class ScanFigures:
    """Figures of a scan that tell at a glance whether it was read right; lengths in pixels of the object.

    Attributes
    ----------
    extent_yx_px : (float, float)
        From the smallest to the largest patch centre.
    step_px : float, optional
        Median distance between nearest places.
    beam_width_px : float
        Diameter of the circle that holds 90 % of the probe's energy.
    overlap : float, optional
        1 - step / beam width; below 0 the beams do not touch. None for a probe whose far field is flat, as of one that
        was estimated from the mean frame, which is too small.
    frame_counts : (float, float, float)
        Smallest, median and largest Σ amplitude² of a frame.
    brightest_count : float
        Largest amplitude² of a pixel.
    beam_centre_yx_px : (float, float)
        Centre of mass of the mean frame, which is near (N/2, N/2) if the DC term is there.
    fresnel_number : float, optional
        Of the wider of beam and step, where the lengths are known.
    """

    extent_yx_px: tuple[float, float]
    step_px: float | None
    beam_width_px: float
    overlap: float | None
    frame_counts: tuple[float, float, float]
    brightest_count: float
    beam_centre_yx_px: tuple[float, float]
    fresnel_number: float | None

    @classmethod
    def of(cls, scan: ScanData) -> ScanFigures:
        """Return the figures of a scan.

        Parameters
        ----------
        scan : ScanData

        Returns
        -------
        ScanFigures
        """
        energies, step = scan.frame_energies, median_step(scan.positions_yx)
        width = beam_width_px(scan.probe)
        height_px, width_px = np.ptp(scan.positions_yx, axis=0)
        mean = mean_intensity(scan)
        rows, columns = np.indices(mean.shape)
        return cls(
            extent_yx_px=(float(height_px), float(width_px)),
            step_px=step,
            beam_width_px=width,
            overlap=overlap_of(step, scan.probe),
            frame_counts=(float(energies.min()), float(np.median(energies)), float(energies.max())),
            brightest_count=max(float(frames.max()) for _, frames in blocks_of(scan.amplitude)) ** 2,
            beam_centre_yx_px=(
                float((mean * rows).sum() / mean.sum()),
                float((mean * columns).sum() / mean.sum()),
            ),
            fresnel_number=fresnel_number(scan),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Inspection:
    """What `inspect_file` found.

    Attributes
    ----------
    path : str
    kind : str
        Of file, such as "an HDF5 file".
    layout : str, optional
        Name of the format, None if it is not known here.
    datasets : tuple of (str, tuple of int, str)
        Path, shape and type of each array in the file.
    dead_links : tuple of (str, str)
        Path of each link that leads nowhere, and where it says it leads.
    scan : ScanData, optional
        None if none can be made of the file.
    figures : ScanFigures, optional
        Of the scan.
    is_finished : bool
        Whether it is meant as a finished reconstruction in this project's NPZ.
    reconstruction : Reconstruction, optional
        What the file holds if it is a finished reconstruction that is read.
    notes : tuple of str
        What was said while it was read: what was taken from where, and guesses.
    doubts : tuple of str
        Warnings while it was read, and of the checks.
    refusal : str, optional
        Why it is no scan, or none that can be right; or why it is no finished reconstruction, if it `is_finished`.
    settings : str, optional
        For a file of no known format, read without settings: those that would read it if the datasets are what their
        names say.
    lacking : tuple of str
        What those leave open, with the settings that tell it.
    """

    path: str
    kind: str
    layout: str | None
    datasets: tuple[tuple[str, tuple[int, ...], str], ...]
    dead_links: tuple[tuple[str, str], ...] = ()
    scan: ScanData | None = None
    figures: ScanFigures | None = None
    is_finished: bool = False
    reconstruction: Reconstruction | None = None
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    refusal: str | None = None
    settings: str | None = None
    lacking: tuple[str, ...] = ()


def inspect_file(
    path: str | PathLike[str],
    *,
    importing: ImportSettings | None = None,
    partners: Sequence[str | PathLike[str]] = (),
    layout: str | None = None,
    mask_hot: bool = False,
) -> Inspection:
    """Say what a file is, what is in it, and every doubt that the checks have; nothing is written.

    Parameters
    ----------
    path : path
    importing, partners, layout, mask_hot
        As in `read_scan`.

    Returns
    -------
    Inspection

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        It is damaged, or none of the kinds of file that are read here.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ptycho.data import SimulationSettings, inspect_file, simulate, write_npz
    >>> path = Path(tempfile.mkdtemp()) / "scan.npz"
    >>> write_npz(path, simulate(SimulationSettings(object_shape_yx=(80, 90), step_px=12.0)))
    >>> found = inspect_file(path)
    >>> found.layout, found.scan.n_frames, found.doubts
    ('npz', 6, ())
    """
    source, settings = Path(path), importing or ImportSettings()
    with open_container(source, neighbours=True) as container:
        facts = _facts(container, settings)
    facts["layout"] = layout or _layout(source)
    notes: list[str] = []
    doubts: list[str] = []
    scan = refusal = finished = None
    with _records(notes, doubts):
        try:
            scan = read_scan(
                source,
                importing=settings,
                partners=partners,
                layout=layout,
                labels=False,
                plausibility=False,
                mask_hot=mask_hot,
            )
            check_plausible(scan)
        except DataError as error:
            refusal = str(error)
        if scan is None:
            finished, why_not = _reconstruction(source)
            refusal = why_not if facts["is_finished"] else refusal
    return Inspection(
        path=str(path),
        scan=scan,
        figures=None if scan is None else ScanFigures.of(scan),
        reconstruction=finished,
        notes=tuple(dict.fromkeys(notes)),
        doubts=tuple(dict.fromkeys(doubts)),
        refusal=refusal,
        **facts,
    )


def mean_intensity(scan: ScanData) -> np.ndarray:
    """Return the mean over frames of amplitude², (N, N) float64."""
    total = np.zeros(scan.amplitude.shape[1:])
    for _, frames in blocks_of(scan.amplitude):
        total += np.einsum("nij,nij->ij", frames, frames, dtype=np.float64)
    return total / scan.n_frames


def _facts(container: Any, settings: ImportSettings) -> dict[str, Any]:
    entries: list[Entry] = entries_of(container)
    dead = tuple(container.dead_links()) if isinstance(container, Hdf5File) else ()
    # With settings the rest is guessed as the file is read, and the refusal says what is missing.
    guessed = None if settings.given else guess(container)
    return {
        "kind": kind_of(container),
        "datasets": tuple((entry.path, entry.shape, str(entry.dtype)) for entry in entries),
        "dead_links": dead,
        "settings": None if guessed is None else guessed.settings or None,
        "lacking": () if guessed is None else tuple(guessed.lacking(guess_lengths(container))),
        "is_finished": isinstance(container, Archive) and holds_reconstruction(container),
    }


def _layout(path: Path) -> str | None:
    try:
        return detect_format(path)
    except DataError:
        return None


def _reconstruction(path: Path) -> tuple[Reconstruction | None, str | None]:
    """Return the finished reconstruction in a file, or why there is none."""
    try:
        return read_reconstruction(path), None
    except DataError as error:
        return None, str(error)


@contextmanager
def _records(notes: list[str], doubts: list[str]) -> Iterator[None]:
    """Collect what the readers and checks say, instead of showing it."""
    logger, handler = logging.getLogger(_LOGGER), _Collector(notes, doubts)
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates


class _Collector(logging.Handler):
    def __init__(self, notes: list[str], doubts: list[str]) -> None:
        super().__init__(logging.INFO)
        self._notes, self._doubts = notes, doubts

    def emit(self, record: logging.LogRecord) -> None:
        target = self._doubts if record.levelno >= logging.WARNING else self._notes
        target.append(record.getMessage())
