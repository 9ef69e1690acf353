"""A file is there whole or not at all: whatever the disk has room for, and whoever was killed before."""

import errno
import resource
from contextlib import contextmanager

import numpy as np
import pytest

from ptycho._io.atomic import replacing, staged_files
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


@contextmanager
def _disk_full_at(n_bytes):
    """No file of the block grows beyond `n_bytes`, as on a disk that is full by then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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
        with pytest.raises(OSError, match="File too large") as caught, _disk_full_at(place):
            write(path, scan)
        assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path)), place
        assert path.read_bytes() == b"older", place
        assert [each.name for each in tmp_path.iterdir()] == ["a.npz"], place
    with _disk_full_at(whole):
        write(path, scan)


def test_a_disk_that_is_full_leaves_the_older_model_alone(tmp_path):
    architecture = Architecture(kind="baseline", patch_size=16, n_filters_scale=0.25)
    probe = np.full((16, 16), 1 + 2j, np.complex64)
    model = PatchModel(build_network(architecture), architecture, probe, {"seed": 7})
    save_bundle(tmp_path, model)
    older = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    weights = len(older["network.weights.h5"])
    for place in (0, 50, 200, 3000, weights // 2, weights - 2000, weights - 1):
        with pytest.raises(OSError, match=r"File too large|network\.weights\.h5"), _disk_full_at(place):
            save_bundle(tmp_path, model)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == older, place
    assert load_bundle(tmp_path).architecture == architecture


def _write_two(folder):
    with staged_files(folder) as stage:
        (stage / "a.csv").write_text("new")
        (stage / "b.csv").write_text("far too much to fit")


def test_a_folder_of_results_on_a_full_disk_is_as_it_was(tmp_path):
    (tmp_path / "a.csv").write_text("old")
    with pytest.raises(OSError, match="File too large"), _disk_full_at(10):
        _write_two(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.csv": "old"}
