"""What a reader has to know first, in sentences: what the data say, what failed, what to be careful about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ptycho.report.page._rows import figure_text
from ptycho.report.page._saved import SavedArm, SavedRun


@dataclass(frozen=True)
class Finding:
    """A sentence; `kind` is ``failure``, ``warning`` or ``note``."""

    kind: str
    text: str


@dataclass(frozen=True)
class Judgement:
    """What the measured frames say of one arm.

    Attributes
    ----------
    label : str
    cause : str
        ``explained``, ``network``, ``positions``, ``image``, ``detector``, ``unknown``, or "" where it was not judged.
    diagnosis : str
        A sentence.
    figures : tuple of (str, str, str, str)
        Of what, χ², R and what noise alone leaves of R; "" for what is not known.
    judged : str
        How many frames were asked; "" where that is not known.
    """

    label: str
    cause: str
    diagnosis: str
    figures: tuple[tuple[str, str, str, str], ...]
    judged: str = ""


def judgements(run: SavedRun) -> tuple[Judgement, ...]:
    """Return what the frames say of every arm; nothing for a run that did not ask them."""
    if not any(arm.report.record("verdict") for arm in run.arms):
        return ()
    return tuple(_judgement(arm) for arm in run.arms)


def _judgement(arm: SavedArm) -> Judgement:
    verdict = arm.report.record("verdict")
    if not verdict:
        return Judgement(arm.label, "", "The frames were not asked about this arm.", ())
    names = {"image": "the image", "patches": "the patches", "constant": "a constant object"}
    found = []
    for key, name in names.items():
        if verdict.record(key):
            chi2, r_factor, noise = (
                figure_text(verdict.number(key, each)) for each in ("chi2", "r_factor", "noise_r_factor")
            )
            found.append((name, chi2, r_factor, noise))
    share = verdict.number("judged_fraction")
    judged = (
        ""
        if share is None
        else f"{100 * share:.0f} % of the frames lie wholly within the image and were judged."
    )
    return Judgement(arm.label, verdict.text("cause"), verdict.text("diagnosis"), tuple(found), judged)


def findings(run: SavedRun) -> tuple[Finding, ...]:
    """Return failures, then warnings, then notes."""
    found = [*_of_run(run), *(finding for arm in run.arms for finding in _of_arm(arm))]
    order = ("failure", "warning", "note")
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: order.index(finding.kind)))


def _of_run(run: SavedRun) -> Iterator[Finding]:
    words = {"failed": " failed", "stopped": " was stopped", "not_scored": " was not scored"}
    for failure in run.report.records("failures"):
        # Of a kind without a word of its own, such as an input that changed, the reason says it all.
        what = words.get(failure.text("kind"), "")
        yield Finding("failure", f"{failure.text('label')}{what}: {failure.text('reason')}")
    if not run.report.flag("scan", "has_truth"):
        yield Finding("note", "Without a ground truth there are no metrics against one.")
    if run.report.text("settings", "metric_convention") == "ptychopinn":
        yield Finding(
            "warning",
            "The metrics follow PtychoPINN's older convention: PSNR, SSIM and FRC mean something else than elsewhere.",
        )
    scored = run.report.number("scored_fraction")
    if scored is not None and scored < 0.5:
        yield Finding(
            "warning", f"Only {100 * scored:.0f} % of the window is covered by every arm and scored."
        )


def _of_arm(arm: SavedArm) -> Iterator[Finding]:
    report, label = arm.report, arm.label
    if report.text("collapsed"):
        yield Finding("failure", f"{label}: {report.text('collapsed')}")
    if report.record("registration") and not report.flag("registration", "plausible"):
        yield Finding("failure", f"{label} could not be registered: {report.text('registration', 'failure')}")
    rejected = report.whole("n_rejected_patches")
    if rejected:
        yield Finding("warning", f"{label}: {rejected:,} patches were not finite and were left out.")
    n_oom = report.whole("prediction", "n_oom")
    if n_oom:
        size = report.whole("prediction", "final_batch_size") or 0
        times = "once" if n_oom == 1 else f"{n_oom} times"
        yield Finding(
            "warning",
            f"{label} ran out of memory {times} and went on with batches of {size}; the image is not changed by that.",
        )
    unlike = report.text("familiarity", "sentence")
    if unlike:
        yield Finding("warning", f"{label} may be wrong here: {unlike}.")
    yield from (Finding("warning", f"{label}: {text}") for text in report.texts("assumptions"))
    if report.text("familiarity", "note"):
        yield Finding("note", f"{label}: {report.text('familiarity', 'note')}")
    yield from (Finding("warning", f"{label}: {text}") for text in report.texts("registration", "notes"))
    for part in ("verdict", "metrics", "consistency"):
        yield from (Finding("note", f"{label}: {text}") for text in report.texts(part, "notes"))
