"""What the files of a comparison, and the arrays in them, are called (docs/formats.md)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptycho.comparison.roles import ROLES
from ptycho.data.exporting import EXPORT_SUFFIXES
from ptycho.report.options import FIGURE_FORMATS

if TYPE_CHECKING:
    from ptycho.comparison import ArmResult

METRICS_FILE = "comparison_metrics.csv"
FRC_SUFFIX = "_frc_curves.csv"
# One table for all arms; no arm's slug may make it another's.
HALF_SET_FILE = f"half_set{FRC_SUFFIX}"
DEBUG_SUFFIX = "_debug_images.npz"
RAW_FILE = "reconstructions.npz"
ALIGNED_FILE = "reconstructions_aligned.npz"
REPORT_FILE = "run_report.json"
PAGE_FILE = "comparison_report.html"
STUDY_PAGE, STUDY_TABLE = "study.html", "study.csv"
TRAINING_PAGE, HELD_OUT_PLOT = "training_report.html", "held_out.png"
EXPORT_STEM = "_image"
# Beside the results, not moved with them: it is written while the run goes on.
LOG_FILE = "logs/debug.log"
ARTIFACT_PATTERNS = (
    METRICS_FILE,
    f"*{FRC_SUFFIX}",
    f"*{DEBUG_SUFFIX}",
    *(f"*{EXPORT_STEM}{suffix}" for suffix in EXPORT_SUFFIXES),
    RAW_FILE,
    ALIGNED_FILE,
    REPORT_FILE,
)

# Pictures are files of several formats, called by their stems.
COMPARISON_PLOT = "comparison_plot"
ERROR_PLOT = "comparison_errors"
FRC_PLOT = "frc_curves"
HALF_SET_PLOT = "half_set_frc_curves"
DEBUG_PLOT_STEM = "_debug_images"
PLOT_STEMS = (COMPARISON_PLOT, ERROR_PLOT, FRC_PLOT, HALF_SET_PLOT)


def picture_files(*stems: str) -> tuple[str, ...]:
    """Return what pictures with these stems may be called, in every format."""
    return tuple(f"{stem}.{form}" for stem in stems for form in FIGURE_FORMATS)


PLOT_PATTERNS = (*picture_files(*PLOT_STEMS, f"*{DEBUG_PLOT_STEM}"), PAGE_FILE)

_LONGEST_SLUG = 60
_RESERVED = {"ground_truth", "half_set"} | {
    prefix for names in ROLES.values() for prefix in (names.file_prefix, names.array_prefix)
}


@dataclass(frozen=True)
class ArmPrefixes:
    """What the files of an arm, and its arrays within an NPZ, begin with."""

    file: str
    array: str


def arm_prefixes(arms: Sequence[ArmResult]) -> dict[str, ArmPrefixes]:
    """Return the prefixes of each arm by label: those of its role, else a slug that no other arm has."""
    taken, prefixes = set(_RESERVED), {}
    free_roles = dict(ROLES)
    for arm in arms:
        # Of several arms in one role the first has its names.
        names = None if arm.role is None else free_roles.pop(arm.role, None)
        if names is not None:
            prefixes[arm.label] = ArmPrefixes(names.file_prefix, names.array_prefix)
            continue
        slug = _unused_slug(arm.label, taken)
        taken.add(slug)
        prefixes[arm.label] = ArmPrefixes(slug, slug)
    return prefixes


def _unused_slug(label: str, taken: set[str]) -> str:
    stem = re.sub(r"[^0-9a-z]+", "_", label.lower()).strip("_")[:_LONGEST_SLUG] or "arm"
    slug, number = stem, 2
    while slug in taken:
        slug, number = f"{stem}_{number}", number + 1
    return slug
