"""The ptychopinn convention, written out a second time in plain loops, step by step."""

import math

import numpy as np
from scipy.ndimage import gaussian_filter


def plain_placement(raw, truth, positions_yx, crop_size):
    """Step 1: cut the window of the positions out of the truth, then centre-crop both to the smaller sides."""
    window = truth
    for axis in range(2):
        first = max(0, int(min(positions_yx[:, axis])) - crop_size // 2)
        last = min(truth.shape[axis], int(max(positions_yx[:, axis])) + crop_size // 2)
        window = window.take(range(first, last), axis=axis)
    for axis in range(2):
        target = min(raw.shape[axis], window.shape[axis])
        start = [(image.shape[axis] - target) // 2 for image in (raw, window)]
        raw = raw.take(range(start[0], start[0] + target), axis=axis)
        window = window.take(range(start[1], start[1] + target), axis=axis)
    return raw, window


def plain_scores(image: np.ndarray, truth: np.ndarray, method: str) -> dict[str, tuple]:
    """Return (amplitude, phase) of every metric; steps 2 to 6."""
    from skimage.metrics import structural_similarity

    image, truth = image[2:-2, 2:-2], truth[2:-2, 2:-2]
    amplitudes = np.abs(image) * np.abs(truth).mean() / np.abs(image).mean(), np.abs(truth)
    phases = tuple(without_plane(np.angle(part), method) for part in (image, truth))
    mapped = tuple((phase + np.pi) / (2 * np.pi) for phase in phases)
    smooth = tuple(gaussian_filter(part, 1.0) for part in amplitudes)
    frc = [plain_frc(*pair) for pair in (amplitudes, phases)]
    pairs = amplitudes, phases
    mse = [((a - b) ** 2).mean() for a, b in pairs]
    return {
        "mae": tuple(np.abs(a - b).mean() for a, b in pairs),
        "mse": tuple(mse),
        "psnr": tuple(10 * math.log10(255**2 / value) for value in mse),
        "ssim": (
            structural_similarity(amplitudes[1], amplitudes[0], data_range=np.ptp(amplitudes[1])),
            structural_similarity(mapped[1], mapped[0], data_range=1.0),
        ),
        "ms_ssim": (plain_ms_ssim(*smooth), plain_ms_ssim(*mapped)),
        "frc50": tuple(plain_cutoff(curve, 0.5) for curve in frc),
        "frc1over7": tuple(plain_cutoff(curve, 1 / 7) for curve in frc),
    }


def without_plane(phase: np.ndarray, method: str) -> np.ndarray:
    if method == "mean":
        return phase - phase.mean()
    y, x = np.mgrid[: phase.shape[0], : phase.shape[1]]
    design = np.column_stack([x.ravel(), y.ravel(), np.ones(phase.size)])
    return phase - (design @ np.linalg.lstsq(design, phase.ravel(), rcond=None)[0]).reshape(phase.shape)


def plain_ms_ssim(image: np.ndarray, truth: np.ndarray) -> float:
    from skimage.metrics import structural_similarity

    data_range, value = max(np.ptp(image), np.ptp(truth)), 1.0
    for weight in (0.0448, 0.2856, 0.3001, 0.2363, 0.1333):
        if min(truth.shape) < 7:
            break
        ssim = structural_similarity(truth, image, data_range=data_range)
        value *= (1e-4 if ssim < 0 else ssim) ** weight
        image, truth = image[::2, ::2], truth[::2, ::2]
    return value


def plain_frc(image: np.ndarray, truth: np.ndarray) -> list[float]:
    n = min(image.shape)
    spectra = []
    for part in (image, truth):
        row, column = (part.shape[0] - n) // 2, (part.shape[1] - n) // 2
        spectra.append(np.fft.fftshift(np.fft.fft2(part[row : row + n, column : column + n])))
    rings: dict[int, list[tuple[complex, float, float]]] = {}
    for i in range(n):
        for j in range(n):
            ring = round(math.hypot(i - n // 2, j - n // 2))
            f, g = spectra[0][i, j], spectra[1][i, j]
            rings.setdefault(ring, []).append((f * g.conjugate(), abs(f) ** 2, abs(g) ** 2))
    means = [np.mean(rings[ring], axis=0) for ring in sorted(rings)]
    return [abs(cross) / math.sqrt(f.real * g.real) for cross, f, g in means]


def plain_cutoff(curve: list[float], threshold: float) -> float:
    for ring, value in enumerate(curve):
        if value < threshold:
            before = curve[ring - 1]
            return 0.0 if ring == 0 else ring - 1 + (before - threshold) / (before - value)
    return float(len(curve))
