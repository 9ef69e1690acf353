"""Finished reconstructions: their file, and how one becomes the object of a scan."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ptycho._io.archive import Archive, errors_naming, open_archive
from ptycho._io.archive_writing import write_archive
from ptycho._io.atomic import replacing
from ptycho._showing.one_line import OneLine
from ptycho.data.placement import check_on_object
from ptycho.data.scan import ScanData
from ptycho.errors import DataError

logger = logging.getLogger(__name__)

_REQUIRED = ("reconstructed_object", "reconstructed_probe", "algorithm")
_MAX_LABEL_BYTES = 100_000


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Reconstruction(OneLine):
    """The image that an iterative algorithm or a network made of a scan.

    Attributes
    ----------
    label : str
        Name of the algorithm, such as ``ePIE``.
    object : (H, W) complex64
        The reconstructed transmission.
    probe : (N, N) complex64
        The illumination that belongs to it, strongest mode.
    seconds : float, optional
        How long the algorithm took.
    positions_yx : (n, 2) float64, optional
        Patch centres in the pixel frame of `object`, in the order of the scan's frames. With them its
        origin is known; without, it must be registered.
    coverage : (H, W) float32, optional
        How many patches lie on each pixel, 0 where nothing was reconstructed; all of it was if None.

    Raises
    ------
    DataError
        The positions cannot be those of patches of the object; says which shift mends them.
    """

    label: str
    object: np.ndarray
    probe: np.ndarray
    seconds: float | None = None
    positions_yx: np.ndarray | None = None
    coverage: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Refuse positions that are no numbers, or count from another origin than the object's pixel (0, 0)."""
        if self.positions_yx is not None and self.positions_yx.size:
            bad = np.flatnonzero(~np.isfinite(self.positions_yx).all(axis=1))
            if bad.size:
                raise DataError(
                    f"{bad.size} of {len(self.positions_yx)} positions of the {self.label} reconstruction are not "
                    f"finite (NaN or infinite), the first being {bad[0]}; mend them, or leave all of them out."
                )
            check_on_object(self.positions_yx, self.object.shape, self.probe.shape[-1])

    def origin_in(self, *scans: ScanData) -> tuple[float, float] | None:
        """Return the object pixel under pixel (0, 0) of this image, None (with a warning) if it is not known.

        Parameters
        ----------
        *scans : ScanData
            A scan and subsets of it; the first with as many frames as there are positions tells.

        Returns
        -------
        (float, float) or None
            Row and column in pixels of the object.

        Raises
        ------
        DataError
            The positions are not those of the scan up to one common shift.
        """
        if self.positions_yx is None:
            return None
        for scan in scans:
            if len(self.positions_yx) == scan.n_frames:
                shift_y, shift_x = -_common_shift(scan, self.positions_yx)
                return float(shift_y), float(shift_x)
        logger.warning(
            "%s %s, so where its image lies is unknown; pass the reconstruction of these very frames",
            self.label,
            self.why_unplaced(*scans),
        )
        return None

    def why_unplaced(self, *scans: ScanData) -> str:
        """Return why `origin_in` of the same scans is None, to be said after the label.

        Parameters
        ----------
        *scans : ScanData

        Returns
        -------
        str
        """
        if self.positions_yx is None or not scans:
            return "does not say where its image lies"
        numbers = " or ".join(dict.fromkeys(str(scan.n_frames) for scan in scans))
        return f"has {len(self.positions_yx)} positions but the scan has {numbers}"


def is_reconstruction_npz(archive: Archive) -> bool:
    """Return whether an archive is what `write_reconstruction` writes."""
    return all(name in archive for name in _REQUIRED)


def holds_reconstruction(archive: Archive) -> bool:
    """Tell whether an NPZ is meant as a finished reconstruction, which may be a damaged one."""
    return "reconstructed_object" in archive.keys


def read_reconstruction_npz(path: str | PathLike[str]) -> Reconstruction:
    """Read ``reconstructed_object``, ``reconstructed_probe``, ``algorithm`` and what goes with them.

    ``computation_time_seconds``, ``positions_yx`` and ``coverage`` are optional. Nothing is ever unpickled.

    Parameters
    ----------
    path : path
        An NPZ file (docs/formats.md).

    Returns
    -------
    Reconstruction

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        A key is missing, or a member is damaged, pickled or of the wrong shape.
    """
    with open_archive(Path(path)) as archive:
        archive.require(_REQUIRED)
        image = _object(archive)
        probe = strongest_mode(archive.read("reconstructed_probe"), f"reconstructed_probe in {path}")
        fields: dict[str, Any] = {
            "label": _label(archive),
            "object": image,
            "probe": probe.astype(np.complex64),
            "seconds": _seconds(archive),
            "positions_yx": _positions(archive),
            "coverage": _coverage(archive, image.shape),
        }
    warn_of_real_object(image, f"reconstructed_object in {path}")
    with errors_naming(path):
        return Reconstruction(**fields)


def write_reconstruction(path: str | PathLike[str], reconstruction: Reconstruction) -> None:
    """Write what `read_reconstruction` gives back; an existing file is replaced only when all is written.

    Parameters
    ----------
    path : path
        The NPZ to make, used as given: no suffix is added.
    reconstruction : Reconstruction

    Raises
    ------
    OSError
        The file cannot be written; an older one is untouched.
    """
    arrays: dict[str, Any] = {
        "reconstructed_object": reconstruction.object,
        "reconstructed_probe": reconstruction.probe,
        "algorithm": np.array(reconstruction.label),
        "computation_time_seconds": reconstruction.seconds,
        "positions_yx": reconstruction.positions_yx,
        "coverage": reconstruction.coverage,
    }
    with replacing(Path(path)) as file:
        write_archive(file, arrays.items())


def with_reconstruction(scan: ScanData, reconstruction: Reconstruction) -> ScanData:
    """Return the scan with a reconstruction of it as its object.

    Object, probe and positions are taken together: the scale, the phase ramp and the origin of an object
    have a meaning only beside the probe and the positions it was reconstructed with. Frames, labels and
    scan index stay.

    Parameters
    ----------
    scan : ScanData
    reconstruction : Reconstruction
        Made from exactly these frames, with `positions_yx`.

    Returns
    -------
    ScanData

    Raises
    ------
    DataError
        The reconstruction has no positions, has another number of them, has another patch size, or
        its positions are not those of the scan up to one common shift.
    """
    if reconstruction.positions_yx is None:
        raise DataError(
            f"the {reconstruction.label} reconstruction has no positions_yx, so where its object lies under "
            "the scan is unknown; add the patch centres in its pixel frame, (n, 2) as (y, x)."
        )
    if len(reconstruction.positions_yx) != scan.n_frames:
        raise DataError(
            f"the {reconstruction.label} reconstruction has {len(reconstruction.positions_yx)} positions but "
            f"the scan has {scan.n_frames} frames; pass the reconstruction of this very scan."
        )
    _common_shift(scan, reconstruction.positions_yx)
    return replace(
        scan,
        positions_yx=reconstruction.positions_yx,
        object_guess=reconstruction.object,
        probe=reconstruction.probe,
    )


def strongest_mode(modes: np.ndarray, name: str) -> np.ndarray:
    """Return the mode of a probe (…, N, N) with the most energy, (N, N), and warn of what is left out.

    Parameters
    ----------
    modes : (…, N, N) real or complex
    name : str
        What it is called in messages.

    Raises
    ------
    DataError
        It is no stack of square images.
    """
    stacked = stacked_modes(modes, name)
    if len(stacked) == 1:
        return stacked[0]
    energies = np.array([np.linalg.norm(mode.astype(np.complex128)) ** 2 for mode in stacked])
    # NaN is refused where the probe is used, with its place.
    shares = 100 * energies / total if (total := energies.sum()) > 0 else np.zeros(len(stacked))
    strongest = int(np.argmax(energies))
    others = "" if strongest == 0 else f", and not the first (number 0) with {shares[0]:.0f} %"
    logger.warning(
        "%s has %d modes; the strongest, number %d with %.0f %% of the energy, is used%s",
        name,
        len(stacked),
        strongest,
        shares[strongest],
        others,
    )
    return stacked[strongest]


def warn_of_real_object(image: np.ndarray, name: str) -> None:
    """Warn of a transmission (H, W) without any phase, called `name`: a phase image stored in its place looks so."""
    if np.imag(image).any():
        return
    values = np.real(image)
    if values.min() == values.max():
        # A featureless object is another mistake, which has its own warning.
        return
    logger.warning(
        "%s is real (%.3g to %.3g), so its phase is 0 or pi everywhere; if it is a phase image in radians, store "
        "numpy.exp(1j * phase) in its place, for else it is taken for the amplitude and its phase scores mean nothing",
        name,
        values.min(),
        values.max(),
    )


def stacked_modes(modes: np.ndarray, name: str) -> np.ndarray:
    """Return the modes of a probe (…, N, N) as (k, N, N); refuse what is not a stack of square images."""
    if (
        modes.ndim < 2
        or modes.shape[-1] != modes.shape[-2]
        or 0 in modes.shape
        or modes.dtype.kind not in "iufc"
    ):
        raise DataError(
            f"{name} is {modes.dtype} of shape {modes.shape} but must be numbers (…, N, N), "
            "one square image per mode; store it so."
        )
    return modes.reshape(-1, *modes.shape[-2:])


def _common_shift(scan: ScanData, positions_yx: np.ndarray) -> np.ndarray:
    """Return the (y, x) by which `positions_yx` are shifted against the scan's; refuse those of another scan."""
    shifts = positions_yx - scan.positions_yx
    shift = np.median(shifts, axis=0)
    stray = np.abs(shifts - shift).max(axis=1)
    # A refinement moves positions by a few pixels; another order or swapped axes by many.
    allowed = scan.patch_size / 4
    worst = int(stray.argmax())
    if stray[worst] > allowed:
        raise DataError(
            f"position {worst} of the reconstruction is {stray[worst]:.3g} pixels from where the scan has "
            f"it, after removing the common shift, but at most {allowed:g} can be refinement; check that "
            "both list the same frames in the same order, as (y, x) in pixels."
        )
    return shift


def _label(archive: Archive) -> str:
    shape, dtype = archive.declared("algorithm")
    if math.prod(shape) != 1 or dtype.kind not in "SU" or dtype.itemsize > _MAX_LABEL_BYTES:
        raise DataError(
            f"algorithm in {archive.name} is {dtype} of shape {shape} but must be one text, "
            "such as numpy.array('ePIE'); store it so."
        )
    text = archive.read("algorithm").item()
    label = (text.decode("utf-8", "replace") if isinstance(text, bytes) else text).strip()
    if not label:
        raise DataError(f"algorithm in {archive.name} is empty but names the reconstruction; store its name.")
    return label


def _object(archive: Archive) -> np.ndarray:
    shape, dtype = archive.declared("reconstructed_object")
    if len(shape) < 2 or 0 in shape or set(shape[:-2]) - {1} or dtype.kind != "c":
        raise DataError(
            f"reconstructed_object in {archive.name} is {dtype} of shape {shape} but must be one "
            "complex image (H, W); store it so, a phase image in radians as numpy.exp(1j * phase)."
        )
    image = archive.read("reconstructed_object").reshape(shape[-2:])
    if not np.isfinite(image).all():
        raise DataError(
            f"reconstructed_object in {archive.name} holds NaN or infinity; reconstruct it again."
        )
    return image.astype(np.complex64)


def _seconds(archive: Archive) -> float | None:
    if "computation_time_seconds" not in archive:
        return None
    shape, dtype = archive.declared("computation_time_seconds")
    if math.prod(shape) != 1 or dtype.kind not in "iuf":
        raise DataError(
            f"computation_time_seconds in {archive.name} is {dtype} of shape {shape} "
            "but must be one number; store it so."
        )
    return float(archive.read("computation_time_seconds").item())


def _positions(archive: Archive) -> np.ndarray | None:
    if "positions_yx" not in archive:
        return None
    value = archive.read("positions_yx")
    if (
        value.ndim != 2
        or value.shape[1] != 2
        or value.dtype.kind not in "iuf"
        or not np.isfinite(value).all()
    ):
        raise DataError(
            f"positions_yx in {archive.name} is {value.dtype} of shape {value.shape} but must be finite "
            "numbers (n, 2), one (y, x) per frame; store it so."
        )
    return value.astype(np.float64)


def _coverage(archive: Archive, shape: tuple[int, ...]) -> np.ndarray | None:
    if "coverage" not in archive:
        return None
    found, dtype = archive.declared("coverage")
    value = archive.read("coverage") if found == shape and dtype.kind in "biuf" else None
    if value is None or not (value >= 0).all():
        raise DataError(
            f"coverage in {archive.name} is {dtype} of shape {found} but must be numbers of at least 0, "
            f"one for each of the {shape} pixels of reconstructed_object; store it so."
        )
    return value.astype(np.float32)
