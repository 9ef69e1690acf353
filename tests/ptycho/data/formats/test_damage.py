"""Damaged and crafted files of every format: a `DataError` or a scan, never another error."""

from __future__ import annotations

import numpy as np
import pytest
from peer_files import WRITERS

from ptycho.comparison import load_arm
from ptycho.data import ScanData, read_reconstruction, read_scan, with_reconstruction
from ptycho.errors import DataError

# A number of damaged copies of each file; more of them take minutes.
COPIES = 20
RESULTS_ALONE = ("ptyr", "ptylab_result", "cdtools", "mat", "ptyrad")
RESULTS = (*RESULTS_ALONE, "product", "training", "pinn")


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


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_damaged_here_is_read_whole(tmp_path, known, name):
    path = WRITERS[name](tmp_path, known)
    found = read_reconstruction(path) if name in RESULTS_ALONE else read_scan(path, plausibility=False)
    assert len(found.positions_yx) == 12


@pytest.mark.parametrize("name", RESULTS)
def test_what_holds_object_and_probe_is_an_arm_and_an_object(tmp_path, known, name):
    path = WRITERS[name](tmp_path, known)
    scan = ScanData(
        amplitude=np.sqrt(known.clean),
        positions_yx=known.positions_yx + np.array([7, -3]),
        probe=known.modes[1],
    )
    image = load_arm(path, "theirs", scan=scan).image
    np.testing.assert_allclose(image.values, known.image, rtol=1e-5)
    np.testing.assert_allclose(image.origin_yx, (7, -3), atol=1e-5)
    np.testing.assert_array_equal(
        with_reconstruction(scan, read_reconstruction(path)).object_guess, image.values
    )


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
