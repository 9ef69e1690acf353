"""`ImportSettings`: what a user says of a file that the file does not say, or says wrong."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ptycho._checks import fields as checks
from ptycho._checks.import_options import AXES, POSITION_UNITS
from ptycho.errors import SettingsError

_CHOICES = {
    "position_unit": POSITION_UNITS,
    "axes": AXES,
    "dc": ("centre", "corner"),
    "values": ("intensity", "amplitude"),
    "mask_means": ("bad", "good"),
}
_PLACES = ("frames", "positions", "x", "y", "mask", "dark", "flat", "monitor", "probe", "object_guess")
# No stage is off by a factor of a thousand; units are said by `position_unit`.
_SMALLEST_DETERMINANT = 1e-6
_LENGTHS = ("photon_energy_j", "detector_distance_m", "detector_pixel_m", "object_pixel_m")
_SWITCHES = ("swap_xy", "flip_x", "flip_y", "snake", "pad")


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """Where a scan's parts lie and how they are meant, where the file does not tell, or tells it wrong.

    All of it describes the file as it is; `crop` and `bin` then change the pixel sizes, the probe and positions in
    pixels along with the frames. A place is ``FILE``, ``FILE:DATASET`` or, for the scan's own file, ``:DATASET``;
    ``{stem}`` in it stands for the name of that file without its suffix, and means a file beside it.

    Attributes
    ----------
    frames : str, optional
        Place of the frames.
    positions : str, optional
        Place of a table of positions, one row (or column) a frame.
    x, y : str, optional
        Places of the columns and rows of the positions, instead of `positions`.
    columns : str, optional
        Which columns of the table are y and x: ``"y,x"``, ``"x,y"``, two names of its header, or two numbers from 0,
        the row (y) first.
    position_unit : {"m", "mm", "um", "nm", "A", "px"}, optional
        "px" are pixels of the object.
    affine : ((float, float), (float, float)), optional
        Matrix that takes positions (y, x) as the file has them to what they are, by rows: y = a·y + b·x, x = c·y + d·x.
    swap_xy, flip_x, flip_y : bool
        Exchange the positions' axes after that, then negate one.
    rotation_deg : float
        Angle by which the positions are turned after that, from y (down) towards x (right), in degrees.
    grid : (int, int), optional
        Rows and columns of a raster that has no positions, scanned row by row; those of frames in an array of four axes
        need not be given.
    step : (float, float), optional
        Its steps in y and x, in `position_unit`.
    snake : bool
        Every second row of the raster runs backwards.
    axes : {"nyx", "nxy", "yxn", "xyn", "yxqq", "xyqq", "qqyx", "qqxy"}, optional
        Order of the axes of the frames; n counts them. Of four axes y and x are those of the raster, qq rows and
        columns of a frame.
    select, skip : str, optional
        Which frames are taken, and which of these are not: numbers from 0 and slices START:STOP:STEP as in Python, with
        commas between, or the place of a list of numbers or of marks, one a frame. Their positions go with them.
    frame_orientation : int
        0 … 7, whose binary digits transpose the frames (4), flip their rows (2) and flip their columns (1), in that
        order.
    crop : int, optional
        Side of the square that is cut from the frames, in their own pixels, before binning.
    centre_yx : "auto" or (int, int), optional
        The pixel of the direct beam, row first, in the frames after `dc` and `frame_orientation`; their middle if not
        given.
    pad : bool
        The square may reach beyond the frames; the pixels there are masked.
    bin : int
        So many pixels a side are summed to one.
    dc : {"centre", "corner"}, optional
        Where the direct beam is in the file.
    values : {"intensity", "amplitude"}, optional
        What the numbers of the frames are.
    mask : str, optional
        Place of a mask (rows, columns).
    mask_means : {"bad", "good"}
        What its non-zero pixels are.
    min_count, max_count : float, optional
        A pixel that is outside in any frame is masked.
    dark, flat : str, optional
        Places of a background that is subtracted and of an efficiency that is divided by.
    monitor : str, optional
        Place of the light that each frame had, in any unit: counts are divided by it and multiplied by its median.
    photon_energy_j, detector_distance_m, detector_pixel_m, object_pixel_m : float, optional
        In SI units, before cropping and binning. For electrons the energy is that of a photon of their wavelength.
    probe : str, optional
        Place of a probe (…, N, N).
    object_guess : str, optional
        Place of an object (rows, columns), complex, in its own pixels: a truth, or a finished reconstruction.
    object_origin_yx : (float, float), optional
        Where the centre of its first pixel lies among the positions as they are in the end, in `position_unit`; (0, 0)
        for positions in pixels.

    Raises
    ------
    SettingsError
        A value is of another type or out of range, or two of them contradict each other.

    Examples
    --------
    >>> from ptycho.data import ImportSettings
    >>> ImportSettings(frames=":entry/data", position_unit="um", crop=128, bin=2).crop
    128
    """

    frames: str | None = None
    positions: str | None = None
    x: str | None = None
    y: str | None = None
    columns: str | None = None
    position_unit: str | None = None
    affine: tuple[tuple[float, float], tuple[float, float]] | None = None
    swap_xy: bool = False
    flip_x: bool = False
    flip_y: bool = False
    rotation_deg: float = 0.0
    grid: tuple[int, int] | None = None
    step: tuple[float, float] | None = None
    snake: bool = False
    axes: str | None = None
    select: str | None = None
    skip: str | None = None
    frame_orientation: int = 0
    crop: int | None = None
    centre_yx: str | tuple[int, int] | None = None
    pad: bool = False
    bin: int = 1
    dc: str | None = None
    values: str | None = None
    mask: str | None = None
    mask_means: str = "bad"
    min_count: float | None = None
    max_count: float | None = None
    dark: str | None = None
    flat: str | None = None
    monitor: str | None = None
    photon_energy_j: float | None = None
    detector_distance_m: float | None = None
    detector_pixel_m: float | None = None
    object_pixel_m: float | None = None
    probe: str | None = None
    object_guess: str | None = None
    object_origin_yx: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Check every field, then those that belong together."""
        checks.checked(self, **_checked_values(self))
        _refuse_contradictions(self)

    @property
    def given(self) -> dict[str, Any]:
        """The fields that are not at their defaults, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        defaults = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in values.items() if value != defaults[name]}

    @property
    def names_frames(self) -> bool:
        """Whether the frames are taken from a place that is named, whatever the file's format."""
        return self.frames is not None

    @property
    def names_positions(self) -> bool:
        """Whether positions are named or follow from a raster."""
        return any(value is not None for value in (self.positions, self.x, self.step))

    @property
    def turns_positions(self) -> bool:
        """Whether the positions are changed by more than their unit."""
        return self.swap_xy or self.flip_x or self.flip_y or self.rotation_deg != 0 or self.affine is not None


def _checked_values(settings: ImportSettings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in (*_PLACES, "columns", "select", "skip"):
        found[name] = checks.path(getattr(settings, name), name)
    for name in _SWITCHES:
        found[name] = checks.flag(getattr(settings, name), name)
    for name, choices in _CHOICES.items():
        value = getattr(settings, name)
        found[name] = None if value is None else checks.choice(value, name, choices)
    for name in _LENGTHS:
        value = getattr(settings, name)
        found[name] = None if value is None else checks.number(value, name, above=0)
    for name in ("min_count", "max_count"):
        value = getattr(settings, name)
        found[name] = None if value is None else checks.number(value, name)
    found["rotation_deg"] = checks.number(settings.rotation_deg, "rotation_deg")
    found["frame_orientation"] = checks.whole_number(
        settings.frame_orientation, "frame_orientation", at_least=0, at_most=7
    )
    found["bin"] = checks.whole_number(settings.bin, "bin", at_least=1)
    found["crop"] = None if settings.crop is None else checks.whole_number(settings.crop, "crop", at_least=2)
    found["grid"] = None if settings.grid is None else checks.shape_yx(settings.grid, "grid")
    found["step"] = None if settings.step is None else _pair(settings.step, "step", checks.number)
    found["centre_yx"] = _centre(settings.centre_yx)
    found["affine"] = None if settings.affine is None else _matrix(settings.affine)
    origin = settings.object_origin_yx
    found["object_origin_yx"] = None if origin is None else _pair(origin, "object_origin_yx", checks.number)
    return found


def _pair(value: Any, name: str, check: Any) -> tuple[Any, Any]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise SettingsError(f"{name} is {value!r} but must be two numbers, y and x; pass such a pair.")
    first, second = (check(each, name) for each in value)
    return first, second


def _matrix(value: Any) -> Any:
    rows = _pair(value, "affine", lambda row, name: _pair(row, name, checks.number))
    (a, b), (c, d) = rows
    if abs(a * d - b * c) < _SMALLEST_DETERMINANT:
        raise SettingsError(
            f"affine is {rows} but must keep different positions apart; pass a matrix whose determinant is not 0, near "
            "((1, 0), (0, 1))."
        )
    return rows


def _centre(value: Any) -> Any:
    if value is None or (isinstance(value, str) and value == "auto"):
        return value
    if isinstance(value, str):
        raise SettingsError(
            f"centre_yx is {value!r} but must be 'auto' or a row and a column; pass one of these."
        )
    return _pair(value, "centre_yx", lambda each, name: checks.whole_number(each, name, at_least=0))


def _refuse_contradictions(settings: ImportSettings) -> None:
    if (settings.x is None) != (settings.y is None):
        there, lacking = ("x", "y") if settings.y is None else ("y", "x")
        raise SettingsError(
            f"{there} is given but {lacking} is not, and both are needed; give {lacking} too."
        )
    ways = [name for name in ("positions", "x", "step") if getattr(settings, name) is not None]
    if len(ways) > 1:
        raise SettingsError(
            f"{' and '.join(ways)} are given but positions come from one of them; leave the others out."
        )
    if settings.grid is not None and settings.step is None:
        raise SettingsError(
            "grid is given but step is not, and a raster needs both; give its steps in y and x as step."
        )
    if settings.object_origin_yx is not None and settings.object_guess is None:
        raise SettingsError(
            "object_origin_yx is given but object_guess is not; give the place of the object too, or leave it out."
        )
    if settings.pad and settings.crop is None:
        raise SettingsError(
            "pad is given but crop is not; give the side of the square as crop, or leave pad out."
        )
    if settings.crop is not None and settings.crop % (2 * settings.bin):
        nearest = max(1, settings.crop // (2 * settings.bin)) * 2 * settings.bin
        raise SettingsError(
            f"crop is {settings.crop} but must be a whole multiple of {2 * settings.bin}, for bins of {settings.bin} "
            f"and frames with an even side; pass {nearest}."
        )
