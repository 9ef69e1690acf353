"""`PlotOptions`: how the pictures of a comparison are coloured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ptycho._checks import fields
from ptycho.errors import SettingsError

PhaseLimits = tuple[float | None, float | None]


@dataclass(frozen=True, kw_only=True)
class PlotOptions:
    """How the images of a comparison are coloured.

    Attributes
    ----------
    p_min, p_max : float
        Percentiles of the truth (of all arms, without one) at the ends of the colour scales.
    phase_limits : mapping of label to (float or None, float or None)
        Fixed ends, in radians, of the phase scale of single arms; None leaves an end as it is.
    debug_images : bool
        Also draw what MS-SSIM and the FRC saw, a picture for each arm.

    Raises
    ------
    SettingsError
        A field is of another type or out of its range, or `p_min` is not the smaller percentile.
    """

    p_min: float = 10.0
    p_max: float = 90.0
    phase_limits: Mapping[str, PhaseLimits] = field(default_factory=dict)
    debug_images: bool = False

    def __post_init__(self) -> None:
        """Check every field and keep it as its plain Python type."""
        fields.checked(
            self,
            p_min=fields.number(self.p_min, "p_min", at_least=0, at_most=100),
            p_max=fields.number(self.p_max, "p_max", at_least=0, at_most=100),
            debug_images=fields.flag(self.debug_images, "debug_images"),
            phase_limits=_checked_limits(self.phase_limits),
        )
        if not self.p_min < self.p_max:
            raise SettingsError(
                f"p_min is {self.p_min:g} but must be a percentile below p_max, {self.p_max:g}; swap them."
            )


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
