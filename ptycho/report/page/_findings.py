"""What a reader has to know first, in sentences: what the data say, what failed, what to be careful about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ptycho.report.page._rows import Section, figure_text, wins
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
    figures : tuple of (str, str)
        Name and value.
    """

    label: str
    cause: str
    diagnosis: str
    figures: tuple[tuple[str, str], ...]


def judgements(run: SavedRun) -> tuple[Judgement, ...]:
    """Return what the frames say of every arm; nothing for a run that did not ask them."""
    if not any(arm.report.record("verdict") for arm in run.arms):
        return ()
    return tuple(_judgement(arm) for arm in run.arms)


def _judgement(arm: SavedArm) -> Judgement:
    verdict = arm.report.record("verdict")
    if not verdict:
        return Judgement(arm.label, "", "The frames were not asked about this arm.", ())
    names = {"image": "from the image", "patches": "from the patches", "constant": "of a constant object"}
    found = []
    for key, title in names.items():
        chi2, r_factor = verdict.number(key, "chi2"), verdict.number(key, "r_factor")
        if chi2 is not None:
            found.append((f"χ² {title}", figure_text(chi2)))
        if r_factor is not None:
            noise = verdict.number(key, "noise_r_factor")
            left = "" if noise is None else f" (noise alone {figure_text(noise)})"
            found.append((f"R {title}", f"{figure_text(r_factor)}{left}"))
    judged = verdict.number("judged_fraction")
    if judged is not None:
        found.append(("Frames judged", f"{100 * judged:.0f} %"))
    return Judgement(arm.label, verdict.text("cause"), verdict.text("diagnosis"), tuple(found))


def in_brief(run: SavedRun, sections: tuple[Section, ...]) -> tuple[str, ...]:
    """Return which arm the figures prefer and how far that goes, a sentence each."""
    if not run.arms:
        return ("No arm has an image; what failed is told below.",)
    labels = [arm.label for arm in run.arms]
    n_ranked, leads = wins(sections, labels)
    said = []
    if n_ranked:
        first, *others = sorted(labels, key=lambda label: -leads[label])
        rest = "".join(f", {label} in {leads[label]}" for label in others)
        word = "better" if len(labels) == 2 else "best"
        said.append(
            f"{first} has the {word} value in {leads[first]} of {n_ranked} figures against the truth{rest}."
        )
    elif not run.report.flag("scan", "has_truth"):
        said.append(
            "There is no truth: no figure here says how right an image is, only how well it agrees with the frames and "
            "with itself."
        )
    said += list(_by_frames(run, leads if n_ranked else {}))
    if len(run.arms) > 1:
        said.append(
            "This is one scan: how much the figures scatter over scans, doses and trainings, only several runs tell "
            "(ptycho report with all their folders)."
        )
    return tuple(said)


def _by_frames(run: SavedRun, leads: dict[str, int]) -> Iterator[str]:
    known = [(arm.report.number("verdict", "image", "chi2"), arm.label) for arm in run.arms]
    ranked = sorted((chi2, label) for chi2, label in known if chi2 is not None)
    if len(ranked) < 2 or ranked[0][0] == ranked[-1][0]:
        return
    listed = ", ".join(f"{label} {figure_text(chi2)}" for chi2, label in ranked)
    nearest = f"By the measured frames {ranked[0][1]} is nearest to what noise allows"
    yield f"{nearest} (χ² of the image: {listed}; 1 at best)."
    by_truth = max(leads, key=lambda label: leads[label], default=None)
    if by_truth is not None and leads[by_truth] and by_truth != ranked[0][1]:
        yield (
            f"Frames and truth disagree about the order: trust {by_truth} for likeness to this truth, and do not "
            "take the difference in χ² for quality."
        )


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
    for part in ("verdict", "metrics", "consistency"):
        yield from (Finding("note", f"{label}: {text}") for text in report.texts(part, "notes"))
