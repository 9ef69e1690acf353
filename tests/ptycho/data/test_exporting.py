"""Images for other programs: placed where ours are, read back by readers that others wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from known_scan import make_known_scan

from ptycho.data import (
    EXPORT_FORMATS,
    Reconstruction,
    ScanGeometry,
    check_export,
    export_reconstruction,
    read_reconstruction,
)
from ptycho.errors import DataError, SettingsError

PEER_PRODUCT = Path(__file__).parents[4] / "shared/data/peer-files/ptychodus-1.7.0/product.h5"


@pytest.fixture(scope="module")
def known():
    return make_known_scan()


@pytest.fixture
def geometry(known):
    return ScanGeometry.of_far_field(
        photon_energy_j=known.energy_j,
        detector_distance_m=known.distance_m,
        detector_pixel_m=known.detector_pixel_m,
        patch_size=known.side,
    )


@pytest.fixture
def image(known):
    return Reconstruction(
        label="réseau 网络",
        object=known.image.astype(np.complex64),
        probe=known.modes[1].astype(np.complex64),
        positions_yx=known.positions_yx,
    )


@pytest.mark.parametrize(("name", "suffix"), [("product", ".h5"), ("cxi", ".cxi")])
def test_a_file_holds_the_same_pixels_at_the_same_place(tmp_path, image, geometry, name, suffix):
    (path,) = export_reconstruction(tmp_path / "net", image, [name], geometry=geometry)
    assert path == tmp_path / f"net{suffix}"
    read = read_reconstruction(path)
    np.testing.assert_array_equal(read.object, image.object)
    np.testing.assert_array_equal(read.probe, image.probe)
    np.testing.assert_allclose(read.positions_yx, image.positions_yx, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "suffix", "reader"),
    [("product", ".h5", "h5_product_file.H5ProductFileIO"), ("cxi", ".cxi", "cxi_file.CXIProductFileIO")],
)
def test_ptychodus_sees_the_image_where_it_lies(tmp_path, image, geometry, known, name, suffix, reader):
    product = _read_by_ptychodus(tmp_path, image, geometry, name, suffix, reader)
    grid = product.object_.get_geometry()
    np.testing.assert_array_equal(product.object_.get_array()[0], image.object)
    np.testing.assert_array_equal(product.probes.get_array()[0, 0], image.probe)
    assert grid.pixel_width_m == pytest.approx(known.pixel_m, rel=1e-9)
    assert (grid.center_x_m, grid.center_y_m) == (0, 0)
    seen = np.stack(
        [
            grid.map_probe_positions_to_object_y_px(product.probe_positions),
            grid.map_probe_positions_to_object_x_px(product.probe_positions),
        ],
        axis=1,
    )
    # Its centre of a patch is (N - 1) / 2, half a pixel before ours: the same pixels are covered.
    np.testing.assert_allclose(seen, image.positions_yx - 0.5, atol=1e-3)
    assert product.metadata.photon_energy_eV == pytest.approx(known.energy_ev)
    assert product.metadata.detector_distance_m == known.distance_m


def _read_by_ptychodus(folder, image, geometry, name, suffix, reader):
    module, kind = reader.split(".")
    plugin = pytest.importorskip(
        f"ptychodus.plugins.{module}",
        reason="ptychodus (pip install pydantic; pip install --no-deps ptychodus) is not there",
        exc_type=ImportError,
    )
    export_reconstruction(folder / "net", image, [name], geometry=geometry)
    return getattr(plugin, kind)().read(folder / f"net{suffix}")


def test_a_product_has_every_key_of_one_that_ptychodus_wrote(tmp_path, image, geometry):
    if not PEER_PRODUCT.exists():
        pytest.skip(f"{PEER_PRODUCT} is not there")
    import h5py

    export_reconstruction(tmp_path / "net", image, ["product"], geometry=geometry)
    with h5py.File(PEER_PRODUCT) as theirs, h5py.File(tmp_path / "net.h5") as ours:
        assert set(ours) == set(theirs)
        # These came with version 1.7 and have a default there.
        assert set(theirs.attrs) - set(ours.attrs) == {
            "far_field",
            "focus_object_distance_m",
            "tilt_angle_deg",
        }
        for key in theirs:
            assert (key, ours[key].ndim, set(ours[key].attrs)) == (
                key,
                theirs[key].ndim,
                set(theirs[key].attrs),
            )


def test_a_tiff_holds_amplitude_and_phase_and_the_size_of_a_pixel(tmp_path, image, geometry, known):
    import tifffile
    from PIL import Image

    paths = export_reconstruction(tmp_path / "net", image, ["tiff"], geometry=geometry)
    assert [path.name for path in paths] == ["net_amplitude.tif", "net_phase.tif"]
    for path, channel in zip(paths, (np.abs(image.object), np.angle(image.object)), strict=True):
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            np.testing.assert_array_equal(page.asarray(), channel)
            numerator, denominator = page.tags["XResolution"].value
            assert 1e-2 * denominator / numerator == pytest.approx(known.pixel_m, rel=1e-6)
            assert page.tags["ResolutionUnit"].value == 3
        with Image.open(path) as opened:
            assert opened.mode == "F"
            np.testing.assert_array_equal(np.asarray(opened), channel)


def test_a_tiff_needs_no_lengths(tmp_path, image):
    assert len(export_reconstruction(tmp_path / "net", image, ["tiff"])) == 2


@pytest.mark.parametrize("name", ["product", "cxi"])
def test_places_in_metres_need_the_size_of_a_pixel(tmp_path, image, name):
    with pytest.raises(DataError, match=rf"the {name} format .*`object_pixel_m`, or export tiff"):
        export_reconstruction(tmp_path / "net", image, ["tiff", name])
    assert not list(tmp_path.iterdir())


def test_an_unknown_format_is_refused_before_any_work():
    assert EXPORT_FORMATS == ("product", "cxi", "tiff")
    with pytest.raises(SettingsError, match=r"did you mean 'tiff'\?"):
        check_export(["tif"], None)
