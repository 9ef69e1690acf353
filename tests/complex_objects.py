"""Complex test objects that are known between pixels too, so that an exact shift of them is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

# Not part of the repository: docs/examples/siemens-star.md says what it is. Tests that use it skip without it.
_SIEMENS = Path(__file__).resolve().parents[2] / "shared" / "data" / "siemens-star-epie.npz"


def analytic_object(
    shape_yx: tuple[int, int],
    *,
    shift_yx: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
    pure_phase: bool = False,
) -> np.ndarray:
    """Sample a sum of plane waves (periods 6–60 px), moved down and right by `shift_yx`; no symmetry."""
    rng = np.random.default_rng(seed)
    y = np.arange(shape_yx[0])[:, None] - shift_yx[0]
    x = np.arange(shape_yx[1]) - shift_yx[1]

    def texture() -> np.ndarray:
        periods, angles = rng.uniform(6, 60, 24), rng.uniform(0, np.pi, 24)
        starts, heights = rng.uniform(0, 2 * np.pi, 24), rng.uniform(0.3, 1, 24)
        waves = (
            height * np.cos(2 * np.pi * (np.sin(angle) * y + np.cos(angle) * x) / period + start)
            for period, angle, start, height in zip(periods, angles, starts, heights, strict=True)
        )
        return sum(waves, np.zeros((1, 1))) / np.sqrt(24 * 0.25)

    phase, amplitude = 0.5 * texture(), 0.8 + 0.07 * texture()
    return np.exp(1j * phase) if pure_phase else amplitude * np.exp(1j * phase)


def ramp_phasor(shape_yx: tuple[int, int], slope_yx: tuple[float, float], offset: float) -> np.ndarray:
    """Return exp(i (offset + slope · (r - centre)))."""
    y = np.arange(shape_yx[0])[:, None] - (shape_yx[0] - 1) / 2
    x = np.arange(shape_yx[1]) - (shape_yx[1] - 1) / 2
    return np.exp(1j * (offset + slope_yx[0] * y + slope_yx[1] * x))


def complex_noise(shape_yx: tuple[int, int], sigma: float, *, seed: int) -> np.ndarray:
    """Return circular Gaussian noise of `sigma` in each of its two parts."""
    rng = np.random.default_rng(seed)
    return sigma * (rng.normal(size=shape_yx) + 1j * rng.normal(size=shape_yx))


def siemens_star() -> tuple[np.ndarray, np.ndarray]:
    """Return the reconstructed Siemens star (462, 459) and a mask of what its scan covers well."""
    if not _SIEMENS.exists():
        pytest.skip("the Siemens star reconstruction is not at hand")
    with np.load(_SIEMENS) as file:
        image, positions = file["reconstructed_object"], file["positions_yx"]
    low, high = np.ceil(positions.min(axis=0)).astype(int), np.floor(positions.max(axis=0)).astype(int)
    mask = np.zeros(image.shape, bool)
    mask[low[0] : high[0], low[1] : high[1]] = True
    return image, mask
