"""Regularised PIE as its paper has it, in plain NumPy and double precision: no bands, no batches, no shortcuts."""

import numpy as np
import scipy.ndimage


def spline_matrix(position, side, n_coefficients):
    """The weights (N, n) of mirrored spline coefficients, two beyond each end, in a patch's pixels."""
    pixels = position - side / 2 + np.arange(side)
    distance = np.abs(pixels[:, None] - (np.arange(n_coefficients) - 2))
    near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance) ** 3 / 6
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


def coefficients_of(image):
    """Spline coefficients with two mirrored ones beyond each side."""
    parts = [scipy.ndimage.spline_filter(part, order=3, mode="mirror") for part in (image.real, image.imag)]
    return np.pad(parts[0] + 1j * parts[1], 2, mode="reflect")


def image_of(coefficients):
    """The spline at its pixels."""
    height, width = (size - 4 for size in coefficients.shape)
    rows = spline_matrix(height / 2, height, height + 4)
    columns = spline_matrix(width / 2, width, width + 4)
    return rows @ coefficients @ columns.T


def sweep(image, scan, positions_yx, orders, *, mini_batch, alpha):
    """The image after one sweep for each order of the frames; frames stay raw, positions are the image's own."""
    coefficients = coefficients_of(image.astype(complex))
    probe, side = scan.probe.astype(complex), scan.patch_size
    counts = np.ones((side, side), bool) if scan.mask is None else scan.mask
    for order in orders:
        for start in range(0, len(order), mini_batch):
            total = np.zeros(coefficients.shape, complex)
            weight = np.zeros(coefficients.shape)
            for frame in order[start : start + mini_batch]:
                y, x = positions_yx[frame]
                rows = spline_matrix(y, side, coefficients.shape[0])
                columns = spline_matrix(x, side, coefficients.shape[1])
                wave = probe * (rows @ coefficients @ columns.T)
                detected = np.fft.fftshift(np.fft.fft2(wave)) / side
                modulus = np.where(counts, scan.amplitude[frame], np.abs(detected))
                wanted = np.fft.ifft2(np.fft.ifftshift(modulus * np.exp(1j * np.angle(detected)))) * side
                total += rows.T @ (probe.conj() * (wanted - wave)) @ columns
                weight += rows.T @ (np.abs(probe) ** 2) @ columns
            coefficients += total / ((1 - alpha) * weight + alpha * weight.max())
    return image_of(coefficients)
