"""`read_scan` reads a scan file by the layout that its keys tell."""

import numpy as np
import pytest

import ptycho
from ptycho.data import SimulationSettings, simulate, write_npz
from ptycho.errors import DataError


@pytest.fixture
def scan():
    return simulate(SimulationSettings(object_shape_yx=(90, 110), step_px=15.0, seed=3))


def test_the_projects_own_file_is_read_back(scan, tmp_path):
    write_npz(tmp_path / "scan.npz", scan)
    found = ptycho.read_scan(tmp_path / "scan.npz")
    np.testing.assert_array_equal(found.amplitude, scan.amplitude)
    np.testing.assert_array_equal(found.positions_yx, scan.positions_yx)


def test_tikes_file_is_read_by_its_own_reader(scan, tmp_path):
    counts = np.rint(np.fft.ifftshift(scan.amplitude**2, axes=(1, 2)))
    np.savez(tmp_path / "tike.npz", data=counts[None], scan=scan.positions_yx - 7.25, probe=scan.probe)
    found = ptycho.read_scan(tmp_path / "tike.npz")
    np.testing.assert_allclose(found.amplitude, np.sqrt(np.rint(scan.amplitude**2)), rtol=1e-6)
    assert found.positions_yx.min(axis=0) == pytest.approx([32, 32])


def test_plausibility_and_labels_are_handed_on(scan, tmp_path):
    labels = np.ones(scan.amplitude.shape, np.complex64)
    np.savez(
        tmp_path / "counts.npz",
        diffraction=scan.amplitude**2,
        xcoords=scan.positions_yx[:, 1],
        ycoords=scan.positions_yx[:, 0],
        probeGuess=scan.probe,
        Y=labels,
    )
    with pytest.raises(DataError, match="amplitude is expected"):
        ptycho.read_scan(tmp_path / "counts.npz")
    found = ptycho.read_scan(tmp_path / "counts.npz", labels=False, plausibility=False)
    assert found.labels is None


def test_a_file_of_neither_layout_is_refused_with_its_keys(tmp_path):
    np.savez(tmp_path / "other.npz", frames=np.zeros((2, 4, 4)))
    with pytest.raises(DataError, match="holds frames, which is no scan that is known here"):
        ptycho.read_scan(tmp_path / "other.npz")
