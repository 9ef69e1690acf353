"""`read_scan` and `read_reconstruction`: a file of any known format, and the partners that it needs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from ptycho._io.archive import Archive, errors_naming
from ptycho.data.formats._assembling import believed, reconstruction_of, scan_of
from ptycho.data.formats._containers import contents_of, kind_of, open_container
from ptycho.data.formats._format import Format
from ptycho.data.formats._frames import oriented
from ptycho.data.formats._partners import partners_of
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._table import FORMATS
from ptycho.data.geometry import ScanGeometry
from ptycho.data.illumination import consistent_probe
from ptycho.data.reconstruction import Reconstruction, read_reconstruction_npz
from ptycho.data.scan import ScanData
from ptycho.errors import DataError

logger = logging.getLogger(__name__)


def detect_format(path: str | PathLike[str]) -> str:
    """Return the name of the format of a file (docs/formats.md), told from what it holds, never from its name.

    Parameters
    ----------
    path : path

    Returns
    -------
    str
        As ``ptycho-convert --from`` takes it.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        The file is damaged, or of no format that is known here.
    """
    with open_container(Path(path)) as container:
        return _format_of(container, path).name


def read_scan(
    path: str | PathLike[str],
    *,
    partners: Sequence[str | PathLike[str]] = (),
    layout: str | None = None,
    object_pixel_m: float | None = None,
    transpose_frames: bool = False,
    labels: bool = True,
    plausibility: bool = True,
    mask_hot: bool = False,
) -> ScanData:
    """Read a scan from a file of any format that is known here.

    The format is told from what the file holds. Where it lacks frames, positions or lengths they are taken from
    files beside it with the same stem, such as ``a_dp.h5`` and ``a_para.h5``, ``diffraction.h5`` and ``product.h5``,
    ``a.npy`` and ``a.csv``, and the log says which. All but the project's own NPZ is read into memory, brought to
    this package's conventions, and given a probe on the scale of its frames.

    Parameters
    ----------
    path : path
    partners : sequence of path
        The other files of the scan; they are not searched for then.
    layout : str, optional
        Name of the format, where it should not be told from the contents.
    object_pixel_m : float, optional
        Side of the object's pixel in metres, for files that do not tell it, or tell it wrong.
    transpose_frames : bool
        Exchange rows and columns of the frames, as files need whose frames MATLAB wrote.
    labels, plausibility : bool
        As in `read_npz`.
    mask_hot : bool
        Mask the hot and dead pixels, of which the log tells in any case. The frames are then in memory.

    Returns
    -------
    ScanData

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        The file is damaged, of no known format, or lacks what no partner has; the message says what.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ptycho.data import SimulationSettings, read_scan, simulate, write_npz
    >>> path = Path(tempfile.mkdtemp()) / "scan.npz"
    >>> write_npz(path, simulate(SimulationSettings(object_shape_yx=(80, 90), step_px=12.0)))
    >>> scan = read_scan(path)
    >>> scan.amplitude.shape, scan.patch_size
    ((6, 64, 64), 64)
    """
    source = Path(path)
    with ExitStack() as stack:
        container, found = _opened(source, layout, stack)
        if found.scan is not None:
            stack.close()
            _refuse_options_of_parts(source, found, bool(partners), transpose_frames)
            scan = found.scan(source, labels)
            if object_pixel_m is not None:
                scan = replace(scan, geometry=ScanGeometry(object_pixel_m=object_pixel_m))
            with errors_naming(path):
                scan = believed(scan, plausibility=plausibility, mask_hot=mask_hot)
            return scan if found.name == "npz" else consistent_probe(scan)
        logger.info("%s is %s", source, found.title)
        parts = _joined(
            _parts(found, container), source, [Path(one) for one in partners], stack, object_pixel_m
        )
        if transpose_frames:
            parts = _with_transposed_frames(parts)
        with errors_naming(path):
            return scan_of(parts, plausibility=plausibility, mask_hot=mask_hot)


def read_reconstruction(path: str | PathLike[str]) -> Reconstruction:
    """Read a finished reconstruction: the project's own NPZ, or a file of another package with object and probe.

    Nothing is ever unpickled.

    Parameters
    ----------
    path : path

    Returns
    -------
    Reconstruction
        With positions where the file tells how they lie on the object.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    DataError
        The file is damaged, holds no object and probe, or a member is of the wrong shape.
    """
    with ExitStack() as stack:
        container = stack.enter_context(open_container(Path(path)))
        found = _recognised(container)
        if found is None or found.parts is None:
            if isinstance(container, Archive):
                return read_reconstruction_npz(path)
            found = _format_of(container, path)
            raise DataError(
                f"{path} is {found.title}, which is no finished reconstruction; name another file."
            )
        parts = _parts(found, container)
        with errors_naming(path):
            return reconstruction_of(parts, found.title)


def is_reconstruction(path: str | PathLike[str]) -> bool:
    """Tell whether a file is one of another package's that can hold a finished reconstruction.

    Parameters
    ----------
    path : path

    Returns
    -------
    bool
        False for a damaged file too, and for one of no format that is known here.
    """
    try:
        with open_container(Path(path)) as container:
            found = _recognised(container)
    except DataError:
        return False
    return found is not None and found.parts is not None


def _opened(path: Path, layout: str | None, stack: ExitStack) -> tuple[Any, Format]:
    """Open a file and find its format; links to neighbours are followed where the format has such."""
    container = stack.enter_context(open_container(path))
    found = _format_of(container, path) if layout is None else _named(layout, container, path)
    if found.neighbours:
        container = stack.enter_context(open_container(path, neighbours=True))
    return container, found


def _named(layout: str, container: Any, path: Path) -> Format:
    known = {entry.name: entry for entry in FORMATS}
    if layout not in known:
        raise DataError(f"{layout!r} is no format that is known here; pass one of {', '.join(known)}.")
    if not isinstance(container, known[layout].container):
        raise DataError(
            f"{path} is {kind_of(container)}, which {known[layout].title} never is; leave the format to be told from "
            "the contents."
        )
    return known[layout]


def _format_of(container: Any, path: str | PathLike[str]) -> Format:
    found = _recognised(container)
    if found is None:
        raise DataError(
            f"{path} is {kind_of(container)} that holds {contents_of(container)}, which is no scan that is known here; "
            "pass one of the formats of docs/formats.md, or write your arrays as its NPZ."
        )
    return found


def _recognised(container: Any) -> Format | None:
    for entry in FORMATS:
        if isinstance(container, entry.container) and entry.recognises(container):
            return entry
    return None


def _parts(found: Format, container: Any) -> Parts:
    assert found.parts is not None
    return found.parts(container)


def _joined(
    parts: Parts, path: Path, named: Sequence[Path], stack: ExitStack, object_pixel_m: float | None
) -> Parts:
    """Return `parts` with what it lacks from the files named, or else from those beside it."""
    if object_pixel_m is not None:
        parts = replace(parts, object_pixel_m=object_pixel_m)
    for other in named or partners_of(path):
        if not named and not parts.missing():
            break
        found = _partner(other, stack, must=bool(named))
        if found is not None and (named or _gives(found, parts)):
            before = set(parts.missing())
            parts = parts.joined_with(found)
            gained = ", ".join(sorted(before - set(parts.missing()))) or "what else it has"
            logger.info("%s: taken from %s: %s", path, other.name, gained)
    _refuse_missing(parts, path)
    return parts


def _refuse_options_of_parts(path: Path, found: Format, has_partners: bool, transposed: bool) -> None:
    if has_partners or transposed:
        option = "--with FILE" if has_partners else "--transpose-frames"
        raise DataError(
            f"{path} is {found.title}, whole and in its own order, so it takes no {option}; leave it out."
        )


def _with_transposed_frames(parts: Parts) -> Parts:
    assert parts.frames is not None  # nothing is missing
    bad = None if parts.bad_pixels is None else parts.bad_pixels.T
    return replace(parts, frames=parts.frames.turned(oriented(4)), bad_pixels=bad)


def _gives(found: Parts, parts: Parts) -> bool:
    return len(parts.joined_with(found).missing()) < len(parts.missing())


def _partner(path: Path, stack: ExitStack, *, must: bool) -> Parts | None:
    try:
        container, found = _opened(path, None, stack)
        if found.parts is None:
            raise DataError(
                f"{path} is {found.title}, a whole scan and no part of another; name another file."
            )
        return _parts(found, container)
    except DataError as error:
        if must:
            raise
        logger.info("%s lies beside the scan but is passed over: %s", path.name, error)
        return None


def _refuse_missing(parts: Parts, path: Path) -> None:
    missing = parts.missing()
    if missing:
        verb = "lacks" if len(parts.files) == 1 else "lack"
        known_place = set(missing).isdisjoint({"frames", "positions"})
        raise DataError(
            f"{parts.names} {verb} {', '.join(missing)}, and no file beside with the same stem as {path.name} has "
            "them; name the file that does by ptycho-convert --with FILE"
            + (", or pass its --pixel-size METRES." if known_place else ".")
        )
