"""The NPZ reader and writer: round trip, every layout, every way a file can be wrong."""

from __future__ import annotations

import numpy as np

from ptycho.data import ScanData, read_npz, write_npz


def _scan(n: int = 5, side: int = 8) -> ScanData:
    rng = np.random.default_rng(3)
    return ScanData(
        amplitude=rng.gamma(2.0, size=(n, side, side)),
        positions_yx=rng.uniform((4, 6), (20, 31), size=(n, 2)),
        probe=rng.normal(size=(side, side)) + 1j * rng.normal(size=(side, side)),
        object_guess=rng.normal(size=(30, 41)) + 1j * rng.normal(size=(30, 41)),
        labels=rng.normal(size=(n, side, side)) + 1j,
        scan_index=np.arange(n) // 2,
    )


def test_round_trip_gives_every_array_back(tmp_path):
    scan = _scan()
    write_npz(tmp_path / "scan.npz", scan)
    again = read_npz(tmp_path / "scan.npz", plausibility=False)
    for name in ("amplitude", "positions_yx", "probe", "object_guess", "labels", "scan_index"):
        np.testing.assert_array_equal(getattr(again, name), getattr(scan, name))
