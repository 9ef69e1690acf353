"""Inputs that went wrong once: what is wrong with each is named, and the others are unharmed."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from ptycho.data import ScanData, read_npz, write_npz
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
    others = np.delete(np.arange(9), 4)
    assert found.normalisation == pytest.approx(scan.select(others).normalisation, rel=1e-6)
    assert found.bright_outliers.tolist() == [4]


def test_frames_of_usual_brightness_set_the_scale_as_ever(scan):
    assert scan.bright_outliers.size == 0
    assert scan.mean_frame_energy == scan.frame_energies.mean()


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (0.005, "divide them by the size of the object's pixel"),
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


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("one_frame_too_bright.npz", "the first being"),
        ("module_gap_maxint.npz", "rows 10 to 11"),
        ("module_gap_nan.npz", "rows 10 to 11"),
        ("positions_micrometres.npz", "in micrometres"),
    ],
)
def test_the_genuine_inputs_are_read_and_the_mistake_is_named(siemens, caplog, name, words):
    read_npz(siemens / "failing-inputs" / name)
    assert words in caplog.text


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
