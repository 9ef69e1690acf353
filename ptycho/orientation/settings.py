"""`OrientationSettings`: how much is tried to tell an orientation."""

from __future__ import annotations

from dataclasses import dataclass

from ptycho._checks import fields


@dataclass(frozen=True, kw_only=True)
class OrientationSettings:
    """How `check_orientation` tries the turns; every field is checked when the settings are made.

    Attributes
    ----------
    n_frames : int
        Neighbouring frames that are used, in the middle of the scan.
    sweeps : int
        Of the refinement from a flat object, with four fifths of them, for each turn.
    frames_too : bool
        Turn the frames as well. Only a probe without the symmetry of a disk can tell more by that; with any other
        it costs nothing.

    Raises
    ------
    SettingsError
        A field is of another type or out of its range.
    """

    n_frames: int = 160
    sweeps: int = 3
    frames_too: bool = False

    def __post_init__(self) -> None:
        """Check every field and keep it as its plain Python type."""
        fields.checked(
            self,
            n_frames=fields.whole_number(self.n_frames, "n_frames", at_least=1),
            sweeps=fields.whole_number(self.sweeps, "sweeps", at_least=1),
            frames_too=fields.flag(self.frames_too, "frames_too"),
        )
