"""A physically right scan, small enough to break in many ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from known_models import costs_once, shallow_baselines
from known_scan import KnownScan, make_known_scan

from ptycho.data import ScanData

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(autouse=True)
def _costs_once(monkeypatch):
    costs_once(monkeypatch)


@pytest.fixture
def without_graphs(monkeypatch):
    """Train step by step: TensorFlow's graphs take longer to trace than the few steps of a test to compute."""
    import keras

    compile_model = keras.Model.compile
    monkeypatch.setattr(
        keras.Model, "compile", lambda self, **options: compile_model(self, **options, run_eagerly=True)
    )


@pytest.fixture
def shallow(monkeypatch):
    """Train a baseline of few layers, where it is not the network that is looked at."""
    shallow_baselines(monkeypatch)


def _make_scan(*, n: int = 9, side: int = 16, photons: float = 2e4, noise: bool = True) -> ScanData:
    """Return frames |FFT(probe · patch)| / N of an asymmetric object at whole-pixel positions."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:side, :side] - side // 2
    probe = np.exp(-(y**2 + 1.7 * x**2) / side) * np.exp(1j * (0.03 * y**2 - 0.05 * x * y))
    probe *= np.sqrt(photons / np.sum(np.abs(probe) ** 2))
    image = (0.6 + 0.4 * rng.random((61, 83))) * np.exp(1j * rng.random((61, 83)))
    centres = rng.integers((side, side), (61 - side, 83 - side), size=(n, 2))
    half = side // 2
    patches = np.stack([image[b - half : b + half, a - half : a + half] for b, a in centres])
    frames = np.abs(np.fft.fftshift(np.fft.fft2(patches * probe), axes=(-2, -1))) / side
    if noise:
        frames = np.sqrt(rng.poisson(frames**2))
    return ScanData(
        amplitude=frames,
        positions_yx=centres + 0.25,
        probe=probe,
        object_guess=image,
        labels=patches,
        scan_index=np.arange(n) // 4,
    )


@pytest.fixture
def make_scan():
    """Make a scan of another size, brightness or without noise."""
    return _make_scan


@pytest.fixture
def scan() -> ScanData:
    """Nine noisy frames of 16x16 over an object of 61x83."""
    return _make_scan()


@pytest.fixture
def siemens() -> Path:
    """The folder with the measured Siemens star."""
    if not SHARED.exists():
        pytest.skip("the measured data are not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def known() -> KnownScan:
    """A scan of which everything is known, with two modes and three bad pixels; never changed."""
    return make_known_scan()


@pytest.fixture
def peer_files() -> Path:
    """The folder with files that other packages wrote."""
    if not (SHARED / "peer-files").exists():
        pytest.skip("the files of other packages are not beside this checkout")
    return SHARED / "peer-files"
