"""A canvas that was saved goes on where it was; a damaged file is refused."""

import os
import zipfile

import numpy as np
import pytest
import reference

from ptycho.errors import DataError
from ptycho.stitching import Canvas


@pytest.fixture
def scan():
    rng = np.random.default_rng(8)
    return reference.random_patches(rng, 20, 10), reference.random_positions(rng, 20, (5, 11))


@pytest.mark.parametrize("variance", [False, True])
def test_a_resumed_canvas_goes_on_where_it_was_saved(scan, tmp_path, variance):
    patches, positions = scan
    patches[2, 5, 5] = np.inf
    whole = Canvas.around(positions, crop_size=7, overlap_variance=variance)
    whole.add(patches, positions)
    half = Canvas.around(positions, crop_size=7, overlap_variance=variance)
    half.add(patches[:11], positions[:11])
    half.save(tmp_path / "half.canvas")
    resumed = Canvas.load(tmp_path / "half.canvas")
    resumed.add(patches[11:], positions[11:])
    assert resumed.state().digest() == whole.state().digest()
    assert resumed.first_rejected == (2,)
    assert resumed.origin_yx == whole.origin_yx


def test_a_failed_save_leaves_the_old_file_and_nothing_else(scan, tmp_path, monkeypatch):
    canvas = Canvas.around(scan[1], crop_size=7)
    canvas.save(tmp_path / "kept.npz")
    before = (tmp_path / "kept.npz").read_bytes()

    def fail(file, members):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("ptycho.stitching.state.write_archive", fail)
    with pytest.raises(OSError, match="disk full"):
        canvas.save(tmp_path / "kept.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["kept.npz"]
    assert (tmp_path / "kept.npz").read_bytes() == before


def changed(path, **replaced):
    with np.load(path) as file:
        fields = {name: file[name] for name in file.files} | replaced
    np.savez(path, **{name: value for name, value in fields.items() if value is not None})


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"version": np.array(7)}, "version 7 but this program reads version 1"),
        ({"format": np.array("photo")}, "not a canvas file"),
        ({"splats": np.zeros((3, 4))}, r"holds splats float64 \(3, 4\), which does not fit"),
        ({"values": np.full((17, 17), np.nan, np.complex64), "splats": np.zeros((11, 11))}, "not finite"),
        ({"counts": None}, "lacks a field .*counts"),
        ({"version": None}, "lacks a field .*version"),
        ({"crop_size": np.array(0)}, "crop size 0 for values of shape"),
        ({"origin_yx": np.array([np.nan, 1.0])}, r"the origin \(nan, 1.0\), which is not finite"),
        ({"origin_yx": np.zeros(3)}, "holds one that does not fit"),
        ({"counts": np.array([np.inf, 1])}, "inf is not a whole number"),
        ({"counts": np.array([3, -1])}, "-1 is not a whole number"),
        ({"version": np.array(1.9)}, "1.9 is not a whole number"),
        ({"crop_size": np.array(8.6)}, "8.6 is not a whole number"),
        ({"squares": "float64"}, "holds values complex64 .* does not fit"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(scan, tmp_path, replaced, message):
    path = tmp_path / "canvas.npz"
    canvas = Canvas.around(scan[1], crop_size=7)
    canvas.save(path)
    if "squares" in replaced:
        replaced = {"squares": np.zeros(canvas.shape_yx)}
    changed(path, **replaced)
    with pytest.raises(DataError, match=message):
        Canvas.load(path)


def test_a_truncated_or_flipped_file_is_refused(scan, tmp_path):
    path = tmp_path / "canvas.npz"
    Canvas.around(scan[1], crop_size=7).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="not a readable canvas file"):
        Canvas.load(path)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("values.npy", b"no array")
    with pytest.raises(DataError, match=r"not a (readable )?canvas file"):
        Canvas.load(tmp_path / "other.zip")
    flipped = bytearray(content)
    flipped[300] ^= 1
    path.write_bytes(bytes(flipped))
    with pytest.raises(DataError, match="not a readable canvas file"):
        Canvas.load(path)


def test_a_second_moment_is_not_loaded_into_tensorflow(scan, tmp_path):
    Canvas.around(scan[1], crop_size=7, overlap_variance=True).save(tmp_path / "canvas.npz")
    with pytest.raises(ValueError, match="backend"):
        Canvas.load(tmp_path / "canvas.npz", backend="tensorflow")
    assert Canvas.load(tmp_path / "canvas.npz").state().squares is not None


def test_loading_and_merging_ask_for_no_second_canvas(scan, tmp_path, monkeypatch):
    canvas = Canvas.around(scan[1], crop_size=7)
    canvas.save(tmp_path / "canvas.npz")

    def full(*arguments):
        raise ValueError("no memory for another canvas")

    monkeypatch.setattr("ptycho.stitching._memory.check_canvas_memory", full)
    assert Canvas.load(tmp_path / "canvas.npz").shape_yx == canvas.shape_yx
    assert Canvas.merged([canvas, canvas]).shape_yx == canvas.shape_yx


def test_an_array_file_is_no_canvas(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(DataError, match="not a readable canvas file"):
        Canvas.load(tmp_path / "array.npy")


def test_a_flipped_bit_anywhere_is_a_data_error_or_changes_nothing_that_counts(scan, tmp_path):
    path, rng = tmp_path / "canvas.npz", np.random.default_rng(5)
    Canvas.around(scan[1], crop_size=7).save(path)
    content, refused = path.read_bytes(), 0
    for place in rng.integers(0, 8 * len(content), 300):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << (place % 8)
        path.write_bytes(bytes(flipped))
        try:
            Canvas.load(path)
        except DataError:
            refused += 1
    assert refused > 200


def test_columns_first_in_a_file_are_put_in_order(scan, tmp_path):
    patches, positions = scan
    canvas = Canvas.around(positions, crop_size=7)
    canvas.add(patches, positions)
    canvas.save(tmp_path / "canvas.npz")
    changed(tmp_path / "canvas.npz", values=np.asfortranarray(canvas.state().values))
    again = Canvas.load(tmp_path / "canvas.npz")
    again.add(patches, positions)
    canvas.add(patches, positions)
    assert again.state().digest() == canvas.state().digest()


def test_sums_that_overflowed_are_not_saved(tmp_path):
    canvas = Canvas((5, 5), crop_size=5)
    for _ in range(2):
        canvas.add(np.full((1, 5, 5), 3e38, np.complex64), np.full((1, 2), 2.0))
    with pytest.raises(ValueError, match='overflowed; stitch again with accumulate="float64"'):
        canvas.save(tmp_path / "canvas.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_a_saved_file_has_the_mode_of_any_new_file(scan, tmp_path):
    (tmp_path / "plain").write_text("")
    Canvas.around(scan[1], crop_size=7).save(tmp_path / "canvas.npz")
    assert (tmp_path / "canvas.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode
