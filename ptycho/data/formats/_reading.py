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
from ptycho._io.hdf5 import Hdf5File
from ptycho.data.formats._assembling import believed, parts_of, reconstruction_of, scan_of
from ptycho.data.formats._containers import NpyFile, contents_of, kind_of, open_container
from ptycho.data.formats._format import Format
from ptycho.data.formats._partners import partners_of
from ptycho.data.formats._parts import Parts
from ptycho.data.formats._series import FrameSeries
from ptycho.data.formats._table import FORMATS
from ptycho.data.formats._tiff import TiffStack
from ptycho.data.geometry import ScanGeometry
from ptycho.data.illumination import consistent_probe
from ptycho.data.importing.changes import (
    with_axes,
    with_frames_changed,
    with_lengths,
    with_object_pixel,
    with_window,
)
from ptycho.data.importing.choosing import with_frames_chosen
from ptycho.data.importing.guessing import FLAGS_OF, guess, guess_lengths
from ptycho.data.importing.named import named_parts
from ptycho.data.importing.places import Sources
from ptycho.data.importing.positions import with_object_named, with_positions_changed
from ptycho.data.importing.settings import ImportSettings
from ptycho.data.reconstruction import Reconstruction, is_reconstruction_npz, read_reconstruction_npz
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
    importing: ImportSettings | None = None,
    partners: Sequence[str | PathLike[str]] = (),
    layout: str | None = None,
    labels: bool = True,
    plausibility: bool = True,
    mask_hot: bool = False,
) -> ScanData:
    """Read a scan from a file of any format that is known here, or of any other with the help of `importing`.

    The format is told from what the file holds. Where it lacks frames, positions or lengths they are taken from
    files beside it with the same stem, such as ``a_dp.h5`` and ``a_para.h5``, ``diffraction.h5`` and ``product.h5``,
    ``a.npy`` and ``a.csv``, and the log says which. Of a file of no known format `importing` names what holds what;
    the rest is guessed, and the log says how. All but the project's own NPZ is read into memory, brought to
    this package's conventions, and given a probe on the scale of its frames.

    Parameters
    ----------
    path : path
    importing : ImportSettings, optional
        What the file does not tell, or tells wrong: where its parts lie, units, orientation, cropping.
    partners : sequence of path
        The other files of the scan; they are not searched for then.
    layout : str, optional
        Name of the format, where it should not be told from the contents.
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
    source, settings = Path(path), importing or ImportSettings()
    with ExitStack() as stack:
        container = stack.enter_context(open_container(source))
        found = _recognised(container) if layout is None else _named(layout, container, source)
        if found is None and not settings.given:
            raise _unknown(container, source)
        if found is not None and found.scan is not None and not settings.names_frames:
            stack.close()
            believing = {"plausibility": plausibility, "mask_hot": mask_hot}
            return _whole_scan(found, source, settings, bool(partners), labels, believing)
        known = None
        # Of what holds frames alone nothing else is known, and it need not be looked through twice.
        is_named = settings.names_frames and isinstance(container, (NpyFile, TiffStack, FrameSeries))
        if found is not None and found.scan is None and not is_named:
            logger.info("%s is %s", source, found.title)
            known = _parts(found, _reopened(container, found, source, stack))
        sources = Sources(source, stack)
        parts = _imported(known, settings, sources, [Path(one) for one in partners], stack)
        with errors_naming(path):
            return scan_of(parts, plausibility=plausibility, mask_hot=mask_hot)


def _whole_scan(
    found: Format,
    source: Path,
    settings: ImportSettings,
    has_partners: bool,
    labels: bool,
    believing: dict[str, bool],
) -> ScanData:
    """Read a file that is whole, and change it as the settings say."""
    assert found.scan is not None
    if has_partners:
        raise DataError(
            f"{source} is {found.title}, which is whole, so it takes no `partners`; leave them out."
        )
    given = settings.given
    changes = bool(given.keys() - {"object_pixel_m"})
    if found.unchecked is not None and given.keys() & {"select", "skip"}:
        return _changed(found.unchecked(source), source, settings, believing)
    scan = found.scan(source, labels)
    if not changes:
        if given:
            scan = replace(scan, geometry=ScanGeometry(object_pixel_m=given["object_pixel_m"]))
        with errors_naming(source):
            scan = believed(scan, **believing)
        return scan if found.name == "npz" else consistent_probe(scan)
    if scan.labels is not None:
        logger.warning("%s: its labels Y belong to the frames as they are; they are left out", source)
    return _changed(parts_of(scan, str(source)), source, settings, believing)


def _changed(parts: Parts, source: Path, settings: ImportSettings, believing: dict[str, bool]) -> ScanData:
    """Return the scan of the parts of a whole file, changed as the settings say."""
    with ExitStack() as stack:
        parts = _imported(parts, settings, Sources(source, stack), [], stack)
        with errors_naming(source):
            return scan_of(parts, **believing)


def _imported(
    known: Parts | None,
    settings: ImportSettings,
    sources: Sources,
    partners: Sequence[Path],
    stack: ExitStack,
) -> Parts:
    """Return the parts of a scan, of which nothing is missing: what is known, what is named, and what partners have."""
    parts, lacking = _collected(known, settings, sources, partners, stack)
    if lacking:
        lengths = set(parts.missing()) - {"frames", "positions"}
        instead = ", or `object_pixel_m=…` in place of all lengths" if lengths else ""
        verb = "lacks" if len(parts.files) == 1 else "lack"
        own = sources.source.name or sources.source
        raise DataError(
            f"{_dead_links(sources)}{parts.names} {verb} {', '.join(lacking)}, and no file beside with the same stem "
            f"as {own} has them; pass these{instead}, or name the file that has them among the "
            "`partners`."
        )
    return with_window(parts, settings)


def _dead_links(sources: Sources) -> str:
    """Return the beginning of a message about what is missing: where it may have gone."""
    container = sources.container(sources.source)
    dead = (
        [f"{path} -> {target}" for path, target in container.dead_links()]
        if isinstance(container, Hdf5File)
        else []
    )
    return f"links of {sources.source.name} lead nowhere ({', '.join(dead[:3])}), and " if dead else ""


def _collected(
    known: Parts | None,
    settings: ImportSettings,
    sources: Sources,
    partners: Sequence[Path],
    stack: ExitStack,
) -> tuple[Parts, list[str]]:
    """Return the parts before cropping, and what is missing of them with the settings that tell it."""
    named = named_parts(settings, sources, known)
    parts = named.parts if known is None else named.parts.joined_with(known)
    parts = _joined(with_lengths(parts, settings), sources.source, partners, stack)
    guessing = named.parts.frames is not None
    parts = with_frames_chosen(with_axes(parts, settings, guessing=guessing), settings, sources)
    parts = with_frames_changed(parts, settings, sources, mask=named.mask, guessing=guessing)
    is_named = named.parts.positions_yx is not None
    parts, asks = with_positions_changed(parts, settings, named.position_unit, named=is_named)
    parts = with_object_pixel(parts, settings, known)
    parts, object_asks = with_object_named(parts, settings, sources)
    lacking = [f"{name} ({FLAGS_OF[name]})" for name in parts.missing()]
    return parts, [*lacking, *named.asks, *asks, *object_asks]


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


def _reopened(container: Any, found: Format, path: Path, stack: ExitStack) -> Any:
    """Return the file so that links to neighbours are followed where its format has such."""
    return stack.enter_context(open_container(path, neighbours=True)) if found.neighbours else container


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
        raise _unknown(container, path)
    return found


def _unknown(container: Any, path: str | PathLike[str]) -> DataError:
    if isinstance(container, Archive) and is_reconstruction_npz(container):
        return DataError(
            f"{path} is a finished image, without frames, where a scan is wanted; name the scan that it was made of, "
            "and use the image with `refine`, with `load_arm` or as `object_guess`."
        )
    guessed = guess(container)
    remedy = "say what holds what by `frames=…` and `positions=…`"
    if guessed.frames is not None:
        lacking = guessed.lacking(guess_lengths(container))
        more = f" with what is missing, {', '.join(lacking)}" if lacking else ""
        remedy = f"if they are what their names say, pass {guessed.settings}{more}"
    return DataError(
        f"{path} is {kind_of(container)} that holds {contents_of(container)}, which is no scan that is known here; "
        f"{remedy} (ptycho inspect shows the datasets)."
    )


def _recognised(container: Any) -> Format | None:
    for entry in FORMATS:
        if isinstance(container, entry.container) and entry.recognises(container):
            return entry
    return None


def _parts(found: Format, container: Any) -> Parts:
    assert found.parts is not None
    return found.parts(container)


def _joined(parts: Parts, path: Path, named: Sequence[Path], stack: ExitStack) -> Parts:
    """Return `parts` with what it lacks from the files named, or else from those beside it."""
    for other in named or partners_of(path):
        if not named and not parts.missing():
            break
        found = _partner(other, stack, must=bool(named))
        if found is not None and (named or _gives(found, parts)):
            before = set(parts.missing())
            parts = parts.joined_with(found)
            gained = ", ".join(sorted(before - set(parts.missing()))) or "what else it has"
            logger.info("%s: taken from %s: %s", path, other.name, gained)
    return parts


def _gives(found: Parts, parts: Parts) -> bool:
    return len(parts.joined_with(found).missing()) < len(parts.missing())


def _partner(path: Path, stack: ExitStack, *, must: bool) -> Parts | None:
    try:
        container = stack.enter_context(open_container(path))
        found = _format_of(container, path)
        if found.parts is None:
            raise DataError(
                f"{path} is {found.title}, a whole scan and no part of another; name another file."
            )
        return _parts(found, _reopened(container, found, path, stack))
    except DataError as error:
        if must:
            raise
        logger.info("%s lies beside the scan but is passed over: %s", path.name, error)
        return None
