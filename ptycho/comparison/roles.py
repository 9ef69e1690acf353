"""The two classic arms, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass

from ptycho.models.networks import ModelKind


@dataclass(frozen=True)
class RoleNames:
    """What an arm of a role is called in tables and plots, and what its files and arrays begin with."""

    label: str
    file_prefix: str
    array_prefix: str


# The two classic arms, whose names PtychoPINN's users know.
ROLES: dict[ModelKind, RoleNames] = {
    "pinn": RoleNames("PtychoPINN", "pinn", "ptychopinn"),
    "baseline": RoleNames("Baseline", "baseline", "baseline"),
}
