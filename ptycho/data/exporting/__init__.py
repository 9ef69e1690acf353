"""Images for other programs: one module a format, listed in the table here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ptycho._checks import fields
from ptycho._io.atomic import replacing
from ptycho.data.exporting import _cxi, _product, _tiff
from ptycho.data.geometry import ScanGeometry
from ptycho.data.reconstruction import Reconstruction
from ptycho.errors import DataError

# What a format is called -> what turns a reconstruction into its files: suffix and bytes of each.
_WRITERS: dict[str, Callable[[Reconstruction, ScanGeometry | None], dict[str, bytes]]] = {
    "product": _product.files,
    "cxi": _cxi.files,
    "tiff": _tiff.files,
}
EXPORT_FORMATS = tuple(_WRITERS)
EXPORT_SUFFIXES = (*_product.SUFFIXES, *_cxi.SUFFIXES, *_tiff.SUFFIXES)
_NEEDS_METRES = ("product", "cxi")


def export_reconstruction(
    stem: Path,
    reconstruction: Reconstruction,
    formats: Sequence[str],
    *,
    geometry: ScanGeometry | None = None,
) -> list[Path]:
    """Write a reconstruction for other programs, so that they show it where it lies.

    Parameters
    ----------
    stem : Path
        Of the files; each format adds its suffix: ``.h5`` (a product of ptychodus), ``.cxi``,
        ``_amplitude.tif`` and ``_phase.tif`` (32 bits, radians).
    reconstruction : Reconstruction
        With positions, in pixels of its image, for products and CXI.
    formats : sequence of {"product", "cxi", "tiff"}
    geometry : ScanGeometry, optional
        Lengths; TIFF does without.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    SettingsError
        There is no such format.
    DataError
        A format needs lengths or positions that are not there; nothing has been written.
    OSError
        A file cannot be written; an older one is untouched.
    """
    check_export(formats, geometry)
    files: dict[str, bytes] = {}
    for name in formats:
        files |= _WRITERS[name](reconstruction, geometry)
    written = [stem.with_name(stem.name + suffix) for suffix in files]
    for path, contents in zip(written, files.values(), strict=True):
        with replacing(path) as file:
            file.write(contents)
    return written


def check_export(formats: Sequence[str], geometry: ScanGeometry | None) -> None:
    """Refuse formats that cannot be written, before there is an image.

    Parameters
    ----------
    formats : sequence of str
    geometry : ScanGeometry, optional
        Of the scan.

    Raises
    ------
    SettingsError
        There is no such format.
    DataError
        A format needs the size of a pixel, but it is not known.
    """
    for name in formats:
        fields.choice(name, "an export format", EXPORT_FORMATS)
        if geometry is None and name in _NEEDS_METRES:
            raise DataError(
                f"the {name} format gives places in metres but the scan does not say how large a pixel of the object "
                "is; read the scan with `object_pixel_m`, or export tiff."
            )
