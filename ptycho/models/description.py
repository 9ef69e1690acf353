"""`NetworkDescription`: the few lines about a network of one's own that no file of it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ptycho._checks import fields
from ptycho._compiled.handover import aligned_empty
from ptycho.errors import SettingsError

InputScaling = Literal["normalised", "amplitude", "intensity"]
# What an output or a channel may be; all others of a pair have to be there too.
_PAIRS = (frozenset({"complex"}), frozenset({"amplitude", "phase"}), frozenset({"real", "imaginary"}))


@dataclass(frozen=True, kw_only=True)
class NetworkDescription:
    """What a network takes and gives.

    Attributes
    ----------
    outputs : tuple of str
        What the network gives, in its order: ``("complex",)`` for complex patches, or ``("amplitude", "phase")``
        (radians) or ``("real", "imaginary")``, either way round, for two outputs or one of two channels.
    input_scaling : {"normalised", "amplitude", "intensity"}
        What it takes: amplitude scaled so that the mean over the frames of a scan of Σ amplitude² is (N/2)², as
        PtychoPINN's networks do, amplitude in the unit of the scan, or its square.
    input_factor : float
        Multiplies that, such as 1 / the largest value of the training frames.
    patch_size : int, optional
        Side N of the frames that it takes, in pixels; None if any will do, or if the network itself tells.
    gridsize : int
        It sees C = gridsize² neighbouring frames at once and gives a patch for each of them, or one for the group.
    trusted_crop_size : int, optional
        Side of the central square of a patch whose values mean the object; None if all of it does.

    Raises
    ------
    SettingsError
        A field is of another type, misspelt or out of its range, or the trusted crop is larger than a patch.
    """

    outputs: tuple[str, ...] = ("complex",)
    input_scaling: InputScaling = "normalised"
    input_factor: float = 1.0
    patch_size: int | None = None
    gridsize: int = 1
    trusted_crop_size: int | None = None

    def __post_init__(self) -> None:
        """Check every field and keep it as its plain Python type."""
        fields.checked(
            self,
            outputs=_checked_outputs(self.outputs),
            input_scaling=fields.choice(self.input_scaling, "input_scaling", get_args(InputScaling)),
            input_factor=fields.number(self.input_factor, "input_factor", above=0),
            gridsize=fields.whole_number(self.gridsize, "gridsize", at_least=1),
            **{
                name: fields.whole_number(value, name, at_least=1)
                for name in ("patch_size", "trusted_crop_size")
                if (value := getattr(self, name)) is not None
            },
        )
        if self.patch_size is not None:
            self.check_crop_fits(self.patch_size)

    def check_crop_fits(self, patch_size: int) -> None:
        """Refuse a trusted crop that is larger than a patch.

        Parameters
        ----------
        patch_size : int
            Side N of the patches, in pixels.

        Raises
        ------
        SettingsError
            It is.
        """
        if self.trusted_crop_size is not None and self.trusted_crop_size > patch_size:
            raise SettingsError(
                f"trusted_crop_size is {self.trusted_crop_size} but must be at most {patch_size}, the side of a patch; "
                "leave it out if all of the patch means the object."
            )

    @property
    def n_channels(self) -> int:
        """Frames C that enter the network together."""
        return self.gridsize**2

    def scaled(self, amplitude: np.ndarray, normalisation: float) -> np.ndarray:
        """Return what the network is given of diffraction amplitudes.

        Parameters
        ----------
        amplitude : (B, N, N, C) float32
            As in the scan.
        normalisation : float
            Factor that makes it normalised amplitude.

        Returns
        -------
        (B, N, N, C) float32
        """
        given = aligned_empty(amplitude.shape, np.float32)
        if self.input_scaling == "intensity":
            np.square(amplitude, out=given)
            return np.multiply(given, np.float32(self.input_factor), out=given)
        unit = normalisation if self.input_scaling == "normalised" else 1.0
        return np.multiply(amplitude, np.float32(unit * self.input_factor), out=given)


def _checked_outputs(value: object) -> tuple[str, ...]:
    names = tuple(value) if isinstance(value, (list, tuple)) else ()
    if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        for pair in _PAIRS:
            if pair == set(names):
                return names
    raise SettingsError(
        f"outputs is {value!r} but must be ('complex',), ('amplitude', 'phase') or ('real', 'imaginary'), the latter "
        "two in the order of the network; name what it gives."
    )
