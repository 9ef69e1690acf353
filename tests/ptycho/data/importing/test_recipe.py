"""Recipes: what is written is what is read, for other scans too; and the one table of flags, keys and fields."""

from __future__ import annotations

from dataclasses import fields

import h5py
import numpy as np
import pytest

from ptycho._checks.import_options import OPTIONS
from ptycho.data import ImportSettings, read_recipe, read_scan, write_recipe
from ptycho.errors import DataError

EVERYTHING = ImportSettings(
    frames=":entry/data",
    y=":motor/y",
    x=":motor/x",
    columns="y,x",
    position_unit="um",
    affine=((1.02, 0.1), (-0.3, 0.98)),
    swap_xy=True,
    flip_x=True,
    flip_y=True,
    rotation_deg=-12.5,
    axes="yxn",
    frame_orientation=5,
    crop=128,
    centre_yx=(130, 127),
    pad=True,
    select="0:500:2",
    skip=":bad",
    monitor=":i0",
    bin=2,
    dc="corner",
    values="amplitude",
    mask=":mask",
    mask_means="good",
    min_count=0.0,
    max_count=65000.0,
    dark=":dark",
    flat=":flat",
    photon_energy_j=1.2e-15,
    detector_distance_m=1.93,
    detector_pixel_m=55e-6,
    object_pixel_m=1.1e-8,
    probe=":probe",
    object_guess=":truth",
    object_origin_yx=(3.5, -2.0),
)
RASTER = ImportSettings(grid=(20, 25), step=(0.5, 0.25), snake=True, position_unit="um", centre_yx="auto")


@pytest.mark.parametrize("settings", [EVERYTHING, RASTER, ImportSettings()])
def test_what_is_written_is_what_is_read(tmp_path, settings):
    write_recipe(tmp_path / "r.toml", settings)
    assert read_recipe(tmp_path / "r.toml") == settings


def test_the_table_has_every_field_and_says_it_both_ways():
    assert {option.field for option in OPTIONS} == {field.name for field in fields(ImportSettings)}
    for settings in (EVERYTHING, RASTER):
        for option in OPTIONS:
            value = settings.given.get(option.field)
            if value is not None and not option.is_switch and not option.is_alias:
                assert option.parse(option.word(value)) == value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("energy", "8keV", 1.2817413072e-15),
        ("energy", "8000 eV", 1.2817413072e-15),
        ("energy", "8", 1.2817413072e-15),
        ("wavelength", "0.15498nm", 1.28174e-15),
        # Photons of the wavelengths that electron microscopists tabulate: 1.969 pm and 4.176 pm.
        ("electron", "300keV", 1.008986e-13),
        ("electron", "80 kV", 4.757133e-14),
        ("distance", "200cm", 2.0),
        ("detector-pixel", "75 um", 75e-6),
        ("pixel-size", "1e-8", 1e-8),
    ],
)
def test_quantities_have_units(name, text, value):
    (option,) = (option for option in OPTIONS if option.name == name)
    assert option.parse(text) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("text", ["", "75", "-1m", "0 m", "8 miles", "um", "1e", "1..5m", "nan"])
def test_a_length_that_is_none_is_refused(text):
    (option,) = (option for option in OPTIONS if option.name == "detector-pixel")
    if text == "75":
        assert option.parse(text) == 75.0
    else:
        with pytest.raises(ValueError, match="is not a"):
            option.parse(text)


@pytest.mark.parametrize("text", ["300", "-80keV", "0 kV", "2 m", "keV"])
def test_an_energy_of_electrons_needs_its_unit(text):
    (option,) = (option for option in OPTIONS if option.name == "electron")
    with pytest.raises(ValueError, match="is not a"):
        option.parse(text)


def test_a_recipe_keeps_the_wavelength_of_electrons(tmp_path):
    (option,) = (option for option in OPTIONS if option.name == "electron")
    settings = ImportSettings(photon_energy_j=option.parse("300keV"))
    write_recipe(tmp_path / "r.toml", settings)
    kept = read_recipe(tmp_path / "r.toml").photon_energy_j
    assert kept == pytest.approx(settings.photon_energy_j, rel=1e-12)


def test_a_recipe_of_one_scan_reads_the_next(tmp_path, known):
    metres = known.positions_yx * known.pixel_m
    np.save(tmp_path / "mask.npy", known.bad)
    for name, order in (("a_001", slice(None)), ("a_002", slice(None, None, -1))):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["ccd/frames"] = known.clean[order]
        np.savetxt(
            tmp_path / f"{name}_pos.csv", metres[order, ::-1] * 1e6, delimiter=",", header="x,y", comments=""
        )
    settings = ImportSettings(
        frames=f"{tmp_path / 'a_001.h5'}:ccd/frames",
        positions=str(tmp_path / "a_001_pos.csv"),
        position_unit="um",
        object_pixel_m=known.pixel_m,
        mask=str(tmp_path / "mask.npy"),
    )
    (tmp_path / "recipes").mkdir()
    recipe = tmp_path / "recipes" / "r.toml"
    write_recipe(recipe, settings, scan=tmp_path / "a_001.h5")
    text = recipe.read_text()
    assert 'frames = ":ccd/frames"' in text
    assert 'positions = "{stem}_pos.csv"' in text
    first, second = (read_scan(tmp_path / f"a_00{n}.h5", importing=read_recipe(recipe)) for n in (1, 2))
    np.testing.assert_array_equal(first.amplitude, second.amplitude[::-1])
    np.testing.assert_array_equal(first.positions_yx, second.positions_yx[::-1])
    np.testing.assert_array_equal(first.mask, ~known.bad)


def test_a_file_beside_the_recipe_is_found(tmp_path, monkeypatch):
    (tmp_path / "mask.npy").touch()
    (tmp_path / "r.toml").write_text('mask = "mask.npy"\nflip-x = true\nstep = [1, 2.5]\ngrid = "4,5"\n')
    monkeypatch.chdir("/")
    settings = read_recipe(tmp_path / "r.toml")
    assert settings == ImportSettings(
        mask=str(tmp_path / "mask.npy"), flip_x=True, step=(1, 2.5), grid=(4, 5)
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("flip-x = 1", "flip-x is 1 but must be true or false"),
        ('position-unit = "um"', "'position-unit' is no key of a recipe; did you mean position-units"),
        ('energy = "8 horses"', "energy: '8 horses' is not an energy such as 8keV"),
        ('energy = "8 keV"\nwavelength = "1 A"', "wavelength says anew what another key has said"),
        ("crop = 51", "crop is 51 but must be a whole multiple of 2"),
        ("this is no TOML", "is no recipe in TOML"),
        ('frames = "a" # \xff', "is no recipe in TOML"),
    ],
)
def test_a_recipe_that_is_none_is_refused(tmp_path, text, words):
    (tmp_path / "r.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=words) as refused:
        read_recipe(tmp_path / "r.toml")
    assert "r.toml" in str(refused.value)
