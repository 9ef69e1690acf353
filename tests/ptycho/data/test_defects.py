"""Hot and dead pixels: found in bright and in faint data, and nothing where there is none."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from ptycho.data import (
    SimulationSettings,
    check_plausible,
    read_npz,
    read_scan,
    read_tike,
    simulate,
    write_npz,
)
from ptycho.data.defects import defects_of, find_defects, without_defects

# Dose, aperture and defocus of the probe, side of the frames: photons from hardly any to plenty.
GOOD = [
    (30.0, 0.55, 1.0, 64),
    (300.0, 0.55, 1.0, 64),
    (300.0, 0.2, 0.0, 128),
    (3e3, 0.9, 3.0, 64),
    (3e3, 0.2, 0.0, 64),
    (3e3, 0.55, 1.0, 128),
    (1e5, 0.55, 1.0, 64),
    (1e5, 0.9, 3.0, 128),
    (1e7, 0.2, 0.0, 64),
    (1e7, 0.55, 1.0, 128),
]


def _simulated(photons: float, aperture: float, defocus: float, side: int):
    return simulate(
        SimulationSettings(
            patch_size=side,
            object_shape_yx=(side + 25, side + 35),
            step_px=5.0,
            photons_per_frame=photons,
            aperture=aperture,
            defocus=defocus,
            seed=side,
        )
    )


@pytest.mark.parametrize("which", GOOD, ids=str)
def test_a_good_scan_raises_no_alarm(which, caplog):
    with caplog.at_level(logging.WARNING):
        check_plausible(_simulated(*which))
    assert caplog.text == ""


def test_the_measured_siemens_star_raises_no_alarm(siemens, caplog):
    with caplog.at_level(logging.WARNING):
        read_tike(siemens / "siemens-star-small.npz.bz2")
    assert caplog.text == ""


@pytest.mark.parametrize("photons", [300.0, 1e5])
@pytest.mark.parametrize("place", [(0, 0), (5, 40), (63, 32), (20, 21)])
def test_a_hot_pixel_is_found_wherever_it_is_and_nothing_else(photons, place):
    scan = _simulated(photons, 0.55, 1.0, 64)
    frames = scan.amplitude.copy()
    frames[:, place[0], place[1]] = np.sqrt(1e6)
    found = defects_of(replace(scan, amplitude=frames))
    assert np.argwhere(found.hot).tolist() == [list(place)]
    assert not found.dead.any()


def test_a_hot_pixel_of_few_counts_is_found_in_dark_surroundings():
    scan = _simulated(300.0, 0.55, 1.0, 64)
    frames = scan.amplitude.copy()
    # Noisy too: it is not the same number in every frame.
    frames[:, 2, 60] = np.sqrt(np.random.default_rng(2).poisson(12.0, len(frames)))
    assert np.argwhere(defects_of(replace(scan, amplitude=frames)).hot).tolist() == [[2, 60]]


def test_a_dead_pixel_amid_light_is_found_and_one_in_the_dark_is_not():
    scan = _simulated(1e5, 0.55, 1.0, 64)
    frames = scan.amplitude.copy()
    frames[:, 36, 27] = 0
    frames[:, 1, 1] = 0
    found = defects_of(replace(scan, amplitude=frames))
    assert np.argwhere(found.dead).tolist() == [[36, 27]]
    assert not found.hot.any()


def test_lines_and_clusters_of_defects_do_not_hide_each_other():
    scan = _simulated(1e5, 0.55, 1.0, 64)
    frames = scan.amplitude.copy()
    frames[:, 10:12, 50:52] = 800.0
    frames[:, 38, 20:45] = 0
    found = defects_of(replace(scan, amplitude=frames))
    assert np.argwhere(found.hot).tolist() == [[10, 50], [10, 51], [11, 50], [11, 51]]
    assert found.dead[38, 25:40].all()
    assert not np.delete(found.dead, 38, axis=0).any()


def test_the_sharp_beam_of_a_wide_probe_and_pairs_of_spots_are_no_defects():
    rng = np.random.default_rng(5)
    counts = rng.poisson(0.1, (12, 64, 64)).astype(np.float64)
    counts[:, 32, 32] = 1e5
    counts[:, 20, 40] = counts[:, 44, 24] = 900.0
    assert not find_defects(np.sqrt(counts).astype(np.float32))


def test_light_that_comes_and_goes_is_no_defect():
    scan = _simulated(1e5, 0.55, 1.0, 64)
    frames = scan.amplitude.copy()
    frames[::2, 5, 40] = 1000.0
    assert not defects_of(replace(scan, amplitude=frames))


def test_masked_pixels_are_not_looked_at():
    scan = _simulated(1e5, 0.55, 1.0, 64)
    mask = np.ones((64, 64), bool)
    mask[30:34, 30:34] = False
    assert not defects_of(scan.with_mask(mask))


@pytest.mark.parametrize("place", [(0, 0), (5, 40), (2, 61)])
def test_a_hot_pixel_is_never_taken_for_the_dc_term(scan, place, caplog):
    frames = scan.amplitude.copy()
    frames[:, place[0] % 16, place[1] % 16] = 1000.0
    check_plausible(replace(scan, amplitude=frames))
    assert f"1 hot: row {place[0] % 16} column {place[1] % 16}; mask them with `mask_hot=True`" in caplog.text


def test_one_pixel_alone_is_not_taken_for_the_dc_term_either(scan):
    frames = np.zeros_like(scan.amplitude)
    frames[:, 1, 1] = 100.0
    check_plausible(replace(scan, amplitude=frames))


def test_dark_counts_and_a_hot_pixel_are_no_beam(caplog):
    scan = _simulated(1e5, 0.55, 1.0, 64)
    frames = np.sqrt(np.random.default_rng(4).poisson(2.0, scan.amplitude.shape))
    frames[:, 3, 4] = 300.0
    check_plausible(replace(scan, amplitude=frames))
    assert "there seems to be no beam in them" in caplog.text
    assert "1 hot: row 3 column 4" in caplog.text


def test_flickering_and_dead_pixels_are_never_taken_for_the_dc_term(scan):
    frames = scan.amplitude.copy()
    frames[::2, 1, 2] = 1000.0
    frames[:, 6:10, 6:10] = 0
    check_plausible(replace(scan, amplitude=frames))


@pytest.mark.spec("CM-2.4")
def test_defects_are_masked_when_asked_and_named_in_any_case(tmp_path, caplog):
    good = _simulated(1e5, 0.55, 1.0, 64)
    frames = good.amplitude.copy()
    frames[:, 5, 40] = 1000.0
    frames[:, 36, 27] = 0
    write_npz(tmp_path / "hot.npz", replace(good, amplitude=frames))
    as_it_is = read_scan(tmp_path / "hot.npz")
    assert as_it_is.mask is None
    assert "1 hot: row 5 column 40; 1 dead: row 36 column 27" in caplog.text
    masked = read_scan(tmp_path / "hot.npz", mask_hot=True)
    assert np.argwhere(~masked.mask).tolist() == [[5, 40], [36, 27]]
    assert not masked.amplitude[:, 5, 40].any()
    assert masked.normalisation == pytest.approx(good.normalisation, rel=1e-2)


def test_the_probe_is_not_blamed_for_a_hot_pixel(tmp_path, caplog):
    from ptycho.data import consistent_probe, probe_energy_ratio

    good = _simulated(1e5, 0.55, 1.0, 64)
    frames = good.amplitude.copy()
    frames[:, 5, 40] = 1000.0
    hot = replace(good, amplitude=frames)
    assert probe_energy_ratio(hot) == pytest.approx(probe_energy_ratio(good), rel=1e-3)
    assert consistent_probe(hot) is hot
    assert caplog.text == ""


def test_only_a_sample_of_frames_is_read():
    class Frames(np.ndarray):
        read = 0

        def __getitem__(self, key):
            if isinstance(key, np.ndarray):
                Frames.read += len(key)
            return np.asarray(self)[key]

    frames = np.random.default_rng(3).random((500, 16, 16)).astype(np.float32).view(Frames)
    find_defects(frames)
    assert Frames.read == 64


def test_a_sound_scan_is_returned_as_it_is(scan):
    assert without_defects(scan) is scan


def test_the_genuine_hot_pixel_is_named_and_masked(siemens, caplog):
    path = siemens / "failing-inputs" / "hot_pixel.npz"
    scan = read_scan(path, mask_hot=True)
    assert "1 hot: row 5 column 40" in caplog.text
    assert np.argwhere(~scan.mask).tolist() == [[5, 40]]
    good = read_npz(siemens / "failing-inputs" / "good.npz")
    assert scan.normalisation == pytest.approx(good.normalisation, rel=1e-3)


def test_where_no_pixel_has_light_none_is_called_dead():
    dark = np.zeros((5, 16, 16), np.float32)
    with np.errstate(all="raise"):
        assert not find_defects(dark)
        assert not find_defects(dark, mask=np.zeros((16, 16), bool))
