"""Real-image similarity: MAE, MSE, PSNR, SSIM, MS-SSIM, each with an explicit data range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.ndimage import gaussian_filter, minimum_filter

SSIM_WINDOW_PX = 7
MS_SSIM_WINDOW_PX = 11
# Exponents of the scales from the finest on, found with observers (doi:10.1109/ACSSC.2003.1292216).
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# TensorFlow's SSIM is float32 and takes variances as differences of squares; beyond this ratio of the largest
# value to the range, rounding outweighs the contrast that is being measured.
_MAX_FLOAT32_RATIO = 100.0


@dataclass(frozen=True)
class MsSsim:
    """A multi-scale SSIM and the number of scales behind it (5 in the paper)."""

    value: float
    scales: int


def mean_absolute_error(error: np.ndarray) -> float:
    """Return ``mean |error|`` over all pixels, in the unit of `error`."""
    return float(np.abs(error).mean())


def mean_squared_error(error: np.ndarray) -> float:
    """Return ``mean error²`` over all pixels, in the squared unit of `error`."""
    return float(np.square(error).mean())


def peak_signal_to_noise_db(mse: float, *, data_range: float) -> float:
    """Return ``10 log10(data_range² / mse)`` in dB; infinite for `mse` 0.

    Huynh-Thu and Ghanbari 2008, https://doi.org/10.1049/el:20080522.
    """
    return math.inf if mse == 0 else float(10 * np.log10(data_range**2 / mse))


def structural_similarity(
    image: np.ndarray, truth: np.ndarray, *, data_range: float, valid: np.ndarray | None = None
) -> float | None:
    """Return the mean SSIM over 7x7 windows, or None for images too small to hold one.

    scikit-image's definition with its defaults (Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861).

    Parameters
    ----------
    image, truth : (H, W) float64
    data_range : float
        Largest minus smallest value that the truth spans; positive.
    valid : (H, W) bool, optional
        Windows with a pixel that is not valid are left out of the mean; default all count.
    """
    if min(truth.shape) < SSIM_WINDOW_PX:
        return None
    from skimage.metrics import structural_similarity as mean_ssim

    if valid is None:
        return float(cast(float, mean_ssim(truth, image, data_range=data_range)))
    _, by_window = cast(tuple[float, np.ndarray], mean_ssim(truth, image, data_range=data_range, full=True))
    inside = np.s_[SSIM_WINDOW_PX // 2 : -(SSIM_WINDOW_PX // 2)]
    whole = np.asarray(minimum_filter(valid, SSIM_WINDOW_PX), dtype=bool)[inside, inside]
    return float(by_window[inside, inside][whole].mean()) if whole.any() else None


def ms_ssim_scales(shape_yx: tuple[int, ...]) -> int:
    """Return how many of the five scales leave at least the 11 pixels of one window; 5 from 161 pixels on."""
    side, scales = min(shape_yx), 0
    while scales < len(MS_SSIM_WEIGHTS) and side >= MS_SSIM_WINDOW_PX:
        scales, side = scales + 1, (side + 1) // 2  # TensorFlow pads odd sides
    return scales


def multi_scale_ssim(image: np.ndarray, truth: np.ndarray, *, data_range: float) -> MsSsim | None:
    """Return the multi-scale SSIM of Wang, Simoncelli and Bovik, by TensorFlow, on the CPU.

    Contrast and structure are compared at each of five scales, luminance at the coarsest
    (https://doi.org/10.1109/ACSSC.2003.1292216). Small images have fewer scales; their weights are scaled up to
    sum to 1, as all five do.

    Parameters
    ----------
    image, truth : (H, W) float64
    data_range : float
        Positive.

    Returns
    -------
    MsSsim or None
        None if the images are under 11 pixels, or so flat on such a high level that float32 cannot tell.
    """
    scales = ms_ssim_scales(truth.shape)
    if scales == 0 or np.abs(truth).max() > _MAX_FLOAT32_RATIO * data_range:
        return None
    import tensorflow as tf

    # Π_j cs_j^(w_j) l^(w_last): with weights that sum to less than 1, small images would seem better than they are.
    weights = np.array(MS_SSIM_WEIGHTS[:scales])
    with tf.device("/CPU:0"):
        value = tf.image.ssim_multiscale(
            tf.constant(truth[..., None], tf.float32),
            tf.constant(image[..., None], tf.float32),
            max_val=data_range,
            power_factors=tuple(weights / weights.sum()),
        )
    return MsSsim(float(value), scales)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return `image` under a Gaussian of `sigma` pixels, mirrored at the border; as it is for 0."""
    return gaussian_filter(image, sigma) if sigma > 0 else image
