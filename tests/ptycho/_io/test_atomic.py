"""A file is there whole or not at all: whatever the disk has room for, and whoever was killed before."""

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from full_disks import disk_full_at

from ptycho._io.atomic import replacing, sole_use, staged_files
from ptycho.data import write_npz
from ptycho.models.bundle import load_bundle, save_bundle
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel
from ptycho.stitching import Canvas

_LEFT = f".a.npz.{'0a' * 16}.tmp"


def test_what_a_killed_writer_left_is_removed_by_the_next_one(tmp_path, caplog):
    for name in (_LEFT, f".b.npz.{'0a' * 16}.tmp", ".a.npz.mine.tmp"):
        (tmp_path / name).write_text("half")
    with replacing(tmp_path / "a.npz") as file:
        file.write(b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".a.npz.mine.tmp",
        f".b.npz.{'0a' * 16}.tmp",
        "a.npz",
    ]
    assert f"removed {tmp_path / _LEFT}" in caplog.text


def test_what_another_writer_is_at_work_on_stays(tmp_path):
    with replacing(tmp_path / "a.npz") as first:
        first.write(b"first")
        with replacing(tmp_path / "a.npz") as second:
            second.write(b"second")
        assert (tmp_path / "a.npz").read_bytes() == b"second"
    assert (tmp_path / "a.npz").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def _write_canvas(path, scan):
    canvas = Canvas.around(scan.positions_yx, crop_size=7)
    canvas.add(scan.amplitude.astype(np.complex64), scan.positions_yx)
    canvas.save(path)


@pytest.mark.parametrize("write", [write_npz, _write_canvas])
def test_a_disk_that_is_full_at_any_byte_leaves_the_older_file_alone(tmp_path, scan, write):
    path = tmp_path / "a.npz"
    write(path, scan)
    whole = path.stat().st_size
    path.write_bytes(b"older")
    # At every seventh byte near both ends, where headers and the table of contents lie, and here and there between.
    places = [
        *range(0, 600, 7),
        *range(600, whole - 600, whole // 50),
        *range(whole - 600, whole, 7),
        whole - 1,
    ]
    for place in places:
        with pytest.raises(OSError, match="File too large") as caught, disk_full_at(place):
            write(path, scan)
        assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path)), place
        assert path.read_bytes() == b"older", place
        assert [each.name for each in tmp_path.iterdir()] == ["a.npz"], place
    with disk_full_at(whole):
        write(path, scan)


def test_a_disk_that_is_full_leaves_the_older_model_alone(tmp_path):
    architecture = Architecture(kind="baseline", patch_size=16, n_filters_scale=0.25)
    probe = np.full((1, 16, 16), 1 + 2j, np.complex64)
    model = PatchModel(build_network(architecture), architecture, probe, {"seed": 7})
    save_bundle(tmp_path, model)
    older = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    weights = len(older["network.weights.h5"])
    for place in (0, 50, 200, 3000, weights // 2, weights - 2000, weights - 1):
        with pytest.raises(OSError, match="File too large") as caught, disk_full_at(place):
            save_bundle(tmp_path, model)
        assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path)), place
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == older, place
    assert load_bundle(tmp_path).architecture == architecture


def _write_two(folder):
    with staged_files(folder) as stage:
        (stage / "a.csv").write_text("new")
        (stage / "b.csv").write_text("far too much to fit")


def test_a_folder_of_results_on_a_full_disk_is_as_it_was(tmp_path):
    (tmp_path / "a.csv").write_text("old")
    with pytest.raises(OSError, match="File too large") as caught, disk_full_at(10):
        _write_two(tmp_path)
    assert caught.value.filename == str(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.csv": "old"}


# Each child ends as if killed right before its nth move; they are forked from a process without threads.
_KILLED = """
import os, sys
from pathlib import Path
from ptycho._io.atomic import staged_files
for number, folder in enumerate(sys.argv[1:]):
    if os.fork():
        os.wait()
        continue
    left = number
    def ending(move):
        def moved(path, target):
            global left
            left -= 1
            return os._exit(9) if left < 0 else move(path, target)
        return moved
    Path.replace, Path.rename = ending(Path.replace), ending(Path.rename)
    with staged_files(folder, replaces=["*.txt"]) as stage:
        for name in ("a.txt", "b.txt", "new.txt"):
            (stage / name).write_text("new")
    os._exit(0)
"""
_OLD_FILES = {"a.txt": "old", "b.txt": "old", "stale.txt": "old"}
_NEW_FILES = {"a.txt": "new", "b.txt": "new", "new.txt": "new"}


@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
def test_a_folder_is_as_before_or_new_wherever_its_writer_was_killed(tmp_path):
    folders = [tmp_path / str(number) for number in range(8)]
    for folder in folders:
        folder.mkdir()
        for name, text in _OLD_FILES.items():
            (folder / name).write_text(text)
    subprocess.run([sys.executable, "-c", _KILLED, *map(str, folders)], check=True)
    after = []
    for folder in folders:
        with sole_use(folder):
            after.append({path.name: path.read_text() for path in folder.iterdir()})
    # Three files and the mark that they are all out; from then on it is finished.
    assert after == [_OLD_FILES] * 4 + [_NEW_FILES] * 4


def test_a_signal_while_files_are_exchanged_leaves_them_as_they_were(tmp_path, monkeypatch):
    for number in range(7):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, text in _OLD_FILES.items():
            (folder / name).write_text(text)
        moves = _interrupting_after(monkeypatch, number)
        with pytest.raises(KeyboardInterrupt):
            _replace_all(folder)
        assert len(moves) > number
        monkeypatch.undo()
        assert {path.name: path.read_text() for path in folder.iterdir()} == _OLD_FILES


def _replace_all(folder):
    with staged_files(folder, replaces=["*.txt"]) as stage:
        for name, text in _NEW_FILES.items():
            (stage / name).write_text(text)


def _interrupting_after(monkeypatch, number):
    """Let Ctrl-C come right after a move, before its caller knows of it; return the list of moves."""
    moves = []

    def interrupting(move):
        def moved(path, target):
            done = move(path, target)
            moves.append(target)
            if len(moves) == number + 1:
                raise KeyboardInterrupt
            return done

        return moved

    for name in ("replace", "rename"):
        monkeypatch.setattr(Path, name, interrupting(getattr(Path, name)))
    return moves
