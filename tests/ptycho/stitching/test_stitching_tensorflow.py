"""The TensorFlow backend: eager, graph and XLA, its temporaries, and 100,000 patches in one graph."""

import numpy as np
import pytest
import reference
import tensorflow as tf
from capped_code import printed_by

from ptycho.stitching import Canvas, reassemble_position
from ptycho.stitching._tensorflow import TensorFlowSums, added, added_graph, bucket


def scan(n=41, patch_size=14, span=(7.5, 16.0), seed=3):
    rng = np.random.default_rng(seed)
    return reference.random_patches(rng, n, patch_size), reference.random_positions(rng, n, span)


@pytest.mark.parametrize("crop_size", [14, 9, 6, 1])
@pytest.mark.parametrize("accumulate", ["float32", "float64"])
def test_image_equals_a_float64_double_loop(crop_size, accumulate):
    patches, positions = scan()
    canvas = Canvas.around(positions, crop_size=crop_size, backend="tensorflow", accumulate=accumulate)
    canvas.add(patches, positions)
    expected, weights = reference.stitch(patches, positions, crop_size)
    assert np.abs(canvas.image() - expected).max() <= 1e-6 * np.abs(expected).max()
    np.testing.assert_allclose(canvas.coverage(), weights, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 40, 82])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_bits_do_not_depend_on_the_batch_size(batch_size, jit_compile):
    patches, positions = scan()
    images = []
    for size in (len(patches), batch_size):
        canvas = Canvas.around(positions, crop_size=9, backend="tensorflow")
        canvas._sums = TensorFlowSums(
            canvas.shape_yx, crop_size=9, dtype=np.dtype(np.complex64), jit_compile=jit_compile
        )
        for start in range(0, len(patches), size):
            canvas.add(patches[start : start + size], positions[start : start + size])
        images.append(canvas.image().tobytes())
    assert images[0] == images[1]


@pytest.mark.parametrize("wrap", ["eager", "graph", "xla"])
def test_eager_graph_and_xla_agree_with_the_cpu_kernel(wrap):
    patches, positions = scan()
    patches[17, 6, 6] = complex(np.inf, np.nan)
    canvas = Canvas.around(positions, crop_size=10)
    placement = canvas.place(patches, positions)
    canvas.commit(canvas.stage_placed(patches, placement))
    height, width = canvas.shape_yx
    function = {"eager": added, "graph": tf.function(added), "xla": tf.function(added, jit_compile=True)}[
        wrap
    ]
    flat, finite = function(
        tf.zeros([height * width + width + 1], tf.complex64),
        tf.constant(patches),
        tf.constant(placement.top_left.astype(np.int32)),
        tf.constant(placement.fraction),
        tf.constant(width),
        crop_size=10,
    )
    sums = flat.numpy()[: height * width].reshape(height, width)
    expected = canvas._sums.values
    assert np.abs(sums - expected).max() <= 1e-6 * np.abs(expected).max()
    np.testing.assert_array_equal(finite.numpy(), np.arange(len(patches)) != 17)


def test_a_patch_that_is_not_finite_is_left_out_whole():
    patches, positions = scan()
    patches[5, 7, 7] = np.nan
    patches[30, 4, 9] = complex(0, np.inf)
    patches[8, 0, 0] = np.nan
    canvas = Canvas.around(positions, crop_size=9, backend="tensorflow")
    canvas.add(patches, positions)
    expected, _ = reference.stitch(patches, positions, 9)
    assert np.abs(canvas.image() - expected).max() <= 1e-6 * np.abs(expected).max()
    assert (canvas.n_rejected, canvas.first_rejected) == (2, (5, 30))


MEASURED = {
    "temporaries": (
        """
patches = np.ones((2048, 64, 64), np.complex64)
positions = np.random.default_rng(0).uniform(-80, 80, (2048, 2))
canvas = Canvas.around(positions, crop_size=20, backend="tensorflow")
placement = canvas.place(patches, positions)
canvas.commit(canvas.stage_placed(patches, placement))
tf.config.experimental.reset_memory_stats("CPU:0")
before = tf.config.experimental.get_memory_info("CPU:0")["current"]
staged = canvas.stage_placed(patches, placement)
print((tf.config.experimental.get_memory_info("CPU:0")["peak"] - before) / (2048 * 20 * 20))
""",
        800,
    ),
    "float64 batch": (
        """
patches = np.ones((2000, 64, 64), np.complex64)
positions = np.random.default_rng(0).uniform(64, 336, (2000, 2))
canvas = Canvas((400, 400), crop_size=64, backend="tensorflow", accumulate="float64")
placement = canvas.place(patches, positions)
tf.config.experimental.reset_memory_stats("CPU:0")
before = tf.config.experimental.get_memory_info("CPU:0")["current"]
staged = canvas.stage_placed(patches, placement)
measured = tf.config.experimental.get_memory_info("CPU:0")["peak"] - before
limits = canvas.batch_limits(patches)
print((limits.fixed_bytes + 2000 * limits.bytes_per_patch) / measured)
""",
        800,
    ),
    **{
        f"large canvas, {accumulate}": (
            f"""
patches = np.ones((64, 64, 64), np.complex64)
positions = np.random.default_rng(0).uniform((32, 32), (4968, 4868), (64, 2))
canvas = Canvas((5000, 4900), crop_size=64, backend="tensorflow", accumulate="{accumulate}")
peaks = []
for _ in range(4):
    tf.config.experimental.reset_memory_stats("CPU:0")
    before = tf.config.experimental.get_memory_info("CPU:0")["current"]
    staged = canvas.stage_placed(patches, canvas.place(patches, positions))
    peaks.append(tf.config.experimental.get_memory_info("CPU:0")["peak"] - before)
    canvas.commit(staged)
    del staged
limits = canvas.batch_limits(patches)
print((limits.fixed_bytes + 64 * limits.bytes_per_patch) / max(peaks))
""",
            4000,
        )
        for accumulate in ("float32", "float64")
    },
    # An operation without a deterministic form raises under this setting; on a CPU all of them have one.
    "deterministic": (
        """
tf.config.experimental.enable_op_determinism()
rng = np.random.default_rng(4)
patches = rng.standard_normal((500, 12, 24)).astype(np.float32).view(np.complex64)
positions = rng.uniform(0, 30, (500, 2))
images = set()
for _ in range(3):
    canvas = Canvas.around(positions, crop_size=9, backend="tensorflow")
    canvas.add(patches, positions)
    images.add(canvas.image().tobytes())
reference = Canvas.around(positions, crop_size=9, backend="cpu")
reference.add(patches, positions)
error = np.abs(canvas.image() - reference.image()).max() / np.abs(reference.image()).max()
print(len(images), error <= 1e-6)
""",
        800,
    ),
}


@pytest.fixture(scope="module")
def measured():
    """What each piece of MEASURED prints where the CPU's allocator keeps statistics, as a GPU's does."""
    return dict(zip(MEASURED, printed_by(list(MEASURED.values())), strict=True))


def test_temporaries_take_about_48_bytes_per_patch_pixel(measured):
    assert 20 < float(measured["temporaries"]) <= 52


def test_a_float64_batch_takes_what_is_planned_for_it(measured):
    assert 0.9 <= float(measured["float64 batch"]) <= 1.6


@pytest.mark.parametrize("accumulate", ["float32", "float64"])
def test_no_batch_on_a_large_canvas_exceeds_its_plan(measured, accumulate):
    """Later batches find chunks that the earlier ones left; the second took a fifth more than was planned."""
    assert 1 <= float(measured[f"large canvas, {accumulate}"]) <= 1.3


@pytest.mark.parametrize(("dtype", "per_pixel"), [(np.complex64, 30), (np.complex128, 54)])
def test_both_canvases_and_their_indices_are_planned_for(dtype, per_pixel):
    _, fixed = TensorFlowSums((50, 60), crop_size=9, dtype=np.dtype(dtype)).batch_bytes(None)
    assert fixed == per_pixel * (50 * 60 + 60 + 1)


def test_the_padding_of_a_compiled_batch_is_planned_for():
    arguments = {"crop_size": 9, "dtype": np.dtype(np.complex64)}
    plain, padded = (TensorFlowSums((30, 40), **arguments, jit_compile=jit) for jit in (False, True))
    per_patch, fixed = plain.batch_bytes(None)
    assert padded.batch_bytes(None) == (2 * per_patch, fixed)


def test_the_sum_runs_where_only_deterministic_operations_are_allowed(measured):
    assert measured["deterministic"].split() == ["1", "True"]


def test_a_crop_flush_with_the_lower_right_corner_stays_on_the_canvas():
    patches, _ = scan(n=1, patch_size=5)
    canvas = Canvas((9, 7), crop_size=5, backend="tensorflow")
    canvas.add(patches, np.array([[6.0, 4.0]]))
    np.testing.assert_allclose(canvas.image()[4:, 2:], patches[0], rtol=1e-6)
    assert np.count_nonzero(canvas.coverage()) == 25


def test_staging_leaves_the_sums_as_they_were():
    patches, positions = scan()
    canvas = Canvas.around(positions, crop_size=9, backend="tensorflow")
    canvas.stage_placed(patches, canvas.place(patches, positions))
    assert not canvas.image().any()


def test_graphs_are_traced_once_per_patch_and_crop_size():
    patches, positions = scan(patch_size=15)
    added_graph.cache_clear()
    for size in (1, 2, 3, 7, 41):
        canvas = Canvas.around(positions, crop_size=11, backend="tensorflow")
        for start in range(0, len(patches), size):
            canvas.add(patches[start : start + size], positions[start : start + size])
    # One trace for the first batch size, one with a free batch dimension for all others.
    assert 1 <= added_graph(11, 11, False).experimental_get_tracing_count() <= 2


def test_xla_compiles_once_per_bucket(retracings):
    patches, positions = scan(patch_size=15)
    added_graph.cache_clear()
    canvas = Canvas.around(positions, crop_size=11)
    placement = canvas.place(patches, positions)
    sums = TensorFlowSums(canvas.shape_yx, crop_size=11, dtype=np.dtype(np.complex64), jit_compile=True)
    for size in (1, 2, 3, 4, 5, 6, 7, 8, 15, 16):
        sums.commit(sums.stage(patches[:size], placement[:size]), canvas.state().corner_weights)
    assert added_graph(11, 11, True).experimental_get_tracing_count() == len({1, 2, 4, 8, 16})
    # Five buckets are five traces, of which TensorFlow warns.
    assert len(retracings.taken()) == 1
    assert [bucket(n) for n in (1, 2, 3, 5, 8, 9)] == [1, 2, 4, 8, 8, 16]
    # Five graphs in ten calls are what this test asks for.
    retracings.taken()


def many_patches(n_patches):
    """Patches and positions that repeat, so that a float64 sum of them has hardly any rounding."""
    rng = np.random.default_rng(9)
    positions = np.round(reference.random_positions(rng, n_patches, (40, 25)) * 4) / 4
    return reference.random_patches(rng, 50, 4)[np.arange(n_patches) % 50], positions


def image_of(patches, positions, *, backend, jit_compile=False):
    canvas = Canvas.around(positions, crop_size=3, backend=backend, accumulate="float64")
    if jit_compile:
        canvas._sums = TensorFlowSums(
            canvas.shape_yx, crop_size=3, dtype=np.dtype(np.complex128), jit_compile=True
        )
    canvas.add(patches, positions)
    return canvas.image()


@pytest.mark.parametrize("n_patches", [10_000, 100_000])
def test_many_patches_go_through_one_graph(n_patches):
    """Canvas shapes from run-time values, and one warp per patch, once failed beyond 5,000 and 1,000."""
    patches, positions = many_patches(n_patches)
    image, expected = (image_of(patches, positions, backend=backend) for backend in ("tensorflow", "cpu"))
    assert np.abs(image - expected).max() <= 1e-6 * np.abs(expected).max()


def test_many_patches_compile_under_xla():
    """One warp per patch once failed under XLA beyond about 1,000 patches."""
    patches, positions = many_patches(10_000)
    image = image_of(patches, positions, backend="tensorflow", jit_compile=True)
    expected = image_of(patches, positions, backend="cpu")
    assert np.abs(image - expected).max() <= 1e-6 * np.abs(expected).max()


def test_xla_is_for_sums_in_tensorflow():
    positions = np.array([[4.0, 4.0]])
    with pytest.raises(ValueError, match="jit_compile is True but the sums are on the CPU"):
        Canvas.around(positions, crop_size=8, backend="cpu", jit_compile=True)
    patches = np.full((1, 8, 8), 1 + 2j, np.complex64)
    images = []
    for options in ({"backend": "cpu"}, {"backend": "tensorflow", "jit_compile": True}):
        canvas = Canvas.around(positions, crop_size=8, **options)
        canvas.add(patches, positions)
        images.append(canvas.image())
    np.testing.assert_allclose(images[1], images[0], rtol=1e-6)


def test_a_traced_function_is_refused_in_words():
    @tf.function
    def stitched(patches, offsets):
        return reassemble_position(patches, offsets, M=4)

    with pytest.raises(TypeError, match=r"symbolic tensor without values; stitch outside of tf\.function"):
        stitched(tf.zeros([3, 8, 8, 1], tf.complex64), tf.zeros([3, 1, 2, 1], tf.float64))
