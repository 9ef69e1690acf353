"""What a scan can be simulated of: an object of lines, a defocused probe, positions on a raster or at random."""

from __future__ import annotations

import math

import numpy as np

from ptycho.errors import DataError


def random_lines(
    shape_yx: tuple[int, int], *, n_lines: int = 40, blur_px: float = 2.0, rng: np.random.Generator
) -> np.ndarray:
    """Draw a single-material object of random straight lines.

    Its thickness t in [0, 1] is a sum of blurred lines across the field; the transmission is
    ``exp((-0.9 + 1.8i) t)``, so amplitude and phase show the same structure as they do in one material.

    Parameters
    ----------
    shape_yx : (int, int)
        Rows H and columns W.
    n_lines : int
        How many lines.
    blur_px : float
        Standard deviation of their Gaussian blur, in pixels.
    rng : numpy.random.Generator
        Draws where they lie.

    Returns
    -------
    (H, W) complex64
    """
    from scipy import ndimage
    from skimage.draw import line

    height, width = shape_yx
    thickness = np.zeros(shape_yx, np.float32)
    reach = math.hypot(height, width)
    for _ in range(n_lines):
        y, x, angle = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0, math.pi)
        step_y, step_x = reach * math.sin(angle), reach * math.cos(angle)
        rows, columns = line(round(y - step_y), round(x - step_x), round(y + step_y), round(x + step_x))
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        thickness[rows[inside], columns[inside]] += 1.0
    thickness = ndimage.gaussian_filter(thickness, blur_px)
    return np.exp(np.complex64(-0.9 + 1.8j) * thickness / thickness.max())


def defocused_probe(patch_size: int, *, aperture: float = 0.5, defocus: float = 12.0) -> np.ndarray:
    """Make the probe of a disc aperture with a quadratic phase.

    Parameters
    ----------
    patch_size : int
        Side N in pixels.
    aperture : float
        Radius of the disc in the far field as a fraction of the Nyquist frequency, in (0, 1].
    defocus : float
        Phase in radians at the rim of the aperture; it spreads the probe over the patch.

    Returns
    -------
    (N, N) complex64
        Largest modulus 1, its centre at pixel (N/2, N/2).

    Raises
    ------
    ValueError
        `aperture` is not in (0, 1].
    """
    from scipy import fft

    if not 0 < aperture <= 1:
        raise ValueError(
            f"aperture is {aperture} but must be in (0, 1], a fraction of the Nyquist frequency."
        )
    frequency = fft.fftfreq(patch_size) * 2 / aperture
    radius_squared = np.add.outer(frequency**2, frequency**2)
    # A rim of a few pixels instead of a sharp edge keeps the probe's rings inside the patch.
    rim = np.clip((1 - np.sqrt(radius_squared)) * patch_size * aperture / 4 + 0.5, 0, 1)
    pupil = rim * np.exp(1j * defocus * radius_squared)
    probe = fft.fftshift(fft.ifft2(pupil))
    return (probe / np.abs(probe).max()).astype(np.complex64)


def raster_positions(
    object_shape_yx: tuple[int, int],
    patch_size: int,
    *,
    step_px: float,
    jitter_px: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Place patch centres on a jittered raster over the whole object, row by row.

    Every patch lies inside the object.

    Parameters
    ----------
    object_shape_yx : (int, int)
        Rows and columns of the object.
    patch_size : int
        Side N of a patch in pixels.
    step_px : float
        Distance of the raster's points, in pixels.
    jitter_px : float
        Half-width in pixels of the uniform displacement of each, along each axis.
    rng : numpy.random.Generator
        Draws the displacements.

    Returns
    -------
    (n, 2) float64
        Patch centres in pixels of the object, row first.

    Raises
    ------
    DataError
        The object leaves no room for a patch, or the step is not positive.
    """
    low = patch_size / 2 + jitter_px
    spans = [side - patch_size - 2 * jitter_px for side in object_shape_yx]
    if min(spans) < 0 or step_px <= 0:
        raise DataError(
            f"an object of {object_shape_yx} pixels leaves no room for patches of {patch_size} with a step of "
            f"{step_px} and a jitter of {jitter_px}; enlarge the object, or make step positive and jitter smaller."
        )
    rows, columns = (low + np.arange(0, span + 1e-9, step_px) for span in spans)
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    return grid + rng.uniform(-jitter_px, jitter_px, grid.shape)


def random_positions(
    object_shape_yx: tuple[int, int], patch_size: int, *, n_positions: int, rng: np.random.Generator
) -> np.ndarray:
    """Scatter patch centres uniformly over where patches fit the object.

    Parameters
    ----------
    object_shape_yx : (int, int)
        Rows and columns of the object.
    patch_size : int
        Side N of a patch in pixels.
    n_positions : int
        How many.
    rng : numpy.random.Generator
        Draws them.

    Returns
    -------
    (n_positions, 2) float64
        Patch centres in pixels of the object, row first.

    Raises
    ------
    DataError
        The object is smaller than a patch.
    """
    half = patch_size / 2
    high = np.asarray(object_shape_yx) - half
    if (high < half).any():
        raise DataError(
            f"an object of {object_shape_yx} pixels is smaller than a patch of {patch_size}; enlarge the object."
        )
    return rng.uniform(half, high, (n_positions, 2))
