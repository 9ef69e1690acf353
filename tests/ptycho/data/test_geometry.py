"""Lengths of a scan: known answers, and what is refused."""

from __future__ import annotations

import pytest

from ptycho.data import ScanGeometry
from ptycho.errors import SettingsError

EIGHT_KEV = {"photon_energy_j": 1.281741307e-15, "detector_distance_m": 2.0, "detector_pixel_m": 75e-6}


def test_the_far_field_gives_the_object_s_pixel():
    geometry = ScanGeometry.of_far_field(**EIGHT_KEV, patch_size=64)
    assert geometry.object_pixel_m == pytest.approx(64.57510335e-9, rel=1e-8)
    assert geometry.wavelength_m == pytest.approx(1.54980248e-10, rel=1e-8)
    assert geometry.photon_energy_ev == pytest.approx(8000, rel=1e-8)
    assert ScanGeometry.of_far_field(**EIGHT_KEV, patch_size=128).object_pixel_m == pytest.approx(
        32.287551675e-9
    )


def test_what_is_not_known_is_none():
    geometry = ScanGeometry(object_pixel_m=8e-9)
    assert (geometry.wavelength_m, geometry.photon_energy_ev, geometry.detector_pixel_m) == (None, None, None)


@pytest.mark.parametrize(
    "name", ["object_pixel_m", "photon_energy_j", "detector_distance_m", "detector_pixel_m"]
)
@pytest.mark.parametrize("value", [0.0, -2.0, float("inf"), "2 m"])
def test_what_is_no_length_is_refused(name, value):
    with pytest.raises(SettingsError, match=f"{name} is .* but must be a finite number above 0"):
        ScanGeometry(**{"object_pixel_m": 1e-9, name: value})


@pytest.mark.parametrize("name", EIGHT_KEV)
def test_the_far_field_refuses_before_it_divides(name):
    with pytest.raises(SettingsError, match=f"{name} is 0"):
        ScanGeometry.of_far_field(**{**EIGHT_KEV, name: 0.0}, patch_size=64)
