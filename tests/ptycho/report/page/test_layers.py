"""Pixels of a page: exact where they fit, means of blocks where they do not."""

import base64
import dataclasses
import json
import zlib

import made_results as made
import numpy as np
import pytest
import saved_runs

from ptycho.errors import DataError
from ptycho.report.page._layers import read_images
from ptycho.report.page._pixels import bands, block_means, encoded, rounded
from ptycho.report.page._saved import read_run


def decoded(layer, shape):
    """What assets/page.js makes of a layer."""
    ranks = np.frombuffer(zlib.decompress(base64.b64decode(layer)), np.uint8).reshape(4, -1)
    return np.ascontiguousarray(ranks.T).view("<f4").reshape(shape)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return read_run(saved_runs.write(tmp_path_factory.mktemp("run"), saved_runs.two_arms()))


@pytest.fixture(scope="module")
def arrays(run):
    with np.load(run.folder / "reconstructions_aligned.npz") as file:
        return dict(file)


def test_numbers_come_back_as_they_were():
    values = np.array([[1.5, np.nan, -0.0], [3e-39, np.pi, -7e30]], np.float32)
    np.testing.assert_array_equal(decoded(encoded(values), (2, 3)), values)


def test_rounding_keeps_the_first_digits_and_nan():
    values = np.random.default_rng(0).lognormal(0, 5, 1000).astype(np.float32)
    values[3] = np.nan
    kept = rounded(values, 8)
    assert np.isnan(kept[3])
    relative = np.abs(kept / values - 1)[~np.isnan(values)]
    assert 1e-4 < relative.max() <= 2**-9
    assert (np.ascontiguousarray(kept).view(np.uint32)[4:] & 0x7FFF == 0).all()


def test_block_means_are_those_of_a_loop():
    rng = np.random.default_rng(1)
    values, counted = rng.standard_normal((7, 11)) + 1j, rng.random((7, 11)) > 0.4
    counted[:3, :3] = False
    found = block_means(values, counted, 3)
    assert found.shape == (3, 4)
    for row, column in np.ndindex(found.shape):
        part = np.s_[3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
        expected = values[part][counted[part]].mean() if counted[part].any() else np.nan
        np.testing.assert_allclose(found[row, column], expected)


def test_bands_are_whole_blocks_and_leave_nothing_out():
    found = list(bands(5000, 3000, 7))
    assert len(found) > 10
    assert [band.start for band in found] == [0, *(band.stop for band in found[:-1])]
    assert found[-1].stop == 5000
    assert all(band.start % 7 == 0 for band in found)


def test_what_fits_is_embedded_to_the_bit(run, arrays):
    found = read_images(run)
    assert (found.block, found.shape_yx) == (1, made.WINDOW.shape_yx)
    assert [image.label for image in found.images] == ["PtychoPINN", "ePIE", "Ground truth"]
    for image, prefix in zip(found.images, ("ptychopinn", "epie", "ground_truth"), strict=True):
        covered = arrays.get(f"{prefix}_covered", np.ones(made.WINDOW.shape_yx, bool))
        for name in ("amplitude", "phase"):
            values = decoded(image.layers[name], found.shape_yx)
            np.testing.assert_array_equal(values[covered], arrays[f"{prefix}_{name}"][covered])
            assert np.isnan(values[~covered]).all()


def test_what_is_shown_has_the_errors_that_were_scored(run):
    found = read_images(run)
    arm, truth = found.images[0], found.images[2]
    y, x = np.mgrid[: found.shape_yx[0], : found.shape_yx[1]]

    def phase(image):
        plane = image.plane
        return decoded(image.layers["phase"], y.shape) - plane.offset - plane.slope_y * y - plane.slope_x * x

    metrics = run.arms[0].report.record("metrics")
    inside = tuple(
        slice(
            metrics.whole("scored_rectangle", f"{axis}_start"),
            metrics.whole("scored_rectangle", f"{axis}_stop"),
        )
        for axis in ("row", "column")
    )
    error = np.angle(np.exp(1j * (phase(arm) - phase(truth))))[inside]
    amplitude_error = (
        arm.amplitude_scale * decoded(arm.layers["amplitude"], y.shape)
        - decoded(truth.layers["amplitude"], y.shape)
    )[inside]
    np.testing.assert_allclose(np.abs(error).mean(), metrics.number("values", "mae", "phase"), rtol=1e-4)
    np.testing.assert_allclose(
        np.abs(amplitude_error).mean(), metrics.number("values", "mae", "amplitude"), rtol=1e-4
    )


@pytest.mark.spec("CM-9.11")
def test_what_does_not_fit_becomes_means_that_do(run, arrays):
    found = read_images(run, most_characters=6000)
    assert found.block > 1
    assert found.n_characters <= 6000
    image = found.images[0]
    covered = arrays["ptychopinn_covered"]
    expected = block_means(arrays["ptychopinn_amplitude"], covered, found.block)
    np.testing.assert_allclose(decoded(image.layers["amplitude"], found.shape_yx), expected, rtol=2e-4)


def test_the_phase_of_a_block_is_that_of_its_mean_without_the_plane(tmp_path):
    # A ramp of most of a turn over a block: the plain mean of such a field is nothing.
    y, x = np.mgrid[: made.WINDOW.shape_yx[0], : made.WINDOW.shape_yx[1]]
    ramp = 1.1 * y - 0.9 * x
    steep = (made.image() * np.exp(1j * ramp)).astype(np.complex64)
    arm = saved_runs.scored(made.finished_arm(aligned=made.placed(steep)))
    run = read_run(saved_runs.write(tmp_path, made.comparison(arm)))
    found = read_images(run, most_characters=4000)
    assert found.block >= 3
    image, truth = found.images
    middle = (found.block - 1) / 2
    # The last row and column of blocks may hold fewer pixels.
    rows, columns = found.shape_yx[0] - 1, found.shape_yx[1] - 1
    shown = decoded(image.layers["phase"], found.shape_yx)[:rows, :columns]
    true = decoded(truth.layers["phase"], found.shape_yx)[:rows, :columns]
    at = np.mgrid[:rows, :columns] * found.block + middle
    difference = np.angle(np.exp(1j * (shown - true - 1.1 * at[0] + 0.9 * at[1])))
    assert np.ptp(difference) < 0.02


def test_coverage_and_spread_are_those_of_the_raw_file(run):
    with np.load(run.folder / "reconstructions.npz") as file:
        coverage, variance = file["ptychopinn_coverage"], file["ptychopinn_overlap_variance"]
    found = read_images(run)
    layers = found.images[0].layers
    expected = np.where(coverage > 0, coverage, np.nan)
    np.testing.assert_allclose(decoded(layers["coverage"], found.shape_yx), expected, rtol=2**-8)
    np.testing.assert_allclose(decoded(layers["spread"], found.shape_yx), np.sqrt(variance), rtol=2**-8)
    assert "spread" not in found.images[1].layers


def test_a_misfit_lies_where_its_cells_do(tmp_path, run):
    folder = saved_runs.write(tmp_path, saved_runs.two_arms())
    with np.load(folder / "reconstructions.npz") as file:
        arrays = dict(file)
    cells = np.arange(20, dtype=np.float32).reshape(4, 5)
    # The window begins at row 7, column 11 of the object.
    arrays["ptychopinn_misfit_image_object"], arrays["ptychopinn_misfit_image_origin_yx"] = (
        cells,
        np.array([9.0, 3.0]),
    )
    np.savez(folder / "reconstructions.npz", **arrays)
    found = read_images(read_run(folder))
    misfit = decoded(found.images[0].layers["misfit"], found.shape_yx)
    assert np.isnan(misfit[:2]).all()
    assert misfit[2, 0] == cells[0, 1]
    assert misfit[10, 7] == cells[1, 1]
    assert misfit[10, 8] == cells[1, 2]
    assert np.isnan(misfit[34:]).all()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.zeros((3, 4), np.complex64), r"complex64 \(3, 4\) but must be of kind 'c' and \(40, 56\)"),
        (np.zeros(made.WINDOW.shape_yx), "float64"),
        (np.array([object()]), "kind 'c'"),
    ],
)
def test_an_array_of_another_shape_or_kind_is_refused(tmp_path, value, said):
    folder = saved_runs.write(tmp_path, saved_runs.two_arms())
    with np.load(folder / "reconstructions_aligned.npz") as file:
        arrays = dict(file)
    np.savez(folder / "reconstructions_aligned.npz", **(arrays | {"ground_truth_complex": value}))
    with pytest.raises(DataError, match=said):
        read_images(read_run(folder))


def test_an_image_that_was_not_scored_is_shown_by_its_own_plane(tmp_path):
    plain = made.finished_arm(metrics=None)
    run = read_run(saved_runs.write(tmp_path, dataclasses.replace(made.comparison(plain), truth=None)))
    (image,) = read_images(run).images
    assert image.amplitude_scale == 1
    assert image.plane.offset != 0
    assert json.dumps(dataclasses.asdict(image.plane))
