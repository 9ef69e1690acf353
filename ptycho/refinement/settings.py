"""`RefinementSettings`: everything that decides a refined image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ptycho._checks import fields
from ptycho.errors import SettingsError

# A flat object has no structure by which to tell where a frame lies: the object alone is improved at first.
SWEEPS_TO_SETTLE = 2


@dataclass(frozen=True, kw_only=True)
class RefinementSettings:
    """How `refine` improves an image by the frames; every field is checked when the settings are made.

    Attributes
    ----------
    sweeps : int
        How many times every frame is used.
    mini_batch : int
        Frames whose wishes are added up into one step. Like `seed` it decides the result; how many of them are
        computed at once does not.
    alpha : float
        Between the step of a weighted mean (0) and that of the gradient (1), 0 < alpha <= 1: ``α`` of Maiden et al.
    seed : int
        Draws the order of the frames, a new one for each sweep.
    batch_size : "auto" or int
        Frames of a mini-batch that are computed at once; changes memory, never a bit of the image.
    device : str, optional
        "CPU", or a card such as "GPU:0" for the same sums as a TensorFlow graph, equal to rounding; by default the
        CPU. A card refines the object alone.
    refine_probe : bool
        Improve the probe with the object; from a flat one, after two sweeps that improve the object alone.
    refine_positions : bool
        Improve the positions with the object, each by at most `max_position_shift_px` along an axis; from a flat
        one, after two sweeps that improve the object alone.
    max_position_shift_px : float
        In pixels of the object.

    Raises
    ------
    SettingsError
        A field is of another type or out of its range, or probe or positions are to be refined on a card.
    """

    sweeps: int = 1
    mini_batch: int = 32
    alpha: float = 0.5
    seed: int = 0
    batch_size: int | Literal["auto"] = "auto"
    device: str | None = None
    refine_probe: bool = False
    refine_positions: bool = False
    max_position_shift_px: float = 8.0

    def __post_init__(self) -> None:
        """Check every field and keep it as its plain Python type."""
        fields.checked(
            self,
            sweeps=fields.whole_number(self.sweeps, "sweeps", at_least=1),
            mini_batch=fields.whole_number(self.mini_batch, "mini_batch", at_least=1),
            alpha=fields.number(self.alpha, "alpha", above=0, at_most=1),
            seed=fields.seed(self.seed, "seed"),
            batch_size=fields.batch_size(self.batch_size, "batch_size"),
            device=fields.device(self.device, "device"),
            refine_probe=fields.flag(self.refine_probe, "refine_probe"),
            refine_positions=fields.flag(self.refine_positions, "refine_positions"),
            max_position_shift_px=fields.number(
                self.max_position_shift_px, "max_position_shift_px", above=0, at_most=64
            ),
        )
        if self.on_card and (self.refine_probe or self.refine_positions):
            raise SettingsError(
                f"device is {self.device!r} but probe and positions are refined on the CPU only; drop the device, or "
                "refine_probe and refine_positions."
            )

    def check_from_flat(self) -> None:
        """Refuse to begin with a flat object if no sweep is left for what is to be refined beside it.

        Raises
        ------
        SettingsError
            Probe or positions are to be refined, in too few sweeps.
        """
        wanted = [name for name in ("refine_probe", "refine_positions") if getattr(self, name)]
        if wanted and self.sweeps <= SWEEPS_TO_SETTLE:
            raise SettingsError(
                f"sweeps is {self.sweeps} but must be at least {SWEEPS_TO_SETTLE + 1} with {' and '.join(wanted)}, "
                f"for from a flat object the first {SWEEPS_TO_SETTLE} improve the object alone; give more, or an image "
                "to begin with."
            )

    @property
    def on_card(self) -> bool:
        """Whether a graphics card computes."""
        return self.device is not None and self.device != "CPU"
