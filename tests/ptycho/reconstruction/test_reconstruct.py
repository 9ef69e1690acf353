"""From frames to an image: exact placement, and the same bits for every batch size and after errors."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from oracle_model import OracleModel, lopsided_scan

from autobatch import DoesNotFitError, _host, progress_of
from autobatch.testing import FixedMemory, inject_oom
from ptycho.data import extract_patches
from ptycho.errors import DataError
from ptycho.image.cropping import object_window
from ptycho.models.networks import Architecture, build_network
from ptycho.models.patch_model import PatchModel
from ptycho.reconstruction import InferenceSettings, check_fits, plan_inference, reconstruct
from ptycho.reconstruction._half_sets import draw_groups
from ptycho.reconstruction.job import InferenceJob
from ptycho.stitching import Canvas, _cpu, stitch_patches


@pytest.fixture(scope="module")
def scan():
    return lopsided_scan()


@pytest.fixture
def model(scan):
    return OracleModel(scan)


@pytest.mark.spec("CM-7.2")
def test_perfect_patches_give_the_object_at_its_place(scan, model):
    run = reconstruct(model, scan, InferenceSettings(crop_size=16))
    assert run.image.origin_yx is not None
    top, left = run.image.origin_yx
    height, width = run.image.values.shape
    assert (top, left) == (int(top), int(left))
    top, left = int(top), int(left)
    truth = scan.object_guess[top : top + height, left : left + width]
    found, covered = run.image.values[: truth.shape[0], : truth.shape[1]], run.image.coverage > 0.5
    covered = covered[: truth.shape[0], : truth.shape[1]]
    assert covered.mean() > 0.95
    assert np.abs(found - truth)[covered].max() < 0.05
    assert np.abs(found - truth)[covered].mean() < 2e-3


@pytest.mark.parametrize("self_consistency", [False, True])
def test_compiling_is_over_before_the_first_batch(scan, model, monkeypatch, self_consistency):
    events = []
    predict = model.predict_batch
    model.predict_batch = lambda *arguments: events.append("predict") or predict(*arguments)
    kernels = _cpu.load_kernels()
    for name in ("add_band", "square_band", "box_blocks"):
        loop = getattr(kernels, name)
        monkeypatch.setattr(kernels, name, _recorded(loop, name, events))
    reconstruct(model, scan, InferenceSettings(crop_size=16, self_consistency=self_consistency))
    before = set(events[: events.index("predict")])
    assert before == set(events) - {"predict"}


def _recorded(function, name, events):
    def call(*arguments):
        # A loop is compiled anew for other types of arrays.
        events.append((name, *(a.dtype for a in arguments if isinstance(a, np.ndarray))))
        return function(*arguments)

    return call


@pytest.mark.spec("CM-5.4")
@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_the_image_is_bit_identical_for_every_batch_size(scan, model, size):
    expected = reconstruct(model, scan, InferenceSettings(crop_size=15)).image
    found = reconstruct(
        model, scan, InferenceSettings(crop_size=15, predict_batch_size=size, stitch_batch_size=3)
    ).image
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.coverage, expected.coverage)


@pytest.mark.spec("CM-5.5")
@pytest.mark.parametrize("failing", [[0], [2], [4], [1, 2], [0, 1]])
def test_an_oom_while_predicting_leaves_the_image_and_halves(scan, model, failing):
    expected = reconstruct(model, scan, InferenceSettings(crop_size=16)).image.values
    with inject_oom(at=failing, label="patches"):
        run = reconstruct(model, scan, InferenceSettings(crop_size=16, predict_batch_size=64))
    np.testing.assert_array_equal(run.image.values, expected)
    attempted, size, left = [], 64, scan.n_frames
    for call in range(1000):
        if not left:
            break
        attempted.append(min(size, left))
        if call in failing:
            size = attempted[-1] // 2
        else:
            left -= attempted[-1]
    assert run.prediction.attempted_sizes == attempted
    assert run.prediction.n_oom == len(failing)


@pytest.mark.spec("CM-5.5")
def test_an_oom_while_stitching_leaves_the_image(scan, model):
    expected = reconstruct(model, scan, InferenceSettings(crop_size=16)).image.values
    with inject_oom(at=[0, 3], label="stitching"):
        run = reconstruct(
            model, scan, InferenceSettings(crop_size=16, predict_batch_size=64, stitch_batch_size=32)
        )
    np.testing.assert_array_equal(run.image.values, expected)
    assert run.stitching.n_oom == 2
    assert run.prediction.n_oom == 0


@pytest.mark.spec("CM-5.6")
def test_a_stitch_that_cannot_fit_is_no_oom_of_the_prediction(scan, model):
    with inject_oom(at=range(100), label="stitching"), pytest.raises(DoesNotFitError) as caught:
        reconstruct(model, scan, InferenceSettings(crop_size=16, predict_batch_size=64))
    assert "another `crop_size`" in str(caught.value)
    assert model.batch_sizes == [64]


@pytest.mark.spec("CM-5.7")
@pytest.mark.parametrize(("size", "padded"), [(64, 64), (100, 8)])
def test_the_last_batch_is_padded_to_the_next_power_of_two(scan, model, size, padded):
    reconstruct(model, scan, InferenceSettings(crop_size=16, predict_batch_size=size))
    whole, rest = divmod(scan.n_frames, size)
    assert padded / 2 < rest < padded
    assert model.batch_sizes == [size] * whole + [padded]


@pytest.mark.spec("CM-3.5")
def test_the_scale_of_the_frames_in_the_file_does_not_matter(scan):
    seen = []

    def recording(frames, offsets_yx=None):
        seen.append(frames)
        return np.ones(frames.shape[:3], np.complex64)

    for factor in (1, 37):
        brighter = replace(scan, amplitude=factor * scan.amplitude)
        model = OracleModel(scan)
        model.predict_batch = recording
        reconstruct(model, brighter, InferenceSettings(crop_size=16, predict_batch_size=len(scan.amplitude)))
    first, second = (frames[: scan.n_frames] for frames in seen)
    assert np.square(first).sum(axis=(1, 2, 3)).mean() == pytest.approx((scan.patch_size / 2) ** 2, rel=1e-5)
    np.testing.assert_allclose(second, first, rtol=1e-5)


@pytest.mark.spec("CM-5.7")
@pytest.mark.parametrize("count", [63, 64, 65, 128])
def test_as_many_patches_as_frames(scan, model, count):
    part = scan.select(np.arange(count))
    run = reconstruct(model, part, InferenceSettings(crop_size=16, predict_batch_size=64))
    assert run.prediction.n_items == count
    assert run.image.coverage.sum() == pytest.approx(count * 16**2, rel=1e-4)


@pytest.mark.spec("CM-4.3")
def test_groups_do_not_depend_on_the_batches():
    scan = lopsided_scan()
    architecture = Architecture(kind="pinn", patch_size=64, gridsize=2, n_filters_scale=0.25)
    model = PatchModel(build_network(architecture), architecture)
    padded = np.pad(scan.amplitude, [(0, 0), (16, 16), (16, 16)])
    probe = np.pad(scan.probe, 16)
    scan = type(scan)(amplitude=padded, positions_yx=scan.positions_yx, probe=probe)
    images = [
        reconstruct(model, scan, InferenceSettings(crop_size=20, predict_batch_size=size)).image
        for size in (32, 300)
    ]
    np.testing.assert_allclose(images[0].values, images[1].values, atol=2e-6)
    np.testing.assert_array_equal(images[0].coverage, images[1].coverage)


@pytest.mark.spec("CM-6.5")
def test_patches_that_are_not_finite_are_counted_and_left_out(scan, model):
    good = model.predict_batch

    def poisoned(frames, offsets_yx=None):
        patches = good(frames, offsets_yx)
        patches[0, 16, 16] = np.nan
        return patches

    model.predict_batch = poisoned
    run = reconstruct(model, scan, InferenceSettings(crop_size=16, predict_batch_size=50))
    assert run.stitching.n_rejected == len(run.prediction.batch_sizes)
    assert np.isfinite(run.image.values).all()


@pytest.mark.spec("CM-8.8")
def test_a_collapsed_model_is_named(scan, model):
    model.predict_batch = lambda frames, offsets_yx=None: np.full(
        (len(frames), 32, 32), 0.7 + 0.1j, "complex64"
    )
    assert "nearly constant" in reconstruct(model, scan, InferenceSettings(crop_size=16)).collapsed


@pytest.fixture
def steady_memory(monkeypatch):
    """Other programs' memory comes and goes; a memo is for the same free memory."""
    monkeypatch.setattr("autobatch._first_size.as_probe", lambda device: FixedMemory(8 << 30))


def test_a_batch_size_that_survived_an_oom_is_planned_the_next_time(scan, model, steady_memory, tmp_path):
    path = tmp_path / "memo.json"
    with inject_oom(at=[0], label="patches"):
        first = reconstruct(model, scan, InferenceSettings(crop_size=16, batch_memo=path))
    half = scan.n_frames // 2
    assert first.prediction.attempted_sizes[:2] == [scan.n_frames, half]
    plan = plan_inference(model, scan, InferenceSettings(crop_size=16, batch_memo=path)).batches
    assert (plan.limited_by, plan.batch_size) == ("memo", half)
    again = reconstruct(model, scan, InferenceSettings(crop_size=16, batch_memo=path))
    assert (again.prediction.plan.limited_by, again.prediction.attempted_sizes[0]) == ("memo", half)
    assert plan_inference(model, scan, InferenceSettings(crop_size=16)).batches.limited_by == "items"


@pytest.mark.spec("CM-5.9")
def test_remembered_sizes_are_kept_apart_by_network_precision_and_crop(scan, model, steady_memory, tmp_path):
    path = tmp_path / "memo.json"
    with inject_oom(at=[0], label="patches"):
        reconstruct(model, scan, InferenceSettings(crop_size=16, batch_memo=path))

    def limited_by(precision="float32", crop_size=16, **changes):
        architecture = replace(model.architecture, **changes)
        other = PatchModel(build_network(architecture, precision=precision), architecture)
        return plan_inference(
            other, scan, InferenceSettings(crop_size=crop_size, batch_memo=path)
        ).batches.limited_by

    assert limited_by() == "memo"
    assert limited_by(precision="mixed_bfloat16") == "items"
    assert limited_by(crop_size=14) == "items"
    assert limited_by(n_filters_scale=0.5) == "items"


@pytest.mark.spec("CM-1.6")
def test_the_plan_is_what_is_then_done(scan, model):
    plan = plan_inference(model, scan, InferenceSettings(crop_size=16, predict_batch_size="auto"))
    run = reconstruct(model, scan, InferenceSettings(crop_size=16))
    assert plan.batches.batch_size == run.prediction.plan.batch_size
    assert plan.n_patches == scan.n_frames
    assert plan.canvas_shape_yx == run.image.values.shape


@pytest.mark.spec("CM-2.9")
def test_frames_of_another_size_are_refused(scan):
    architecture = Architecture(kind="baseline", patch_size=64, n_filters_scale=0.25)
    with pytest.raises(DataError, match="frames of 32x32 pixels but the baseline was trained on 64x64"):
        reconstruct(
            PatchModel(build_network(architecture), architecture), scan, InferenceSettings(crop_size=16)
        )


@pytest.mark.spec("CM-4.5")
def test_a_group_needs_one_frame_more_than_it_holds(scan):
    model = OracleModel(scan, gridsize=2)
    with pytest.raises(DataError, match=r"4 frames but the model groups 4 neighbours .* at least 5"):
        check_fits(model, scan.select(np.arange(4)))
    check_fits(model, scan.select(np.arange(5)))
    check_fits(OracleModel(scan), scan.select([7]))


def _noisy(model, scale=0.1):
    """Make `model` put out its true patches under noise that depends on the frame alone."""
    good = model.predict_batch

    def noisy(frames, offsets_yx=None):
        patches = good(frames, offsets_yx)
        for patch, frame in zip(patches, frames[..., 0], strict=True):
            rng = np.random.default_rng(int(frame.argmax()) * 1024 + int(frame.argmin()))
            patch += (scale * rng.standard_normal((*patch.shape, 2), np.float32)).view(np.complex64)[..., 0]
        return patches

    model.predict_batch = noisy
    return model


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_groups_of_half_sets_hold_each_patch_once_in_one_pass(scan, size):
    model = _noisy(OracleModel(scan))
    run = reconstruct(
        model, scan, InferenceSettings(crop_size=16, predict_batch_size=size, self_consistency=True)
    )
    assert sum(model.batch_sizes) - scan.n_frames < size
    group_of = draw_groups(scan.positions_yx, seed=0)
    for number, half in enumerate(run.half_sets.groups):
        part = scan.select(group_of == number)
        alone = reconstruct(model, part, InferenceSettings(crop_size=16)).image
        top, left = (int(a - b) for a, b in zip(alone.origin_yx, half.origin_yx, strict=True))
        height, width = alone.values.shape
        inside = np.s_[top : top + height, left : left + width]
        np.testing.assert_allclose(half.values[inside], alone.values, atol=2e-6)
        np.testing.assert_allclose(half.coverage[inside], alone.coverage, atol=2e-6)
        assert half.coverage.sum() == pytest.approx(alone.coverage.sum())


def test_splits_are_made_of_the_groups(scan):
    settings = InferenceSettings(crop_size=16, self_consistency=True)
    run = reconstruct(_noisy(OracleModel(scan)), scan, settings)
    window, group_of = object_window(scan.positions_yx, 16), draw_groups(scan.positions_yx, seed=0)
    pairs = list(run.half_sets.splits(window))
    assert len(pairs) == 3
    for (first, second), others in zip(pairs, (1, 2, 3), strict=True):
        in_first = np.isin(group_of, (0, others))
        for half, chosen in ((first, in_first), (second, ~in_first)):
            canvas = Canvas(window.shape_yx, crop_size=16, origin_yx=window.origin_yx, backend="cpu")
            model = _noisy(OracleModel(scan))
            canvas.add(model.predict_batch(scan.amplitude[chosen][..., None]), scan.positions_yx[chosen])
            # Less than a thousandth of a patch, at the rim of a group, is left out of the half.
            np.testing.assert_allclose(half.coverage, canvas.coverage(), atol=2e-3)
            deep = half.coverage > 0.1
            np.testing.assert_allclose(half.values[deep], canvas.image()[deep], atol=1e-2)
            deep = half.coverage > 1
            np.testing.assert_allclose(half.values[deep], canvas.image()[deep], atol=2e-3)


def test_groups_are_drawn_by_lot_and_lie_alike():
    rng = np.random.default_rng(3)
    raster = np.stack(np.mgrid[:24, :31], -1).reshape(-1, 2) * 5.0
    for positions_yx in (raster, rng.uniform(0, 200, (723, 2)), np.zeros((2, 2))):
        group_of = draw_groups(positions_yx, seed=7)
        counts = np.bincount(group_of, minlength=4)
        assert counts.sum() == len(positions_yx)
        assert np.ptp(counts) <= 1
        np.testing.assert_array_equal(group_of, draw_groups(positions_yx, seed=7))
    assert (draw_groups(raster, seed=7) != draw_groups(raster, seed=8)).mean() > 0.6
    half = np.isin(draw_groups(raster, seed=7), (0, 1)).reshape(24, 31)
    windows = np.lib.stride_tricks.sliding_window_view(half, (4, 4))
    shares = windows.mean(axis=(2, 3))
    assert shares.min() > 0.1
    assert shares.max() < 0.9


def test_halves_of_a_raster_have_no_lattice_of_their_own():
    raster = np.stack(np.mgrid[:32, :32], -1).reshape(-1, 2) * 5.0
    in_half = np.isin(draw_groups(raster, seed=1), (0, 1)).reshape(32, 32)
    spectrum = np.abs(np.fft.fft2(in_half - 0.5)) / in_half.size**0.5
    # Lots have a flat spectrum of 0.5; halves of even and odd number have a peak of 16.
    assert spectrum.max() < 2.0


def test_the_image_is_the_sum_of_its_halves_whatever_the_batches(scan):
    model = _noisy(OracleModel(scan))
    plain = reconstruct(model, scan, InferenceSettings(crop_size=15)).image
    runs = [
        reconstruct(
            model,
            scan,
            InferenceSettings(
                crop_size=15, predict_batch_size=size, stitch_batch_size=3, self_consistency=True
            ),
        )
        for size in (7, 64)
    ]
    np.testing.assert_allclose(runs[0].image.values, plain.values, atol=2e-6)
    np.testing.assert_allclose(runs[0].image.coverage, plain.coverage, atol=2e-6)
    np.testing.assert_array_equal(runs[0].image.values, runs[1].image.values)
    for groups in zip(*(run.half_sets.groups for run in runs), strict=True):
        np.testing.assert_array_equal(groups[0].values, groups[1].values)
    np.testing.assert_array_equal(runs[0].half_sets.overlap_variance, runs[1].half_sets.overlap_variance)


def test_overlap_variance_tells_the_noise_of_the_patches(scan):
    model = _noisy(OracleModel(scan), scale=0.1)
    run = reconstruct(model, scan, InferenceSettings(crop_size=16, self_consistency=True))
    canvas = Canvas(
        run.image.values.shape, crop_size=16, origin_yx=run.image.origin_yx, overlap_variance=True
    )
    frames = scan.amplitude[..., None]
    canvas.add(model.predict_batch(frames), scan.positions_yx)
    np.testing.assert_allclose(run.half_sets.overlap_variance, canvas.overlap_variance(), atol=1e-6)
    deep = run.image.coverage > 5
    assert 0.2 * 0.02 < np.nanmean(run.half_sets.overlap_variance[deep]) < 0.02


def test_the_mean_centred_image_is_that_of_reassemble_position(scan, model):
    run = reconstruct(model, scan, InferenceSettings(crop_size=16, predict_batch_size=50, mean_centred=True))
    patches = extract_patches(scan.object_guess, scan.positions_yx, 32)
    expected = stitch_patches(patches, scan.positions_yx[:, ::-1].copy(), crop_size=16)
    np.testing.assert_allclose(run.mean_centred, expected, atol=2e-6)
    assert reconstruct(model, scan, InferenceSettings(crop_size=16)).mean_centred is None


def test_patches_left_out_are_named_by_their_place_in_the_scan(scan, model, caplog):
    good, bad = model.predict_batch, [3, 8, 10, 41, 77, 90]

    def poisoned(frames, offsets_yx=None):
        patches = good(frames, offsets_yx)
        patches[[i for i in bad if i < len(patches)], 16, 16] = np.nan
        return patches

    model.predict_batch = poisoned
    run = reconstruct(
        model, scan, InferenceSettings(crop_size=16, predict_batch_size=100_000, self_consistency=True)
    )
    assert run.stitching.n_rejected == len(bad)
    assert "first indices: 3, 8, 10, 41, 77)" in caplog.text


def test_the_plan_counts_every_canvas(scan, model):
    plain, halves, both = (
        plan_inference(
            model, scan, InferenceSettings(crop_size=16, self_consistency=wanted, mean_centred=centred)
        ).canvas_bytes
        for wanted, centred in ((False, False), (True, False), (True, True))
    )
    rows, columns = plan_inference(model, scan, InferenceSettings(crop_size=16)).canvas_shape_yx
    point_map = 8 * (rows - 15) * (columns - 15)
    assert plain == 8 * rows * columns + point_map
    assert halves == 5 * (24 * rows * columns + point_map)
    side = reconstruct(model, scan, InferenceSettings(crop_size=16, mean_centred=True)).mean_centred.shape[0]
    assert both - halves == 8 * side**2 + 8 * (side - 15) ** 2


def test_frames_that_cannot_be_read_end_the_run_in_words_and_leave_no_thread(scan, model, monkeypatch):
    good = InferenceJob.read

    def damaged(job, start, stop):
        if start <= 70 < stop:
            raise DataError("frame 70 is damaged; copy the file again.")
        return good(job, start, stop)

    monkeypatch.setattr(InferenceJob, "read", damaged)
    with pytest.raises(DataError, match="frame 70 is damaged") as caught:
        reconstruct(model, scan, InferenceSettings(crop_size=16, predict_batch_size=32))
    assert progress_of(caught.value).stopped_at == 64
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_memory_is_not_read_for_every_batch(scan, model, monkeypatch):
    readings = []
    read = _host.host_memory
    monkeypatch.setattr(_host, "host_memory", lambda: readings.append(1) or read())
    counts = []
    for size in (64, 4):
        readings.clear()
        reconstruct(
            model, scan, InferenceSettings(crop_size=16, predict_batch_size=size, self_consistency=True)
        )
        counts.append(len(readings))
    assert counts[0] == counts[1]
