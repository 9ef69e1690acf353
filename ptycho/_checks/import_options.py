"""The one table of what a user can say of a file: as a flag, as a key of a recipe, as a field of `ImportSettings`.

It needs no NumPy, so that ``--help`` is quick."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ptycho._checks.quantities import (
    JOULE_PER_EV,
    PLANCK_TIMES_C_J_M,
    electron_wavelength_m,
    energy_j,
    length_m,
)

POSITION_UNITS = ("m", "mm", "um", "nm", "A", "px")
AXES = ("nyx", "nxy", "yxn", "xyn", "yxqq", "xyqq", "qqyx", "qqxy")


@dataclass(frozen=True, kw_only=True)
class Option:
    """One thing that can be said of a file.

    Attributes
    ----------
    name : str
        Of the flag, without its hyphens, and of the key in a recipe.
    field : str
        Of `ImportSettings`.
    help : str
    metavar : str, optional
        None for a switch.
    parse : callable
        Text to value; a `ValueError` says what the text must be.
    word : callable
        Value to text, such that `parse` gives the value back.
    is_alias : bool
        Whether another option of the same field is the one that is written into recipes.
    """

    name: str
    field: str
    help: str
    metavar: str | None = None
    parse: Callable[[str], Any] = str
    word: Callable[[Any], str] = str
    is_alias: bool = False

    @property
    def is_place(self) -> bool:
        """Whether it names a file or a dataset."""
        return self.metavar is not None and "FILE" in self.metavar

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off."""
        return self.metavar is None


def _wavelength(text: str) -> float:
    return PLANCK_TIMES_C_J_M / length_m(text)


def _electron(text: str) -> float:
    return PLANCK_TIMES_C_J_M / electron_wavelength_m(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


def _pair_of(parse: Callable[[str], Any], example: str) -> Callable[[str], Any]:
    def parsed(text: str) -> tuple[Any, Any]:
        parts = text.split(",")
        if len(parts) != 2:
            raise ValueError(f"{text!r} is not two numbers with a comma between, such as {example}")
        return parse(parts[0]), parse(parts[1])

    return parsed


def _centre(text: str) -> Any:
    return text if text == "auto" else _pair_of(_whole, "128,131")(text)


def _matrix(text: str) -> Any:
    if "=" in text:
        return _composed(text)
    numbers = [_number(part) for part in text.split(",")]
    if len(numbers) != 4:
        raise ValueError(f"{text!r} is not four numbers A,B,C,D, such as 1.02,0,0.01,0.98")
    return (numbers[0], numbers[1]), (numbers[2], numbers[3])


def _composed(text: str) -> Any:
    """Return scale · diag(1 + asymmetry/2, 1 - asymmetry/2) · rotation · shear, on (y, x); angles are in degrees."""
    found = {"scale": 1.0, "asymmetry": 0.0, "rotation": 0.0, "shear": 0.0}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name.strip() not in found:
            raise ValueError(
                f"{part.strip()!r} is none of scale=, asymmetry=, rotation= and shear= with a number"
            )
        found[name.strip()] = _number(value)
    turn, shear = math.radians(found["rotation"]), math.tan(math.radians(found["shear"]))
    of_y, of_x = (found["scale"] * (1 + sign * found["asymmetry"] / 2) for sign in (1, -1))
    # The rotation is that of --rotation: from y towards x.
    cosine, sine = math.cos(turn), math.sin(turn)
    return (of_y * (cosine - sine * shear), -of_y * sine), (of_x * (sine + cosine * shear), of_x * cosine)


def _dc(text: str) -> str:
    return "centre" if text == "center" else text


def _with_comma(value: Any) -> str:
    return value if isinstance(value, str) else ",".join(f"{each!r}" for each in value)


_PLACE = "FILE[:DATASET]"
OPTIONS: tuple[Option, ...] = (
    Option(name="frames", field="frames", metavar=_PLACE, help="the diffraction frames"),
    Option(name="positions", field="positions", metavar=_PLACE, help="a table of positions, a row a frame"),
    Option(name="y", field="y", metavar=_PLACE, help="the positions' rows, instead of --positions"),
    Option(name="x", field="x", metavar=_PLACE, help="the positions' columns, instead of --positions"),
    Option(
        name="columns",
        field="columns",
        metavar="Y,X",
        help="what the table's columns are: y,x or x,y, or the names or numbers (from 0) of those that hold y and x",
    ),
    Option(
        name="position-units",
        field="position_unit",
        metavar="|".join(POSITION_UNITS),
        help="unit of the positions; px are pixels of the object",
    ),
    Option(
        name="affine",
        field="affine",
        metavar="A,B,C,D",
        parse=_matrix,
        word=lambda value: ",".join(repr(each) for row in value for each in row),
        help="correct the positions first: y = A·y + B·x, x = C·y + D·x; or scale=1.02,rotation=0.4,shear=0.1,"
        "asymmetry=0.01 of these",
    ),
    Option(name="swap-xy", field="swap_xy", help="exchange x and y of the positions"),
    Option(name="flip-x", field="flip_x", help="negate x of the positions"),
    Option(name="flip-y", field="flip_y", help="negate y of the positions"),
    Option(
        name="rotation",
        field="rotation_deg",
        metavar="DEGREES",
        parse=_number,
        word=repr,
        help="turn the positions, from y (down) towards x (right)",
    ),
    Option(
        name="grid",
        field="grid",
        metavar="ROWS,COLUMNS",
        parse=_pair_of(_whole, "20,25"),
        word=_with_comma,
        help="a raster without positions, scanned row by row (default: the axes of the frames, if they have four)",
    ),
    Option(
        name="step",
        field="step",
        metavar="Y,X",
        parse=_pair_of(_number, "0.5,0.5"),
        word=_with_comma,
        help="its steps, in --position-units",
    ),
    Option(name="snake", field="snake", help="every second row of the raster runs backwards"),
    Option(
        name="axes",
        field="axes",
        metavar="|".join(AXES),
        help="axes of the frames; n counts them, of four y and x are the raster's",
    ),
    Option(
        name="select",
        field="select",
        metavar="0:500:2|FILE[:DATASET]",
        help="frames to take: numbers from 0, slices as in Python, with commas between; or a list of numbers or marks",
    ),
    Option(
        name="skip", field="skip", metavar="3,40:45|FILE[:DATASET]", help="frames to leave out, said likewise"
    ),
    Option(
        name="frame-orientation",
        field="frame_orientation",
        metavar="0…7",
        parse=_whole,
        help="transpose (4), flip rows (2), flip columns (1) of the frames, added up (default 0)",
    ),
    Option(
        name="crop",
        field="crop",
        metavar="N",
        parse=_whole,
        help="side of the square cut from the frames; pixel size, probe and positions follow",
    ),
    Option(
        name="centre",
        field="centre_yx",
        metavar="Y,X|auto",
        parse=_centre,
        word=_with_comma,
        help="pixel of the direct beam (default: the middle of the frames)",
    ),
    Option(
        name="pad",
        field="pad",
        help="let the square of --crop reach beyond the frames; pixels there are masked",
    ),
    Option(
        name="bin",
        field="bin",
        metavar="B",
        parse=_whole,
        help="sum BxB pixels of the frames to one; detector pixel and probe follow (default 1)",
    ),
    Option(
        name="dc",
        field="dc",
        metavar="centre|corner",
        parse=_dc,
        help="where the direct beam is in the file",
    ),
    Option(
        name="values",
        field="values",
        metavar="intensity|amplitude",
        help="what the numbers of the frames are",
    ),
    Option(name="mask", field="mask", metavar=_PLACE, help="a mask of the frames' pixels"),
    Option(
        name="mask-means", field="mask_means", metavar="bad|good", help="its non-zero pixels (default bad)"
    ),
    Option(
        name="min-count",
        field="min_count",
        metavar="V",
        parse=_number,
        word=repr,
        help="mask pixels that are below in any frame",
    ),
    Option(
        name="max-count",
        field="max_count",
        metavar="V",
        parse=_number,
        word=repr,
        help="mask pixels that are above in any frame",
    ),
    Option(name="dark", field="dark", metavar=_PLACE, help="a background to subtract from the frames"),
    Option(name="flat", field="flat", metavar=_PLACE, help="a relative efficiency to divide the frames by"),
    Option(
        name="monitor",
        field="monitor",
        metavar=_PLACE,
        help="the light of each frame, by which its counts are divided",
    ),
    Option(
        name="energy",
        field="photon_energy_j",
        metavar="8keV",
        parse=energy_j,
        word=lambda value: f"{value / JOULE_PER_EV!r} eV",
        help="photon energy",
    ),
    Option(
        name="wavelength",
        field="photon_energy_j",
        metavar="0.155nm",
        parse=_wavelength,
        help="wavelength, instead of --energy",
        is_alias=True,
    ),
    Option(
        name="electron",
        field="photon_energy_j",
        metavar="300keV",
        parse=_electron,
        help="kinetic energy of electrons, instead of --energy: their wavelength is what counts",
        is_alias=True,
    ),
    Option(
        name="distance",
        field="detector_distance_m",
        metavar="2m",
        parse=length_m,
        word=lambda value: f"{value!r} m",
        help="from sample to detector",
    ),
    Option(
        name="detector-pixel",
        field="detector_pixel_m",
        metavar="75um",
        parse=length_m,
        word=lambda value: f"{value!r} m",
        help="side of a pixel of the frames, before --bin",
    ),
    Option(
        name="pixel-size",
        field="object_pixel_m",
        metavar="10nm",
        parse=length_m,
        word=lambda value: f"{value!r} m",
        help="side of the object's pixel, before --crop; instead of energy, distance and detector pixel",
    ),
    Option(name="probe", field="probe", metavar=_PLACE, help="the probe (…, N, N), complex"),
    Option(
        name="object-guess", field="object_guess", metavar=_PLACE, help="the object (rows, columns), complex"
    ),
    Option(
        name="object-origin",
        field="object_origin_yx",
        metavar="Y,X",
        parse=_pair_of(_number, "32,32"),
        word=_with_comma,
        help="where the centre of its first pixel lies, in --position-units (default 0,0 in pixels)",
    ),
)
