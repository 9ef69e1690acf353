"""How a run went: batches and memory of each network, where images were placed, what was run on what."""

from __future__ import annotations

from dataclasses import dataclass

from ptycho.report.page._record import Record
from ptycho.report.page._rows import figure_text
from ptycho.report.page._saved import SavedArm, SavedRun


@dataclass(frozen=True)
class Step:
    """Equal batches in a row: seconds from the start of the prediction, items, size, and whether they were done."""

    start_s: float
    stop_s: float
    first_item: int
    last_item: int
    batch_size: int
    n_batches: int
    done: bool
    error: str


@dataclass(frozen=True)
class Course:
    """The batches of one network.

    Attributes
    ----------
    label : str
    steps : tuple of Step
    reason : str
        Why the first size was chosen.
    memory : tuple of (str, float)
        What, and bytes.
    n_oom : int
    """

    label: str
    steps: tuple[Step, ...]
    reason: str
    memory: tuple[tuple[str, float], ...]
    n_oom: int

    @property
    def said(self) -> str:
        """The course in a sentence, in place of a picture."""
        sizes = [str(step.batch_size) for step in self.steps if step.done]
        errors = "no out-of-memory error" if not self.n_oom else f"{self.n_oom} out-of-memory errors"
        return f"{self.label}: batches of {', '.join(dict.fromkeys(sizes)) or 'unknown size'}, {errors}."


@dataclass(frozen=True)
class Placement:
    """Where one image was found to lie against the truth or the first arm, ready to be shown."""

    label: str
    shift_px: str
    shift_nm: str
    applied: str
    correlation: str
    slope_mrad: str
    amplitude_scale: str


def courses(run: SavedRun) -> tuple[Course, ...]:
    """Return how the batches of every network went."""
    return tuple(_course(arm) for arm in run.arms if arm.report.record("prediction"))


def _course(arm: SavedArm) -> Course:
    prediction = arm.report.record("prediction")
    clock, steps = 0.0, []
    for attempt in prediction.records("attempts"):
        seconds = max(attempt.number("seconds") or 0.0, 0.0)
        steps.append(
            Step(
                clock,
                clock + seconds,
                attempt.whole("start") or 0,
                max((attempt.whole("stop") or 0) - 1, 0),
                attempt.whole("batch_size") or 0,
                attempt.whole("n_batches") or 0,
                attempt.text("outcome") == "done",
                attempt.text("error"),
            )
        )
        clock += seconds
    return Course(
        arm.label,
        tuple(steps),
        prediction.text("reason"),
        tuple(_memory(prediction)),
        prediction.whole("n_oom") or 0,
    )


def _memory(prediction: Record) -> list[tuple[str, float]]:
    device = prediction.text("memory", "device") or "device"
    names = {
        f"free on {device} at the start": ("memory", "free_bytes"),
        "of it usable": ("memory", "usable_bytes"),
        "predicted peak of a batch": ("predicted_peak_bytes",),
        "measured peak": ("measured_peak_bytes",),
    }
    found = [(name, prediction.number(*keys)) for name, keys in names.items()]
    return [(name, value) for name, value in found if value is not None and value >= 0]


def placements(run: SavedRun) -> tuple[Placement, ...]:
    """Return the residual shift, ramp and scale of every arm."""
    return tuple(_placement(arm, run.pixel_nm) for arm in run.arms)


def _placement(arm: SavedArm, pixel_nm: float | None) -> Placement:
    report, shift = arm.report, arm.report.pair("registration", "offset_yx_px")
    slope = report.pair("metrics", "phase_ramp", "slope_yx_rad_per_px")
    applied = "not sought"
    if report.record("registration"):
        applied = "yes" if report.flag("registration", "plausible") else "no"
    return Placement(
        arm.label,
        _pair(shift, "{:+.3f}"),
        ""
        if shift is None or pixel_nm is None
        else _pair((shift[0] * pixel_nm, shift[1] * pixel_nm), "{:+.3g}"),
        applied,
        figure_text(report.number("registration", "correlation")),
        "" if slope is None else _pair((1e3 * slope[0], 1e3 * slope[1]), "{:+.3g}"),
        figure_text(report.number("metrics", "amplitude_scale")),
    )


def _pair(pair: tuple[float, float] | None, form: str) -> str:
    return "" if pair is None else ", ".join(form.format(number) for number in pair)


def bytes_text(count: float) -> str:
    """Return a byte count in the unit that people use for its size."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:,.4g} TiB"
