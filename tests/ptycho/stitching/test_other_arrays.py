"""Patches of other frameworks: taken where the host can read them, refused in words where it cannot."""

import sys

import numpy as np
import pytest

from ptycho.stitching import Canvas, stitch_patches


class Foreign:
    """An array as PyTorch and JAX show theirs: a DLPack device, and NumPy's door for what lies on the host."""

    def __init__(self, array, device=1):
        self.array, self.device, self.dtype = array, device, f"framework.{array.dtype}"
        self.shape = array.shape
        self.n_reads = 0

    def __dlpack_device__(self):
        return self.device, 0

    def __array__(self, dtype=None, copy=None):
        self.n_reads += 1
        return self.array

    def numpy(self):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


@pytest.fixture
def patches():
    rng = np.random.default_rng(5)
    return (rng.random((7, 9, 9)) + 1j * rng.random((7, 9, 9))).astype(np.complex64)


@pytest.fixture
def offsets_xy():
    return np.random.default_rng(6).uniform(-8, 8, (7, 2))


@pytest.mark.parametrize(
    "convert", [Foreign, list, lambda array: array.tolist() if array.ndim == 2 else list(array)]
)
def test_what_the_host_can_read_is_stitched(patches, offsets_xy, convert):
    expected = stitch_patches(patches, offsets_xy, crop_size=6)
    np.testing.assert_array_equal(
        stitch_patches(convert(patches), convert(offsets_xy), crop_size=6), expected
    )


def test_they_are_read_once(patches, offsets_xy):
    foreign = Foreign(patches)
    stitch_patches(foreign, offsets_xy, crop_size=6, batch_size=2)
    assert foreign.n_reads == 1


def test_a_canvas_takes_them_too(patches):
    positions = np.full((7, 2), 10.25)
    canvases = [Canvas((20, 24), crop_size=6) for _ in range(2)]
    canvases[0].add(patches, positions)
    canvases[1].add(Foreign(patches), positions)
    np.testing.assert_array_equal(canvases[0].image(), canvases[1].image())


@pytest.mark.parametrize("device", [2, 10, 15])
def test_what_lies_on_a_device_is_refused_in_one_sentence(patches, offsets_xy, device):
    foreign = Foreign(patches, device)
    with pytest.raises(
        TypeError, match=r"patches are a Foreign of .* on a device but must lie in host memory; copy"
    ):
        stitch_patches(foreign, offsets_xy, crop_size=6)
    assert foreign.n_reads == 0
    with pytest.raises(TypeError, match="offsets are a Foreign"):
        stitch_patches(patches, Foreign(offsets_xy, device), crop_size=6)


def test_lists_of_pythons_numbers_are_cast(patches, offsets_xy):
    expected = stitch_patches(patches, offsets_xy, crop_size=6)
    found = stitch_patches(patches.tolist(), offsets_xy.tolist(), crop_size=6)
    np.testing.assert_array_equal(found, expected)


def test_ragged_lists_are_refused_in_words(patches, offsets_xy):
    with pytest.raises(TypeError, match=r"patches are a list that numpy\.asarray does not take"):
        stitch_patches([[1], [1, 2]], offsets_xy, crop_size=6)


class _Broken:
    """TensorFlow while it is imported, or after an import that failed: its name without its parts."""

    def __getattr__(self, name):
        raise ImportError(f"no {name}")


@pytest.mark.parametrize("half", [_Broken, object], ids=["broken", "empty"])
def test_a_tensorflow_that_is_imported_by_half_counts_as_none(patches, offsets_xy, monkeypatch, half):
    expected = stitch_patches(patches, offsets_xy, crop_size=6)
    monkeypatch.setitem(sys.modules, "tensorflow", half())
    np.testing.assert_array_equal(stitch_patches(patches, offsets_xy, crop_size=6), expected)
