"""Frames and labels come batch by batch from where they lie, each in the units of its scan."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from ptycho.data import ScanData, SimulationSettings, read_npz, simulate, write_npz
from ptycho.data.simulation import extract_patches
from ptycho.errors import DataError
from ptycho.models._examples import Examples
from ptycho.models.networks import Architecture


def _scan(seed, shape, aperture=0.5, n=9):
    return simulate(
        SimulationSettings(
            patch_size=16, object_shape_yx=shape, n_lines=12, n_positions=n, seed=seed, aperture=aperture
        )
    )


@pytest.fixture
def scans():
    """Objects, probes and doses of two kinds."""
    dim, other = _scan(1, (46, 57)), _scan(2, (83, 38), aperture=0.25, n=7)
    return [dim, replace(other, amplitude=other.amplitude * 30, probe=other.probe * 30)]


def _examples(scans, kind="baseline", gridsize=1):
    architecture = Architecture(kind=kind, patch_size=scans[0].patch_size, gridsize=gridsize)
    return Examples.gather(scans, architecture, np.random.default_rng(0))


def test_each_scan_is_brought_to_one_scale_and_keeps_its_probe(scans):
    examples = _examples(scans)
    normal = [scan.normalised() for scan in scans]
    chosen = np.array([12, 3, 9, 0])
    expected = np.stack(
        [normal[1].amplitude[3], normal[0].amplitude[3], normal[1].amplitude[0], normal[0].amplitude[0]]
    )
    np.testing.assert_array_equal(examples.frames(chosen)[..., 0], expected)
    np.testing.assert_array_equal(examples.probes, np.stack([scan.probe for scan in normal]))
    np.testing.assert_array_equal(examples.scan_of[chosen], [1, 0, 1, 0])


def test_a_group_holds_frames_of_its_own_scan(scans):
    side = 32
    wide = [replace(scan, **_padded(scan, side)) for scan in scans]
    examples = _examples(wide, "pinn", gridsize=2)
    frames = examples.frames(np.array([10]))
    members = examples.indices[10]
    np.testing.assert_array_equal(frames[0], np.moveaxis(wide[1].normalised().amplitude[members], 0, -1))
    reach = wide[1].positions_yx[members] - wide[1].positions_yx[members].mean(axis=0)
    np.testing.assert_allclose(examples.offsets_yx[10], reach, atol=1e-4)


def _padded(scan, side):
    edge = (side - scan.patch_size) // 2
    return {
        "amplitude": np.pad(scan.amplitude, [(0, 0), (edge, edge), (edge, edge)]),
        "probe": np.pad(scan.probe, edge),
        "labels": None,
        "object_guess": None,
    }


def test_labels_are_cut_from_each_object_or_taken_as_they_are(scans):
    given = np.arange(9 * 256).reshape(9, 16, 16) * (1 - 2j)
    examples = _examples([replace(scans[0], labels=given), scans[1]])
    labels = examples.labels(np.array([14, 4]))[..., 0]
    cut = extract_patches(scans[1].object_guess, scans[1].positions_yx, 16)
    np.testing.assert_array_equal(labels, np.stack([cut[5], given[4]]).astype(np.complex64))


def test_an_object_that_a_patch_leaves_is_refused_before_any_epoch(scans):
    moved = replace(scans[0], positions_yx=scans[0].positions_yx - [0, 5])
    with pytest.raises(DataError, match="reach outside the object"):
        _examples([moved])


def test_masks_stay_with_their_scan(scans):
    mask = np.ones((16, 16), bool)
    mask[3, 5:9] = False
    masked = scans[1].with_mask(mask)
    np.testing.assert_array_equal(_examples([scans[0], masked]).masks, [np.ones((16, 16), bool), mask])
    assert _examples(scans).masks is None


def test_frames_in_a_file_are_never_whole_in_memory(tmp_path):
    rng = np.random.default_rng(4)
    counts = rng.poisson(3.0, (6000, 32, 32)).astype(np.float32)
    positions = rng.uniform(20, 300, (6000, 2))
    write_npz(
        tmp_path / "scan.npz",
        ScanData(amplitude=counts**0.5, positions_yx=positions, probe=np.ones((32, 32))),
    )
    n_bytes = counts.nbytes
    del counts
    tracemalloc.start()
    try:
        scan = read_npz(tmp_path / "scan.npz", plausibility=False)
        examples = _examples([scan], "pinn")
        for start in range(0, len(examples), 500):
            examples.frames(np.arange(start, start + 16))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < n_bytes / 5
