"""Is a scan like those that a model was trained on? Figures of its frames beside the training's, and one word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ptycho.data.photons import photon_energy
from ptycho.data.scan import ScanData

Difference = Literal["light", "probe", "dose"]

# Evenly spread over the scan: what is compared are means, of which these know enough.
_FRAMES_LOOKED_AT = 256
# docs/metrics.md has the figures of good scans and of strange ones on which these limits stand.
SAME_PROBE_ABOVE = 0.9
# Beyond the first it is said; beyond the second, with fewer photons, it is a doubt. More do no harm, as a network takes
# frames of one energy.
SAME_DOSE_WITHIN, NOISE_FELT_BEYOND = 5.0, 12.0
SAME_LIGHT_BELOW, SAME_LIGHT_BELOW_FOR_FEW, FEW_SCANS = 0.45, 0.6, 5
# A ring with fewer photons says little of its logarithm; where counts are not known, with a smaller share.
_FEWEST_PHOTONS, _LEAST_SHARE = 100.0, 1e-5
# Probes that overlap more are kept once: it moves an overlap of 0.9 by less than 0.01.
_ONE_PROBE_ABOVE = 0.9999


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameStatistics:
    """What the frames of a scan have in common.

    Attributes
    ----------
    n_frames : int
        Frames that were looked at, evenly spread over the scan.
    energy : float
        Mean over them of Σ amplitude².
    photons : float or None
        The same as a number of photons; None where the frames are no counts.
    spectrum : (N/2 + 1,) float64
        Share of the energy in each ring of the detector about its middle, a pixel wide, the last up to the corners;
        0 where the mask leaves nothing of a ring.
    """

    n_frames: int
    energy: float
    photons: float | None
    spectrum: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON has them, of four digits.

        Returns
        -------
        dict
        """
        return {
            "n_frames": self.n_frames,
            "energy": _rounded(self.energy),
            "photons": None if self.photons is None else _rounded(self.photons),
            "spectrum": [_rounded(share) for share in self.spectrum.tolist()],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> FrameStatistics:
        """Read what `as_dict` gave.

        Parameters
        ----------
        record : mapping

        Returns
        -------
        FrameStatistics

        Raises
        ------
        ValueError
            It is something else.
        """
        try:
            photons = record["photons"]
            read = cls(
                n_frames=int(record["n_frames"]),
                energy=float(record["energy"]),
                photons=None if photons is None else float(photons),
                spectrum=np.array([float(share) for share in record["spectrum"]]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{str(record)[:60]} has no figures of frames") from error
        numbers = np.array([read.n_frames, read.energy, read.photons or 1.0, *read.spectrum])
        if (
            not np.isfinite(numbers).all()
            or (numbers < 0).any()
            or read.energy == 0
            or not read.spectrum.any()
        ):
            raise ValueError(f"{str(record)[:60]} has figures that no frames have")
        return read


@dataclass(frozen=True, kw_only=True)
class Familiarity:
    """How like a scan is to those of a model's training.

    Attributes
    ----------
    dose_ratio : float or None
        Photons in a frame, or energy where either scan is not counted, over those of the training scan that is nearest
        in it; None where nothing is known of the training's frames.
    light_distance : float or None
        Root of the mean, over the rings of the detector that hold enough light, of the squared natural logarithm of
        the ratio of the light's shares in the ring, to the training scan that is nearest in it: 0.1 is ten per cent.
    probe_overlap : float or None
        The best `ptycho.evaluation.probe_overlap` with a probe of the training; None where none is known.
    differences : tuple of {"light", "probe", "dose"}
        What may make the image wrong, the weightiest first; "dose" only where a frame holds much less than in the
        training.
    counted : bool
        Whether `dose_ratio` is one of photons.
    """

    dose_ratio: float | None = None
    light_distance: float | None = None
    probe_overlap: float | None = None
    differences: tuple[Difference, ...] = ()
    counted: bool = True

    @property
    def word(self) -> str:
        """Return "like", "unknown", or what is not as in the training."""
        if self.differences:
            return ", ".join(f"other {name}" for name in self.differences)
        known = (self.dose_ratio, self.light_distance, self.probe_overlap)
        return "unknown" if known == (None, None, None) else "like"

    @property
    def sentence(self) -> str | None:
        """Return what is not as in the training, with its figures; None if nothing is."""
        said = {
            "light": "its training's frames had their light elsewhere on the detector (a typical ring differs by a "
            f"factor of {np.exp(self.light_distance or 0):.2g}), so the object is of another kind, or another aperture",
            "probe": "it was trained with another probe: the overlap with that of this scan is "
            f"{self.probe_overlap or 0:.2f}, where 1 is the same",
            "dose": f"{self._dose}, whose noise it has not learnt",
        }
        return "; ".join(said[name] for name in self.differences) or None

    @property
    def note(self) -> str | None:
        """Return what is to be known and is no doubt: another dose that does little harm, or that nothing is known."""
        if self.word == "unknown":
            return (
                "The model's file says nothing of the frames and the probe of its training, so nothing here tells "
                "whether this scan is like them."
            )
        ratio = self.dose_ratio
        if ratio is None or "dose" in self.differences or 1 / SAME_DOSE_WITHIN < ratio < SAME_DOSE_WITHIN:
            return None
        harm = (
            "which did the demo's networks no harm"
            if ratio > 1
            else "and the image may hold more of their noise"
        )
        return f"Another dose: {self._dose}, {harm}."

    @property
    def _dose(self) -> str:
        unit = "photons" if self.counted else "light (in the unit of the file)"
        return f"a frame holds {_times(self.dose_ratio or 1)} the {unit} of its training's"

    def as_dict(self) -> dict[str, Any]:
        """Return word, sentence, note and figures as JSON has them.

        Returns
        -------
        dict
        """
        return {
            "word": self.word,
            "sentence": self.sentence,
            "note": self.note,
            **asdict(self),
            "differences": list(self.differences),
        }


def frame_statistics(scan: ScanData) -> FrameStatistics:
    """Return what the frames of a scan have in common; up to 256 of them are read.

    Parameters
    ----------
    scan : ScanData

    Returns
    -------
    FrameStatistics

    Examples
    --------
    >>> import ptycho
    >>> from ptycho.models import frame_statistics
    >>> scan = ptycho.simulate(ptycho.data.SimulationSettings(n_positions=40))
    >>> found = frame_statistics(scan)
    >>> f"{found.photons:.0e} photons, {found.spectrum[:17].sum():.0%} of the light within 16 pixels"
    '1e+05 photons, 99% of the light within 16 pixels'
    """
    chosen = np.unique(np.linspace(0, scan.n_frames - 1, _FRAMES_LOOKED_AT).astype(int))
    amplitude = scan.frames(chosen)
    mean = np.einsum("nij,nij->ij", amplitude, amplitude, dtype=np.float64, casting="unsafe") / len(chosen)
    kept = np.ones(mean.shape, bool) if scan.mask is None else scan.mask
    energy, unit = float(mean[kept].sum()), photon_energy(scan)
    rings = _rings(len(mean))
    n_rings = int(rings.max()) + 1
    pixels, lit = np.bincount(rings.ravel()), np.bincount(rings[kept], minlength=n_rings)
    sums = np.bincount(rings[kept], mean[kept], minlength=n_rings)
    spectrum = np.divide(sums * pixels, lit, out=np.zeros_like(sums), where=lit > 0)
    return FrameStatistics(
        n_frames=len(chosen),
        energy=energy,
        photons=None if unit is None else energy / unit,
        spectrum=spectrum / spectrum.sum() if spectrum.any() else spectrum,
    )


def familiarity_of(
    frames: FrameStatistics,
    probe: np.ndarray,
    *,
    training_frames: Sequence[FrameStatistics] = (),
    training_probes: np.ndarray | None = None,
) -> Familiarity:
    """Compare a scan with those of a training: dose, light on the detector, and probe.

    Parameters
    ----------
    frames : FrameStatistics
        Of the scan.
    probe : (N, N) complex64
        Of the scan.
    training_frames : sequence of FrameStatistics
        Of the training's scans; empty where nothing is known of them.
    training_probes : (K, N, N) complex64, optional
        Of the training's scans; None where none is known.

    Returns
    -------
    Familiarity
    """
    overlap = _best_overlap(probe, training_probes)
    counted = frames.photons is not None and all(each.photons is not None for each in training_frames)
    ratios = [
        _dose_ratio(frames, each, counted) for each in training_frames if each.energy > 0 < frames.energy
    ]
    dose_ratio = min(ratios, key=lambda ratio: abs(np.log(ratio)), default=None)
    distance = min(_known(_light_distance(frames, each) for each in training_frames), default=None)
    limit = SAME_LIGHT_BELOW_FOR_FEW if len(training_frames) < FEW_SCANS else SAME_LIGHT_BELOW
    differs: dict[Difference, bool] = {
        "light": distance is not None and distance > limit,
        "probe": overlap is not None and overlap < SAME_PROBE_ABOVE,
        "dose": dose_ratio is not None and dose_ratio < 1 / NOISE_FELT_BEYOND,
    }
    return Familiarity(
        dose_ratio=dose_ratio,
        light_distance=distance,
        probe_overlap=overlap,
        differences=tuple(name for name, other in differs.items() if other),
        counted=counted,
    )


def distinct_probes(probes: np.ndarray) -> np.ndarray:
    """Return those of (K, N, N) probes that are not one of those before them but for brightness and constant phase."""
    flat = probes.reshape(len(probes), -1)
    flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    kept: list[int] = []
    for number, one in enumerate(flat):
        if not kept or np.abs(flat[kept].conj() @ one).max() < _ONE_PROBE_ABOVE:
            kept.append(number)
    return probes[kept]


def _best_overlap(probe: np.ndarray, others: np.ndarray | None) -> float | None:
    if others is None or not probe.any():
        return None
    from ptycho.evaluation import probe_overlap

    known = [other for other in others if other.shape == probe.shape and other.any()]
    return max((probe_overlap(probe, other) for other in known), default=None)


def _dose_ratio(one: FrameStatistics, other: FrameStatistics, counted: bool) -> float:
    if counted:
        assert one.photons is not None
        assert other.photons is not None
        return one.photons / other.photons
    return one.energy / other.energy


def _light_distance(one: FrameStatistics, other: FrameStatistics) -> float | None:
    """Return the root of the mean squared log ratio over the rings that both know well; None without one."""
    if len(one.spectrum) != len(other.spectrum) or not one.spectrum.any():
        return None
    floor = _least_share(one, other)
    told = np.maximum(one.spectrum, other.spectrum) >= floor
    if not told.any():
        return None
    # What is darker than can be told counts as just as dark.
    logarithms = [np.log(np.maximum(each.spectrum[told], floor)) for each in (one, other)]
    return float(np.sqrt(np.mean((logarithms[0] - logarithms[1]) ** 2)))


def _least_share(one: FrameStatistics, other: FrameStatistics) -> float:
    """Return the share of the light below which a ring tells nothing."""
    seen = [each.n_frames * each.photons for each in (one, other) if each.photons is not None]
    return _LEAST_SHARE if len(seen) < 2 else _FEWEST_PHOTONS / max(min(seen), _FEWEST_PHOTONS)


def _rings(side: int) -> np.ndarray:
    """Return which ring about the middle each pixel (side, side) of the detector is in."""
    radius = np.hypot(*(np.indices((side, side)) - side // 2))
    return np.minimum(np.round(radius).astype(int), side // 2)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times" if ratio >= 1 else f"1/{1 / ratio:.3g} of"


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
