"""Archives without trust: nothing is unpacked that its header shows to be wrong, and nothing without a bound."""

import bz2
import os
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from ptycho._io import archive as archives
from ptycho._io.archive import open_archive, read_npy
from ptycho._io.hdf5 import open_hdf5
from ptycho._io.packing import Packing
from ptycho.data import read_npz, read_reconstruction, read_scan, write_npz
from ptycho.data.formats.tike import read_tike
from ptycho.errors import DataError
from ptycho.models import load_model
from ptycho.stitching import Canvas


def _npy(array):
    buffer = BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _zip(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


@pytest.fixture
def unpacked(monkeypatch):
    """The shapes of all arrays that are unpacked."""
    shapes, read_array = [], np.lib.format.read_array

    def recording(*arguments, **options):
        array = read_array(*arguments, **options)
        shapes.append(array.shape)
        return array

    monkeypatch.setattr(np.lib.format, "read_array", recording)
    return shapes


def test_a_packed_stream_is_unpacked_up_to_a_bound_and_leaves_nothing(tmp_path, monkeypatch, scan):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    write_npz(tmp_path / "scan.npz", scan)
    packed = tmp_path / "scan.npz.bz2"
    packed.write_bytes(bz2.compress((tmp_path / "scan.npz").read_bytes() + bytes(5 << 20)))
    monkeypatch.setattr(archives, "FRAMES", Packing(ratio=3, small_bytes=1 << 20))
    with pytest.raises(DataError, match=r"scan\.npz\.bz2 unpacks to more than 1048576 bytes"):
        read_npz(packed)
    assert not list(scratch.iterdir())


def test_a_stream_that_is_packed_as_usual_is_read(tmp_path, scan):
    write_npz(tmp_path / "scan.npz", scan)
    (tmp_path / "b").write_bytes(bz2.compress((tmp_path / "scan.npz").read_bytes()))
    np.testing.assert_array_equal(read_npz(tmp_path / "b").amplitude, scan.amplitude)


def test_a_member_that_declares_far_more_than_is_stored_is_not_unpacked(tmp_path, unpacked):
    path = _zip(tmp_path / "a.npz", {"a.npy": _npy(np.zeros((300, 400)))})
    with open_archive(path) as archive:
        with pytest.raises(
            DataError, match=r"a in .*a\.npz declares 960128 bytes but \d+ are stored, more than 20"
        ):
            archive.read("a", Packing(ratio=20, small_bytes=1000))
        assert unpacked == []
        assert archive.read("a").shape == (300, 400)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_that_python_unpacks_without_a_bound_are_refused(tmp_path, method):
    path = _zip(tmp_path / "a.npz", {"a.npy": _npy(np.zeros((30, 40)))}, method)
    with open_archive(path) as archive, pytest.raises(DataError, match=f"is packed by method {method}"):
        archive.read("a")


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_member_that_is_listed_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", _npy(np.zeros(3)))
        file.writestr("a.npy", _npy(np.ones(4)))
    with pytest.raises(DataError, match=r"a\.npz lists a member twice"), open_archive(tmp_path / "a.npz"):
        pass


def test_a_header_of_a_gigabyte_is_not_read(tmp_path):
    # Version 2 of the format tells the length of its header by four bytes.
    content = b"\x93NUMPY\x02\x00" + (1 << 30).to_bytes(4, "little") + bytes(2 << 20)
    path = _zip(tmp_path / "a.npz", {"a.npy": content})
    with open_archive(path) as archive, pytest.raises(DataError, match="a header of 1073741824 bytes"):
        archive.shape("a")
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npy cannot be read .*a header of 1073741824 bytes"):
        read_npy(tmp_path / "a.npy")


def test_an_array_that_its_file_does_not_fill_takes_no_memory(tmp_path):
    content = _npy(np.zeros((7, 9), np.complex64)).replace(b"(7, 9)", b"(7000000, 9000000)")
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npy .*shape \(7000000, 9000000\) of complex64 needs"):
        read_npy(tmp_path / "a.npy")


def _saved(path, scan, **changes):
    write_npz(path, scan)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez_compressed(path, **(arrays | changes))
    return path


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("probeGuess", (300, 400)),
        ("probeGuess", (5, 16, 16)),
        ("valid_pixels", (300, 400)),
        ("scan_index", (300_000,)),
        ("objectGuess", (3, 300, 400)),
        ("object_pixel_m", (300, 400)),
    ],
)
def test_a_wrong_shape_in_a_scan_is_refused_by_its_header(tmp_path, scan, unpacked, key, shape):
    path = _saved(tmp_path / "scan.npz", scan, **{key: np.zeros(shape)})
    with pytest.raises(DataError, match=rf"{key} in .*scan\.npz"):
        read_npz(path)
    assert shape not in unpacked


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("reconstructed_object", (3, 300, 400)),
        ("coverage", (300, 400)),
        ("algorithm", (300, 400)),
        ("computation_time_seconds", (300, 400)),
    ],
)
def test_a_wrong_shape_in_a_reconstruction_is_refused_by_its_header(tmp_path, unpacked, key, shape):
    members = {
        "reconstructed_object": np.ones((20, 31), np.complex64),
        "reconstructed_probe": np.ones((8, 8), np.complex64),
        "algorithm": np.array("ePIE"),
    }
    path = tmp_path / "r.npz"
    np.savez_compressed(path, **(members | {key: np.zeros(shape)}))
    with pytest.raises(DataError, match=rf"{key} in .*r\.npz"):
        read_reconstruction(path)
    assert shape not in unpacked


def test_a_canvas_is_not_unpacked_beyond_what_it_is_made_of(tmp_path, unpacked):
    path = tmp_path / "canvas.npz"
    Canvas.around(np.array([[20.0, 31.0], [40.0, 60.0]]), crop_size=7).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez_compressed(path, **arrays, more=np.zeros((300, 400)))
    assert Canvas.load(path).crop_size == 7
    assert (300, 400) not in unpacked
    unpacked.clear()
    # A long text is no name of a format, and what is no canvas has no sums to read.
    np.savez_compressed(path, **(arrays | {"format": np.zeros((300, 4000)), "values": np.zeros((301, 400))}))
    with pytest.raises(DataError, match="is not a canvas file"):
        Canvas.load(path)
    assert {(300, 4000), (301, 400)}.isdisjoint(unpacked)


READERS = {
    "scan": read_npz,
    "any scan": read_scan,
    "tike": read_tike,
    "reconstruction": read_reconstruction,
    "canvas": Canvas.load,
    "array": read_npy,
    "model": load_model,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path, name, kind):
    path = tmp_path / "in.npz" if kind == "pipe" else Path("/dev/zero")
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(DataError, match=f"{path} is (a {kind}|not a folder)"):
        READERS[name](path)


def test_an_hdf5_file_is_no_pipe(tmp_path):
    os.mkfifo(tmp_path / "a.h5")
    with pytest.raises(DataError, match=r"a\.h5 is a pipe"), open_hdf5(tmp_path / "a.h5"):
        pass


def test_times_are_no_numbers(tmp_path, scan):
    path = _saved(tmp_path / "scan.npz", scan, xcoords=np.zeros(9, "M8[s]"))
    with pytest.raises(
        DataError, match=r"xcoords in .*scan\.npz has the type datetime64\[s\] but must be plain"
    ):
        read_npz(path)
