"""A scan of which everything is known, to be written as other packages write it, and the check of what was read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

JOULE_PER_EV = 1.602176634e-19
PLANCK_TIMES_C = 1.986445857148929e-25


@dataclass(frozen=True)
class KnownScan:
    """Counts of n frames of NxN with two modes, centres in the object's frame, and every length in metres."""

    counts: np.ndarray
    bad: np.ndarray
    positions_yx: np.ndarray
    modes: np.ndarray
    image: np.ndarray
    energy_ev: float = 8000.0
    distance_m: float = 2.0
    detector_pixel_m: float = 75e-6

    @property
    def side(self) -> int:
        return self.counts.shape[-1]

    @property
    def energy_j(self) -> float:
        return self.energy_ev * JOULE_PER_EV

    @property
    def wavelength_m(self) -> float:
        return PLANCK_TIMES_C / self.energy_j

    @property
    def pixel_m(self) -> float:
        return self.wavelength_m * self.distance_m / (self.side * self.detector_pixel_m)

    @property
    def clean(self) -> np.ndarray:
        """Counts with the bad pixels at zero."""
        return np.where(self.bad, 0, self.counts)

    def metres_about(self, centre_yx=(0.0, 0.0)) -> np.ndarray:
        """Positions (n, 2) in metres whose origin is the middle of the object, moved to `centre_yx`."""
        middle = np.array(self.image.shape) / 2
        return (self.positions_yx - middle) * self.pixel_m + np.array(centre_yx)


def make_known_scan(*, n: int = 12, side: int = 16, seed: int = 3) -> KnownScan:
    """Return a scan without symmetry: object 57x71, sub-pixel positions, three bad pixels at 65535."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side // 2
    main = np.exp(-(y**2 + 1.7 * x**2) / side + 1j * (0.03 * y**2 - 0.05 * x * y))
    second = x * np.exp(-(1.3 * y**2 + x**2) / side) * 0.1
    modes = np.stack([second, main]) * np.sqrt(2e5 / np.sum(np.abs(main) ** 2))
    coarse = rng.random((15, 18)) + 1j * rng.random((15, 18))
    grid = np.meshgrid(np.linspace(0, 14, 57), np.linspace(0, 17, 71), indexing="ij")
    smooth = map_coordinates(coarse.real, grid, order=3) + 1j * map_coordinates(coarse.imag, grid, order=3)
    image = (0.6 + 0.4 * np.clip(smooth.real, 0, 1)) * np.exp(1.5j * smooth.imag)
    positions = rng.uniform((side, side), (57 - side, 71 - side), size=(n, 2))
    rates = sum(forward(image, mode, positions) ** 2 for mode in modes)
    counts = rng.poisson(rates)
    bad = np.zeros((side, side), bool)
    bad[2, 3] = bad[side // 2, side // 2 - 3] = bad[side - 1, 0] = True
    counts[:, bad] = 65535
    return KnownScan(
        counts.astype(np.uint16), bad, positions, modes.astype(np.complex64), image.astype(np.complex64)
    )


def patches(image: np.ndarray, centres: np.ndarray, side: int) -> np.ndarray:
    """Return the patches under `centres`, whose pixel side/2 is at the centre, by cubic interpolation."""
    steps = np.arange(side) - side // 2
    rows, columns = (centres[:, axis, np.newaxis] + steps for axis in (0, 1))
    grid = np.broadcast_arrays(rows[:, :, np.newaxis], columns[:, np.newaxis, :])
    return map_coordinates(image.real, grid, order=3) + 1j * map_coordinates(image.imag, grid, order=3)


def forward(image: np.ndarray, probe: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return |FFT(probe · patch)| / N with the DC term in the middle."""
    side = probe.shape[-1]
    waves = patches(image, centres, side) * probe
    return np.abs(np.fft.fftshift(np.fft.fft2(waves), axes=(-2, -1))) / side


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the normalised cross-correlation of two stacks of frames."""
    return float(np.sum(first * second) / np.sqrt(np.sum(first**2) * np.sum(second**2)))


HALF_PIXEL_NEIGHBOURS = [(y, x) for y in (-0.5, 0, 0.5) for x in (-0.5, 0, 0.5) if y or x]


def assert_forward_model_agrees(scan, expected: np.ndarray, *, least: float = 0.9999) -> None:
    """Object, probe and positions of `scan` explain `expected`, and better than at any half-pixel neighbour."""
    right = correlation(forward(scan.object_guess, scan.probe, scan.positions_yx), expected)
    assert right >= least
    for shift in HALF_PIXEL_NEIGHBOURS:
        assert (
            correlation(forward(scan.object_guess, scan.probe, scan.positions_yx + shift), expected) < right
        )
