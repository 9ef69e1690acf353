"""What holds for every format: contents decide, partners are found by their stem, units are obeyed."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest
from peer_writers import (
    pinn_members,
    write_cxi,
    write_frames,
    write_nexus,
    write_product,
    write_ptyd,
    write_training,
)

from ptycho.data import ImportSettings, detect_format, read_reconstruction, read_scan
from ptycho.data.formats._amplitudes import amplitude_and_mask
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._partners import partners_of
from ptycho.data.formats._quantities import metres_per, one_side, photon_energy_j
from ptycho.data.formats._table import FORMATS
from ptycho.errors import DataError

WRITERS = {
    "cxi": write_cxi,
    "nxcxi": write_nexus,
    "ptyd": write_ptyd,
    "ptychodus-frames": write_frames,
    "ptychodus-product": write_product,
    "ptychodus-training": write_training,
}


@pytest.mark.parametrize("suffix", ["", ".npz", ".txt", ".cxi", ".mat"])
@pytest.mark.parametrize("name", WRITERS)
def test_contents_decide_and_never_the_name(tmp_path, known, name, suffix):
    WRITERS[name](tmp_path / f"a{suffix}", known)
    assert detect_format(tmp_path / f"a{suffix}") == name


def test_names_of_formats_are_used_once():
    assert len({entry.name for entry in FORMATS}) == len(FORMATS)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("diffraction.h5", "product.h5"),
        ("a_dp.hdf5", "a_para.hdf5"),
        ("scan12_diffraction.h5", "scan12_product.h5"),
        ("product-7.h5", "diffraction-7.npz"),
        ("a_master.h5", "a.csv"),
        ("a.npy", "a.txt"),
        ("a.npy", "positions_a.csv"),
    ],
)
def test_partners_have_the_same_stem(tmp_path, first, second):
    for name in (first, second, "b.csv", "product_keys_of_2024.h5", "a_dp.pdf", "reproduct.h5"):
        (tmp_path / name).touch()
    assert [path.name for path in partners_of(tmp_path / first)] == [second]
    assert [path.name for path in partners_of(tmp_path / second)] == [first]


def test_a_partner_that_cannot_be_read_is_passed_over_and_said(tmp_path, known, caplog):
    write_frames(tmp_path / "diffraction.h5", known)
    (tmp_path / "product.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    write_product(tmp_path / "product.npz", known)
    with caplog.at_level(logging.INFO):
        assert read_scan(tmp_path / "diffraction.h5").n_frames == 12
    assert "product.h5 lies beside the scan but is passed over" in caplog.text


def test_a_partner_that_is_named_is_used_and_must_be_right(tmp_path, known):
    write_frames(tmp_path / "diffraction.h5", known)
    write_product(tmp_path / "elsewhere.h5", known)
    assert read_scan(tmp_path / "diffraction.h5", partners=[tmp_path / "elsewhere.h5"]).n_frames == 12
    np.savez(tmp_path / "amplitudes.npz", **{**pinn_members(known), "diff3d": np.sqrt(known.clean)})
    with pytest.raises(DataError, match=r"amplitudes\.npz is a scan of this project, a whole scan"):
        read_scan(tmp_path / "diffraction.h5", partners=[tmp_path / "amplitudes.npz"])


def test_another_number_of_positions_is_named_with_both_files(tmp_path, known):
    np.save(tmp_path / "a.npy", known.clean)
    np.savetxt(tmp_path / "a.csv", known.metres_about()[:7], delimiter=",")
    with pytest.raises(DataError, match=r"12 frames but 7 positions, in a\.npy and a\.csv"):
        read_scan(tmp_path / "a.npy", importing=ImportSettings(object_pixel_m=known.pixel_m))


@pytest.mark.parametrize("writer", [write_cxi, write_frames])
def test_a_scan_without_an_object_is_no_reconstruction(tmp_path, known, writer):
    writer(tmp_path / "a", known)
    with pytest.raises(DataError, match="with neither of object and probe"):
        read_reconstruction(tmp_path / "a")


def test_a_program_is_no_scan(tmp_path):
    shutil.copy(__file__, tmp_path / "a.py")
    with pytest.raises(DataError, match=r"a\.py is none of the files that are read here"):
        read_scan(tmp_path / "a.py")


@pytest.mark.parametrize(
    ("unit", "metres"),
    [
        (None, 1),
        ("m", 1),
        ("mm", 1e-3),
        ("µm", 1e-6),
        ("um", 1e-6),
        ("micron", 1e-6),
        ("NM", 1e-9),
        ("Å", 1e-10),
    ],
)
def test_units_of_length(unit, metres):
    assert metres_per(unit, "x") == metres


@pytest.mark.parametrize(
    ("value", "unit", "ev"),
    [(1.281741307e-15, None, 8000), (8.0, None, 8000), (8000, None, 8000), (8, "keV", 8000), (30, "eV", 30)],
)
def test_energies_with_and_without_a_unit(value, unit, ev):
    assert photon_energy_j(value, "energy", unit) / 1.602176634e-19 == pytest.approx(ev)


def test_a_side_may_be_missing_or_zero_but_not_another():
    assert one_side(None, 75e-6, "pixel") == one_side(75e-6, 0.0, "pixel") == 75e-6
    assert one_side(0.0, None, "pixel") is None
    with pytest.raises(DataError, match=r"pixel is 5e-05 m high and 7\.5e-05 m wide but must be square"):
        one_side(50e-6, 75e-6, "pixel")


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int32, np.float32])
def test_pixels_that_detectors_mark_are_masked(dtype, caplog):
    counts = np.random.default_rng(8).integers(1, 50, (5, 6, 6)).astype(dtype)
    marked, negative = (1, 4), (2, 0)
    if dtype in (np.uint16, np.uint32):
        counts[3][marked] = np.iinfo(dtype).max
    elif dtype == np.float32:
        counts[3][marked] = np.nan
    else:
        counts[:, marked[0], marked[1]] = -1
    expected = np.ones((6, 6), bool)
    expected[marked] = False
    if dtype in (np.int32, np.float32):
        counts[2][negative] = -3
    amplitude, mask = amplitude_and_mask(FrameStack.of_array("frames", counts), np.array([4, 2, 3]), None)
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_allclose(
        amplitude**2, np.where(expected, np.clip(counts[[4, 2, 3]], 0, None), 0), rtol=1e-6
    )
    assert ("negative values; they are set to 0" in caplog.text) == (dtype in (np.int32, np.float32))
