"""Damaged and crafted files of every format: a `DataError` or a scan, never another error."""

from __future__ import annotations

import numpy as np
import pytest
from peer_writers import (
    BASES,
    fold_slice_variables,
    pinn_members,
    write_cxi,
    write_eiger,
    write_fold_slice,
    write_frames,
    write_nexus,
    write_product,
    write_ptyd,
    write_training,
)
from scipy.io import savemat

from ptycho.data import read_reconstruction, read_scan
from ptycho.errors import DataError

# A number of damaged copies of each file; more of them take minutes.
COPIES = 25


def _product_and_frames(folder, known):
    write_frames(folder / "diffraction.h5", known)
    write_product(folder / "product.h5", known)
    return folder / "product.h5"


def _fold_slice(folder, known):
    write_fold_slice(folder, known)
    return folder / "data_roi0_para.hdf5"


def _eiger(folder, known):
    write_eiger(folder, known)
    return folder / "a_master.h5"


def _one(writer, name, **options):
    def write(folder, known):
        writer(folder / name, known, **options)
        return folder / name

    return write


def _mat(folder, known):
    savemat(folder / "a.mat", fold_slice_variables(known), do_compression=False)
    return folder / "a.mat"


def _pinn(folder, known):
    np.savez(folder / "a.npz", **pinn_members(known))
    return folder / "a.npz"


WRITERS = {
    "product": _product_and_frames,
    "training": _one(write_training, "a.h5"),
    "pinn": _pinn,
    "cxi": _one(write_cxi, "a.cxi", basis=BASES["x positive"]),
    "nexus": _one(write_nexus, "a.nxs"),
    "ptyd": _one(write_ptyd, "a.ptyd"),
    "fold_slice": _fold_slice,
    "mat": _mat,
    "eiger": _eiger,
}


def _damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Overwrite a few bytes, more often near the start where the structure lies; sometimes cut the end off."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        reach = len(changed) if rng.random() < 0.5 else min(len(changed), 4096)
        changed[rng.integers(reach)] = rng.choice([0, 1, 0x7F, 0xFF, rng.integers(256)])
    return bytes(changed[: rng.integers(1, len(changed))] if rng.random() < 0.2 else changed)


def _refusal(read, path) -> str | None:
    try:
        read(path)
    except DataError as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("read", [read_scan, read_reconstruction])
def test_damage_is_a_data_error_or_harmless(tmp_path, known, name, read):
    path = WRITERS[name](tmp_path, known)
    content, rng = path.read_bytes(), np.random.default_rng(11)
    for _ in range(COPIES):
        path.write_bytes(_damaged(content, rng))
        refusal = _refusal(read, path)
        assert refusal is None or path.name in refusal or str(path.parent) in refusal
