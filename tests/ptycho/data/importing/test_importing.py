"""Files that no format knows, read with the help of settings: what is named, guessed, asked for and changed."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
from known_scan import correlation, forward

from ptycho._io.hdf5 import open_hdf5
from ptycho.data import ImportSettings, ScanGeometry, read_scan, write_npz
from ptycho.data.importing.guessing import guess_lengths
from ptycho.data.importing.windows import window_of
from ptycho.errors import DataError, SettingsError


def _lengths(known):
    return {
        "photon_energy_j": known.energy_j,
        "detector_distance_m": known.distance_m,
        "detector_pixel_m": known.detector_pixel_m,
    }


def _write(path, known, **others):
    """Write the frames and, as a beamline might, its motors in metres about an origin of their own."""
    y, x = (known.positions_yx * known.pixel_m - 3e-6).T
    with h5py.File(path, "w") as file:
        for name, values in {
            "entry/ccd": known.clean,
            "entry/motor_y": y,
            "entry/motor_x": x,
            **others,
        }.items():
            if values is not None:
                file[name] = values
    return path


def _expected_yx(known):
    return known.positions_yx - known.positions_yx.min(axis=0) + known.side / 2


def _assert_read(scan, known):
    np.testing.assert_allclose(scan.amplitude**2, known.clean, rtol=1e-5)
    np.testing.assert_allclose(scan.positions_yx, _expected_yx(known), atol=1e-6)
    assert scan.geometry.object_pixel_m == pytest.approx(known.pixel_m, rel=1e-9)


def test_a_file_of_no_known_format_says_which_flags_would_read_it(tmp_path, known):
    with pytest.raises(DataError) as refused:
        read_scan(_write(tmp_path / "a.h5", known))
    assert str(refused.value).endswith(
        "if they are what their names say, pass `frames=':entry/ccd'` `y=':entry/motor_y'` `x=':entry/motor_x'` with "
        "what is missing, photon energy (`photon_energy_j=…`), detector distance (`detector_distance_m=…`), detector "
        "pixel (`detector_pixel_m=…`) (ptycho inspect shows the datasets)."
    )


def test_what_is_not_named_is_guessed_and_said(tmp_path, known, caplog):
    path = _write(tmp_path / "a.h5", known)
    with caplog.at_level(logging.INFO):
        scan = read_scan(path, importing=ImportSettings(frames=":entry/ccd", **_lengths(known)))
    _assert_read(scan, known)
    for said in (
        "`y` is taken to be :entry/motor_y",
        "`position_unit` is taken to be m",
        "no probe; one is estimated",
    ):
        assert said in caplog.text


def test_lengths_are_found_by_name_with_their_units(tmp_path, known):
    path = _write(
        tmp_path / "a.h5", known, **{"entry/energy": known.energy_ev / 1e3, "setup/det_distance_mm": 2000.0}
    )
    with h5py.File(path, "r+") as file:
        file["entry/energy"].attrs["units"] = "keV"
        file["setup"].attrs["pixel_size_um"] = 75.0
    _assert_read(read_scan(path, importing=ImportSettings(frames=":entry/ccd")), known)


@pytest.mark.parametrize(
    "others",
    [
        {"z/pixel_m": 64.6e-9},
        {"z/pixel_size_um": 0.2},
        {"z/sample_pixel_um": 0.2, "z/object/pixel_size_m": 64.6e-9},
        {"z/pixel_size_um": 10.0, "ring_energy_ev": 6e9, "threshold_energy_ev": 4000.0, "distance": 0.3},
    ],
)
def test_the_detectors_pixel_is_that_whose_name_says_so(tmp_path, known, others):
    lengths = {
        "det/photon_energy_ev": known.energy_ev,
        "det/det_distance_m": known.distance_m,
        "det/detector_pixel_m": known.detector_pixel_m,
    }
    _write(tmp_path / "a.h5", known, **others, **lengths)
    with open_hdf5(tmp_path / "a.h5") as file:
        found = guess_lengths(file)
    assert {name: place for name, (_, place) in found.items() if name.startswith(("photon", "detector"))} == {
        "photon_energy_j": "det/photon_energy_ev",
        "detector_distance_m": "det/det_distance_m",
        "detector_pixel_m": "det/detector_pixel_m",
    }
    assert found["detector_pixel_m"][0] == pytest.approx(known.detector_pixel_m)


def test_pixels_that_fit_equally_well_are_asked_for(tmp_path, known):
    path = _write(tmp_path / "a.h5", known, **{"a/pixel_m": 75e-6, "b/pixel_m": 55e-6})
    lengths = {**_lengths(known), "detector_pixel_m": None}
    with pytest.raises(DataError, match=r"lacks detector pixel \(`detector_pixel_m=…`\)"):
        read_scan(path, importing=ImportSettings(frames=":entry/ccd", **lengths))
    _write(tmp_path / "b.h5", known, x_pixel_m=75e-6, y_pixel_m=75e-6, pixel_m=64e-9)
    with open_hdf5(tmp_path / "b.h5") as file:
        assert guess_lengths(file) == {"detector_pixel_m": (75e-6, "x_pixel_m")}


def test_all_that_is_missing_is_asked_for_in_one_sentence(tmp_path, known):
    table = known.positions_yx / 50  # in no unit that its size tells
    path = _write(tmp_path / "a.h5", known, **{"entry/motor_y": None, "entry/motor_x": None, "pos": table})
    with pytest.raises(DataError) as refused:
        read_scan(path, importing=ImportSettings(frames=":entry/ccd"))
    message = str(refused.value)
    for asked in (
        "`photon_energy_j=…`",
        "`detector_distance_m=…`",
        "`detector_pixel_m=…`",
        "`columns='y,x'` or x,y",
        "`position_unit`",
        "`object_pixel_m=…`",
    ):
        assert asked in message
    assert message.count(". ") == 0


@pytest.mark.parametrize(
    ("header", "settings"),
    [
        ("time,stage_x,stage_y", {"columns": "stage_y,stage_x"}),
        ("time,stage_x,stage_y", {"columns": "2,1"}),
        ("time,x,y", {}),
        (None, {"columns": "2,1"}),
    ],
)
def test_a_table_of_another_program_is_read_by_its_columns(tmp_path, known, header, settings):
    metres = known.positions_yx * known.pixel_m
    rows = np.stack([np.arange(len(metres)), metres[:, 1] * 1e6, metres[:, 0] * 1e6], axis=1)
    np.savetxt(tmp_path / "log.csv", rows, delimiter=",", header=header or "", comments="", fmt="%.12g")
    if header is None:
        (tmp_path / "log.csv").write_text((tmp_path / "log.csv").read_text().lstrip("\n"))
    np.save(tmp_path / "frames.npy", known.clean)
    scan = read_scan(
        tmp_path / "frames.npy",
        importing=ImportSettings(
            positions=str(tmp_path / "log.csv"), position_unit="um", **settings, **_lengths(known)
        ),
    )
    _assert_read(scan, known)


def test_columns_that_are_not_there_are_named(tmp_path, known):
    np.savetxt(tmp_path / "log.csv", known.positions_yx, delimiter=",", header="stage,time", comments="")
    path = _write(tmp_path / "a.h5", known)
    settings = ImportSettings(frames=":entry/ccd", positions=str(tmp_path / "log.csv"), columns="y,z")
    with pytest.raises(DataError, match=r"has columns stage, time but `columns` names y, z"):
        read_scan(path, importing=settings)


def test_frames_counted_by_their_last_axis_are_told_by_the_positions(tmp_path, known, caplog):
    path = _write(tmp_path / "a.h5", known, **{"entry/ccd": np.moveaxis(known.clean, 0, -1)})
    with caplog.at_level(logging.INFO):
        scan = read_scan(path, importing=ImportSettings(frames=":entry/ccd", **_lengths(known)))
    _assert_read(scan, known)
    assert "`axes` is taken to be yxn" in caplog.text


@pytest.mark.parametrize(("axes", "order"), [("nxy", (0, 2, 1)), ("xyn", (2, 1, 0)), ("yxn", (1, 2, 0))])
def test_axes_are_as_they_are_told(tmp_path, known, axes, order):
    path = _write(tmp_path / "a.h5", known, **{"entry/ccd": known.clean.transpose(order)})
    settings = ImportSettings(frames=":entry/ccd", axes=axes, **_lengths(known))
    _assert_read(read_scan(path, importing=settings), known)


def test_the_beam_at_the_corner_and_amplitudes_are_recognised(tmp_path, known, caplog):
    stored = np.sqrt(np.fft.ifftshift(known.clean, axes=(1, 2)).astype(np.float64))
    path = _write(tmp_path / "a.h5", known, **{"entry/ccd": stored})
    with caplog.at_level(logging.INFO):
        scan = read_scan(path, importing=ImportSettings(frames=":entry/ccd", **_lengths(known)))
    _assert_read(scan, known)
    assert "`dc` is taken to be corner" in caplog.text
    assert "`values` is taken to be amplitude" in caplog.text


@pytest.mark.parametrize("number", range(8))
def test_frames_are_turned_as_ptypy_counts_it(tmp_path, known, number):
    stored = known.clean
    # The inverse of transpose, flip rows, flip columns.
    stored = stored[:, :, ::-1] if number & 1 else stored
    stored = stored[:, ::-1] if number & 2 else stored
    stored = stored.swapaxes(1, 2) if number & 4 else stored
    path = _write(tmp_path / "a.h5", known, **{"entry/ccd": stored})
    settings = ImportSettings(frames=":entry/ccd", frame_orientation=number, **_lengths(known))
    _assert_read(read_scan(path, importing=settings), known)


@pytest.mark.parametrize(
    ("settings", "matrix"),
    [
        ({"swap_xy": True}, [[0, 1], [1, 0]]),
        ({"flip_x": True}, [[1, 0], [0, -1]]),
        ({"flip_y": True}, [[-1, 0], [0, 1]]),
        ({"swap_xy": True, "flip_x": True}, [[0, 1], [-1, 0]]),
        ({"rotation_deg": 90.0}, [[0, -1], [1, 0]]),
        ({"rotation_deg": 30.0}, [[np.sqrt(3) / 2, -0.5], [0.5, np.sqrt(3) / 2]]),
    ],
)
def test_positions_are_turned_as_they_are_told(tmp_path, known, settings, matrix):
    path = _write(tmp_path / "a.h5", known)
    scan = read_scan(path, importing=ImportSettings(frames=":entry/ccd", **settings, **_lengths(known)))
    turned = known.positions_yx @ np.array(matrix, dtype=float).T
    np.testing.assert_allclose(scan.positions_yx, turned - turned.min(axis=0) + known.side / 2, atol=1e-6)


def test_a_raster_needs_no_positions(tmp_path, known):
    path = tmp_path / "raster.npy"
    np.save(path, known.clean[:6])
    settings = ImportSettings(
        grid=(2, 3), step=(0.5, 0.25), snake=True, position_unit="um", object_pixel_m=50e-9
    )
    expected = [[0, 0], [0, 5], [0, 10], [10, 10], [10, 5], [10, 0]]
    scan = read_scan(path, importing=settings)
    np.testing.assert_allclose(scan.positions_yx, np.array(expected) + known.side / 2)


def test_a_mask_dark_and_flat_in_other_files(tmp_path, known):
    rng = np.random.default_rng(4)
    flat = rng.uniform(0.5, 1.5, known.bad.shape)
    dark = rng.integers(1, 9, known.bad.shape)
    raw = known.clean * flat + dark
    np.save(tmp_path / "dark.npy", np.stack([dark - 1, dark + 1]))
    np.save(tmp_path / "flat.npy", flat)
    np.save(tmp_path / "good.npy", ~known.bad)
    path = _write(tmp_path / "a.h5", known, **{"entry/ccd": raw})
    places = {name: str(tmp_path / f"{name}.npy") for name in ("dark", "flat")}
    settings = ImportSettings(
        frames=":entry/ccd",
        mask=str(tmp_path / "good.npy"),
        mask_means="good",
        values="intensity",
        **places,
        **_lengths(known),
    )
    scan = read_scan(path, importing=settings)
    np.testing.assert_array_equal(scan.mask, ~known.bad)
    np.testing.assert_allclose(scan.amplitude**2, np.where(known.bad, 0, known.clean), rtol=1e-4, atol=1e-3)


def test_pixels_beyond_the_limits_are_masked(tmp_path, known):
    counts = known.clean.astype(np.int32)
    counts[3, 4, 5], counts[1, 6, 2] = 70_000, -5
    path = _write(tmp_path / "a.h5", known, **{"entry/ccd": counts})
    settings = ImportSettings(frames=":entry/ccd", max_count=60_000, min_count=0, **_lengths(known))
    masked = np.argwhere(~read_scan(path, importing=settings).mask)
    assert masked.tolist() == [[4, 5], [6, 2]]


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"max_count": -1.0}, "`max_count=-1`"),
        ({"min_count": 1e9, "bin": 2}, "`min_count=1e+09` before bins of 2"),
        ({"mask": ":none", "mask_means": "good"}, "the mask (`mask`, or the file's own)"),
        ({"flat": ":none"}, "`flat`, where the flat field is not above 0"),
    ],
)
def test_what_masks_every_pixel_is_named(tmp_path, known, settings, cause):
    path = _write(tmp_path / "a.h5", known, none=np.zeros((known.side, known.side)))
    n_pixels = known.side**2
    n_left = n_pixels // settings.get("bin", 1) ** 2
    with pytest.raises(DataError) as refused:
        read_scan(path, importing=ImportSettings(frames=":entry/ccd", **settings, **_lengths(known)))
    assert f"{n_left} of {n_left} pixels of entry/ccd in {path} are masked ({n_pixels} by {cause})" in str(
        refused.value
    )


def test_a_pixel_without_efficiency_is_masked(tmp_path, known):
    flat = np.ones((known.side, known.side))
    flat[3, 4], flat[5, 6] = 0, np.nan
    path = _write(tmp_path / "a.h5", known, flat=flat)
    settings = ImportSettings(frames=":entry/ccd", flat=":flat", **_lengths(known))
    assert np.argwhere(~read_scan(path, importing=settings).mask).tolist() == [[3, 4], [5, 6]]


def _whole(known):
    """A scan of an empty object: each frame is the probe's own far field."""
    empty = np.ones((60, 70), complex)
    frames = forward(empty, known.modes[1], np.full((4, 2), 30.0))
    return frames, np.array([[20.0, 20.0], [20.0, 28.0], [29.0, 20.0], [29.0, 28.0]])


def _own(tmp_path, known):
    from ptycho.data import ScanData

    frames, positions = _whole(known)
    scan = ScanData(
        amplitude=frames,
        positions_yx=positions,
        probe=known.modes[1],
        geometry=ScanGeometry(object_pixel_m=known.pixel_m, **_lengths(known)),
    )
    write_npz(tmp_path / "own.npz", scan)
    return scan, tmp_path / "own.npz"


def test_cropping_changes_pixel_probe_and_positions_together(tmp_path, known):
    whole, path = _own(tmp_path, known)
    half = known.side // 2
    scan = read_scan(path, importing=ImportSettings(crop=half))
    middle = slice(half // 2, half // 2 + half)
    np.testing.assert_allclose(scan.amplitude, whole.amplitude[:, middle, middle], rtol=1e-5)
    assert scan.geometry.object_pixel_m == pytest.approx(2 * known.pixel_m)
    assert scan.geometry.detector_pixel_m == pytest.approx(known.detector_pixel_m)
    np.testing.assert_allclose(np.diff(scan.positions_yx, axis=0), np.diff(whole.positions_yx, axis=0) / 2)
    # The probe still makes the frames, scale and all.
    np.testing.assert_allclose(
        forward(np.ones((40, 40), complex), scan.probe, np.full((1, 2), 20.0))[0],
        scan.amplitude[0],
        rtol=1e-3,
        atol=0.05,
    )


def test_binning_sums_counts_and_keeps_the_pixel_of_the_object(tmp_path, known):
    whole, path = _own(tmp_path, known)
    scan = read_scan(path, importing=ImportSettings(bin=2))
    half = known.side // 2
    summed = (whole.amplitude**2).reshape(4, half, 2, half, 2).sum(axis=(2, 4))
    np.testing.assert_allclose(scan.amplitude**2, summed, rtol=1e-4)
    assert scan.geometry.object_pixel_m == pytest.approx(known.pixel_m)
    assert scan.geometry.detector_pixel_m == pytest.approx(2 * known.detector_pixel_m)
    np.testing.assert_allclose(np.diff(scan.positions_yx, axis=0), np.diff(whole.positions_yx, axis=0))
    middle = slice(half // 2, half // 2 + half)
    assert correlation(np.abs(scan.probe), np.abs(whole.probe[middle, middle])) > 0.999


def test_a_crop_about_the_beam_finds_it(tmp_path, known, caplog):
    counts = np.zeros((len(known.clean), known.side + 9, known.side + 6), np.int32)
    counts[:, 5:-4, 4:-2] = known.clean
    path = _write(tmp_path / "a.h5", known, **{"entry/ccd": counts})
    common = {"frames": ":entry/ccd", **_lengths(known)}
    told = read_scan(
        path,
        importing=ImportSettings(
            crop=known.side, centre_yx=(5 + known.side // 2, 4 + known.side // 2), **common
        ),
    )
    _assert_read(told, known)
    with caplog.at_level(logging.INFO):
        found = read_scan(path, importing=ImportSettings(crop=known.side - 4, centre_yx="auto", **common))
    assert "the centre of the beam is taken to be pixel" in caplog.text
    assert found.patch_size == known.side - 4


@pytest.mark.parametrize(("size", "in_bin"), [(1, 0), (2, 0), (3, 1), (5, 2)])
def test_the_pixel_of_the_beam_is_in_the_middle_of_the_bin_at_the_middle(size, in_bin):
    centre = (44, 51)
    window = window_of((90, 107), centre, 12 * size, size)
    for at, first in zip(centre, (window.top, window.left), strict=True):
        assert divmod(at - first, size) == (6, in_bin)


def test_frames_of_three_pixels_a_bin_fit_as_a_whole(tmp_path, known):
    counts = np.repeat(np.repeat(known.clean, 3, axis=1), 3, axis=2)
    path = _write(tmp_path / "a.h5", known, **{"entry/ccd": counts})
    lengths = {**_lengths(known), "detector_pixel_m": known.detector_pixel_m / 3}
    scan = read_scan(path, importing=ImportSettings(frames=":entry/ccd", bin=3, **lengths))
    np.testing.assert_allclose(scan.amplitude**2, 9.0 * known.clean, rtol=1e-5)
    np.testing.assert_allclose(scan.positions_yx, _expected_yx(known), atol=1e-6)


def test_a_window_that_leaves_the_frames_is_refused_with_one_that_fits(tmp_path, known):
    path = _write(tmp_path / "a.h5", known)
    settings = ImportSettings(
        frames=":entry/ccd", crop=known.side, centre_yx=(6, known.side // 2), **_lengths(known)
    )
    with pytest.raises(DataError, match=r"does not lie on frames .*; pass `crop=12` or less"):
        read_scan(path, importing=settings)


@pytest.mark.parametrize(
    ("shape", "centre", "crop", "size", "advice"),
    [
        ((64, 64), (100, 32), None, 1, "`centre_yx` in rows 1 to 63 and columns 1 to 63."),
        ((64, 60), (-40, 32), 32, 1, "`centre_yx` in rows 1 to 63 and columns 1 to 59."),
        ((64, 64), (2, 32), None, 3, "`centre_yx` in rows 3 to 61 and columns 3 to 61."),
        ((64, 64), None, None, 100, "pass `bin=32` or less."),
        ((64, 64), (20, 32), 64, 2, "pass `crop=40` or less (in steps of 4), or another `centre_yx`."),
        ((64, 64), (61, 32), 64, 3, "pass `crop=6` or less (in steps of 6), or another `centre_yx`."),
    ],
)
def test_what_is_told_of_a_window_that_does_not_fit_works(shape, centre, crop, size, advice):
    with pytest.raises(DataError) as refused:
        window_of(shape, centre, crop, size)
    assert str(refused.value).endswith(advice)
    numbers = [int(number) for number in re.findall(r"-?\d+", advice)]
    if "`crop=" in advice:
        assert window_of(shape, centre, numbers[0], size).side == numbers[0]
    elif "`bin=" in advice:
        assert window_of(shape, centre, crop, numbers[0]).bin == numbers[0]
    else:
        for centre_yx in ((numbers[0], numbers[2]), (numbers[1], numbers[3])):
            assert window_of(shape, centre_yx, None, size).side >= 2 * size


def test_the_largest_window_is_taken_where_none_is_told():
    assert window_of((60, 60), (31, 31), None, 3) == window_of((60, 60), (31, 31), 60, 3)
    assert window_of((61, 64), (20, 32), None, 1).side == 40


def test_a_known_format_takes_the_settings_too(tmp_path, known):
    whole, path = _own(tmp_path, known)
    scan = read_scan(path, importing=ImportSettings(flip_x=True, photon_energy_j=2 * known.energy_j))
    np.testing.assert_allclose(
        scan.positions_yx[:, 0], whole.positions_yx[:, 0] - whole.positions_yx[:, 0].min() + known.side / 2
    )
    assert scan.positions_yx[0, 1] > scan.positions_yx[1, 1]
    assert scan.geometry.object_pixel_m == pytest.approx(known.pixel_m / 2)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"columns": "y,x"}, "`columns='y,x'` has no effect"),
        ({"snake": True}, "`snake` has no effect without `grid`"),
        ({"mask_means": "good"}, "`mask_means='good'` has no effect without a mask"),
        ({"flip_x": True}, ""),
    ],
)
def test_a_flag_without_effect_is_named_once(tmp_path, known, caplog, settings, said):
    _, path = _own(tmp_path, known)
    read_scan(path, importing=ImportSettings(**settings))
    warnings = [record.getMessage() for record in caplog.records if "no effect" in record.getMessage()]
    assert len(warnings) == bool(said)
    assert said in "".join(warnings)


@pytest.mark.parametrize("pixel_m", [None, 25e-9])
def test_an_energy_alone_leaves_the_pixel_of_the_object_and_says_so(tmp_path, known, caplog, pixel_m):
    scan, path = _own(tmp_path, known)
    geometry = None if pixel_m is None else ScanGeometry(object_pixel_m=pixel_m)
    write_npz(path, replace(scan, geometry=geometry))
    read = read_scan(path, importing=ImportSettings(photon_energy_j=known.energy_j))
    (said,) = [record.getMessage() for record in caplog.records if "`photon_energy_j`" in record.getMessage()]
    assert (
        "changes no pixel of the object, which does not follow without `detector_distance_m` and `detector_pixel_m`"
        in said
    )
    assert (read.geometry and read.geometry.object_pixel_m) == pixel_m


@pytest.mark.parametrize(("factor", "n_warnings"), [(1.005, 0), (1.02, 1)])
def test_a_pixel_of_the_object_that_contradicts_the_lengths_is_told(
    tmp_path, known, caplog, factor, n_warnings
):
    path = _write(tmp_path / "a.h5", known)
    given = factor * known.pixel_m
    settings = ImportSettings(frames=":entry/ccd", object_pixel_m=given, **_lengths(known))
    assert read_scan(path, importing=settings).geometry.object_pixel_m == pytest.approx(given)
    said = [record.getMessage() for record in caplog.records if "`object_pixel_m` is" in record.getMessage()]
    assert len(said) == n_warnings
    for one in said:
        assert f"`object_pixel_m` is {given * 1e9:.4g} nm but {known.pixel_m * 1e9:.4g} nm follow" in one


def test_a_probe_of_another_file_is_used(tmp_path, known):
    np.save(tmp_path / "probe.npy", known.modes)
    path = _write(tmp_path / "a.h5", known)
    settings = ImportSettings(frames=":entry/ccd", probe=str(tmp_path / "probe.npy"), **_lengths(known))
    np.testing.assert_array_equal(read_scan(path, importing=settings).probe, known.modes[1])


def test_a_place_that_is_nowhere_is_named(tmp_path, known):
    path = _write(tmp_path / "a.h5", known)
    with pytest.raises(
        DataError, match=r"`frames` names ccd, which is neither a file nor a dataset of a\.h5"
    ):
        read_scan(path, importing=ImportSettings(frames="ccd"))
    with pytest.raises(DataError, match=r"`frames` names none\.h5:ccd, but there is no such file"):
        read_scan(path, importing=ImportSettings(frames="none.h5:ccd"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"x": ":x"}, "x is given but y is not"),
        (
            {"positions": ":p", "grid": (2, 3), "step": (1, 1)},
            "positions and step are given but positions come from one",
        ),
        ({"grid": (2, 3)}, "grid is given but step is not"),
        ({"pad": True}, "pad is given but crop is not"),
        ({"object_origin_yx": (1, 2)}, "object_origin_yx is given but object_guess is not"),
        ({"affine": ((1, 2), (2, 4))}, "affine is .* but must keep different positions apart"),
        ({"affine": (1, 2, 2, 4)}, "affine is .* but must be two numbers"),
        ({"crop": 50, "bin": 2}, "crop is 50 but must be a whole multiple of 4, .*; pass 48"),
        ({"position_unit": "inch"}, "position_unit is 'inch' but must be"),
        ({"frame_orientation": 8}, "frame_orientation is 8 but must be a whole number from 0 to 7"),
        ({"object_pixel_m": 0}, "object_pixel_m is 0 but must be a finite number above 0"),
        ({"centre_yx": "middle"}, "centre_yx is 'middle' but must be 'auto' or a row and a column"),
        ({"flip_x": 1}, "flip_x is 1 but must be True or False"),
    ],
)
def test_settings_check_themselves(fields, words):
    with pytest.raises(SettingsError, match=words):
        ImportSettings(**fields)
