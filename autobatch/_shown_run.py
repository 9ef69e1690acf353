"""How a `BatchRun` shows itself: in one line, and in a notebook with the batch sizes over the items."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from autobatch._units import format_bytes, format_count

if TYPE_CHECKING:
    from autobatch._batch_run import BatchRun
    from autobatch._types import Attempt

_LONGEST, _MOST_ROWS = 240, 12
_WIDTH, _HEIGHT = 320, 60
_CELL = "padding:0.2em 0.7em;text-align:left;vertical-align:top;"
# Okabe and Ito's, which the colour-blind can tell apart; the outcome stands in words beside them.
_COLOURS = {"done": "#0072B2", "out_of_memory": "#D55E00"}


def in_one_line(run: BatchRun) -> str:
    """Return how far a run came, in batches of which sizes, and what was in its way."""
    facts = [f"{_items(run)} in {_seconds(run.seconds)} s", f"batches of {_sizes(run)}"]
    if run.n_oom:
        facts.append(f"{run.n_oom:,} out of memory")
    if run.skipped:
        facts.append(f"{len(run.skipped):,} skipped")
    if not run.is_finished:
        facts.append("not finished")
    text = f"BatchRun({', '.join(facts)})"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def as_html(run: BatchRun) -> str:
    """Return the same with the sizes as a picture, and every batch that was tried."""
    facts = [f"Planned: {run.plan.batch_size:,} ({run.plan.reason})."]
    if run.measured_peak_bytes is not None:
        facts.append(f"Peak on the device: {format_bytes(run.measured_peak_bytes)}.")
    if not run.is_finished:
        facts.append(f"Stopped at item {run.stopped_at:,}; resume() goes on.")
    facts += [f"Item {each.item:,} was left out: {_short(each.error)}" for each in run.skipped[:_MOST_ROWS]]
    if len(run.skipped) > _MOST_ROWS:
        facts.append(f"{len(run.skipped) - _MOST_ROWS:,} more items were left out.")
    sentences = "".join(f"<li>{html.escape(fact)}</li>" for fact in facts)
    return (
        f"<div><p><strong>{html.escape(in_one_line(run))}</strong></p>{_picture(run)}{_table(run)}"
        f'<ul style="overflow-wrap:anywhere">{sentences}</ul></div>'
    )


def _items(run: BatchRun) -> str:
    if run.start:
        return f"items {run.start:,} to {run.n_done:,} of {run.n_items:,}"
    return f"{run.n_done:,} of {format_count(run.n_items, 'items')}"


def _sizes(run: BatchRun) -> str:
    """Return the sizes in force, one after the other, the last of a run left out where it is the rest."""
    sizes = list(dict.fromkeys(each.batch_size for each in run.attempts if each.batch_size))
    shown = [f"{size:,}" for size in (sizes if len(sizes) <= 4 else [*sizes[:2], *sizes[-1:]])]
    if len(sizes) > 4:
        shown.insert(2, "…")
    return " → ".join(shown) or "none"


def _table(run: BatchRun) -> str:
    rows = [("batches", "of", "items", "outcome", "s")]
    rows += [_row(each) for each in run.attempts[:_MOST_ROWS]]
    left = len(run.attempts) - _MOST_ROWS
    if left > 0:
        rows.append((f"{left:,} more rows", "", "", "", ""))
    head, *body = (
        "".join(f'<{tag} style="{_CELL}">{html.escape(cell)}</{tag}>' for cell in cells)
        for tag, cells in zip(["th", *["td"] * (len(rows) - 1)], rows, strict=True)
    )
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in body)}</table>"


def _row(attempt: Attempt) -> tuple[str, str, str, str, str]:
    outcome = attempt.outcome.replace("_", " ") + (f": {_short(attempt.error)}" if attempt.error else "")
    items = f"{attempt.start:,} … {attempt.stop - 1:,}"
    return f"{attempt.n_batches:,}", f"{attempt.batch_size:,}", items, outcome, _seconds(attempt.seconds)


def _picture(run: BatchRun) -> str:
    """Return bars over the items, as high as the batches were large; what ran out of memory is another colour."""
    largest = max((each.batch_size for each in run.attempts), default=0)
    if not largest or not run.n_items:
        return ""
    bars = "".join(_bar(each, run.n_items, largest) for each in run.attempts[:200])
    label = html.escape(f"batch sizes over the items: {_sizes(run)}")
    return f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{label}">{bars}</svg>'


def _bar(attempt: Attempt, n_items: int, largest: int) -> str:
    left, right = (_WIDTH * item / n_items for item in (attempt.start, attempt.stop))
    height = (_HEIGHT - 4) * attempt.batch_size / largest
    failed = attempt.outcome == "out_of_memory"
    style = f'fill="none" stroke="{_COLOURS["out_of_memory"]}" stroke-dasharray="3 2"'
    look = style if failed else f'fill="{_COLOURS.get(attempt.outcome, "#CC79A7")}" fill-opacity="0.8"'
    return (
        f'<rect x="{left:.1f}" y="{_HEIGHT - 1 - height:.1f}" width="{max(right - left - 0.5, 0.5):.1f}" '
        f'height="{height:.1f}" {look}/>'
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g}" if seconds < 100 else f"{seconds:,.0f}"


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"
