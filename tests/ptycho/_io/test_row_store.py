"""Arrays that are too large for memory are made in a file that goes with them; no room for it is told at once."""

import logging
from collections import namedtuple

import numpy as np
import pytest

import autobatch
from ptycho._io import row_store
from ptycho._io.mapped import is_mapped, rows_of
from ptycho._io.row_store import RowStore, largest_in_memory_bytes, made_of, some_rows
from ptycho.errors import DataError

Usage = namedtuple("Usage", ["total", "used", "free"])
VALUES = np.random.default_rng(6).random((700, 3, 5), np.float32)


@pytest.mark.parametrize("most", [0, 1 << 30], ids=["file", "memory"])
def test_rows_in_any_order_make_the_array(monkeypatch, most):
    monkeypatch.setattr(row_store, "_MOST_BYTES", most)
    store = RowStore(VALUES.shape, np.float32, "it")
    order = np.random.default_rng(1).permutation(700)
    for part in np.array_split(order, 5):
        store.write(part, VALUES[part].astype(np.float64))
    np.testing.assert_array_equal(rows_of(store.array(), slice(None)), VALUES)
    store.change(lambda rows: rows * 2)
    found = store.array()
    assert is_mapped(found) == (most == 0)
    np.testing.assert_array_equal(rows_of(found, slice(None)), 2 * VALUES)
    part = some_rows(found, order[:90], what="a part")
    np.testing.assert_array_equal(rows_of(part, slice(None)), 2 * VALUES[order[:90]])


def test_a_quarter_of_what_is_free_is_too_much_and_so_is_a_gibibyte(monkeypatch):
    for free, most in ((1000, 250), (1 << 40, 1 << 30)):
        memory = namedtuple("Memory", "free_bytes")(free)
        monkeypatch.setattr(autobatch, "device_memory", lambda device, memory=memory: memory)
        assert largest_in_memory_bytes() == most


def test_it_is_said_once_and_leaves_no_name(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(row_store, "_MOST_BYTES", 0)
    monkeypatch.setattr(row_store, "_folder", lambda: str(tmp_path))
    with caplog.at_level(logging.INFO):
        found = made_of((2, 3), np.float32, [(slice(0, 2), np.ones((2, 3)))], what="diffraction in a.npz")
    assert "diffraction in a.npz takes 0.0 GB, too much for memory: it is written once" in caplog.text
    assert (found.sum(), list(tmp_path.iterdir())) == (6, [])


def test_a_disk_without_room_is_told_before_anything_is_written(monkeypatch):
    monkeypatch.setattr(row_store.shutil, "disk_usage", lambda folder: Usage(9e9, 8e9, 1e9))
    with pytest.raises(DataError, match=r"a\.npz takes 5\.0 GB, .* has 1\.0 GB free .*; set TMPDIR"):
        row_store.temporary_file(5_000_000_000, "diffraction in a.npz")


@pytest.mark.parametrize(
    ("kind", "says", "expected"),
    [("tmpfs", None, "/var/tmp"), ("ext4", None, "/tmp"), ("tmpfs", "/tmp", "/tmp")],
)
def test_files_do_not_go_where_they_take_memory_but_where_the_user_says(monkeypatch, kind, says, expected):
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    if says:
        monkeypatch.setenv("TMPDIR", says)
    monkeypatch.setattr(row_store.tempfile, "gettempdir", lambda: "/tmp")
    monkeypatch.setattr(row_store, "_mounts", lambda: [("/", "ext4"), ("/tmp", kind)])
    assert row_store._folder() == expected
