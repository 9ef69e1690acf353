"""Arrays that lie in a file are read as NumPy would, and a file that is cut is an error in words and no SIGBUS."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ptycho
from ptycho._io.archive import open_archive, read_npy
from ptycho._io.archive_writing import write_archive
from ptycho._io.mapped import blocks_of, is_mapped, rows_of
from ptycho.data import SimulationSettings, read_npz, simulate, write_npz
from ptycho.errors import DataError

VALUES = np.random.default_rng(5).standard_normal((11, 5, 7)).astype(np.float32)


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    array = read_npy(tmp_path / "a.npy", mapped=True)
    assert is_mapped(array)
    return array


@pytest.mark.parametrize(
    "indices",
    [
        slice(None),
        slice(2, 9),
        slice(9, 2, -2),
        slice(4, 4),
        3,
        -1,
        np.array([4, 5, 6, 0, 0, -2]),
        np.array([[1, 2], [9, 3]]),
        np.arange(11) % 3 == 1,
        np.array([], int),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "view",
    [
        lambda array: array,
        lambda array: array.reshape(11, 35),
        lambda array: array[::2],
        lambda array: array[3:],
        lambda array: array[::-1],
        lambda array: array[:, 1:3],
        lambda array: array.T,
    ],
    ids=["whole", "reshaped", "every other", "from the third", "backwards", "some rows", "transposed"],
)
def test_rows_are_what_numpy_makes_of_them(mapped, view, indices):
    ours, theirs = view(mapped), view(VALUES)
    try:
        expected = theirs[indices]
    except IndexError:
        with pytest.raises(IndexError):
            rows_of(ours, indices)
    else:
        found = rows_of(ours, indices)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_blocks_are_all_rows_in_order(mapped):
    blocks = list(blocks_of(mapped, 4))
    assert [(block.start, len(rows)) for block, rows in blocks] == [(0, 4), (4, 4), (8, 3)]
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in blocks]), VALUES)


def test_an_array_in_fortran_order_is_mapped_too(tmp_path):
    np.save(tmp_path / "a.npy", np.asfortranarray(VALUES))
    array = read_npy(tmp_path / "a.npy", mapped=True)
    assert is_mapped(array)
    np.testing.assert_array_equal(array, VALUES)


def test_the_file_that_was_opened_is_read_though_another_has_its_name(mapped, tmp_path):
    np.save(tmp_path / "b.npy", np.zeros_like(VALUES))
    os.replace(tmp_path / "b.npy", tmp_path / "a.npy")
    np.testing.assert_array_equal(rows_of(mapped, slice(None)), VALUES)


def test_the_file_is_closed_when_the_last_view_is_gone(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    view = read_npy(tmp_path / "a.npy", mapped=True)[2:4]
    descriptor = view.base.base.descriptor
    assert os.fstat(descriptor).st_ino == (tmp_path / "a.npy").stat().st_ino
    del view
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="such a system keeps mapped files from being cut")
def test_a_file_that_is_cut_in_the_middle_of_a_batch_is_an_error_in_words(mapped, tmp_path, monkeypatch):
    preadv, size = os.preadv, (tmp_path / "a.npy").stat().st_size

    def cut_after_some(descriptor, buffers, offset):
        n_bytes = preadv(descriptor, [buffers[0][:100]], offset)
        os.truncate(tmp_path / "a.npy", 300)
        return n_bytes

    monkeypatch.setattr(os, "preadv", cut_after_some)
    with pytest.raises(
        DataError, match=rf"a\.npy was cut while it was used: .*first {size} bytes, but 300 are"
    ):
        rows_of(mapped, slice(None))


# In a process of its own, for the old way ends it.
_USES = """
import os, sys
from pathlib import Path
import numpy as np
from ptycho.data import inspection, read_npz, write_npz
from ptycho.data.defects import Defects, find_defects
from ptycho.data.gaps import mask_gaps
from ptycho.data.photons import photon_energy
from ptycho.errors import DataError
from ptycho.data.fingerprint import scan_fingerprint
from ptycho.reconstruction.judging import judge_constant
from ptycho.refinement import refine

path, other = sys.argv[1:]
scan = read_npz(path)
kept = np.ones(scan.amplitude.shape[1:], bool)
kept[0, 0] = False
uses = [
    lambda: scan.frames([0, 5]),
    lambda: scan.select([0, 5]),
    lambda: scan.with_mask(kept),
    lambda: scan.normalised(),
    lambda: scan.frame_energies,
    lambda: write_npz(Path(other), scan),
    lambda: inspection.mean_intensity(scan),
    lambda: find_defects(scan.amplitude),
    lambda: mask_gaps(scan.amplitude),
    lambda: photon_energy(scan),
    lambda: scan_fingerprint(scan),
    lambda: judge_constant(scan),
    lambda: refine(None, scan),
]
os.truncate(path, 5000)
for number, use in enumerate(uses):
    try:
        use()
    except DataError as error:
        assert "was cut while it was used" in str(error), error
        print(number)
"""


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="such a system keeps mapped files from being cut")
def test_no_use_of_a_scan_ends_the_process_when_its_file_is_cut(tmp_path):
    path = tmp_path / "scan.npz"
    write_npz(path, simulate(SimulationSettings(object_shape_yx=(96, 104), step_px=12.0, seed=3)))
    assert is_mapped(read_npz(path).amplitude)
    words = [sys.executable, "-c", _USES, str(path), str(tmp_path / "other.npz")]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.split()) == (0, [str(number) for number in range(13)]), run.stderr
    assert not (tmp_path / "other.npz").exists()


def test_a_mapped_array_is_written_as_any_other(mapped, tmp_path):
    for name, array in ("mapped.npz", mapped), ("not.npz", VALUES):
        write_archive(tmp_path / name, [("a", array)])
    with open_archive(tmp_path / "mapped.npz") as one, open_archive(tmp_path / "not.npz") as other:
        np.testing.assert_array_equal(one.read("a"), other.read("a"))
    assert (tmp_path / "mapped.npz").stat().st_size == (tmp_path / "not.npz").stat().st_size


def test_no_module_indexes_the_frames_of_a_scan_by_itself():
    root = Path(ptycho.__file__).parent
    indexed = [
        f"{path.relative_to(root)}:{node.lineno}"
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("scan.amplitude")
    ]
    assert indexed == [], "ScanData.frames reads them, whatever becomes of the file"
