"""HDF5 without trust: links, numbers kept elsewhere, bombs, damage and missing filters."""

from __future__ import annotations

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from ptycho._io.hdf5 import open_hdf5, opened_hdf5
from ptycho._io.hdf5_heaps import refuse_endless_heap
from ptycho.errors import DataError

FRAMES = np.arange(24).reshape(4, 2, 3)


@pytest.fixture
def path(tmp_path):
    """A file with a group, a dataset in it, and an attribute."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/frames"] = FRAMES
        file["entry/frames"].attrs["pixel"] = 75e-6
        file["entry/name"] = b"cdtools"
    return tmp_path / "a.h5"


def _add(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def test_numbers_texts_and_attributes_are_read(path):
    with open_hdf5(path) as file:
        np.testing.assert_array_equal(file.read("entry/frames"), FRAMES)
        np.testing.assert_array_equal(file.read("/entry/frames", 1, 3), FRAMES[1:3])
        assert file.number("entry/none", "entry/frames@pixel") == 75e-6
        assert file.text("entry/name") == "cdtools"
        assert file.keys("entry") == ["frames", "name"]
        assert "entry/nothing" not in file
        assert file.shape("entry") is None
        assert file.contents() == "entry/frames (4, 2, 3), entry/name ()"


@pytest.mark.parametrize("target", ["/entry/frames", "frames"])
def test_soft_links_are_followed(path, target):
    _add(path, lambda file: file["entry"].__setitem__("link", h5py.SoftLink(target)))
    _add(path, lambda file: file.__setitem__("door", h5py.SoftLink("/entry")))
    with open_hdf5(path) as file:
        np.testing.assert_array_equal(file.read("entry/link"), FRAMES)
        np.testing.assert_array_equal(file.read("door/link"), FRAMES)


def test_a_ring_of_links_is_refused(path):
    _add(path, lambda file: file.__setitem__("a", h5py.SoftLink("/b")))
    _add(path, lambda file: file.__setitem__("b", h5py.SoftLink("/a")))
    with open_hdf5(path) as file, pytest.raises(DataError, match="leads over more than 16 links"):
        file.read("a")


def test_a_dead_link_is_as_if_it_were_not_there(path):
    _add(path, lambda file: file.__setitem__("a", h5py.SoftLink("/nowhere")))
    with open_hdf5(path) as file:
        assert "a" not in file


@pytest.mark.parametrize("written_as", ["b.h5", "/far/away/b.h5", "../b.h5", r"C:\data\b.h5"])
def test_an_external_link_is_followed_beside_the_file_only_and_only_when_told(path, written_as):
    with h5py.File(path.with_name("b.h5"), "w") as file:
        file["data"] = FRAMES + 1
    _add(path, lambda file: file.__setitem__("far", h5py.ExternalLink(written_as, "/data")))
    with open_hdf5(path) as file, pytest.raises(DataError, match=r"far in .* is an external link to"):
        file.read("far")
    with open_hdf5(path, neighbours=True) as file:
        np.testing.assert_array_equal(file.read("far"), FRAMES + 1)


def test_an_external_link_to_nothing_names_what_is_missing(path, monkeypatch):
    _add(path, lambda file: file.__setitem__("far", h5py.ExternalLink("../b.h5", "/data")))
    monkeypatch.chdir(path.parent)
    message = r"a link to b\.h5, which is not beside it; copy b\.h5 into /.*[^.]\.$"
    with open_hdf5(Path(path.name), neighbours=True) as file, pytest.raises(DataError, match=message):
        file.read("far")


@pytest.mark.parametrize("neighbours", [True, False])
def test_links_that_lead_nowhere_are_listed_whether_inside_or_out(path, neighbours):
    with h5py.File(path.with_name("b.h5"), "w") as file:
        file["data"] = FRAMES
    _add(path, lambda file: file.__setitem__("gone", h5py.ExternalLink("c.h5", "/data")))
    _add(path, lambda file: file.__setitem__("soft", h5py.SoftLink("/nowhere")))
    _add(path, lambda file: file.__setitem__("there", h5py.ExternalLink("b.h5", "/data")))
    _add(path, lambda file: file.__setitem__("void", h5py.ExternalLink("b.h5", "/nothing")))
    inside = [("void", "/nothing in b.h5")] if neighbours else []
    with open_hdf5(path, neighbours=neighbours) as file:
        assert list(file.dead_links()) == [("gone", "/data in c.h5"), ("soft", "/nowhere"), *inside]


def _virtual(path, source):
    layout = h5py.VirtualLayout(shape=FRAMES.shape, dtype=FRAMES.dtype)
    layout[:] = h5py.VirtualSource(source, "entry/frames", shape=FRAMES.shape)
    _add(path, lambda file: file.create_virtual_dataset("virtual", layout))


def test_virtual_frames_of_the_same_file_or_a_neighbour_are_read(path, tmp_path):
    _virtual(path, ".")
    with open_hdf5(path) as file:
        np.testing.assert_array_equal(file.read("virtual"), FRAMES)
    with h5py.File(tmp_path / "master.h5", "w"):
        pass
    _virtual(tmp_path / "master.h5", "a.h5")
    with open_hdf5(tmp_path / "master.h5") as file:
        np.testing.assert_array_equal(file.read("virtual"), FRAMES)


def test_virtual_frames_are_read_beside_the_file_where_hdf5_reads_them_so(path, tmp_path):
    with h5py.File(tmp_path / "master.h5", "w"):
        pass
    _virtual(tmp_path / "master.h5", "/far/away/a.h5")
    with open_hdf5(tmp_path / "master.h5") as file:
        np.testing.assert_array_equal(file.read("virtual"), FRAMES)


@pytest.mark.parametrize("source", ["gone.h5", "/far/away/gone.h5"])
def test_virtual_frames_that_are_missing_are_read_once_they_lie_where_the_advice_says(
    path, monkeypatch, source
):
    _virtual(path, source)
    monkeypatch.chdir(path.parent)
    with (
        open_hdf5(Path(path.name)) as file,
        pytest.raises(DataError, match=r"\(they would read as zeros\); copy gone.h5 into /") as refused,
    ):
        file.read("virtual")
    folder = Path(str(refused.value).partition(" into ")[2].removesuffix("."))
    with h5py.File(folder / "gone.h5", "w") as file:
        file["entry/frames"] = FRAMES
    with open_hdf5(Path(path.name)) as file:
        np.testing.assert_array_equal(file.read("virtual"), FRAMES)


@pytest.mark.parametrize("source", ["../a.h5", "/etc/hostname", "sub/a.h5", r"C:\data\b.h5", "here/a.h5"])
def test_virtual_frames_that_hdf5_reads_elsewhere_are_refused(path, source):
    (path.parent / "here").mkdir()
    path.with_name("here").joinpath("a.h5").write_bytes(path.read_bytes())
    path.with_name("b.h5").write_bytes(path.read_bytes())
    _virtual(path, source)
    with open_hdf5(path) as file, pytest.raises(DataError, match=r"is not a file beside it \(HDF5 looks for"):
        file.read("virtual")


def test_virtual_frames_of_a_dataset_that_is_missing_are_refused(path):
    _virtual(path, ".")
    _add(path, lambda file: file.__delitem__("entry/frames"))
    with open_hdf5(path) as file, pytest.raises(DataError, match=r"entry/frames in .* which does not exist"):
        file.read("virtual")


def test_numbers_in_a_raw_file_are_refused(path, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(16))
    _add(
        path,
        lambda file: file.create_dataset("raw", (4,), "i4", external=[(str(tmp_path / "secret"), 0, 16)]),
    )
    with open_hdf5(path) as file, pytest.raises(DataError, match=r"raw in .* in a file that is not HDF5"):
        file.read("raw")


def test_a_dataset_that_declares_far_more_than_is_stored_is_refused(path):
    _add(path, lambda file: file.create_dataset("bomb", (10**6, 10**4), "f8", chunks=(100, 100)))
    with (
        open_hdf5(path) as file,
        pytest.raises(DataError, match="declares 80000000000 bytes but 0 are stored"),
    ):
        file.read("bomb")


def test_a_filter_that_is_missing_is_named_with_its_cure(path):
    def packed(file):
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk((4,))
        # A number that no filter has; an optional one may be missing when the file is written.
        settings.set_filter(32767 - 1, h5py.h5z.FLAG_OPTIONAL)
        h5py.h5d.create(file.id, b"packed", h5py.h5t.STD_I32LE, h5py.h5s.create_simple((4,)), settings)

    _add(path, packed)
    message = r"packed in .* compressed by filter 32766, .* pip install hdf5plugin"
    with open_hdf5(path) as file, pytest.raises(DataError, match=message):
        file.read("packed")


def test_frames_of_eiger_detectors_are_unpacked_where_the_filters_are_installed(path):
    hdf5plugin = pytest.importorskip("hdf5plugin")
    _add(
        path,
        lambda file: file.create_dataset("packed", data=FRAMES, chunks=(1, 2, 3), **hdf5plugin.Bitshuffle()),
    )
    with open_hdf5(path) as file:
        np.testing.assert_array_equal(file.read("packed"), FRAMES)


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.ones(2), "is float64 of 2 entries"), (np.nan, "is nan"), (b"8 keV", "is b'8 keV'")],
)
def test_what_is_no_number_is_refused(path, value, message):
    _add(path, lambda file: file.__setitem__("energy", value))
    with (
        open_hdf5(path) as file,
        pytest.raises(DataError, match=f"energy in .* {message} but must be one finite"),
    ):
        file.number("energy")


def test_pairs_of_real_and_imaginary_parts_are_complex(path):
    pairs = np.array([(1.0, 2.0), (3.0, -4.0)], dtype=[("real", "f8"), ("imag", "f8")])
    _add(path, lambda file: file.__setitem__("object", pairs))
    with open_hdf5(path) as file:
        np.testing.assert_array_equal(file.read("object"), [1 + 2j, 3 - 4j])


@pytest.mark.parametrize("value", [np.zeros(2, [("a", "f8"), ("b", "i4")]), h5py.Empty("f8")])
def test_odd_types_are_refused(path, value):
    _add(path, lambda file: file.__setitem__("odd", value))
    with open_hdf5(path) as file, pytest.raises(DataError, match=r"odd in .* numbers"):
        file.read("odd")


def test_what_is_missing_is_named_with_what_is_there(path):
    with (
        open_hdf5(path) as file,
        pytest.raises(DataError, match=r"has no probe; it holds entry/frames \(4, 2, 3\)"),
    ):
        file.require(["entry/frames", "probe"])


def test_names_that_are_no_text_are_passed_over(path):
    _add(path, lambda file: file.create_group(b"\xff\xfe"))
    with open_hdf5(path) as file:
        assert file.keys() == ["entry"]


def test_a_truncated_file_is_called_damaged(path):
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DataError, match="is no HDF5 file, or a damaged one"), open_hdf5(path):
        pass


def _endless(path, at, value):
    """Overwrite a byte of the first object of the heap of texts, of which the library would not come back."""
    content = bytearray(path.read_bytes())
    content[content.index(b"GCOL") + 16 + at] = value
    path.write_bytes(content)


@pytest.mark.parametrize("at", [8, 9, 14])
def test_a_damaged_heap_of_texts_is_an_error_and_no_wait_without_end(tmp_path, at):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["name"], file.attrs["creator"] = "a text of any length", "somebody"
    with open_hdf5(path) as file:
        assert (file.text("name"), file.text("@creator")) == ("a text of any length", "somebody")
    _endless(path, at, 0xFF)
    with open_hdf5(path) as file:
        for read in (lambda: file.text("name"), lambda: file.attribute("", "creator")):
            with pytest.raises(
                DataError, match=r"a\.h5 cannot be read \(a heap of texts is damaged: its object"
            ):
                read()
    with (
        opened_hdf5(path.read_bytes(), "a.h5") as root,
        pytest.raises(OSError, match="a heap of texts is damaged"),
    ):
        root.attrs["creator"]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([10, 4096 - 16 - 32], None),
        ([10, 0], "object 0 takes 0 of 4096"),
        ([4070], "object 1 takes 4088 of 4096"),
    ],
)
def test_a_heap_must_end(sizes, message):
    objects = b""
    for index, size in zip((1, 0), sizes, strict=False):
        data = bytes((size + 7) // 8 * 8) if index else b""
        objects += struct.pack("<HHIQ", index, 1, 0, size) + data
    heap = (b"GCOL\1\0\0\0" + struct.pack("<Q", 4096) + objects).ljust(4096, b"\0")
    if message is None:
        refuse_endless_heap(heap, 8)
        return
    with pytest.raises(OSError, match=message):
        refuse_endless_heap(heap, 8)


def test_a_virtual_dataset_that_grows_with_its_source_has_its_shape(tmp_path):
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file.create_dataset("frames", data=FRAMES, maxshape=(None, *FRAMES.shape[1:]))
    source = h5py.VirtualSource("source.h5", "frames", shape=FRAMES.shape, maxshape=(None, *FRAMES.shape[1:]))
    layout = h5py.VirtualLayout(shape=FRAMES.shape, dtype=FRAMES.dtype, maxshape=(None, *FRAMES.shape[1:]))
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    with h5py.File(tmp_path / "master.h5", "w") as file:
        file.create_virtual_dataset("frames", layout)
    with open_hdf5(tmp_path / "master.h5") as file:
        assert file.shape("frames") == FRAMES.shape
        np.testing.assert_array_equal(file.read("frames"), FRAMES)
