"""The readers that are fuzzed, each with the good files that it is given damaged."""

from __future__ import annotations

import bz2
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from known_scan import KnownScan, make_known_scan
from peer_files import WRITERS
from ptychopinn_files import (
    baseline_description,
    pinn_description,
    write_bundle,
    write_keras2_baseline,
    write_saved_model,
)
from scipy.io import savemat

from autobatch import BatchMemo, DeviceMemory
from ptycho.data import (
    ImportSettings,
    Reconstruction,
    ScanData,
    read_npz,
    read_reconstruction,
    read_scan,
    write_npz,
    write_reconstruction,
)
from ptycho.data.formats.tike import read_tike
from ptycho.errors import DataError
from ptycho.models import load_model
from ptycho.models.bundle import save_bundle
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel
from ptycho.stitching import Canvas


@dataclass(frozen=True)
class Family:
    """One reader.

    Attributes
    ----------
    writers : tuple of callable
        Each fills a folder with a good input and returns the path that is read and the files that may be damaged.
    read : callable
        Reads that path.
    refusals : tuple of type
        What it may raise; anything else is a traceback.
    """

    writers: tuple[Callable[[Path], tuple[Path, list[Path]]], ...]
    read: Callable[[Path], object]
    refusals: tuple[type[Exception], ...] = (DataError,)


def _alone(write: Callable[[Path], object], name: str) -> Callable[[Path], tuple[Path, list[Path]]]:
    """Return a writer of one file that `write` makes under the path that it is given."""

    def written(folder: Path) -> tuple[Path, list[Path]]:
        write(folder / name)
        return folder / name, [folder / name]

    return written


def _known_writer(name: str) -> Callable[[Path], tuple[Path, list[Path]]]:
    def written(folder: Path) -> tuple[Path, list[Path]]:
        path = WRITERS[name](folder, make_known_scan())
        return path, sorted(folder.iterdir())

    return written


def _scan(known: KnownScan) -> ScanData:
    return ScanData(
        amplitude=np.sqrt(known.clean),
        positions_yx=known.positions_yx,
        probe=known.modes[1],
        object_guess=known.image,
        scan_index=np.arange(len(known.counts)),
        mask=~known.bad,
    )


def _write_scan(path: Path) -> None:
    write_npz(path, _scan(make_known_scan()))


def _write_compressed_scan(path: Path) -> None:
    write_npz(path, dataclasses.replace(_scan(make_known_scan()), mask=None))
    with np.load(path) as file:
        np.savez_compressed(path, **dict(file))


def _write_packed_scan(path: Path) -> None:
    _write_scan(path)
    path.write_bytes(bz2.compress(path.read_bytes()))


def _write_tike(path: Path) -> None:
    known = make_known_scan()
    np.savez_compressed(
        path,
        data=np.fft.ifftshift(known.clean, axes=(-2, -1))[None],
        scan=known.positions_yx[None].astype(np.float32),
        probe=known.modes[None, None, None],
    )


def _write_reconstruction(path: Path) -> None:
    known = make_known_scan()
    write_reconstruction(
        path,
        Reconstruction(
            label="ePIE",
            object=known.image,
            probe=known.modes[1],
            seconds=3.5,
            positions_yx=known.positions_yx,
            coverage=np.ones(known.image.shape, np.float32),
        ),
    )


def _write_canvas(path: Path) -> None:
    known = make_known_scan()
    canvas = Canvas.around(known.positions_yx, crop_size=7, overlap_variance=True)
    canvas.add(known.clean.astype(np.complex64), known.positions_yx)
    canvas.save(path)


MEMORY = DeviceMemory(
    device="CPU:0", total_bytes=8 << 30, free_bytes=6 << 30, usable_bytes=5 << 30, source="made"
)


def _write_memo(path: Path) -> None:
    entry = {"good": 48, "bad": 96, "usable_bytes": 5 << 30, "wanted": 96, "n_failures": 1, "n_waits": 1}
    key = BatchMemo(path, "a")._full_key(MEMORY)
    path.write_text(json.dumps({"schema": "autobatch-memo-1", "entries": {key: entry, "another": entry}}))


def _read_memo(path: Path) -> None:
    memo = BatchMemo(path, "a")
    # A run only warns; a command asks first.
    memo.recall(MEMORY)
    memo.check()


def _write_bundle(folder: Path) -> tuple[Path, list[Path]]:
    architecture = Architecture(kind="baseline", patch_size=16, n_filters_scale=0.25)
    probes = make_known_scan().modes[1:2]
    save_bundle(folder, PatchModel(build_network(architecture), architecture, probes, {"seed": 7}))
    return folder, sorted(folder.iterdir())


def _write_wts(path: Path) -> None:
    write_bundle(path, pinn_description(scale=0.25))


def _write_saved_model(folder: Path) -> tuple[Path, list[Path]]:
    write_saved_model(folder / "model", pinn_description(scale=0.25))
    return folder / "model", [path for path in sorted((folder / "model").rglob("*")) if path.is_file()]


def _write_baseline(path: Path) -> None:
    write_keras2_baseline(path, *baseline_description(32, 0.125))


def _write_matrices(compressed: bool) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        known = make_known_scan()
        variables = {"outputs": {"probe_positions": known.positions_yx, "object_roi": known.image}}
        savemat(
            path,
            variables | {"probe": known.modes, "object": known.image, "p": {"dx_spec": np.full(2, 1e-8)}},
            do_compression=compressed,
        )

    return write


def _tiff(**layout: Any) -> Callable[[Path], tuple[Path, list[Path]]]:
    """Return a writer of a TIFF file of some layout, with the table of its positions beside it."""

    def written(folder: Path) -> tuple[Path, list[Path]]:
        counts = make_known_scan().counts
        tifffile.imwrite(folder / "a.tif", counts, photometric="minisblack", **layout)
        _write_table(folder / "a.csv")
        return folder / "a.tif", sorted(folder.iterdir())

    return written


def _write_series(folder: Path) -> tuple[Path, list[Path]]:
    (folder / "a").mkdir()
    for number, counts in enumerate(make_known_scan().counts):
        tifffile.imwrite(folder / "a" / f"a{number}.tif", counts)
    _write_table(folder / "a.csv")
    return folder / "a", [folder / "a.csv", *sorted((folder / "a").iterdir())]


def _write_table(path: Path) -> None:
    np.savetxt(path, make_known_scan().metres_about(), delimiter=",")


def _write_array(folder: Path) -> tuple[Path, list[Path]]:
    np.save(folder / "a.npy", make_known_scan().counts)
    _write_table(folder / "a.csv")
    return folder / "a.npy", sorted(folder.iterdir())


def _read_with_pixel(path: Path) -> None:
    read_scan(path, importing=ImportSettings(object_pixel_m=make_known_scan().pixel_m))


def _read_either(path: Path) -> None:
    """Read a file as both kinds of thing that it may be; refused is what both refuse."""
    first: DataError | None = None
    for read in (read_scan, read_reconstruction):
        try:
            read(path)
            return
        except DataError as error:
            first = first or error
    assert first is not None
    raise first


FAMILIES = {
    "scan": Family(
        (
            _alone(_write_scan, "scan.npz"),
            _alone(_write_compressed_scan, "scan.npz"),
            _alone(_write_packed_scan, "scan.npz.bz2"),
        ),
        read_npz,
    ),
    "tike": Family((_alone(_write_tike, "scan.npz"),), read_tike),
    "reconstruction": Family((_alone(_write_reconstruction, "reconstruction.npz"),), read_reconstruction),
    "canvas": Family((_alone(_write_canvas, "canvas.npz"),), Canvas.load),
    "memo": Family((_alone(_write_memo, "memo.json"),), _read_memo, (ValueError, OSError)),
    "bundle": Family((_write_bundle,), load_model),
    "wts": Family((_alone(_write_wts, "wts.h5.zip"), _write_saved_model), load_model),
    "baseline": Family((_alone(_write_baseline, "baseline_model.h5"),), load_model),
    "NPZ": Family(
        (_known_writer("pinn"), _alone(_write_tike, "a.npz"), _alone(_write_scan, "a.npz")), _read_either
    ),
    "HDF5": Family(
        tuple(_known_writer(name) for name in WRITERS if name not in ("pinn", "mat", "ptyrad")), _read_either
    ),
    "MAT": Family(
        (
            _known_writer("mat"),
            _alone(_write_matrices(True), "a.mat"),
            _alone(_write_matrices(False), "a.mat"),
        ),
        _read_either,
    ),
    "TIFF": Family(
        (
            *(_tiff(), _tiff(byteorder=">", rowsperstrip=5), _tiff(compression="zlib", predictor=True)),
            *(_tiff(tile=(16, 16), bigtiff=True), _tiff(imagej=True), _write_series, _write_array),
        ),
        _read_with_pixel,
    ),
    # Apart and last, or the numbers of inputs that once went wrong would give others.
    "PtyRAD": Family((_known_writer("ptyrad"),), _read_either),
}
