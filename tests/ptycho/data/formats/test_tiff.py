"""Frames in TIFF files, which tifffile writes for these tests, and in many files of a folder or pattern."""

from __future__ import annotations

import struct

import h5py
import numpy as np
import pytest
import tifffile

from ptycho.data import ImportSettings, read_scan
from ptycho.data.formats._containers import open_container
from ptycho.data.formats._tiff import open_tiff
from ptycho.errors import DataError

LAYOUTS = {
    "plain": {},
    "big endian": {"byteorder": ">"},
    "64-bit offsets": {"bigtiff": True},
    "strips of 7 rows": {"rowsperstrip": 7},
    "deflated tiles": {"tile": (16, 32), "compression": "zlib"},
    "deflated differences": {"compression": "zlib", "predictor": True, "byteorder": ">"},
    "one directory of ImageJ": {"imagej": True},
}


def _images(dtype="u2"):
    return (np.random.default_rng(2).random((3, 37, 52)) * 250).astype(dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_are_those_that_were_written(tmp_path, layout):
    images = _images()
    tifffile.imwrite(tmp_path / "a.tif", images, photometric="minisblack", **LAYOUTS[layout])
    with open_tiff(tmp_path / "a.tif") as stack:
        assert (stack.shape, stack.dtype) == ((3, 37, 52), np.dtype("u2"))
        np.testing.assert_array_equal(stack.read(), images)
        np.testing.assert_array_equal(stack.read(1, 2), images[1:2])


@pytest.mark.parametrize("dtype", ["u1", "i4", "f4", "f8"])
def test_numbers_of_other_types_are_read(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", _images(dtype) - np.array(9, dtype), photometric="minisblack")
    with open_tiff(tmp_path / "a.tif") as stack:
        np.testing.assert_array_equal(stack.read(), _images(dtype) - np.array(9, dtype))


def test_a_preview_is_no_frame(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(_images()[0])
        file.write(_images()[0, ::4, ::4], subfiletype=1)
    with open_tiff(tmp_path / "a.tif") as stack:
        assert stack.shape == (1, 37, 52)


def _colour(path):
    tifffile.imwrite(path, np.zeros((8, 8, 3), "u1"), photometric="rgb")


def _two_sizes(path):
    with tifffile.TiffWriter(path) as file:
        file.write(_images()[0])
        file.write(_images()[0, :30])


def _packed_by(compression):
    """One image whose bytes are those of a method of compression."""

    def write(path):
        tags = [(256, 8), (257, 8), (258, 8), (259, compression), (273, 8), (279, 16)]
        directory = struct.pack("<H", 6) + b"".join(
            struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags
        )
        path.write_bytes(struct.pack("<2sHI", b"II", 42, 24) + bytes(16) + directory + bytes(4))

    return write


def _ring(path):
    """A directory that is its own successor."""
    tifffile.imwrite(path, _images()[0])
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (n_tags,) = struct.unpack_from("<H", content, start)
    struct.pack_into("<I", content, start + 2 + 12 * n_tags, start)
    path.write_bytes(content)


def _cut(path):
    tifffile.imwrite(path, _images(), photometric="minisblack")
    path.write_bytes(path.read_bytes()[:4000])


def _bomb(path):
    """Hundreds of directories, of which each says that the same strip is a huge image."""
    tags = [(256, 60000), (257, 60000), (258, 8), (259, 8), (273, 8), (278, 60000), (279, 16)]
    parts, at = [struct.pack("<2sHI", b"II", 42, 24), bytes(16)], 24
    for _ in range(300):
        at += 2 + 12 * len(tags) + 4
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        parts.append(struct.pack("<H", len(tags)) + entries + struct.pack("<I", at))
    path.write_bytes(b"".join(parts) + bytes(100))


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (_colour, "holds 3 values a pixel"),
        (_two_sizes, "image 1 of .* has 30x52 pixels of uint16 but the first has 37x52"),
        (_packed_by(7), "packed by method 7 of TIFF, which is not read; save it anew without compression"),
        (_packed_by(8), "damaged TIFF file .*image 0"),
        (_ring, "its chain of images does not end after 1"),
        (_cut, r"damaged TIFF file \(.*4000"),
        (_bomb, "damaged TIFF file|declares"),
    ],
)
def test_what_is_not_read_is_one_sentence_with_the_file(tmp_path, write, words):
    write(tmp_path / "a.tif")
    with pytest.raises(DataError, match=words) as error, open_tiff(tmp_path / "a.tif") as stack:
        stack.read()
    assert "a.tif" in str(error.value)


def _metres(known):
    return known.metres_about()


@pytest.fixture
def settings(known):
    return ImportSettings(object_pixel_m=known.pixel_m)


def _assert_is_known(scan, known, rows=slice(None)):
    np.testing.assert_allclose(scan.amplitude**2, known.clean[rows], rtol=1e-5)
    expected = known.positions_yx[rows]
    np.testing.assert_allclose(scan.positions_yx, expected - expected.min(axis=0) + known.side / 2, atol=1e-5)


def test_a_tiff_and_its_table_are_a_scan(tmp_path, known, settings):
    tifffile.imwrite(tmp_path / "a.tif", known.counts, photometric="minisblack")
    np.savetxt(tmp_path / "a.csv", _metres(known), delimiter=",")
    _assert_is_known(read_scan(tmp_path / "a.tif", importing=settings), known)
    _assert_is_known(read_scan(tmp_path / "a.csv", importing=settings), known)


def _write_series(folder, known, rows):
    """Numbers without leading zeros, so that the order of the names as texts is another."""
    folder.mkdir(exist_ok=True)
    for row in rows:
        tifffile.imwrite(folder / f"run_{row + 5}.tif", known.counts[row])


@pytest.mark.parametrize("place", ["run", "run/run_*.tif"])
def test_a_folder_or_a_pattern_is_a_scan_in_the_order_of_its_numbers(
    tmp_path, known, settings, place, caplog
):
    caplog.set_level("INFO", "ptycho")
    _write_series(tmp_path / "run", known, range(12))
    (tmp_path / "run" / "notes.txt").write_text("seen\n")
    np.savetxt(tmp_path / "run.csv", _metres(known), delimiter=",")
    scan = read_scan(tmp_path / place, importing=settings, partners=[tmp_path / "run.csv"])
    _assert_is_known(scan, known)
    assert "12 files, run_5.tif to run_16.tif" in caplog.text
    importing = ImportSettings(frames=str(tmp_path / place), object_pixel_m=known.pixel_m)
    _assert_is_known(read_scan(tmp_path / "run.csv", importing=importing), known)


def test_files_that_are_missing_leave_out_their_positions_and_are_named(tmp_path, known, settings, caplog):
    rows = [0, 1, 2, 5, 6, 7, 8, 9, 11]
    _write_series(tmp_path / "run", known, rows)
    np.savetxt(tmp_path / "run.csv", _metres(known), delimiter=",")
    _assert_is_known(read_scan(tmp_path / "run", importing=settings), known, rows)
    assert "files are missing: 3, 4, 10 (from 0; 3 of 12)" in caplog.text
    assert "each frame is given the position in the row of its number" in caplog.text


def test_as_many_positions_as_files_are_theirs_whatever_the_numbers(tmp_path, known, settings):
    rows = [0, 1, 2, 5, 6, 7, 8, 9, 11]
    _write_series(tmp_path / "run", known, rows)
    np.savetxt(tmp_path / "run.csv", _metres(known)[rows], delimiter=",")
    _assert_is_known(read_scan(tmp_path / "run", importing=settings), known, rows)


def test_a_series_of_hdf5_files_needs_its_dataset(tmp_path, known):
    for number, rows in enumerate((slice(0, 5), slice(5, 12))):
        with h5py.File(tmp_path / f"line_{number}.h5", "w") as file:
            file["dp"] = known.counts[rows]
    np.savetxt(tmp_path / "a.csv", _metres(known), delimiter=",")
    settings = ImportSettings(frames=str(tmp_path / "line_*.h5:dp"), object_pixel_m=known.pixel_m)
    _assert_is_known(read_scan(tmp_path / "a.csv", importing=settings), known)
    with pytest.raises(
        DataError, match=r"line_0\.h5 of a series of frames holds dp .* `frames='run_\*\.h5:DATASET'`"
    ):
        read_scan(tmp_path / "line_*.h5", partners=[tmp_path / "a.csv"])


def test_a_folder_without_frames_says_what_it_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing\n")
    with pytest.raises(DataError, match="a folder with 1 files but none of them is a TIFF or NPY file"):
        read_scan(tmp_path)


def test_frames_of_two_sizes_in_a_series_are_named(tmp_path):
    for number, side in enumerate((16, 18)):
        np.save(tmp_path / f"a{number}.npy", np.zeros((side, side), "u2"))
    with pytest.raises(DataError, match=r"a1\.npy has frames of 18x18 pixels but .*a0\.npy has 16x16"):
        read_scan(tmp_path, importing=ImportSettings(object_pixel_m=1e-8))


def test_a_mask_may_be_a_tiff(tmp_path, known):
    tifffile.imwrite(tmp_path / "mask.tif", known.bad.astype("u1"))
    with open_container(tmp_path / "mask.tif") as container:
        assert container.shape == (1, *known.bad.shape)
    tifffile.imwrite(
        tmp_path / "a.tif", np.where(known.bad, 7, known.counts).astype("u2"), photometric="minisblack"
    )
    np.savetxt(tmp_path / "a.csv", _metres(known), delimiter=",")
    settings = ImportSettings(mask=str(tmp_path / "mask.tif"), object_pixel_m=known.pixel_m)
    scan = read_scan(tmp_path / "a.tif", importing=settings)
    assert scan.mask is not None
    np.testing.assert_array_equal(scan.mask, ~known.bad)
