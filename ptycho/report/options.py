"""`PlotOptions`: how pictures are coloured, and in which formats they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from ptycho._checks import fields
from ptycho.errors import SettingsError

PhaseLimits = tuple[float | None, float | None]
FigureFormat = Literal["png", "pdf", "svg"]
FIGURE_FORMATS: tuple[FigureFormat, ...] = get_args(FigureFormat)
# More than a printer needs, and 60,000 pixels a side are more than Matplotlib can draw.
MOST_DPI = 1200
_MOST_INCHES = 8


@dataclass(frozen=True, kw_only=True)
class PlotOptions:
    """How pictures are coloured, and in which formats they are written.

    Attributes
    ----------
    p_min, p_max : float
        Percentiles of the truth (of all arms, without one) at the ends of the colour scales.
    phase_limits : mapping of label to (float or None, float or None)
        Fixed ends, in radians, of the phase scale of single arms; None leaves an end as it is.
    debug_images : bool
        Also draw what MS-SSIM and the FRC saw, a picture for each arm.
    formats : sequence of {"png", "pdf", "svg"}
        The files that are made of each picture; of those that are given a path, its suffix decides.
    dpi : int
        Pixels in an inch, from 20 to 1200: of a PNG, and of the images within a PDF or SVG. Images with more than
        8 pixels a side for each of them are thinned.

    Raises
    ------
    SettingsError
        A field is of another type or out of its range, or `p_min` is not the smaller percentile.
    """

    p_min: float = 10.0
    p_max: float = 90.0
    phase_limits: Mapping[str, PhaseLimits] = field(default_factory=dict)
    debug_images: bool = False
    formats: Sequence[FigureFormat] = ("png",)
    dpi: int = 150

    def __post_init__(self) -> None:
        """Check every field and keep it as its plain Python type."""
        fields.checked(
            self,
            p_min=fields.number(self.p_min, "p_min", at_least=0, at_most=100),
            p_max=fields.number(self.p_max, "p_max", at_least=0, at_most=100),
            debug_images=fields.flag(self.debug_images, "debug_images"),
            phase_limits=_checked_limits(self.phase_limits),
            formats=_checked_formats(self.formats),
            dpi=fields.whole_number(self.dpi, "dpi", at_least=20, at_most=MOST_DPI),
        )
        if not self.p_min < self.p_max:
            raise SettingsError(
                f"p_min is {self.p_min:g} but must be a percentile below p_max, {self.p_max:g}; swap them."
            )

    @property
    def most_px(self) -> int:
        """Pixels that an image keeps a side: twice what the largest panel has on paper."""
        return _MOST_INCHES * self.dpi


def _checked_formats(formats: Sequence[FigureFormat]) -> tuple[FigureFormat, ...]:
    if isinstance(formats, str) or not isinstance(formats, Sequence) or not formats:
        raise SettingsError(
            f"formats is {formats!r} but must be a sequence of 'png', 'pdf' and 'svg'; pass ('png', 'pdf')."
        )
    return tuple(dict.fromkeys(fields.choice(each, "formats", FIGURE_FORMATS) for each in formats))


def _checked_limits(limits: Mapping[str, PhaseLimits]) -> dict[str, PhaseLimits]:
    if not isinstance(limits, Mapping):
        raise SettingsError(
            f"phase_limits is {limits!r} but must be a mapping of labels to (low, high) in radians; pass a dict."
        )
    checked = {}
    for label, ends in limits.items():
        name = f"phase_limits[{label!r}]"
        if not isinstance(label, str) or not isinstance(ends, Sequence) or len(ends) != 2:
            raise SettingsError(f"{name} is {ends!r} but must be (low, high) in radians; None leaves an end.")
        low, high = (None if end is None else fields.number(end, name) for end in ends)
        if low is not None and high is not None and not low < high:
            raise SettingsError(f"{name} is {ends!r} but must be (low, high) with low below high; swap them.")
        checked[label] = (low, high)
    return checked
