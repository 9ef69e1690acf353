"""Which frames are taken, how bright each was, and arrays of four axes; positions and objects as they are told."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
from known_scan import assert_forward_model_agrees, forward

from ptycho._checks.import_options import OPTIONS
from ptycho.data import ImportSettings, read_scan, write_npz
from ptycho.errors import DataError


def _write(path, known, **others):
    members = {"ccd": known.clean, "pos": known.positions_yx, **others}
    with h5py.File(path, "w") as file:
        for name, values in members.items():
            file[name] = values
    return path


def _read(path, **settings):
    settings = {"frames": ":ccd", "columns": "y,x", "position_unit": "px", **settings}
    settings = settings if "step" in settings else {"positions": ":pos", **settings}
    return read_scan(path, importing=ImportSettings(**settings))


def _assert_frames(scan, known, rows):
    np.testing.assert_allclose(scan.amplitude**2, known.clean[rows], rtol=1e-5)
    expected = known.positions_yx[rows]
    np.testing.assert_allclose(scan.positions_yx, expected - expected.min(axis=0) + known.side / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "rows"),
    [
        ({"select": "1:9:3"}, [1, 4, 7]),
        ({"select": "7, 2,-1"}, [2, 7, 11]),
        ({"skip": "0,5:"}, [1, 2, 3, 4]),
        ({"select": ":6", "skip": ":bad"}, [0, 1, 4]),
        ({"skip": ":marks"}, [0, 1, 3, 4, 6, 7, 8, 9, 10, 11]),
        ({"select": ":6", "skip": ":flags"}, [1, 2, 4, 5]),
    ],
)
def test_frames_are_chosen_with_their_positions(tmp_path, known, settings, rows):
    marks = np.zeros(12, bool)
    marks[[2, 5]] = True
    path = _write(tmp_path / "a.h5", known, bad=[2, 3, 5], marks=marks, flags=np.arange(12) % 3 == 0)
    _assert_frames(_read(path, **settings), known, rows)


def test_as_many_positions_as_frames_that_are_taken_are_theirs(tmp_path, known):
    path = _write(tmp_path / "a.h5", known, pos=known.positions_yx[4:])
    _assert_frames(_read(path, select="4:"), known, slice(4, None))


def test_our_own_file_and_its_labels_are_chosen_from_too(tmp_path, known):
    write_npz(tmp_path / "a.npz", _read(_write(tmp_path / "a.h5", known)))
    _assert_frames(
        read_scan(tmp_path / "a.npz", importing=ImportSettings(skip="3")), known, np.arange(12) != 3
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"select": "12"}, "`select` names frame 12 but there are 12, from 0"),
        ({"skip": "1:2:3:4"}, "`skip` has '1:2:3:4', which is no number of a frame and no slice"),
        ({"skip": ":"}, "`select` and `skip` leave none of the 12 frames"),
        ({"select": ":far"}, "far .* `select` needs numbers of frames, from 0 to 11"),
        ({"select": ":short"}, "short .* has 3 marks for 12 frames"),
        ({"monitor": ":far"}, "far .* a monitor has one number for each of the 12 frames"),
        (
            {"monitor": ":dark"},
            "the monitor is not above 0 in 2 frames, the first of them 1; leave them out by `skip`",
        ),
    ],
)
def test_what_cannot_be_chosen_is_named(tmp_path, known, settings, words):
    dark = np.ones(12)
    dark[[1, 7]] = 0, np.nan
    path = _write(tmp_path / "a.h5", known, far=[3, 99], short=[True, False, True], dark=dark)
    with pytest.raises(DataError, match=words):
        _read(path, **settings)


def test_counts_are_divided_by_the_light_of_their_frame(tmp_path, known):
    monitor = np.linspace(2, 5, 12)
    path = _write(tmp_path / "a.h5", known, i0=monitor, faint=known.clean * monitor[:, None, None])
    scan = _read(path, frames=":faint", monitor=":i0", skip="3", values="intensity")
    _assert_frames(
        replace(scan, amplitude=scan.amplitude / np.sqrt(np.float32(3.5))), known, np.arange(12) != 3
    )


@pytest.mark.parametrize(
    ("axes", "order"),
    [("yxqq", (0, 1, 2, 3)), ("xyqq", (1, 0, 2, 3)), ("qqyx", (2, 3, 0, 1)), ("qqxy", (2, 3, 1, 0))],
)
def test_a_raster_in_an_array_of_four_axes_needs_its_steps_alone(tmp_path, known, axes, order):
    stack = known.clean.reshape(3, 4, 16, 16).transpose(order)
    scan = _read(_write(tmp_path / "a.h5", known, ccd=stack), axes=axes, step=(2.0, 3.0))
    np.testing.assert_allclose(scan.amplitude**2, known.clean, rtol=1e-5)
    y, x = np.mgrid[:3, :4]
    np.testing.assert_allclose(scan.positions_yx, np.stack([2 * y.ravel() + 8, 3 * x.ravel() + 8], axis=-1))


def test_steps_alone_are_not_enough_for_frames_of_three_axes(tmp_path, known):
    path = _write(tmp_path / "a.h5", known)
    np.savetxt(tmp_path / "a.csv", known.positions_yx, delimiter=",")
    with pytest.raises(DataError, match=r"lacks? .*rows and columns of the raster \(`grid=…`\)"):
        _read(path, step=(1.0, 2.0))


def test_which_axes_are_the_raster_is_told_by_the_positions(tmp_path, known, caplog):
    caplog.set_level("INFO", "ptycho")
    stack = known.clean.reshape(3, 4, 16, 16).transpose(2, 3, 0, 1)
    _assert_frames(_read(_write(tmp_path / "a.h5", known, ccd=stack)), known, slice(None))
    assert "has shape (16, 16, 3, 4) and there are 12 positions: `axes` is taken to be qqyx" in caplog.text


def test_axes_of_a_raster_do_not_fit_an_array_of_three(tmp_path, known):
    with pytest.raises(DataError, match=r"has three axes.* but `axes` qqyx are four; pass one of nyx"):
        _read(_write(tmp_path / "a.h5", known), axes="qqyx")


def _parsed(text):
    return next(option for option in OPTIONS if option.field == "affine").parse(text)


def test_positions_are_corrected_by_a_matrix_before_they_are_turned(tmp_path, known):
    matrix = np.array([[1.02, -0.1], [0.3, 0.9]])
    path = _write(tmp_path / "a.h5", known, pos=known.positions_yx @ np.linalg.inv(matrix).T)
    _assert_frames(_read(path, affine=_parsed("1.02,-0.1,0.3,0.9")), known, slice(None))
    # What an exchange undoes was exchanged after the correction.
    path = _write(tmp_path / "a.h5", known, pos=known.positions_yx[:, ::-1] @ np.linalg.inv(matrix).T)
    _assert_frames(_read(path, affine=_parsed("1.02,-0.1,0.3,0.9"), swap_xy=True), known, slice(None))


def test_a_correction_in_words_is_scale_asymmetry_rotation_and_shear():
    np.testing.assert_allclose(_parsed("scale=1.5"), 1.5 * np.eye(2))
    np.testing.assert_allclose(_parsed("asymmetry=0.2"), np.diag([1.1, 0.9]))
    # As --rotation: from y (down) towards x (right).
    np.testing.assert_allclose(np.array(_parsed("rotation=90")) @ [1, 0], [0, 1], atol=1e-15)
    np.testing.assert_allclose(np.array(_parsed("shear=45")) @ [1, 0], [1, 1])
    whole = np.array(_parsed("scale=2,asymmetry=0.1,rotation=30,shear=10"))
    parts = [_parsed(text) for text in ("scale=2", "asymmetry=0.1", "rotation=30", "shear=10")]
    np.testing.assert_allclose(whole, np.linalg.multi_dot([np.array(part) for part in parts]))
    for text in ("1,2,3", "skew=2", "scale=much"):
        with pytest.raises(ValueError, match=r"is not|is none of"):
            _parsed(text)


def test_a_square_may_reach_beyond_the_frames_and_is_masked_there(tmp_path, known):
    path = _write(tmp_path / "a.h5", known, ccd=known.clean[:, 6:, :], pos=known.metres_about())
    settings = {
        "position_unit": "m",
        "photon_energy_j": known.energy_j,
        "detector_distance_m": known.distance_m,
        "detector_pixel_m": known.detector_pixel_m,
        "centre_yx": (2, 8),
        "crop": 16,
    }
    with pytest.raises(DataError, match="does not lie on frames of 10x16"):
        _read(path, **settings)
    scan = _read(path, **settings, pad=True)
    assert scan.mask is not None
    np.testing.assert_array_equal(scan.mask, np.arange(16)[:, None] >= np.full((1, 16), 6))
    np.testing.assert_allclose(scan.amplitude[:, 6:] ** 2, known.clean[:, 6:], rtol=1e-5)
    assert not scan.amplitude[:, :6].any()


def test_a_padded_frame_makes_the_object_s_pixel_and_the_probe_s_finer(tmp_path, known):
    path = _write(tmp_path / "a.h5", known, light=known.modes[1])
    scan = _read(path, crop=32, pad=True, probe=":light", object_pixel_m=known.pixel_m)
    assert scan.geometry is not None
    assert scan.geometry.object_pixel_m == pytest.approx(known.pixel_m / 2)
    steps = scan.positions_yx - scan.positions_yx[0]
    np.testing.assert_allclose(steps, 2 * (known.positions_yx - known.positions_yx[0]))
    light = np.abs(scan.probe[::2, ::2])
    assert np.corrcoef(light.ravel(), np.abs(known.modes[1]).ravel())[0, 1] > 0.999


@pytest.mark.parametrize("unit", ["px", "um"])
def test_an_object_is_placed_among_the_positions(tmp_path, known, unit):
    factor = 1.0 if unit == "px" else known.pixel_m * 1e6
    start = np.array([3.0, -2.0])
    metres = (known.positions_yx + start) * factor
    path = _write(tmp_path / "a.h5", known, pos=metres, truth=known.image[None], light=known.modes)
    scan = _read(
        path,
        position_unit=unit,
        probe=":light",
        object_guess=":truth",
        object_origin_yx=tuple(start * factor),
        object_pixel_m=known.pixel_m,
    )
    assert_forward_model_agrees(scan, forward(known.image, known.modes[1], known.positions_yx))
    if unit == "um":
        with pytest.raises(
            DataError, match=r"where the centre of the object's first pixel lies .*`object_origin_yx=…`"
        ):
            _read(path, position_unit=unit, object_guess=":truth", object_pixel_m=known.pixel_m)


def test_frames_that_our_own_file_is_refused_for_are_left_out_as_the_refusal_says(tmp_path, known):
    scan = _read(_write(tmp_path / "a.h5", known))
    amplitude = scan.amplitude.copy()
    amplitude[[2, 6]], amplitude[5, 3, 4] = np.nan, np.inf
    members = {"diffraction": amplitude, "probeGuess": scan.probe}
    np.savez(tmp_path / "a.npz", xcoords=scan.positions_yx[:, 1], ycoords=scan.positions_yx[:, 0], **members)
    with pytest.raises(
        DataError, match=r"not finite .* in 3 of 12 frames.* leave them out \(`skip='2,5:7'`\)"
    ):
        read_scan(tmp_path / "a.npz")
    found = read_scan(tmp_path / "a.npz", importing=ImportSettings(skip="2,5:7"))
    _assert_frames(found, known, [0, 1, 3, 4, 7, 8, 9, 10, 11])
    assert found.mask is None


@pytest.mark.parametrize(("name", "order"), [("scan_yx", 1), ("motor/pos_xy_um", -1), ("xy", -1)])
def test_the_order_of_columns_is_told_by_the_name_of_the_table(tmp_path, known, caplog, name, order):
    caplog.set_level("INFO", "ptycho")
    path = _write(tmp_path / "a.h5", known, **{name: known.positions_yx[:, ::order]})
    scan = read_scan(path, importing=ImportSettings(frames=":ccd", positions=f":{name}", position_unit="px"))
    _assert_frames(scan, known, slice(None))
    assert "`columns` is taken to be" in caplog.text


def test_a_mask_that_is_called_bad_is_guessed(tmp_path, known, caplog):
    caplog.set_level("INFO", "ptycho")
    scan = _read(_write(tmp_path / "a.h5", known, bad=known.bad))
    assert scan.mask is not None
    np.testing.assert_array_equal(scan.mask, ~known.bad)
    assert "`mask` is taken to be :bad" in caplog.text
