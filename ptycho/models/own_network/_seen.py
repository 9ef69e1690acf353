"""What a saved network shows of itself, and what its description must add."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.errors import DataError, SettingsError
from ptycho.models.description import NetworkDescription
from ptycho.models.own_network._images import channel_axis

logger = logging.getLogger(__name__)

# What people call such outputs, whole words of their names.
_WORDS = {
    "amplitude": {"amplitude", "amp", "magnitude", "modulus", "abs"},
    "phase": {"phase", "phi", "angle"},
    "real": {"real", "re"},
    "imaginary": {"imaginary", "imag", "im"},
}
_MODEL = "model"
LONGEST_DESCRIPTION = 1 << 16


@dataclass(frozen=True)
class SeenOutput:
    """An output of a saved network: its name, its shape with the batch axis, and whether its numbers are complex."""

    name: str
    shape: tuple[int | None, ...]
    is_complex: bool


@dataclass(frozen=True)
class Seen:
    """What a saved network shows of itself.

    Attributes
    ----------
    name : str
        For messages.
    input_shapes : sequence of tuple
        One for each input, batch axis first, None for a length that is left open.
    outputs : sequence of SeenOutput
    is_saved : bool
        Whether it comes from a file, beside which a description may lie.
    """

    name: str
    input_shapes: Sequence[tuple[int | None, ...]]
    outputs: Sequence[SeenOutput]
    is_saved: bool = True

    @property
    def layout(self) -> FrameLayout:
        """How frames enter.

        Raises
        ------
        DataError
            The network takes no frames, or something beside them.
        """
        if len(self.input_shapes) != 1:
            raise DataError(
                f"{self.name} takes {len(self.input_shapes)} inputs but must take one, the frames; wrap it in a "
                "function of the frames and compare that with Arm.from_callable."
            )
        try:
            return FrameLayout.of(self.input_shapes[0])
        except ValueError as error:
            raise DataError(f"{self.name} takes no frames: {error}; name another file.") from error


@dataclass(frozen=True)
class FrameLayout:
    """How frames enter a network: the side N and the channels C that it declares, if it does, and their axis."""

    side: int | None
    n_channels: int | None
    axis: int | None

    @classmethod
    def of(cls, shape: tuple[int | None, ...]) -> FrameLayout:
        """Return the layout of an input of `shape`, batch axis first."""
        axis = channel_axis(shape)
        sides = {
            length for number, length in enumerate(shape) if number and number != (axis or 0) % len(shape)
        }
        (side,) = sides
        return cls(side, 1 if axis is None else shape[axis], axis)

    def entering(self, frames: np.ndarray) -> np.ndarray:
        """Return frames (B, N, N, C) as the network takes them."""
        if self.axis is None:
            return frames[..., 0]
        return frames if self.axis == -1 else np.ascontiguousarray(np.moveaxis(frames, -1, self.axis))

    def item_shape(self, frame_shape: tuple[int, int, int]) -> tuple[int, ...]:
        """Return the shape of one item of frames of (N, N, C) as the network takes them."""
        return self.entering(np.empty((1, *frame_shape), np.float32)).shape[1:]


def described(
    seen: Seen, given: NetworkDescription | None, file: Path | None = None
) -> tuple[NetworkDescription, tuple[str, ...]]:
    """Return the description of a network and what was assumed for it.

    Parameters
    ----------
    seen : Seen
    given : NetworkDescription, optional
        What the caller says; without it the JSON `file` is read, if there is one, and where that does not say what
        the outputs are, their names do.
    file : Path, optional

    Raises
    ------
    DataError, SettingsError
        Nothing says what the outputs are, or what is said does not fit the network.
    """
    layout, assumptions = seen.layout, ()
    if given is None:
        said = {} if file is None else read_description(file)
        said.pop(_MODEL, None)
        if "outputs" not in said:
            said["outputs"] = _outputs_by_name(seen)
        if file is None:
            said["gridsize"] = math.isqrt(layout.n_channels or 1)
            assumptions = (_taken_as(said["outputs"]),)
            logger.warning("%s: %s", seen.name, assumptions[0])
        given = NetworkDescription(**said)
    _check(seen, layout, given)
    return _with_side(given, layout.side), assumptions


def _taken_as(outputs: Sequence[str]) -> str:
    what = "complex patches" if len(outputs) == 1 else f"{' and '.join(outputs)}, by their names"
    return (
        f"nothing describes the network: its outputs are taken as {what}, its input as normalised amplitude"
    )


def _with_side(given: NetworkDescription, side: int | None) -> NetworkDescription:
    from dataclasses import replace

    return given if side is None else replace(given, patch_size=side)


def _outputs_by_name(seen: Seen) -> tuple[str, ...]:
    if len(seen.outputs) == 1 and seen.outputs[0].is_complex:
        return ("complex",)
    found = [_meaning(output.name) for output in seen.outputs]
    if set(found) in ({"amplitude", "phase"}, {"real", "imaginary"}) and len(found) == 2:
        return tuple(map(str, found))
    names = ", ".join(f"{output.name} {tuple(output.shape)}" for output in seen.outputs)
    raise DataError(
        f"{seen.name} gives {names}, which does not say what the images are; {_remedy(seen)}, in the order of the "
        "network, or real and imaginary."
    )


def _remedy(seen: Seen) -> str:
    if seen.is_saved:
        return f'write a {Path(seen.name).stem}.json beside it with {{"outputs": ["amplitude", "phase"]}}'
    return 'pass NetworkDescription(outputs=("amplitude", "phase"))'


def _meaning(name: str) -> str | None:
    """Return the one thing that a name says, None if it says nothing or more than one."""
    words = set(re.findall(r"[a-z]+", name.lower()))
    found = [meaning for meaning, spellings in _WORDS.items() if words & spellings]
    return found[0] if len(found) == 1 else None


def _check(seen: Seen, layout: FrameLayout, given: NetworkDescription) -> None:
    if layout.n_channels not in (None, given.n_channels):
        raise DataError(
            f"{seen.name} takes {layout.n_channels} channels but is described with gridsize {given.gridsize}, which "
            f"gives {given.n_channels}; describe the gridsize as it is."
        )
    if layout.side is not None and given.patch_size not in (None, layout.side):
        raise DataError(
            f"{seen.name} takes frames of {layout.side} pixels but is described with patch_size {given.patch_size}; "
            "leave that out."
        )
    is_complex = [output.is_complex for output in seen.outputs]
    if (given.outputs == ("complex",)) != (is_complex == [True]) or len(is_complex) > len(given.outputs):
        names = ", ".join(output.name for output in seen.outputs)
        raise DataError(
            f"{seen.name} gives {len(is_complex)} outputs ({names}), {'complex' if any(is_complex) else 'real'} "
            f"numbers, but is described as giving {' and '.join(given.outputs)}; describe its outputs as they are."
        )


def read_description(file: Path) -> dict[str, Any]:
    """Return what a JSON file says of a network: fields of `NetworkDescription`, and ``model``, its file.

    Raises
    ------
    DataError
        It is no such file.
    """
    try:
        with file.open("rb") as stream:
            said = json.loads(stream.read(LONGEST_DESCRIPTION + 1))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is no JSON ({error}); write the description of a network anew.") from error
    known = [_MODEL, *(field.name for field in fields(NetworkDescription))]
    if not isinstance(said, dict):
        raise DataError(f"{file} holds a {type(said).__name__} but must hold {{…}} with {', '.join(known)}.")
    for key in said:
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else "leave it out."
            raise DataError(f"{file} has {key!r} but may have {', '.join(known)}; {remedy}")
    try:
        NetworkDescription(**{key: value for key, value in said.items() if key != _MODEL})
    except SettingsError as error:
        raise DataError(f"in {file} {error}") from error
    return said
