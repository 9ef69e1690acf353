"""The eight turns of a square: which of them the importer's settings apply, and how they follow each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ptycho._checks import fields
from ptycho.data.importing import ImportSettings

_SWITCHES = ("swap_xy", "flip_y", "flip_x")


@dataclass(frozen=True)
class Turn:
    """One of the eight rotations and mirrors of a square pixel grid, numbered as `ImportSettings.frame_orientation` is.

    Attributes
    ----------
    number : int
        0 … 7, whose binary digits exchange y and x (4), negate y (2) and negate x (1), in that order: 0 leaves all
        as it is, 3 turns by 180°, 5 and 6 by 90°, the others are mirrors.

    Raises
    ------
    SettingsError
        There is no such turn.

    Examples
    --------
    >>> from ptycho.orientation import Turn
    >>> Turn(5).inverse, Turn(4).after(Turn(2))
    (Turn(number=6), Turn(number=5))
    """

    number: int

    def __post_init__(self) -> None:
        """Refuse a turn that does not exist."""
        fields.checked(self, number=fields.whole_number(self.number, "number", at_least=0, at_most=7))

    @property
    def matrix(self) -> np.ndarray:
        """What multiplies a column (y, x), (2, 2) float64 of 0 and ±1."""
        matrix = np.eye(2)[::-1] if self.number & 4 else np.eye(2)
        return np.diag([-1.0 if self.number & 2 else 1.0, -1.0 if self.number & 1 else 1.0]) @ matrix

    @property
    def inverse(self) -> Turn:
        """The turn that undoes this one."""
        return _of(self.matrix.T)

    @property
    def is_mirror(self) -> bool:
        """Whether no rotation has its effect."""
        return bool(np.linalg.det(self.matrix) < 0)

    def after(self, first: Turn) -> Turn:
        """Return the turn that does what `first` and then this one do.

        Parameters
        ----------
        first : Turn

        Returns
        -------
        Turn
        """
        return _of(self.matrix @ first.matrix)

    def of_positions(self, positions_yx: np.ndarray) -> np.ndarray:
        """Turn positions about the origin.

        Parameters
        ----------
        positions_yx : (n, 2) float64

        Returns
        -------
        (n, 2) float64
        """
        return positions_yx @ self.matrix.T

    def of_image(self, image: np.ndarray) -> np.ndarray:
        """Turn an image about its pixel (N/2, N/2), which stays; what leaves it on one side comes in on the other.

        Parameters
        ----------
        image : (N, N) array

        Returns
        -------
        (N, N) array
        """
        turned = image.T if self.number & 4 else image
        # Mirrored about (N - 1)/2 an even image has that pixel one too low.
        turned = np.roll(turned[::-1], 1, axis=0) if self.number & 2 else turned
        return np.roll(turned[:, ::-1], 1, axis=1) if self.number & 1 else turned

    def positions_settings(self, importing: ImportSettings) -> str:
        """Return the settings, in words, that turn the positions so, after all that `importing` does with them.

        Parameters
        ----------
        importing : ImportSettings
            As the positions were read.

        Returns
        -------
        str
            Such as ``"`swap_xy=True` `flip_x=False`"``; they take the place of those that were given.
        """
        now = _of_switches(importing)
        whole, changes = self.after(now), []
        for name in _SWITCHES:
            wanted, is_set = getattr(whole, name), getattr(importing, name)
            if wanted or is_set:
                changes.append(f"`{name}={wanted}`")
        if self.is_mirror and importing.rotation_deg:
            # The rotation comes after the switches, and a mirror turns its sense.
            changes.append(f"`rotation_deg={-importing.rotation_deg!r}`")
        return " ".join(changes)

    def frames_settings(self, importing: ImportSettings) -> str:
        """Return the setting, in words, that turns the frames so, after the turn that `importing` gives them.

        Parameters
        ----------
        importing : ImportSettings
            As the frames were read.

        Returns
        -------
        str
            Such as ``"`frame_orientation=5`"``.
        """
        number = self.after(Turn(importing.frame_orientation)).number
        return f"`frame_orientation={number}`"

    @property
    def swap_xy(self) -> bool:
        """Whether y and x are exchanged."""
        return bool(self.number & 4)

    @property
    def flip_y(self) -> bool:
        """Whether y is negated, after any exchange."""
        return bool(self.number & 2)

    @property
    def flip_x(self) -> bool:
        """Whether x is negated, after any exchange."""
        return bool(self.number & 1)

    def put_on(self, importing: ImportSettings) -> ImportSettings:
        """Return the settings that read the positions turned so, as `positions_settings` says it in words.

        Parameters
        ----------
        importing : ImportSettings
            As the positions were read.

        Returns
        -------
        ImportSettings
        """
        whole = self.after(_of_switches(importing))
        rotation = -importing.rotation_deg if self.is_mirror else importing.rotation_deg
        return replace(importing, **{name: getattr(whole, name) for name in _SWITCHES}, rotation_deg=rotation)


def all_turns() -> Iterator[Turn]:
    """Yield the eight of them by their numbers."""
    return (Turn(number) for number in range(8))


def _of(matrix: np.ndarray) -> Turn:
    return next(turn for turn in all_turns() if np.array_equal(turn.matrix, matrix))


def _of_switches(importing: ImportSettings) -> Turn:
    return Turn(4 * importing.swap_xy + 2 * importing.flip_y + importing.flip_x)
