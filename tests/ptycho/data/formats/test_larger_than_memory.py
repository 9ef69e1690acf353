"""A scan that takes too much memory is the same scan: its frames stay in their file, or go to a temporary one."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import h5py
import numpy as np
import pytest
from peer_files import WRITERS

from ptycho._io import row_store
from ptycho._io.believing import believing_files
from ptycho._io.mapped import is_mapped, rows_of
from ptycho._io.stored import StoredRows
from ptycho.data import ImportSettings, read_npz, read_scan, read_tike, write_npz
from ptycho.data.formats._frames import FrameStack
from ptycho.data.formats._stored_frames import AnyFrames, StoredFrames
from ptycho.errors import DataError

SCANS = ["product", "pinn", "cxi", "nexus", "ptyd", "eiger", "training"]


@pytest.fixture
def no_memory(monkeypatch):
    """Nothing is small enough to be read as a whole."""
    return lambda: monkeypatch.setattr(row_store, "_MOST_BYTES", 0)


def assert_same(found, expected):
    for name in ("positions_yx", "probe", "object_guess", "mask"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    np.testing.assert_array_equal(found.frames(slice(None)), expected.amplitude)
    chosen = np.random.default_rng(1).integers(0, expected.n_frames, (5, 2))
    np.testing.assert_array_equal(found.frames(chosen), expected.amplitude[chosen])
    np.testing.assert_array_equal(found.frame_energies, expected.frame_energies)
    some = found.select(chosen[:, 0])
    np.testing.assert_array_equal(some.frames(slice(None)), expected.amplitude[chosen[:, 0]])
    kept = np.ones_like(expected.probe, bool) if expected.mask is None else expected.mask.copy()
    kept[::3] = False
    np.testing.assert_array_equal(
        found.with_mask(kept).frames(slice(None)), expected.with_mask(kept).amplitude
    )


@pytest.mark.parametrize("kind", SCANS)
def test_files_of_other_packages_give_the_same_scan(tmp_path, known, no_memory, kind):
    path = WRITERS[kind](tmp_path, known)
    expected = read_scan(path)
    assert isinstance(expected.amplitude, np.ndarray)
    no_memory()
    found = read_scan(path)
    assert isinstance(found.amplitude, StoredRows)
    assert_same(found, expected)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["raw", "compressed"])
@pytest.mark.parametrize("form", ["float32", "float64", "legacy", "gaps"])
def test_our_own_files_give_the_same_scan(tmp_path, make_scan, no_memory, form, save):
    scan = make_scan(n=23)
    frames = np.array(scan.amplitude, np.float64 if form == "float64" else np.float32)
    frames = np.moveaxis(frames, 0, -1) if form == "legacy" else frames
    if form == "gaps":
        frames[:, 0, :] = 65535
    y, x = scan.positions_yx.T
    save(tmp_path / "a.npz", diffraction=frames, xcoords=x, ycoords=y, probeGuess=scan.probe)
    expected = read_npz(tmp_path / "a.npz", plausibility=False)
    no_memory()
    found = read_npz(tmp_path / "a.npz", plausibility=False)
    assert is_mapped(found.amplitude)
    assert_same(found, expected)


def test_a_scan_of_tike_is_the_same(tmp_path, no_memory):
    rng = np.random.default_rng(4)
    data = rng.poisson(40, (1, 9, 16, 16))
    np.savez_compressed(
        tmp_path / "a.npz", data=data, scan=30 * rng.random((1, 9, 2)), probe=np.ones((1, 16, 16))
    )
    expected = read_tike(tmp_path / "a.npz", plausibility=False)
    no_memory()
    assert_same(read_tike(tmp_path / "a.npz", plausibility=False), expected)


def test_a_raster_whose_chunks_are_rows_of_it_is_cut_anywhere(tmp_path, no_memory):
    counts = np.random.default_rng(5).poisson(7, (6, 5, 8, 8)).astype(np.uint16)
    y, x = np.mgrid[:6, :5].reshape(2, -1) * 3.0
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raster", data=counts, chunks=(2, 5, 8, 8), compression="gzip")
        file["y"], file["x"] = y, x
    settings = ImportSettings(frames=":raster", y=":y", x=":x", position_unit="px", crop=6)
    expected = read_scan(tmp_path / "a.h5", importing=settings, plausibility=False)
    no_memory()
    found = read_scan(tmp_path / "a.h5", importing=settings, plausibility=False)
    assert isinstance(found.amplitude, StoredRows)
    assert_same(found, expected)


class Reader:
    """Counts of frames whose every pixel is their number, and the ranges that were read."""

    def __init__(self, n_frames=40):
        self.counts = np.broadcast_to(np.arange(n_frames)[:, None, None], (n_frames, 4, 4)).astype(np.uint32)
        self.ranges = []

    def __call__(self, start, stop):
        self.ranges.append((start, stop))
        return self.counts[start:stop]

    def stored(self, together, wanted=None):
        frames = AnyFrames(n_frames=len(self.counts), frame_bytes=64, together=together, read=self)
        wanted = np.arange(len(self.counts)) if wanted is None else wanted
        return StoredFrames(
            frames, wanted, lambda counts, numbers: counts.astype(np.float32), side=4, mask=None
        )


def test_what_lies_together_is_read_whole_and_once_by_batches_of_any_size():
    reader = Reader()
    stored = reader.stored(together=16)
    for start in range(0, 40, 6):
        np.testing.assert_array_equal(
            stored[start : start + 6][:, 0, 0], np.arange(start, min(start + 6, 40))
        )
    assert reader.ranges == [(0, 16), (16, 32), (32, 40)]


def test_frames_in_any_order_are_read_in_the_order_of_the_file():
    reader = Reader()
    wanted = np.random.default_rng(3).permutation(40)
    stored = reader.stored(1, wanted)
    chosen = np.array([7, 7, 0, 31])
    np.testing.assert_array_equal(stored[chosen][:, 1, 2], wanted[chosen])
    assert reader.ranges == sorted(reader.ranges)
    assert sum(stop - start for start, stop in reader.ranges) == 3
    np.testing.assert_array_equal(stored.taking(chosen)[1:3, 0, 0], wanted[chosen[1:3]])


def test_several_threads_may_read():
    stored = Reader().stored(together=16)
    found = {}

    def read(number):
        rng = np.random.default_rng(number)
        chosen = rng.integers(0, 40, (30, 5))
        found[number] = all((stored[each][:, 0, 0] == each).all() for each in chosen)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), True)


def test_stacks_one_after_the_other_are_read_across_their_borders():
    parts = [
        FrameStack.of_array(str(k), Reader().counts[a:b])
        for k, (a, b) in enumerate([(0, 3), (3, 9), (9, 20)])
    ]
    blocks = FrameStack.chain("all", parts).blocks
    assert isinstance(blocks, AnyFrames)
    np.testing.assert_array_equal(blocks.read(2, 12)[:, 0, 0], np.arange(2, 12))
    assert [start for start, _ in blocks()] == [0]


def test_a_scan_outlives_the_name_of_its_file_and_closes_it(tmp_path, known, no_memory):
    path = WRITERS["cxi"](tmp_path, known)
    expected = read_scan(path)
    no_memory()
    scan = read_scan(path)
    path.rename(tmp_path / "b.cxi")
    np.testing.assert_array_equal(scan.frames(slice(3, 9)), expected.amplitude[3:9])
    opened = _descriptors(tmp_path / "b.cxi")
    del scan
    assert (opened, _descriptors(tmp_path / "b.cxi")) == (1, 0)


def _descriptors(path):
    links = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    return links.count(str(path.resolve()))


def test_a_part_of_a_scan_stays_where_the_scan_is(tmp_path, known, no_memory, monkeypatch):
    no_memory()
    scan = read_scan(WRITERS["cxi"](tmp_path, known))
    monkeypatch.setattr(row_store, "_SAMPLE_BYTES", 0)
    part = scan.select([4, 2, 9])
    assert isinstance(part.amplitude, StoredRows)
    masked = replace(part, amplitude=part.amplitude.with_zeros(np.eye(scan.patch_size, dtype=bool)))
    frames = rows_of(masked.amplitude, slice(None))
    np.testing.assert_array_equal(frames, scan.frames([4, 2, 9]) * np.eye(scan.patch_size))


def test_a_worker_reads_no_frame_only_to_see_whether_it_is_damaged(tmp_path, make_scan):
    scan = make_scan(n=9)
    write_npz(tmp_path / "a.npz", scan)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    place = content.index(scan.amplitude[5].tobytes())
    content[place : place + 4] = np.float32(np.nan).tobytes()
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="Bad CRC-32"):
        read_npz(tmp_path / "a.npz", plausibility=False)
    with believing_files():
        assert np.isnan(read_npz(tmp_path / "a.npz", plausibility=False).frames(5)[0, 0])
