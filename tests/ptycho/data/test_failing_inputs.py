"""Inputs that went wrong once: what is wrong with each is named, and the others are unharmed.

Each row of `../shared/data/failing-inputs` has a test on data that are made here, and one on the genuine file. Hot
pixels are in `test_defects.py`, positions from another origin in `test_reconstruction.py`, crops that do not overlap in
`test_compare.py`; bundles, canvases and memos of the same kinds with their readers.
"""

import argparse
import logging
from dataclasses import replace

import numpy as np
import pytest

from ptycho.data import (
    ScanData,
    SimulationSettings,
    check_plausible,
    read_npz,
    read_scan,
    read_tike,
    simulate,
    write_npz,
)
from ptycho.data.frame_numbers import skipping
from ptycho.errors import DataError


def _saved(path, scan, **changes):
    write_npz(path, scan)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **(arrays | changes))
    return path


@pytest.mark.parametrize("value", [np.nan, 65535.0**0.5, (2.0**32 - 1) ** 0.5, -1.0, 65535.0])
def test_a_gap_between_modules_is_masked_and_said(scan, tmp_path, caplog, value):
    frames = scan.amplitude.copy()
    frames[:, 3:5, :] = np.float32(value)
    found = read_npz(_saved(tmp_path / "gap.npz", scan, diffraction=frames))
    assert "32 pixels (rows 3 to 4, columns 0 to 15) hold no measurement in any frame" in caplog.text
    assert found.n_masked == 32
    assert not found.amplitude[:, 3:5].any()
    np.testing.assert_array_equal(found.amplitude[:, 5:], frames[:, 5:])


def test_a_value_that_one_frame_lacks_is_a_damaged_frame_and_no_gap(scan, tmp_path):
    frames = scan.amplitude.copy()
    frames[0, 3, 4] = np.nan
    with pytest.raises(DataError, match=r"not finite .* in 1 of 9 frames, the first being 0"):
        read_npz(_saved(tmp_path / "nan.npz", scan, diffraction=frames))


def test_a_saturated_pixel_of_one_frame_is_no_gap(scan, tmp_path):
    frames = scan.amplitude.copy()
    frames[0, 8, 8] = np.float32(np.sqrt(65535))
    found = read_npz(_saved(tmp_path / "saturated.npz", scan, diffraction=frames), plausibility=False)
    assert found.mask is None


def test_one_frame_too_bright_is_named_and_leaves_the_scale_of_the_others(scan, tmp_path, caplog):
    frames = scan.amplitude.copy()
    frames[4] *= 100
    found = read_npz(_saved(tmp_path / "bright.npz", scan, diffraction=frames))
    assert (
        "1 of 9 frames have more than 20 times the energy of a typical one, the first being 4" in caplog.text
    )
    assert "so leave them out altogether (`skip='4'`)" in caplog.text
    others = np.delete(np.arange(9), 4)
    assert found.normalisation == pytest.approx(scan.select(others).normalisation, rel=1e-6)
    assert found.bright_outliers.tolist() == [4]


def test_frames_of_usual_brightness_set_the_scale_as_ever(scan):
    assert scan.bright_outliers.size == 0
    assert scan.mean_frame_energy == scan.frame_energies.mean()


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (0.005, "in micrometres or nanometres, read them with"),
        (64.0, "if they are in nanometres"),
        (1.0, None),
    ],
)
def test_positions_in_another_unit_are_named(tmp_path, caplog, factor, words):
    rng = np.random.default_rng(4)
    raster = (
        np.stack(np.meshgrid(np.arange(5) * 6.0, np.arange(4) * 6.0, indexing="ij"), -1).reshape(-1, 2) + 8
    )
    scan = ScanData(amplitude=rng.random((20, 16, 16)), positions_yx=raster * factor, probe=np.ones((16, 16)))
    write_npz(tmp_path / "a.npz", scan)
    with caplog.at_level(logging.WARNING):
        read_npz(tmp_path / "a.npz")
    told = [
        record.getMessage() for record in caplog.records if "neighbouring positions" in record.getMessage()
    ]
    assert [words in text for text in told] == ([True] if words else [])


def test_structured_positions_are_refused_in_words(scan, tmp_path):
    odd = np.zeros(9, dtype=[("x", float), ("y", float)])
    with pytest.raises(DataError, match=r"xcoords in .* has the type .* but must be plain numbers"):
        read_npz(_saved(tmp_path / "odd.npz", scan, xcoords=odd))


def test_an_archive_cut_in_the_middle_names_its_file(scan, tmp_path):
    path = tmp_path / "cut.npz"
    write_npz(path, scan)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3] + whole[2 * len(whole) // 3 :])
    with pytest.raises(DataError, match=r"cut\.npz"):
        read_npz(path)


@pytest.fixture(scope="module")
def simulated():
    """A scan of 64x64 frames whose probe is in the units of the frames, as most files have it."""
    return simulate(SimulationSettings(object_shape_yx=(100, 120), step_px=11.0, seed=4))


def _dark_subtracted(scan, *, clipped):
    """Counts less a dark level, with the noise of a detector that integrates charge."""
    rng = np.random.default_rng(6)
    counts = scan.amplitude.astype(np.float64) ** 2 + rng.normal(0, 0.3, scan.amplitude.shape) - 0.1
    return np.maximum(counts, 0) if clipped else counts


def test_intensity_without_an_object_is_suspected_before_the_probe(simulated, tmp_path):
    scan = replace(simulated, object_guess=None, labels=None)
    write_npz(tmp_path / "a.npz", replace(scan, amplitude=_dark_subtracted(scan, clipped=True)))
    with pytest.raises(
        DataError, match=r"to the power 1\.\d\d, .* so they hold intensity, .* numpy\.sqrt\(numpy\.clip\("
    ):
        read_npz(tmp_path / "a.npz")
    # The remedy, followed word for word.
    frames = _dark_subtracted(scan, clipped=True)
    check_plausible(replace(scan, amplitude=np.sqrt(np.clip(frames, 0, None))))


def test_negative_values_are_refused_with_a_remedy_that_works(simulated, tmp_path):
    frames = _dark_subtracted(simulated, clipped=False)
    path = _saved(tmp_path / "a.npz", replace(simulated, object_guess=None), diffraction=frames)
    with pytest.raises(DataError, match=r"counts less a dark level, store numpy\.sqrt\(numpy\.clip\("):
        read_npz(path)
    remedied = np.sqrt(np.clip(frames, 0, None))
    read_npz(_saved(path, replace(simulated, object_guess=None), diffraction=remedied))


@pytest.mark.parametrize("factor", [1e-3, 30.0])
def test_a_probe_in_other_units_is_not_refused_as_intensity(simulated, factor):
    check_plausible(replace(simulated, object_guess=None, probe=simulated.probe * np.complex64(factor)))


def test_one_of_the_two_signs_of_intensity_is_a_warning(simulated, caplog):
    scan = replace(simulated, object_guess=None, probe=simulated.probe * np.complex64(1e-3))
    check_plausible(replace(scan, amplitude=_dark_subtracted(scan, clipped=True)))
    assert "may hold intensity where amplitude is expected, for they follow the far field" in caplog.text


def test_frames_of_dark_counts_are_named_and_faint_frames_of_the_beam_are_not(simulated, caplog):
    frames = simulated.amplitude.copy()
    frames[3::5] = np.sqrt(np.random.default_rng(1).poisson(0.05, frames[3::5].shape))
    frames[1] *= 0.1
    check_plausible(replace(simulated, amplitude=frames))
    n_dark = len(frames[3::5])
    assert f"{n_dark} of {len(frames)} frames hold dark counts alone" in caplog.text
    assert "the first being 3 with" in caplog.text
    assert "so leave them out (`skip='3,8,13,18'`)" in caplog.text
    assert len(caplog.records) == 1


def test_many_frames_are_to_be_left_out_by_the_setting_without_their_numbers():
    assert skipping(np.arange(0, 36, 3)) == "`skip='0,3,6,9,12,15,18,21,24,27,30,33'`"
    assert skipping(np.arange(0, 39, 3)) == "`skip`"


def test_most_frames_may_be_dark(simulated, caplog):
    frames = simulated.amplitude.copy()
    frames[8:] = np.sqrt(np.random.default_rng(1).poisson(0.05, frames[8:].shape))
    check_plausible(replace(simulated, amplitude=frames))
    assert f"{len(frames) - 8} of {len(frames)} frames hold dark counts alone" in caplog.text
    assert f"so leave them out (`skip='8:{len(frames)}'`)" in caplog.text
    assert "more than 20 times" not in caplog.text


def test_a_scan_without_a_beam_is_named_before_anything_else(simulated, caplog):
    frames = np.random.default_rng(1).poisson(4.0, simulated.amplitude.shape)
    check_plausible(replace(simulated, amplitude=frames, object_guess=None))
    assert [record.getMessage()[:33] for record in caplog.records] == ["the frames are lit as evenly as b"]


def test_a_real_object_is_warned_of_as_a_phase_image(simulated, tmp_path, caplog):
    path = _saved(tmp_path / "a.npz", simulated, objectGuess=np.angle(simulated.object_guess))
    read_npz(path)
    assert "objectGuess is real (" in caplog.text
    assert "store numpy.exp(1j * phase) in its place" in caplog.text


def test_of_several_modes_in_tike_s_layout_the_strongest_is_taken_and_both_are_named(scan, tmp_path, caplog):
    modes = np.stack([0.5 * scan.probe, scan.probe])[None, None, None]
    np.savez(
        tmp_path / "t.npz",
        data=np.fft.ifftshift(scan.amplitude**2, axes=(-2, -1))[None],
        scan=scan.positions_yx[None],
        probe=modes,
    )
    np.testing.assert_array_equal(read_tike(tmp_path / "t.npz").probe, scan.probe)
    assert "number 1 with 80 % of the energy, is used, and not the first (number 0) with 20 %" in caplog.text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hot_pixel.npz", "1 hot: row 5 column 40"),
        ("one_frame_too_bright.npz", "the first being"),
        ("module_gap_maxint.npz", "rows 10 to 11"),
        ("module_gap_nan.npz", "rows 10 to 11"),
        ("positions_micrometres.npz", "in micrometres"),
    ],
)
def test_the_genuine_inputs_are_read_and_the_mistake_is_named(siemens, caplog, name, words):
    read_npz(siemens / "failing-inputs" / name)
    assert words in caplog.text


def test_the_bright_frame_leaves_the_genuine_others_unharmed(siemens):
    good, bright = (
        read_npz(siemens / "failing-inputs" / name) for name in ("good.npz", "one_frame_too_bright.npz")
    )
    others = np.delete(np.arange(9), 4)
    assert bright.normalisation == pytest.approx(good.select(others).normalisation, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "shift"), [("recon_centre_origin.npz", "40.5"), ("recon_corner_positions.npz", "32")]
)
def test_the_genuine_reconstructions_from_another_origin_are_refused_with_the_shift(siemens, name, shift):
    from ptycho.comparison import load_arm

    with pytest.raises(DataError, match=rf"{name}: .*; add {shift} to y \(rows\) and {shift} to x"):
        load_arm(siemens / "failing-inputs" / name)


def test_the_genuine_intensity_is_named(siemens):
    with pytest.raises(DataError, match=r"intensity_dark_subtracted\.npz: .* so they hold intensity"):
        read_scan(siemens / "failing-inputs" / "intensity_dark_subtracted.npz")


def test_the_genuine_memos_are_ignored_with_a_warning(siemens, tmp_path, caplog):
    from autobatch import BatchMemo
    from autobatch.testing import FixedMemory
    from ptycho.cli._flags import check_batch_memo

    for name in ("memo_deep_RecursionError.json", "memo_null_entry.json"):
        copy = tmp_path / name
        copy.write_bytes((siemens / "failing-inputs" / name).read_bytes())
        assert BatchMemo(copy, "key").recall(FixedMemory(1000)()) is None
        arguments = argparse.Namespace(batch_memo=copy)
        caplog.clear()
        check_batch_memo(arguments)
        assert arguments.batch_memo is None
        assert f"neither recalled nor remembered: {copy} is no memo" in caplog.text


@pytest.mark.parametrize(
    "name", ["scan_bitflip_header_TokenError.npz", "scan_cut_EINVAL.npz", "scan_structured_xcoords.npz"]
)
def test_the_genuine_damaged_inputs_are_one_sentence_with_their_file(siemens, name):
    with pytest.raises(DataError, match=name):
        read_npz(siemens / "failing-inputs" / name)


def test_the_reference_raises_no_alarm(siemens, caplog):
    with caplog.at_level(logging.WARNING):
        assert replace(read_npz(siemens / "failing-inputs" / "good.npz")).n_frames == 9
    assert caplog.text == ""


def test_the_genuine_bundle_without_a_probe_and_the_canvas_of_depth_are_one_sentence(siemens):
    from ptycho.models import load_model
    from ptycho.stitching import Canvas

    folder = siemens / "failing-inputs"
    with pytest.raises(DataError, match=r"probe\.npy cannot be read"):
        load_model(folder / "bundle_empty_probe_EOFError")
    with pytest.raises(
        DataError, match=r"canvas_deep_header_RecursionError\.npz is not a readable canvas file"
    ):
        Canvas.load(folder / "canvas_deep_header_RecursionError.npz")
