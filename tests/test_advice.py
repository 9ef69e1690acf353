"""Advice that is followed word for word leads to a right scan: the settings in backquotes are taken as they stand."""

import ast
import re
from types import SimpleNamespace

import numpy as np
import pytest

from ptycho.cli.convert import main as convert
from ptycho.data import ImportSettings, SimulationSettings, read_scan, simulate, write_npz
from ptycho.errors import DataError
from ptycho.models.description import NetworkDescription
from ptycho.reconstruction import check_fits


@pytest.fixture(scope="module")
def scan():
    return simulate(SimulationSettings(object_shape_yx=(110, 123), step_px=9.0, seed=3))


@pytest.fixture
def written(scan, tmp_path):
    """Write the scan with its frames changed, and return the path."""

    def write(change):
        write_npz(tmp_path / "good.npz", scan)
        with np.load(tmp_path / "good.npz") as file:
            arrays = dict(file)
        np.savez(tmp_path / "scan.npz", **(arrays | {"diffraction": change(arrays["diffraction"])}))
        return tmp_path / "scan.npz"

    return write


def _model(side):
    """Return what is asked of a model before it is run."""
    description = NetworkDescription(patch_size=side)
    return SimpleNamespace(name="PINN", patch_size=side, gridsize=1, description=description)


def _read_as_advised(path, settings):
    """Read a scan; as long as a mistake is named follow the advice, at most twice."""
    for _ in range(2):
        try:
            return read_scan(path, importing=settings)
        except DataError as error:
            settings = ImportSettings(**(settings.given | _advised(str(error)).given))
    return read_scan(path, importing=settings)


def _advised(text):
    """Return the first settings that a sentence names."""
    name, value = re.search(r"`(\w+)=([^`]+)`", text).groups()
    return ImportSettings(**{name: ast.literal_eval(value)})


@pytest.mark.parametrize(
    "change",
    [
        lambda frames: frames**2,
        lambda frames: np.fft.ifftshift(frames, axes=(1, 2)),
        lambda frames: np.fft.ifftshift(frames**2, axes=(1, 2)),
    ],
    ids=["intensity", "corner", "intensity at the corner"],
)
def test_frames_that_are_refused_are_read_as_they_were_meant(written, scan, change):
    found = _read_as_advised(written(change), ImportSettings())
    np.testing.assert_allclose(found.amplitude, scan.amplitude, rtol=1e-6)
    np.testing.assert_allclose(found.probe, scan.probe, rtol=1e-6)
    np.testing.assert_array_equal(found.positions_yx, scan.positions_yx)


def test_amplitudes_that_are_called_so_stay_as_they_are(written, scan):
    found = read_scan(written(lambda frames: frames), importing=ImportSettings(values="amplitude"))
    np.testing.assert_allclose(found.amplitude, scan.amplitude, rtol=1e-6)


def test_frames_that_are_too_large_for_a_model_are_cropped_with_what_depends_on_them(written, scan):
    model = _model(32)
    with pytest.raises(DataError, match="or read the scan with `crop=32`") as caught:
        check_fits(model, scan)
    cropped = read_scan(written(lambda frames: frames), importing=_advised(str(caught.value)))
    check_fits(model, cropped)
    np.testing.assert_array_equal(cropped.amplitude, scan.amplitude[:, 16:48, 16:48])
    # Half the frame's side makes the object's pixel twice as large.
    steps, halved = (np.diff(each.positions_yx, axis=0) for each in (scan, cropped))
    np.testing.assert_allclose(halved, steps / 2, atol=1e-9)


def test_frames_that_are_too_small_for_a_model_cannot_be_cropped(scan):
    model = _model(128)
    with pytest.raises(DataError, match=r"use a model of the same size\.$"):
        check_fits(model, scan)


def test_the_command_takes_what_the_library_advises(written, tmp_path):
    path = written(lambda frames: np.fft.ifftshift(frames**2, axes=(1, 2)))
    words = [str(path), str(tmp_path / "out.npz"), "--quiet", "--values", "intensity", "--dc", "corner"]
    assert convert(words) == 0
    with np.load(tmp_path / "out.npz") as found, np.load(tmp_path / "good.npz") as good:
        np.testing.assert_allclose(found["diffraction"], good["diffraction"], rtol=1e-6)
