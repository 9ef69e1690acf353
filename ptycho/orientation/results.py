"""What a check of the orientation found, and how it is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ptycho._showing.one_line import OneLine
from ptycho.data.importing import ImportSettings
from ptycho.orientation.turns import Turn

Method = Literal["diffraction", "model"]
Verdict = Literal["right", "turned", "unknown"]

# A turn is behind the best one if the frames that were left out say so by as many standard errors …
_SURE_SIGMAS = 4.0
# … and are missed by this share more: no number of frames makes a smaller difference one of orientation.
_LEAST_EXCESS = 0.02


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class OrientationTrial(OneLine):
    """How well the left-out frames were met with positions and frames turned.

    Attributes
    ----------
    positions : Turn
    frames : Turn
    errors : (m,) float64
        Of each left-out frame, Σ (expected - measured)² over the mean of Σ measured²; of its patch by a model,
        Σ |image - patch|² over Σ |patch|².
    """

    positions: Turn
    frames: Turn
    errors: np.ndarray

    @property
    def error(self) -> float:
        """Mean of the errors."""
        return float(self.errors.mean())

    @property
    def is_as_read(self) -> bool:
        """Whether nothing is turned."""
        return not self.positions.number and not self.frames.number

    @property
    def relative(self) -> Turn:
        """How the positions are turned against the frames; what is turned alike gives the same image, turned."""
        return self.frames.inverse.after(self.positions)

    def sigmas_behind(self, best: OrientationTrial) -> float:
        """Return by how many standard errors it is worse than another, frame by frame.

        Parameters
        ----------
        best : OrientationTrial
            Of the same frames.

        Returns
        -------
        float
            0 for an excess of less than two percent.
        """
        excess = self._excess(best)
        if excess.mean() < np.log1p(_LEAST_EXCESS):
            return 0.0
        spread = excess.std(ddof=1) / np.sqrt(excess.size)
        return float(excess.mean() / spread) if spread else float("inf")

    def _excess(self, best: OrientationTrial) -> np.ndarray:
        tiny = np.finfo(np.float64).tiny
        return np.log(np.maximum(self.errors, tiny) / np.maximum(best.errors, tiny))


@dataclass(frozen=True, eq=False, kw_only=True)
class OrientationFindings:
    """Which turns of positions and frames fit a scan, and how surely.

    Attributes
    ----------
    trials : tuple of OrientationTrial
        Best first; empty if nothing was tried.
    method : {"diffraction", "model"}
        What the left-out frames were met by: frames expected of a refined object, or the stitched patches of a model.
    seconds : float
        Wall time that it took.
    n_frames : int
        Frames that were used, those left out among them.
    importing : ImportSettings
        How the scan was read, which the settings of the remedy change.
    why_not : str, optional
        Why nothing was tried.
    """

    trials: tuple[OrientationTrial, ...] = ()
    method: Method = "diffraction"
    seconds: float = 0.0
    n_frames: int = 0
    importing: ImportSettings
    why_not: str | None = None

    @property
    def fitting(self) -> tuple[OrientationTrial, ...]:
        """The best one and those that cannot be told from it."""
        return tuple(trial for trial in self.trials if trial.sigmas_behind(self.trials[0]) < _SURE_SIGMAS)

    @property
    def sigmas(self) -> float:
        """By how many standard errors the nearest of the turns that do not fit is behind the best; 0 if all fit."""
        behind = [trial.sigmas_behind(self.trials[0]) for trial in self.trials]
        return min((sigmas for sigmas in behind if sigmas >= _SURE_SIGMAS), default=0.0)

    @property
    def verdict(self) -> Verdict:
        """Whether the scan fits as it is ("right"), only turned ("turned"), or turned as well ("unknown").

        Positions and frames that are turned alike are no other way: the image is the same, turned.
        """
        fitting = self.fitting
        if not any(trial.is_as_read for trial in fitting):
            return "turned" if fitting else "unknown"
        return "right" if all(not trial.relative.number for trial in fitting) else "unknown"

    def in_words(self) -> str:
        """Say what fits, how surely, and with which settings.

        Returns
        -------
        str
            One sentence.
        """
        if self.why_not is not None:
            return f"orientation of positions and frames cannot be told: {self.why_not}"
        return {"right": self._right, "turned": self._turned, "unknown": self._unknown}[self.verdict]()

    def _right(self) -> str:
        return f"orientation: of {len(self.trials)} ways to turn them the positions fit as they are; {self._figures()}"

    def _turned(self) -> str:
        ways = " or ".join(self._remedy(trial) for trial in self._plainest())
        return f"the positions do not fit the frames as they are, but turned: pass {ways}; {self._figures()}"

    def _unknown(self) -> str:
        if len(self.fitting) == len(self.trials):
            return (
                f"orientation of positions and frames cannot be told: all {len(self.trials)} ways to turn them fit "
                f"alike; left-out {self._met()} of {self.trials[0].error:.3g} ({self._cost()})"
            )
        ways = " or ".join(
            "as they are" if trial.is_as_read else f"with {self._remedy(trial)}" for trial in self._plainest()
        )
        return f"orientation of the positions cannot be told for sure: they fit {ways}; {self._figures()}"

    def _plainest(self) -> list[OrientationTrial]:
        """Return one of the fitting trials for each turn against the frames, the one that turns the least."""
        plainest: dict[Turn, OrientationTrial] = {}
        for trial in sorted(
            self.fitting, key=lambda trial: bool(trial.positions.number) + bool(trial.frames.number)
        ):
            plainest.setdefault(trial.relative, trial)
        return list(plainest.values())

    def _remedy(self, trial: OrientationTrial) -> str:
        parts = []
        if trial.positions.number:
            parts.append(trial.positions.positions_settings(self.importing))
        if trial.frames.number:
            parts.append(trial.frames.frames_settings(self.importing))
        said, instead = " ".join(parts), trial.positions.inverse
        if trial.frames.number or not self._may_be_frames(instead):
            return said
        kind = "mirrored" if instead.is_mirror else "turned"
        return (
            f"{said} (or, if it is the frames that are turned, {instead.frames_settings(self.importing)}: the same "
            f"image {kind})"
        )

    def _may_be_frames(self, turn: Turn) -> bool:
        """Whether frames turned so may be what is wrong: they fit, or were not tried by themselves."""
        tried = {trial.frames for trial in self.trials}
        fits = any(trial.frames == turn and not trial.positions.number for trial in self.fitting)
        return fits or turn not in tried

    def _figures(self) -> str:
        others = [trial.error for trial in self.trials if trial not in self.fitting]
        return (
            f"left-out {self._met()} of {self.trials[0].error:.3g}, otherwise with "
            f"{min(others):.3g} or more, {self.sigmas:.0f} standard errors apart ({self._cost()})"
        )

    def _met(self) -> str:
        if self.method == "model":
            return "patches of the model are met with a squared error"
        return "frames are met with a squared amplitude error"

    def _cost(self) -> str:
        return f"{self.n_frames} frames, {self.seconds:.1f} s"
