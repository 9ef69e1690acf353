"""Files that change while they are used are found, and a mapping that was cut is an error in words."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ptycho._io.archive import open_archive
from ptycho._io.mapped import refuse_truncated
from ptycho._io.unchanged import Snapshot
from ptycho.errors import DataError


@pytest.fixture
def files(tmp_path):
    """A file, and a folder with one in it."""
    (tmp_path / "model" / "parts").mkdir(parents=True)
    (tmp_path / "scan.npz").write_bytes(b"frames")
    (tmp_path / "model" / "parts" / "weights.h5").write_bytes(b"weights")
    return tmp_path / "scan.npz", tmp_path / "model"


def test_what_stays_as_it_is_is_not_told_of(files):
    assert Snapshot.of(files).changes() == {}


def test_another_size_another_time_and_a_file_that_is_gone_are_told_apart(files):
    scan, model = files
    before = Snapshot.of(files)
    scan.write_bytes(b"more frames")
    os.utime(model / "parts" / "weights.h5", ns=(1, 1))
    assert before.changes() == {
        scan: "had 6 bytes and has 11",
        model / "parts" / "weights.h5": "was written again (its 7 bytes may be others)",
    }
    scan.unlink()
    assert before.changes()[scan] == "is gone"


def test_files_that_the_run_writes_itself_are_not_watched(files):
    _, model = files
    before = Snapshot.of(files, but=model / "parts")
    (model / "parts" / "weights.h5").write_bytes(b"results")
    assert before.changes() == {}


def test_paths_that_are_not_there_are_no_matter(tmp_path):
    assert Snapshot.of([tmp_path / "none"]).changes() == {}


@pytest.mark.parametrize("part", [np.s_[:], np.s_[3:5], np.s_[:, 2]])
def test_a_mapped_array_whose_file_was_cut_is_refused(tmp_path, part):
    path = tmp_path / "a.npz"
    np.savez(path, frames=np.arange(600_000.0).reshape(60, 100, 100))
    with open_archive(path) as archive:
        frames = archive.read_mapped("frames")[part]
    refuse_truncated(frames)
    size = path.stat().st_size
    os.truncate(path, size // 2)
    with pytest.raises(DataError, match=rf"a\.npz was cut while it was used: .* but {size // 2} are left"):
        refuse_truncated(frames)


def test_what_is_in_memory_passes():
    refuse_truncated(np.ones(3)[1:])
