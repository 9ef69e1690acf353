"""Frames that were taken without light: a closed shutter, a lost beam, a detector read before the scan began."""

from __future__ import annotations

import numpy as np

from ptycho.data.scan import ScanData, bright_among

# Above this share of the energy of a usual frame one is not looked at more closely.
_SUSPECT_SHARE = 0.5
# The usual energy: so many percent of frames may be dark, and those too bright are set aside.
_USUAL_PERCENTILE = 80
# The beam is where this share of the light falls, if that is at most so much of the detector.
_BEAM_SHARE = 0.9
_LARGEST_BEAM = 0.7
# Frames looked at more closely, spread over those that are suspect.
_SAMPLE_FRAMES = 256
# Fewer counts do not tell an even background from a beam.
_LEAST_COUNTS = 30.0
_LEAST_BLOCK_COUNTS = 100.0
# Frames of which a mean is made.
_BEAM_FRAMES = 16
# Blocks along each side over which an even background is told from a far field, and how much they may differ.
_BLOCKS = 8
_EVEN_RATIO = 1.5
# The probe must let expect more than this from block to block before its absence is remarkable.
_BEAM_RATIO = 5.0


def dark_frames(scan: ScanData, energies: np.ndarray, sound: np.ndarray) -> np.ndarray:
    """Find frames that hold dark counts alone: much less energy than is usual, spread evenly over the detector.

    A frame behind an opaque part of the object is faint too, but what light it has lies where the beam is.

    Parameters
    ----------
    scan : ScanData
    energies : (n,) float64
        Σ amplitude² of each frame over the sound pixels.
    sound : (N, N) bool
        Pixels that are neither hot nor dead.

    Returns
    -------
    (k,) int64
        Their numbers; where there are hundreds, those of a sample.
    """
    lit = np.delete(energies, bright_among(energies))
    usual = float(np.percentile(lit[lit > 0], _USUAL_PERCENTILE)) if lit.any() else 0.0
    suspects = np.flatnonzero((energies > 0) & (energies < _SUSPECT_SHARE * usual))
    lighted = np.flatnonzero((energies >= _SUSPECT_SHARE * usual) & (energies <= usual / _SUSPECT_SHARE))
    if not suspects.size or not lighted.size:
        return np.array([], np.int64)
    beam = _beam(_mean_intensity(scan, _spread(lighted, _BEAM_FRAMES)) * sound)
    area = float(beam.mean())
    if area > _LARGEST_BEAM:
        return np.array([], np.int64)
    # Nearer to the share of an even background than to that of the beam.
    limit = area + (_BEAM_SHARE - area) / 4
    looked_at = _spread(suspects, _SAMPLE_FRAMES)
    dark = [frame for frame in looked_at if _is_even(scan.frames(frame) * sound, beam, limit)]
    return np.array(dark, np.int64)


def is_without_beam(scan: ScanData, sound: np.ndarray) -> bool:
    """Tell whether all frames are evenly lit, though the far field of the probe is not.

    Parameters
    ----------
    scan : ScanData
    sound : (N, N) bool
        Pixels that are neither hot nor dead.

    Returns
    -------
    bool
        Never for a probe that lights the detector evenly itself.
    """
    expected = np.abs(np.fft.fftshift(np.fft.fft2(scan.probe.astype(np.complex128)))) ** 2
    if scan.patch_size < 2 * _BLOCKS or _contrast(expected) < _BEAM_RATIO:
        return False
    frames = _spread(np.arange(scan.n_frames), _BEAM_FRAMES)
    mean = _mean_intensity(scan, frames) * sound
    counts_per_block = mean.sum() * frames.size / _smallest(scan.frames(frames[0])) / _BLOCKS**2
    return counts_per_block > _LEAST_BLOCK_COUNTS and _contrast(mean) < _EVEN_RATIO


def _spread(indices: np.ndarray, n_most: int) -> np.ndarray:
    return indices[np.linspace(0, indices.size - 1, min(indices.size, n_most)).astype(np.int64)]


def _mean_intensity(scan: ScanData, frames: np.ndarray) -> np.ndarray:
    chosen = scan.frames(frames)
    return np.einsum("nij,nij->ij", chosen, chosen, dtype=np.float64) / len(chosen)


def _beam(mean: np.ndarray) -> np.ndarray:
    """Return the fewest pixels that hold the beam's share of the light, (N, N) bool."""
    from scipy.ndimage import uniform_filter

    # Of few photons each frame has its own pixels: only their surroundings are those of another.
    mean = uniform_filter(mean, max(1, len(mean) // _BLOCKS), mode="constant")
    order = np.argsort(mean, axis=None)[::-1]
    share = np.cumsum(mean.ravel()[order]) / mean.sum()
    beam = np.zeros(mean.size, bool)
    beam[order[: int(np.searchsorted(share, _BEAM_SHARE)) + 1]] = True
    return beam.reshape(mean.shape)


def _is_even(frame: np.ndarray, beam: np.ndarray, limit: float) -> bool:
    intensity = np.square(frame, dtype=np.float64)
    total = float(intensity.sum())
    enough = total > _LEAST_COUNTS * _smallest(frame)
    return enough and float(intensity[beam].sum()) < limit * total


def _smallest(amplitude: np.ndarray) -> float:
    """Return the smallest intensity that is not zero: one count, where counts were taken."""
    return float(np.square(amplitude[amplitude > 0], dtype=np.float64).min(initial=np.inf))


def _contrast(image: np.ndarray) -> float:
    """Return how much brighter the brightest of 8x8 blocks is than the darker half of them."""
    side = len(image) // _BLOCKS
    blocks = image[: side * _BLOCKS, : side * _BLOCKS].reshape(_BLOCKS, side, _BLOCKS, side).mean(axis=(1, 3))
    usual = float(np.median(blocks))
    return float(blocks.max()) / usual if usual > 0 else np.inf
