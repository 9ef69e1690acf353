"""Files that ptychodus and cdtools wrote themselves from one known object: all that a right reader must obtain."""

from __future__ import annotations

import json

import numpy as np
import pytest
from known_scan import assert_forward_model_agrees, forward

from ptycho.comparison import load_arm
from ptycho.data import ImportSettings, read_reconstruction, read_scan, with_reconstruction

# File that is opened: what is named beside it, and the file of `expected.json` with its positions.
SCANS = {
    "ptychodus-1.7.0/training.h5": ([], "ptychodus-1.7.0/training.h5"),
    "ptychodus-1.7.0/ptychopinn_training.npz": ([], "ptychodus-1.7.0/ptychopinn_training.npz"),
    "ptychodus-1.7.0/diffraction.h5": (
        ["product_keys_of_2024.h5"],
        "ptychodus-1.7.0/product_keys_of_2024.h5",
    ),
    "ptychodus-1.7.0/product.h5": ([], "ptychodus-1.7.0/product.h5"),
    "ptychodus-1.7.0/positions.csv": (["diffraction.h5"], None),
    "ptychodus-1.7.0/positions.txt": (["diffraction.h5"], None),
    "cdtools-0.3.2/standard.cxi": ([], "cdtools-0.3.2/standard.cxi"),
    "cdtools-0.3.2/basis_x_positive.cxi": ([], "cdtools-0.3.2/basis_x_positive.cxi"),
}
RESULTS = ["product.h5", "product_keys_of_2024.h5", "training.h5", "ptychopinn_training.npz"]


@pytest.fixture
def truth(peer_files):
    with np.load(peer_files / "truth.npz") as file:
        return dict(file)


def _read(peer_files, name, truth):
    path = peer_files / name
    partners, expected = SCANS[name]
    # A table of positions tells no lengths.
    settings = ImportSettings(object_pixel_m=float(truth["pixel_m"])) if expected is None else None
    return read_scan(path, partners=[path.with_name(each) for each in partners], importing=settings)


@pytest.mark.parametrize("name", SCANS)
def test_a_scan_is_what_is_expected(peer_files, truth, name):
    scan = _read(peer_files, name, truth)
    expected = json.loads((peer_files / "expected.json").read_text()).get(SCANS[name][1], {})
    if expected:
        np.testing.assert_allclose(scan.positions_yx[0], expected["first_position_yx"], atol=1e-3)
        np.testing.assert_allclose(scan.positions_yx[-1], expected["last_position_yx"], atol=1e-3)
    lowest = 0 if scan.object_guess is not None else truth["positions_yx"].min(axis=0) - scan.patch_size / 2
    np.testing.assert_allclose(scan.positions_yx + lowest, truth["positions_yx"], atol=1e-3)
    clean = np.where(truth["bad"], 0, truth["counts"])
    assert scan.frame_energies[0] == pytest.approx(39_690, rel=1e-6)
    np.testing.assert_allclose(scan.frame_energies, clean.sum(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_allclose(scan.amplitude.astype(np.float64) ** 2, clean, rtol=1e-6)
    np.testing.assert_array_equal(scan.mask, ~truth["bad"])


@pytest.mark.parametrize("name", [name for name in SCANS if not name.endswith("npz")])
def test_the_pixel_of_the_object_is_known(peer_files, truth, name):
    geometry = _read(peer_files, name, truth).geometry
    assert geometry is not None
    assert geometry.object_pixel_m == pytest.approx(64.57510335e-9, rel=1e-6)


def _light(truth):
    """The frames that the truth's strongest mode makes: of several modes that one is read."""
    return forward(truth["object"], truth["probe"][0], truth["positions_yx"])


@pytest.mark.parametrize(
    "name", [name for name, (_, own) in SCANS.items() if own and own.startswith("ptychodus")]
)
def test_object_and_probe_explain_the_frames_better_than_half_a_pixel_off(peer_files, truth, name):
    assert_forward_model_agrees(_read(peer_files, name, truth), _light(truth))


@pytest.mark.parametrize("name", RESULTS)
def test_a_finished_reconstruction_is_an_arm_and_an_object(peer_files, truth, name):
    path = peer_files / "ptychodus-1.7.0" / name
    found = read_reconstruction(path)
    np.testing.assert_array_equal(found.object, truth["object"])
    np.testing.assert_array_equal(found.probe, truth["probe"][0])
    scan = read_scan(peer_files / "cdtools-0.3.2" / "standard.cxi")
    assert_forward_model_agrees(with_reconstruction(scan, found), _light(truth))
    image = load_arm(path, scan=scan).image
    np.testing.assert_array_equal(image.values, truth["object"])
    lowest = truth["positions_yx"].min(axis=0) - 32
    np.testing.assert_allclose(image.origin_yx, -lowest, atol=1e-3)
