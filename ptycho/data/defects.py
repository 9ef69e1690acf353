"""Pixels of a detector that are hot or dead: found in a sample of the frames, and masked."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from ptycho._io.mapped import blocks_of, rows_of
from ptycho._showing.one_line import OneLine
from ptycho.data.scan import ScanData

logger = logging.getLogger(__name__)

# Frames looked at, spread over the scan, and the memory that their intensities may take.
_SAMPLE_FRAMES = 64
_SAMPLE_BYTES = 64 << 20
_LEAST_FRAMES = 8
# Hot is a pixel that holds so many times what the brightest of its neighbours hold on average …
_HOT_RATIO = 10.0
# … in this share of the frames.
_HOT_SHARE = 0.75
# Of neighbours and mirror without a count in n frames, no more than this over n can be expected (99 %).
_UNSEEN_COUNTS = 4.0
# Dead is a pixel without a count where its neighbours let expect so many in all, even if it lay in a dark fringe
# with a fifth of their light: by chance one of a million million is so.
_DEAD_COUNTS = 28.0
_FRINGE = 5.0
# The 5x5 around a pixel. A line or a cluster of defects takes up to 4 of these: they do not set the measure.
_RING = np.ones((5, 5), bool)
_RING[2, 2] = False
_ALLOWED_MATES = 4
_LISTED = 8


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Defects(OneLine):
    """Pixels that do not measure.

    Attributes
    ----------
    hot : (N, N) bool
        Bright in every frame, whatever the sample does.
    dead : (N, N) bool
        Dark in every frame amid light.
    """

    hot: np.ndarray
    dead: np.ndarray

    @property
    def bad(self) -> np.ndarray:
        """Both, (N, N) bool."""
        return self.hot | self.dead

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self.bad.any())

    def in_words(self) -> str:
        """Return which pixels are hot and which dead, by row and column."""
        found = [(kind, np.argwhere(getattr(self, kind))) for kind in ("hot", "dead")]
        return "; ".join(f"{len(places)} {kind}: {_listed(places)}" for kind, places in found if len(places))


def find_defects(
    amplitude: np.ndarray, *, mask: np.ndarray | None = None, probe: np.ndarray | None = None
) -> Defects:
    """Find hot and dead pixels by their neighbours, in a sample of at most 64 frames.

    A hot pixel holds in nearly every frame ten times what its neighbours hold on average, and ten times what the
    pixels opposite hold: far fields of what scatters weakly are symmetric about the DC term, and their spots come
    in pairs. A dead one never holds anything where its neighbours have light in plenty. Both allow for the noise
    of few photons, whose measure is the smallest signal in the sample, one count where counts were taken.
    The pixels next to the DC term are never called hot, for the direct beam of a wide probe is as sharp.

    Parameters
    ----------
    amplitude : (n, N, N) float32
        DC term at pixel (N/2, N/2).
    mask : (N, N) bool, optional
        Pixels that count; the others are not looked at.
    probe : (N, N) complex64, optional
        Where its own far field is dark no pixel is called dead.

    Returns
    -------
    Defects
    """
    intensity = _sampled_intensity(amplitude)
    live = np.ones(intensity.shape[1:], bool) if mask is None else mask
    mean = intensity.mean(axis=0)
    count = float(intensity[intensity > 0].min(initial=np.inf)) if mean.any() else np.inf
    # Squares of the smallest amplitudes are no measure of anything.
    count = max(count, float(mean.max()) * 1e-9)
    dead = live & _dead(intensity, np.where(live, mean, np.inf), count)
    return Defects(
        hot=live & _hot(intensity, mean, count),
        dead=dead if probe is None or not dead.any() else dead & ~_dark_by_itself(probe),
    )


def defects_of(scan: ScanData) -> Defects:
    """Return the hot and dead pixels of a scan, as `find_defects` finds them.

    Parameters
    ----------
    scan : ScanData

    Returns
    -------
    Defects
    """
    return find_defects(scan.amplitude, mask=scan.mask, probe=scan.probe)


def without_defects(scan: ScanData) -> ScanData:
    """Mask hot and dead pixels.

    Parameters
    ----------
    scan : ScanData

    Returns
    -------
    ScanData
        `scan` itself if all its pixels are sound.
    """
    defects = defects_of(scan)
    if not defects:
        return scan
    logger.info("masked: %s", defects.in_words())
    sound = ~defects.bad
    return scan.with_mask(sound if scan.mask is None else scan.mask & sound)


def sound_energies(scan: ScanData, defects: Defects) -> np.ndarray:
    """Return Σ amplitude² of each frame over its sound pixels.

    Parameters
    ----------
    scan : ScanData
    defects : Defects

    Returns
    -------
    (n,) float64
        In the file's own units.
    """
    energies = scan.frame_energies
    if not defects.hot.any():
        return energies
    blocks = blocks_of(scan.amplitude)
    hot = np.concatenate(
        [np.square(frames[:, defects.hot], dtype=np.float64).sum(axis=1) for _, frames in blocks]
    )
    # What rounding leaves of a frame without light is no light.
    return np.where(energies - hot > 1e-12 * energies, energies - hot, 0.0)


def _sampled_intensity(amplitude: np.ndarray) -> np.ndarray:
    """Return amplitude² of frames spread over the scan, (k, N, N) float64."""
    n_frames, side = amplitude.shape[:2]
    affordable = max(_LEAST_FRAMES, _SAMPLE_BYTES // (8 * side**2))
    chosen = np.linspace(0, n_frames - 1, min(n_frames, _SAMPLE_FRAMES, affordable)).astype(np.int64)
    return np.square(rows_of(amplitude, chosen), dtype=np.float64)


def _hot(intensity: np.ndarray, mean: np.ndarray, count: float) -> np.ndarray:
    from scipy.ndimage import maximum_filter, rank_filter

    lowest = np.quantile(intensity, 1 - _HOT_SHARE, axis=0, method="lower")
    ring = rank_filter(mean, -1 - _ALLOWED_MATES, footprint=_RING, mode="constant", cval=0)
    opposite = np.zeros_like(mean)
    opposite[1:, 1:] = maximum_filter(mean, 3, mode="constant", cval=0)[:0:-1, :0:-1]
    usual = np.maximum(ring, opposite)
    # The first row and column have nothing opposite: there no neighbour may be as bright.
    for edge in np.s_[0, :], np.s_[:, 0]:
        usual[edge] = maximum_filter(mean, footprint=_RING, mode="constant", cval=0)[edge]
    return lowest > _HOT_RATIO * (usual + _UNSEEN_COUNTS * count / len(intensity))


def _dead(intensity: np.ndarray, mean: np.ndarray, count: float) -> np.ndarray:
    from scipy.ndimage import rank_filter

    dark = intensity.max(axis=0) == 0
    if not dark.any():
        return dark
    if not np.isfinite(count):
        # No pixel has light, so none can be expected to.
        return np.zeros_like(dark)
    n_frames = len(intensity)
    # That of the darkest neighbours but a few; pixels that do not count, and those beyond the edge, say nothing.
    light = rank_filter(mean, _ALLOWED_MATES, footprint=_RING, mode="constant", cval=np.inf)
    seldom = (intensity == 0).mean(axis=0)
    blank = rank_filter(seldom, -1 - _ALLOWED_MATES, footprint=_RING, mode="constant", cval=0)
    # Where noise about zero was clipped, pixels are zero more often than their light lets expect.
    with np.errstate(divide="ignore"):
        expected = np.minimum(n_frames * light / count / _FRINGE, -n_frames * np.log(blank))
    return dark & np.isfinite(light) & (expected > _DEAD_COUNTS)


def _dark_by_itself(probe: np.ndarray) -> np.ndarray:
    """Return where the far field of the probe is dark amid light, which no object may fill, (N, N) bool."""
    from scipy.ndimage import rank_filter

    far = np.abs(np.fft.fftshift(np.fft.fft2(probe.astype(np.complex128)))) ** 2
    return _FRINGE * far < rank_filter(far, _ALLOWED_MATES, footprint=_RING, mode="constant", cval=np.inf)


def _listed(places: np.ndarray) -> str:
    named = ", ".join(f"row {row} column {column}" for row, column in places[:_LISTED])
    more = len(places) - _LISTED
    return named if more <= 0 else f"{named} and {more} more"
