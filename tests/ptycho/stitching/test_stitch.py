"""`reassemble_position` and `stitch_patches`: one image for every batch size and after any out-of-memory error."""

import logging
import warnings

import h5py
import naive_tf
import numpy as np
import pytest
import reference
import tensorflow as tf

from autobatch import DoesNotFitError, NoProgress
from autobatch.testing import inject_oom
from ptycho.stitching import Canvas, add_in_batches, reassemble_position, stitch_patches
from ptycho.tf_helper import reassemble_position as by_older_address  # noqa: TID251 - the door itself

N_PATCHES = 29
BACKENDS = ["cpu", "tensorflow"]


def scan(n=N_PATCHES, patch_size=12, centre=(0.0, 0.0), seed=6):
    rng = np.random.default_rng(seed)
    positions = reference.random_positions(rng, n, (5.5, 13.0), centre)
    return reference.random_patches(rng, n, patch_size), positions


def offsets_of(positions_yx, layout="column"):
    xy = positions_yx[:, ::-1]
    return xy[:, None, :, None] if layout == "column" else xy[:, None, None, :]


@pytest.mark.spec("CM-6.1")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", ["column", "row"])
@pytest.mark.parametrize("crop_size", [6, 7, 12])
@pytest.mark.parametrize("centre", [(0.0, 0.0), (5000.3, -4999.9)])
def test_equals_a_float64_double_loop(backend, layout, crop_size, centre):
    patches, positions = scan(centre=centre)
    image = reassemble_position(
        patches[..., None], offsets_of(positions, layout), M=crop_size, backend=backend
    )
    expected, _ = reference.stitch(patches, positions, crop_size)
    assert (image.shape, image.dtype) == ((*expected.shape, 1), tf.complex64)
    assert np.abs(image.numpy()[..., 0] - expected).max() <= 1e-6 * np.abs(expected).max()


def test_agrees_with_the_naive_full_canvas_method_to_float32():
    patches, positions = scan()
    naive = naive_tf.stitch(patches, positions, 8).numpy()
    image = stitch_patches(patches, positions[:, ::-1], crop_size=8)
    _, weights = reference.stitch(patches, positions, 8)
    covered = weights > 1e-3
    assert np.abs(image - naive)[covered].max() < 2e-4 * np.abs(naive[covered]).max()


@pytest.mark.spec("CM-5.4")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 64, N_PATCHES, 2 * N_PATCHES, "auto"])
def test_bits_do_not_depend_on_the_batch_size(backend, batch_size):
    patches, positions = scan()
    whole = stitch_patches(patches, offsets_of(positions), crop_size=7, backend=backend)
    parts = stitch_patches(
        patches, offsets_of(positions), crop_size=7, backend=backend, batch_size=batch_size
    )
    assert parts.tobytes() == whole.tobytes()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("failing", [*([call] for call in range(4)), [1, 2], [0, 1]])
def test_an_out_of_memory_error_changes_the_sizes_but_no_bit(backend, failing):
    patches, positions = scan()
    whole = Canvas.around(positions, crop_size=7, backend=backend)
    whole.add(patches, positions)
    canvas = Canvas.around(positions, crop_size=7, backend=backend)
    with inject_oom(at=failing):
        run = add_in_batches(canvas, patches, positions, batch_size=8)
    assert run.attempted_sizes == predicted_sizes(N_PATCHES, 8, failing)
    assert run.n_oom == len(failing)
    assert canvas.n_added == N_PATCHES
    assert canvas.image().tobytes() == whole.image().tobytes()


def predicted_sizes(n_items, size, failing):
    """Halve the size actually tried and go on at the same item."""
    sizes, done, call = [], 0, 0
    while done < n_items:
        tried = min(size, n_items - done)
        sizes.append(tried)
        if call in failing:
            size = tried // 2
        else:
            done += tried
        call += 1
    return sizes


def test_one_patch_that_does_not_fit_says_so():
    patches, positions = scan()
    canvas = Canvas.around(positions, crop_size=7)
    with (
        inject_oom(at=range(10)),
        pytest.raises(DoesNotFitError, match="pass another `crop_size`, a smaller one"),
    ):
        add_in_batches(canvas, patches, positions, batch_size=2)
    assert not canvas.coverage().any()


def test_tensors_and_arrays_give_the_same_bits():
    patches, positions = scan()
    array = reassemble_position(patches[..., None], offsets_of(positions), M=9)
    tensor = reassemble_position(tf.constant(patches[..., None]), tf.constant(offsets_of(positions)), M=9)
    assert array.numpy().tobytes() == tensor.numpy().tobytes()


@pytest.mark.parametrize("layout", ["every other", "fortran", "cut out"])
def test_patches_need_not_be_contiguous(layout):
    patches, positions = scan()
    view = {
        "every other": np.repeat(patches, 2, axis=0)[::2],
        "fortran": np.asfortranarray(patches),
        "cut out": np.pad(patches, [(0, 0), (3, 2), (1, 4)])[:, 3:-2, 1:-4],
    }[layout]
    expected = stitch_patches(patches, offsets_of(positions), crop_size=8)
    image = stitch_patches(view, offsets_of(positions), crop_size=8)
    assert image.tobytes() == expected.tobytes()


@pytest.mark.parametrize("channel", [(), (1,)])
def test_memory_maps_and_hdf5_are_read_batch_by_batch(tmp_path, monkeypatch, channel):
    patches, positions = scan()
    expected = stitch_patches(patches, offsets_of(positions), crop_size=8)
    patches = patches.reshape(*patches.shape, *channel)
    np.save(tmp_path / "patches.npy", patches)
    mapped = np.load(tmp_path / "patches.npy", mmap_mode="r")
    assert stitch_patches(mapped, offsets_of(positions), crop_size=8).tobytes() == expected.tobytes()
    with h5py.File(tmp_path / "patches.h5", "w") as file:
        data = file.create_dataset("patches", data=patches, chunks=(4, 12, 12, *channel))
        read = []
        original = h5py.Dataset.__getitem__
        monkeypatch.setattr(
            h5py.Dataset, "__getitem__", lambda self, key: read.append(key) or original(self, key)
        )
        image = stitch_patches(data, offsets_of(positions), crop_size=8, batch_size=10)
    assert image.tobytes() == expected.tobytes()
    crop = slice(2, 10)
    first = (0,) * len(channel)
    assert read == [(slice(start, stop), crop, crop, *first) for start, stop in ((0, 10), (10, 20), (20, 29))]


@pytest.mark.parametrize("backend", BACKENDS)
def test_numpy_integers_are_integers(backend):
    patches, positions = scan()
    plain = reassemble_position(patches[..., None], offsets_of(positions), 7, 5, backend=backend)
    image = reassemble_position(
        patches[..., None], offsets_of(positions), np.int64(7), np.int32(5), backend=backend
    )
    assert image.numpy().tobytes() == plain.numpy().tobytes()


def test_the_older_spelling_warns_and_works():
    patches, positions = scan()
    expected = reassemble_position(patches[..., None], offsets_of(positions), M=7)
    with pytest.warns(FutureWarning, match="pass batch_size"):
        image = reassemble_position(patches[..., None], offsets_of(positions), M=7, chunk_size=4)
    assert image.numpy().tobytes() == expected.numpy().tobytes()
    with pytest.raises(ValueError, match="both given"):
        reassemble_position(patches[..., None], offsets_of(positions), M=7, batch_size=4, chunk_size=4)


def test_the_older_address_leads_to_the_same_object():
    assert by_older_address is reassemble_position


def test_the_call_that_ptychodus_makes_works():
    patches, positions = scan(patch_size=24)
    image = by_older_address(patches[..., None], offsets_of(positions), M=20)
    expected, _ = reference.stitch(patches, positions, 20)
    assert np.abs(image.numpy()[..., 0] - expected).max() <= 1e-6 * np.abs(expected).max()


class RecordingProgress(NoProgress):
    """Keeps what the one stage is told."""

    def __init__(self):
        self.opened, self.sizes, self.done = [], [], 0

    def stage(self, label, total, unit="items"):
        self.opened.append((label, total, unit))
        recorder = self

        class Recorder(type(super().stage(label, total, unit))):
            def batch_size(self, size, reason):
                recorder.sizes.append((size, reason.split()[0]))

            def advance(self, n_items):
                recorder.done += n_items

        return Recorder()  # pyright: ignore[reportAbstractUsage]


@pytest.mark.parametrize(("n", "reason"), [(1000, "given"), (1001, "a")])
def test_none_means_one_batch_up_to_a_thousand_patches(n, reason):
    offsets = np.linspace(-3, 4, 2 * n).reshape(n, 2)
    progress = RecordingProgress()
    stitch_patches(np.ones((n, 2, 2), np.complex64), offsets, crop_size=2, progress=progress)
    assert progress.opened == [("stitching", n, "patches")]
    assert progress.sizes == [(n, reason)]
    assert progress.done == n


@pytest.mark.spec("CM-6.4")
def test_refusals_name_the_value_and_the_remedy():
    patches, positions = scan()
    offsets = offsets_of(positions)
    with pytest.raises(ValueError, match="29 patches came with 28 positions"):
        stitch_patches(patches, offsets[:-1], crop_size=7)
    for crop_size in (0, -3, 13):
        with pytest.raises(ValueError, match=rf"M is {crop_size} but must satisfy 0 < M <= N"):
            stitch_patches(patches, offsets, crop_size=crop_size)
    with pytest.raises(TypeError, match=r"M is 7.0 but must be an integer"):
        stitch_patches(patches, offsets, crop_size=7.0)
    with pytest.raises(TypeError, match=r"complex128 but must be complex64; cast"):
        stitch_patches(patches.astype(complex), offsets, crop_size=7)
    with pytest.raises(TypeError, match=r"float32 but must be float64 pixels; cast"):
        stitch_patches(patches, offsets.astype(np.float32), crop_size=7)
    with pytest.raises(ValueError, match=r"offsets have shape \(29, 2, 1\)"):
        stitch_patches(patches, offsets[:, 0], crop_size=7)
    with pytest.raises(ValueError, match=r"patches have shape \(29, 12, 11\)"):
        stitch_patches(patches[:, :, 1:], offsets, crop_size=7)
    for batch_size, message in ((0, "must be at least 1"), ("all", "must be 'auto', None or")):
        with pytest.raises(ValueError, match=message):
            stitch_patches(patches, offsets, crop_size=7, batch_size=batch_size)
    with pytest.raises(TypeError, match="batch_size is True but must be an integer"):
        stitch_patches(patches, offsets, crop_size=7, batch_size=True)
    with pytest.raises(ValueError, match="backend is 'gpu' but must be one of"):
        stitch_patches(patches, offsets, crop_size=7, backend="gpu")
    with pytest.raises(ValueError, match="there are 0 positions"):
        stitch_patches(patches[:0], offsets[:0], crop_size=7)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_offset_that_is_not_finite_is_refused_by_its_index(value):
    patches, positions = scan()
    positions[4, 1] = value
    with pytest.raises(ValueError, match=r"1 of 29 positions are not finite, the first at index 4"):
        stitch_patches(patches, offsets_of(positions), crop_size=7)


@pytest.mark.spec("CM-6.6")
def test_a_canvas_that_cannot_fit_names_the_most_extreme_position():
    patches, positions = scan()
    positions[11] = (3.0, 1e9)
    with pytest.raises(ValueError, match=r"index 11 at \(y, x\) = \(3, 1e\+09\)"):
        stitch_patches(patches, offsets_of(positions), crop_size=7)


@pytest.mark.parametrize(
    ("value", "message"), [(1e308, "position 11 is"), (4e15, "needs more than 1 EiB but")]
)
def test_an_absurd_offset_is_refused_in_few_words(value, message):
    patches, positions = scan()
    positions[11] = (3.0, -value)
    with pytest.raises(ValueError, match=rf"{message}.*\(3, -{value:g}\)".replace("+", r"\+")) as caught:
        stitch_patches(patches, offsets_of(positions), crop_size=7)
    assert len(str(caught.value)) < 300


def test_a_stream_of_calls_may_warn_once_at_its_end(caplog):
    patches, positions = scan()
    patches[3, 6, 6] = patches[20, 5, 7] = np.nan
    canvas = Canvas.around(positions, crop_size=6)
    for start in (0, 10, 20):
        items = slice(start, start + 10)
        add_in_batches(canvas, patches[items], positions[items], warn=False)
    assert not caplog.records
    canvas.warn_of_rejected()
    assert "2 of 29 patches" in caplog.text
    assert canvas.first_rejected == (3, 20)


@pytest.mark.spec("CM-6.5")
@pytest.mark.parametrize("backend", BACKENDS)
def test_one_warning_names_the_patches_left_out(backend, caplog):
    patches, positions = scan()
    patches[3, 6, 6] = patches[20, 5, 7] = np.nan
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING, "ptycho"):
        warnings.simplefilter("error")
        image = stitch_patches(patches, offsets_of(positions), crop_size=6, backend=backend, batch_size=4)
    assert [record.getMessage() for record in caplog.records] == [
        "2 of 29 patches hold an infinity or a NaN inside the crop and were left out "
        "(first indices: 3, 20); pixels that no other patch covers stay 0."
    ]
    assert np.isfinite(image).all()
