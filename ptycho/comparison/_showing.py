"""How a `ComparisonResult` shows itself: in one line, and in a notebook with a row an arm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptycho._showing import html, pictures
from ptycho._showing.one_line import bounded, shortened
from ptycho.comparison.shown import Panel, panels_of
from ptycho.evaluation.showing import pair_in_short

if TYPE_CHECKING:
    from ptycho.comparison.results import ArmResult, ComparisonResult

_MOST_IN_A_LINE, _MOST_ARMS, _MOST_PX, _LONGEST_REASON = 3, 12, 320, 400
_HEADINGS = ("", "amplitude", "phase", "SSIM", "MAE", "FRC50", "chi²", "notes")


def in_one_line(result: ComparisonResult) -> str:
    """Return the arms with their similarity to the truth."""
    arms = [_arm_in_short(arm) for arm in result.arms[:_MOST_IN_A_LINE]]
    if len(result.arms) > _MOST_IN_A_LINE:
        arms.append(f"{len(result.arms) - _MOST_IN_A_LINE} more")
    failed = (
        f"; failed: {', '.join(shortened(each.what) for each in result.failures)}" if result.failures else ""
    )
    height, width = result.window.shape_yx
    return bounded(
        f"ComparisonResult({', '.join(arms) or 'no arm'} on {result.n_frames:,} frames, {height}×{width} px{failed})"
    )


def _arm_in_short(arm: ArmResult) -> str:
    label = shortened(arm.label)
    return label if arm.metrics is None else f"{label} (SSIM {pair_in_short(arm.metrics, 'ssim')})"


def as_html(result: ComparisonResult) -> str:
    """Return images and figures of each arm, the truth last, and what failed."""
    panels = panels_of(result, _MOST_PX)
    truth = [] if result.truth is None else panels[-1:]
    chosen = [*panels[: min(len(result.arms), _MOST_ARMS)], *truth]
    scales = _scales(truth or panels)
    arms = {arm.label: arm for arm in result.arms}
    rows = [_row(panel, arms.get(panel.label), scales) for panel in chosen]
    height, width = result.window.shape_yx
    notes = [
        f"{shortened(each.what)} failed: {shortened(each.reason, _LONGEST_REASON)}"
        for each in result.failures
    ]
    if len(panels) > len(chosen):
        notes.append(f"{len(panels) - len(chosen)} more arms are not shown.")
    return html.block(
        f"ComparisonResult, {result.n_frames:,} frames, {height}×{width} px; figures of amplitude / phase",
        html.table(_HEADINGS, rows) if rows else None,
        html.sentences(notes),
    )


def _scales(panels: list[Panel]) -> dict[str, tuple[float, float]]:
    return {
        channel: pictures.limits_of([getattr(panel, channel).compressed() for panel in panels])
        for channel in ("amplitude", "phase")
    }


def _row(panel: Panel, arm: ArmResult | None, scales: dict[str, tuple[float, float]]) -> tuple[object, ...]:
    images = (
        pictures.picture(
            getattr(panel, channel).filled(np.nan),
            limits,
            pictures.GREY,
            alt=f"{channel} of {shortened(panel.label)}",
        )
        for channel, limits in scales.items()
    )
    figures: tuple[object, ...] = ("", "", "", "", "")
    if arm is not None:
        scored = (
            pair_in_short(arm.metrics, name) if arm.metrics is not None else None
            for name in ("ssim", "mae", "frc50")
        )
        image = None if arm.verdict is None else arm.verdict.image
        chi2 = None if image is None else image.chi2
        figures = (*scored, None if chi2 is None else f"{chi2:.3g}", _notes(arm))
    return (shortened(panel.label), *images, *figures)


def _notes(arm: ArmResult) -> html.Markup | str:
    verdict = None if arm.verdict is None else arm.verdict.diagnosis
    found = (
        arm.collapsed and f"collapsed: {arm.collapsed}",
        arm.familiarity and arm.familiarity.sentence,
        verdict,
    )
    return html.sentences(text for text in found if text) or ""
