"""What comes of a training: the model, how it went, and what it makes of frames that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ptycho.models._course import best_epoch
from ptycho.models.patch_model import PatchModel

if TYPE_CHECKING:
    from ptycho.image.placed import PlacedImage


@dataclass(frozen=True, eq=False, kw_only=True)
class HeldOutImage:
    """An image of what a network makes of held-out frames.

    Attributes
    ----------
    epoch : int
        After which, counted from 1.
    scan : int
        Number of the training scan, from 0.
    image : PlacedImage
        Stitched from the central three eighths of the patches, on the object's pixel grid.
    truth : (h, w) complex64 or None
        The object there, where it is known.
    """

    epoch: int
    scan: int
    image: PlacedImage
    truth: np.ndarray | None


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained model and how its training went.

    Attributes
    ----------
    model : PatchModel
        With the weights of the best epoch.
    history : dict of str to list of float
        One value per epoch: ``loss``, ``val_loss``, their parts and ``learning_rate``.
    collapsed : str or None
        Why its output looks like that of a collapsed network.
    interrupted : bool
        Whether Ctrl-C ended the training.
    ended : str
        What ended the training, in words.
    """

    model: PatchModel
    history: dict[str, list[float]] = field(default_factory=dict)
    collapsed: str | None = None
    interrupted: bool = False
    ended: str = ""

    @property
    def summary(self) -> str:
        """One line: epochs, best validation loss, and a word if the network has collapsed."""
        losses = self.history.get("val_loss", [])
        best = f", best validation loss {self._best}" if losses else ""
        ended = f"; {self.ended}" if self.ended else ""
        verdict = f"; it has COLLAPSED: {self.collapsed}" if self.collapsed else ""
        return f"{self.model.architecture.kind} trained for {len(losses)} epochs{best}{ended}{verdict}"

    @property
    def _best(self) -> str:
        """The least loss of held-out frames, its epoch, and what else they said after it."""
        number = best_epoch(self.history["val_loss"])
        said = [f"{self.history['val_loss'][number]:.4g} after epoch {number + 1}"]
        for name, words in (("val_loss_floor", "noise alone leaves"), ("val_chi2", "χ²")):
            if name in self.history:
                said.append(f"{words} {self.history[name][number]:.4g}")
        return f"{said[0]} ({', '.join(said[1:])})" if said[1:] else said[0]
