"""The NPZ reader and writer: round trip, every layout, every way a file can be wrong."""

from __future__ import annotations

import bz2
import logging
import os
import pickle  # noqa: TID251 - the test's attack
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from ptycho.data import ScanGeometry, read_npz, write_npz
from ptycho.errors import DataError

NAMES = ("amplitude", "positions_yx", "probe", "object_guess", "labels", "scan_index")


def _members(scan) -> dict[str, np.ndarray]:
    return {
        "diffraction": scan.amplitude,
        "xcoords": scan.positions_yx[:, 1],
        "ycoords": scan.positions_yx[:, 0],
        "probeGuess": scan.probe,
        "objectGuess": scan.object_guess,
    }


def _saved(path, members):
    np.savez(path, **members)
    return path


class _Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_round_trip_gives_every_array_back(tmp_path, scan):
    write_npz(tmp_path / "scan.npz", scan)
    again = read_npz(tmp_path / "scan.npz")
    for name in NAMES:
        np.testing.assert_array_equal(getattr(again, name), getattr(scan, name))


def test_written_keys_and_axes_are_those_of_the_format(tmp_path, scan):
    write_npz(tmp_path / "scan", scan)
    with np.load(tmp_path / "scan") as file:
        assert set(file.files) == {
            *("diffraction", "xcoords", "ycoords", "xcoords_start", "ycoords_start"),
            *("probeGuess", "objectGuess", "Y", "scan_index"),
        }
        np.testing.assert_array_equal(file["ycoords"], scan.positions_yx[:, 0])
        np.testing.assert_array_equal(file["xcoords_start"], scan.positions_yx[:, 1])


def test_mask_and_geometry_are_given_back(tmp_path, scan):
    mask = np.ones((16, 16), bool)
    mask[8, 7] = False
    geometry = ScanGeometry(object_pixel_m=64e-9, photon_energy_j=1.3e-15, detector_distance_m=2.0)
    write_npz(tmp_path / "scan.npz", replace(scan.with_mask(mask), geometry=geometry))
    again = read_npz(tmp_path / "scan.npz")
    np.testing.assert_array_equal(again.mask, mask)
    assert again.geometry == geometry
    with np.load(tmp_path / "scan.npz") as file:
        np.testing.assert_array_equal(file["valid_pixels"], mask)
        assert file["object_pixel_m"] == 64e-9
        assert "detector_pixel_m" not in file


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ones(2), r"object_pixel_m in .* \(2,\) but must be one number"),
        (-1.0, "scan.npz: object_pixel_m is -1.0"),
    ],
)
def test_a_length_that_is_none_is_refused(tmp_path, scan, value, message):
    with pytest.raises(DataError, match=message):
        read_npz(_saved(tmp_path / "scan.npz", {**_members(scan), "object_pixel_m": value}))


def test_labels_can_be_left_unread(tmp_path, scan):
    write_npz(tmp_path / "scan.npz", scan)
    assert read_npz(tmp_path / "scan.npz", labels=False).labels is None


@pytest.mark.spec("CM-2.1")
@pytest.mark.parametrize("key", ["diffraction", "diff3d"])
@pytest.mark.parametrize("layout", ["(n, N, N)", "(n, N, N, 1)", "(N, N, n)"])
def test_every_layout_of_the_frames_gives_the_same_scan(tmp_path, scan, key, layout):
    members = _members(scan)
    frames = members.pop("diffraction")
    members[key] = {
        "(n, N, N)": frames,
        "(n, N, N, 1)": frames[..., None],
        "(N, N, n)": np.moveaxis(frames, 0, -1),
    }[layout]
    again = read_npz(_saved(tmp_path / "scan.npz", members))
    np.testing.assert_array_equal(again.amplitude, scan.amplitude)
    assert again.amplitude.flags.c_contiguous


def test_legacy_labels_are_turned_like_the_frames(tmp_path, scan):
    members = {**_members(scan), "Y": np.moveaxis(scan.labels, 0, -1)}
    np.testing.assert_array_equal(read_npz(_saved(tmp_path / "s.npz", members)).labels, scan.labels)


@pytest.mark.spec("CM-2.1")
def test_ambiguous_order_is_said(tmp_path, caplog, make_scan):
    scan = make_scan(n=16, side=16)
    with caplog.at_level(logging.WARNING):
        again = read_npz(_saved(tmp_path / "scan.npz", _members(scan)))
    assert "fits both (n, N, N) and the legacy (N, N, n); (n, N, N) is assumed" in caplog.text
    np.testing.assert_array_equal(again.amplitude, scan.amplitude)


@pytest.mark.spec("CM-2.2")
@pytest.mark.parametrize("missing", ["xcoords", "ycoords", "probeGuess"])
def test_a_missing_key_is_named_with_what_is_there(tmp_path, scan, missing):
    members = _members(scan)
    del members[missing]
    with pytest.raises(
        DataError, match=f"has no {missing}; it holds .*objectGuess.* and needs diffraction, "
    ):
        read_npz(_saved(tmp_path / "scan.npz", members))


def test_missing_frames_name_both_spellings(tmp_path, scan):
    members = _members(scan)
    del members["diffraction"]
    with pytest.raises(
        DataError, match=r"no diffraction frames; it holds .* needs one of diffraction, diff3d"
    ):
        read_npz(_saved(tmp_path / "scan.npz", members))


@pytest.mark.spec("CM-2.3")
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("ycoords", np.zeros(8), r"xcoords \(9,\), ycoords \(8,\) but must all be \(n,\)"),
        ("xcoords_start", np.zeros(5), r"xcoords_start \(5,\) but must all be \(n,\)"),
        ("diffraction", np.ones((8, 16, 16)), r"\(8, 16, 16\) but xcoords has 9 entries; \(9, N, N\)"),
        ("diffraction", np.ones((9, 16, 16, 2)), r"\(9, 16, 16, 2\) but xcoords has 9"),
        ("Y", np.ones((8, 16, 16)), r"Y in .* has shape \(8, 16, 16\) but xcoords has 9"),
        ("diffraction", np.ones((9, 16, 12)), r"scan.npz: amplitude has shape \(9, 16, 12\)"),
        ("xcoords", np.zeros((9, 1)), r"xcoords \(9, 1\), .* must all be \(n,\)"),
    ],
)
def test_counts_and_shapes_are_checked(tmp_path, scan, key, value, message):
    with pytest.raises(DataError, match=message):
        read_npz(_saved(tmp_path / "scan.npz", {**_members(scan), key: value}))


@pytest.mark.spec("CM-2.5")
def test_pickled_members_are_left_unread(tmp_path, scan, caplog):
    mine = tmp_path / "executed"
    members = {
        **_members(scan),
        "_metadata": np.array(_Touch(mine), dtype=object),
        "objectGuess": np.array(_Touch(mine), dtype=object),
    }
    path = _saved(tmp_path / "scan.npz", members)
    with caplog.at_level(logging.INFO):
        again = read_npz(path)
    assert again.object_guess is None
    assert "left unread, not part of the format: _metadata" in caplog.text
    assert "objectGuess is a pickled object" in caplog.text
    assert not mine.exists()
    # The bait is live: unpickling it does create the folder.
    pickle.loads(pickle.dumps(_Touch(mine)))
    assert mine.exists()


@pytest.mark.spec("CM-2.5")
def test_a_pickled_member_that_is_needed_is_refused(tmp_path, scan):
    members = {**_members(scan), "probeGuess": np.array(_Touch(tmp_path / "executed"), dtype=object)}
    with pytest.raises(
        DataError, match=r"probeGuess in .* is a pickled Python object, which is never loaded"
    ):
        read_npz(_saved(tmp_path / "scan.npz", members))
    assert not (tmp_path / "executed").exists()


def test_a_missing_file_is_python_s_own_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "none.npz")


@pytest.mark.spec("CM-2.2")
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_called_truncated(tmp_path, scan, kept):
    path = _saved(tmp_path / "scan.npz", _members(scan))
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(DataError, match="is truncated: it begins as an NPZ"):
        read_npz(path)


@pytest.mark.spec("CM-2.2")
@pytest.mark.parametrize("content", [b"", b"PK", b"hello", b"\x93NUMPY\x01\x00", b"\x89HDF\r\n"])
def test_something_else_is_called_no_npz(tmp_path, content):
    (tmp_path / "scan.npz").write_bytes(content)
    with pytest.raises(DataError, match="is not an NPZ archive"):
        read_npz(tmp_path / "scan.npz")


def _memory_taken(path):
    tracemalloc.start()
    scan = read_npz(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return scan, peak


def test_frames_stored_as_they_are_stay_in_the_file(tmp_path, make_scan):
    scan = make_scan(n=12_000, side=16)
    np.savez(tmp_path / "plain.npz", **_members(scan))
    np.savez_compressed(tmp_path / "packed.npz", **_members(scan))
    plain, without = _memory_taken(tmp_path / "plain.npz")
    packed, within = _memory_taken(tmp_path / "packed.npz")
    np.testing.assert_array_equal(plain.amplitude, packed.amplitude)
    assert without < scan.amplitude.nbytes / 2 < scan.amplitude.nbytes < within
    with pytest.raises(ValueError, match="read-only"):
        plain.amplitude[0] = 1


def test_a_scan_outlives_its_file(tmp_path, scan, make_scan):
    write_npz(tmp_path / "scan.npz", scan)
    again = read_npz(tmp_path / "scan.npz")
    write_npz(tmp_path / "scan.npz", make_scan(n=12, side=16))
    np.testing.assert_array_equal(again.amplitude, scan.amplitude)


def test_what_cannot_be_mapped_is_read(tmp_path, scan, monkeypatch):
    class Refusing(np.memmap):
        def __new__(cls, *arguments, **options):
            raise OSError(19, "No such device")

    write_npz(tmp_path / "scan.npz", scan)
    monkeypatch.setattr(np, "memmap", Refusing)
    np.testing.assert_array_equal(read_npz(tmp_path / "scan.npz").amplitude, scan.amplitude)


def test_frames_in_column_order_are_read(tmp_path, scan):
    members = {**_members(scan), "diffraction": np.asfortranarray(scan.amplitude)}
    np.testing.assert_array_equal(read_npz(_saved(tmp_path / "s.npz", members)).amplitude, scan.amplitude)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_flipped_byte_is_called_damage(tmp_path, scan, save):
    save(tmp_path / "scan.npz", **_members(scan))
    content = bytearray((tmp_path / "scan.npz").read_bytes())
    content[len(content) // 3] ^= 0xFF
    (tmp_path / "scan.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"in .* cannot be unpacked .* damaged"):
        read_npz(tmp_path / "scan.npz")


def test_a_forged_shape_is_refused_before_memory_is_taken(tmp_path, scan):
    path = _saved(tmp_path / "scan.npz", {k: v for k, v in _members(scan).items() if k != "probeGuess"})
    header = b"{'descr': '<c8', 'fortran_order': False, 'shape': (10000000, 10000000), }"
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    forged = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"few"
    with zipfile.ZipFile(path, "a") as zipped:
        zipped.writestr("probeGuess.npy", forged)
    with pytest.raises(
        DataError, match=r"probeGuess in .* is damaged: shape .* needs 800000000000000 bytes but 3 are"
    ):
        read_npz(path)


def test_a_table_of_contents_that_cannot_be_is_called_damage(tmp_path, scan):
    path = _saved(tmp_path / "scan.npz", _members(scan))
    content = path.read_bytes()
    # The version needed to open a member, six bytes into its entry.
    at = content.rindex(b"PK\x01\x02") + 6
    path.write_bytes(content[:at] + b"\xff" + content[at + 1 :])
    with pytest.raises(DataError, match="is damaged: its table of contents cannot be read"):
        read_npz(path)


@pytest.mark.parametrize("header", [b"{'shape': (2,\x01)}", b"{'shape': ((", b"{'shape': 1}", b"print(1)"])
def test_a_header_that_is_no_header_is_called_damage(tmp_path, scan, header):
    path = _saved(tmp_path / "scan.npz", {k: v for k, v in _members(scan).items() if k != "probeGuess"})
    with zipfile.ZipFile(path, "a") as zipped:
        zipped.writestr("probeGuess.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(DataError, match=r"probeGuess in .* cannot be unpacked .* the file is damaged"):
        read_npz(path)


def test_implausible_frames_are_refused_unless_told_otherwise(tmp_path, scan):
    path = _saved(tmp_path / "scan.npz", {**_members(scan), "diffraction": scan.amplitude**2})
    with pytest.raises(DataError, match=r"scan.npz: the frames hold .* counts \(intensity\)"):
        read_npz(path)
    assert read_npz(path, plausibility=False).n_frames == 9


def test_a_failed_write_leaves_the_older_file_and_nothing_else(tmp_path, scan, monkeypatch):
    path = tmp_path / "scan.npz"
    path.write_bytes(b"older")

    def full_disk(file, members):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ptycho.data.npz.write_archive", full_disk)
    with pytest.raises(OSError, match="No space left") as caught:
        write_npz(path, scan)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"older"
    assert [entry.name for entry in tmp_path.iterdir()] == ["scan.npz"]


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path, scan):
    (tmp_path / "real").mkdir()
    link = tmp_path / "scan.npz"
    link.symlink_to(tmp_path / "real" / "scan.npz")
    write_npz(link, scan)
    assert link.is_symlink()
    assert read_npz(tmp_path / "real" / "scan.npz").n_frames == 9


def test_a_pipe_is_not_replaced(tmp_path, scan):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="Not a regular file"):
        write_npz(tmp_path / "pipe", scan)
    assert (tmp_path / "pipe").is_fifo()


def test_a_file_in_bzip2_is_unpacked(tmp_path, scan):
    write_npz(tmp_path / "scan.npz", scan)
    packed = tmp_path / "scan.npz.bz2"
    packed.write_bytes(bz2.compress((tmp_path / "scan.npz").read_bytes()))
    np.testing.assert_array_equal(read_npz(packed).amplitude, scan.amplitude)
