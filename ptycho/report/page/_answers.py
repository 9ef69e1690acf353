"""What somebody who has the page alone asks first: whom to trust, how fine, where wrong, how made, what next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ptycho.report.page._rows import Section, figure_text, wins
from ptycho.report.page._saved import SavedArm, SavedRun
from ptycho.report.page._worst import WorstTile

# Less than this many times the mean everywhere, an error has no place.
_UNEVEN = 1.5
# Above it an image explains its frames, but not all that they tell.
_ROOM = 1.1
_CHANNELS = ("amplitude", "phase")


@dataclass(frozen=True)
class Answer:
    """A question, and what the run says to it, a sentence each."""

    question: str
    sentences: tuple[str, ...]


def answers(run: SavedRun, sections: Sequence[Section], worst: Mapping[str, WorstTile]) -> tuple[Answer, ...]:
    """Return the questions to which the run has an answer.

    Parameters
    ----------
    run : SavedRun
    sections : sequence of Section
        Of the table of metrics.
    worst : mapping of label to WorstTile
        Where the phase of each scored arm is worst.
    """
    if not run.arms:
        return (Answer("What came of it?", ("No arm has an image; what failed is told below.",)),)
    found = {
        "Which image to trust, and why?": _trust(run, sections),
        "How fine is the detail?": _detail(run),
        "Where is it wrong?": _where(run, worst),
        "How was it made?": _made(run),
        "What next?": _next(run),
    }
    listed = ((question, tuple(sentences)) for question, sentences in found.items())
    return tuple(Answer(question, sentences) for question, sentences in listed if sentences)


def _trust(run: SavedRun, sections: Sequence[Section]) -> Iterator[str]:
    labels = [arm.label for arm in run.arms]
    n_ranked, leads = wins(sections, labels)
    if n_ranked:
        yield from (_best_in(channel, sections, labels) for channel in _CHANNELS)
        yield from _among_networks(run, sections)
    elif not run.report.flag("scan", "has_truth"):
        yield (
            "There is no truth: no figure here says how right an image is, only how well it agrees with the frames and "
            "with itself."
        )
    yield from _by_frames(run, leads if n_ranked else {})
    yield from (
        f"{arm.label} is not to be trusted: {why}." for arm in run.arms for why in [_mistrust(arm)] if why
    )


def _best_in(channel: str, sections: Sequence[Section], labels: Sequence[str]) -> str:
    n_ranked, leads = wins(sections, labels, channel)
    ranked = sorted((label for label in labels if leads[label]), key=lambda label: -leads[label])
    if not ranked:
        return f"{channel.capitalize()}: no figure against the truth tells the arms apart."
    word = "better" if len(labels) == 2 else "best"
    rest = "".join(f", {label} in {leads[label]}" for label in ranked[1:])
    return (
        f"{channel.capitalize()}: {ranked[0]} is {word} in {leads[ranked[0]]} of {n_ranked} figures against the "
        f"truth{rest}."
    )


def _among_networks(run: SavedRun, sections: Sequence[Section]) -> Iterator[str]:
    """Rank the networks without the images that the frames have improved, if there are such."""
    labels = [arm.label for arm in run.arms]
    refined = [
        label for label, arm in zip(labels, run.arms, strict=True) if arm.report.text("kind") == "refined"
    ]
    networks = [
        label for label, arm in zip(labels, run.arms, strict=True) if arm.report.text("kind") == "model"
    ]
    if not refined:
        return
    yield (
        f"{_listed(refined)} {'is' if len(refined) == 1 else 'are'} no network but a network's image after sweeps over "
        "the measured frames (ptycho refine)."
    )
    if len(networks) > 1:
        n_ranked, leads = wins(sections, labels, among=networks)
        first = max(networks, key=lambda label: leads[label])
        yield f"Of the networks alone {first} is best in {leads[first]} of {n_ranked} figures against the truth."


def _by_frames(run: SavedRun, leads: Mapping[str, int]) -> Iterator[str]:
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


def _mistrust(arm: SavedArm) -> str:
    if arm.report.text("collapsed"):
        return "its network has collapsed"
    if arm.report.record("registration") and not arm.report.flag("registration", "plausible"):
        return "its place could not be found, so that its figures compare different places"
    return ""


def _detail(run: SavedRun) -> Iterator[str]:
    unit, length = ("px", 1.0) if run.pixel_nm is None else ("nm", run.pixel_nm)
    for name, what, care in (
        ("frc50_half_period_px", "agree with the truth down to", " (half periods at FRC 0.5)"),
        (
            "half_set_frc_half_bit_half_period_px",
            "are reproduced by half of the patches down to",
            " (half periods at half a bit; reproducible is not right)",
        ),
    ):
        figures = {figure.label: figure for figure in run.figures if figure.name == name}
        told = [
            f"{arm.label} {_length(figure.amplitude, length)} and {_length(figure.phase, length)}"
            for arm in run.arms
            for figure in [figures.get(arm.label)]
            if figure is not None
        ]
        if told:
            yield f"Amplitude and phase {what}, in {unit}: {'; '.join(told)}{care}."


def _length(half_period_px: float | None, length: float) -> str:
    return "?" if half_period_px is None else f"{half_period_px * length:.3g}"


def _where(run: SavedRun, worst: Mapping[str, WorstTile]) -> Iterator[str]:
    for label, tile in worst.items():
        if tile.mean_error <= 0 or tile.error < _UNEVEN * tile.mean_error:
            yield f"{label}: the phase is off by {tile.mean_error:.2g} rad on average, much alike everywhere."
            continue
        row, column = tile.centre_yx
        yield (
            f"{label}: the phase is off by {tile.mean_error:.2g} rad on average, and most around row {row}, column "
            f"{column} ({tile.error:.2g} rad over {tile.side_yx[0]} × {tile.side_yx[1]} px)."
        )
    if worst:
        yield "The views Amplitude error and Phase error under Images show it pixel by pixel."
    elif any(arm.report.record("verdict") for arm in run.arms):
        yield (
            "Nothing here knows the right image. The view Misfit of frames under Images shows where the image does not "
            "explain what was measured, Spread of patches where the network contradicts itself."
        )


def _made(run: SavedRun) -> Iterator[str]:
    report = run.report
    dose = report.number("scan", "intensity_per_frame")
    counted = any(arm.report.flag("verdict", "counted") for arm in run.arms)
    unit = "photons" if counted else "units of intensity"
    light = "" if dose is None else f" with {figure_text(dose)} {unit} each on average"
    yield f"From {report.whole('scan', 'n_frames') or 0:,} frames{light}."
    crop = report.whole("settings", "crop_size")
    for kind, made in (
        (
            "model",
            f"a network, run over the frames; the middle {crop} × {crop} px of its patches are averaged where they lie",
        ),
        ("refined", "the image of a network, improved by sweeps over the measured frames"),
        ("reconstruction", "a finished reconstruction, read from a file"),
    ):
        labels = [arm.label for arm in run.arms if arm.report.text("kind") == kind]
        if labels:
            yield f"{_listed(labels)}: {made}."
    scored = report.number("scored_fraction")
    if report.flag("scan", "has_truth") and scored is not None:
        yield (
            f"Scored on the {100 * scored:.0f} % of the window that all arms cover, without shift, phase "
            f"{'constant' if report.text('settings', 'phase_align') == 'mean' else 'plane'} and amplitude factor."
        )


_REMEDIES = {
    "network": "let the frames improve its image (compare-models --refine 1), or train on scans like this one",
    "positions": "look at the positions: ptycho inspect SCAN --check-orientation, and ptycho refine --refine-positions",
    "image": "a smaller --stitch-crop-size leaves out the edges of the patches, a network's worst part",
    "detector": "look for pixels that do not measure: ptycho inspect SCAN, and --mask-hot",
    "frames": "look at the frames that are named, and leave them out: --skip with their numbers",
    "unknown": "look at the scan itself: ptycho inspect SCAN",
}


def _next(run: SavedRun) -> Iterator[str]:
    for cause, remedy in _REMEDIES.items():
        labels = [arm.label for arm in run.arms if arm.report.text("verdict", "cause") == cause]
        if labels:
            yield f"{_listed(labels)}: {remedy}."
    better = [arm.label for arm in run.arms if _leaves_room(arm)]
    if better and not any(arm.report.text("kind") == "refined" for arm in run.arms):
        yield (
            f"{_listed(better)}: the frames tell more than the image holds (χ² above {_ROOM:g}); compare-models "
            "--refine 1 shows what one sweep over them makes of it."
        )
    collapsed = [arm.label for arm in run.arms if arm.report.text("collapsed")]
    if collapsed:
        yield f"{_listed(collapsed)}: train again, with another seed, more scans or a defocused probe."
    if len(run.arms) > 1:
        yield (
            "This is one scan: how much the figures scatter over scans, doses and trainings, only several runs tell "
            "(ptycho report RUN RUN … --output_dir STUDY makes one page of them)."
        )


def _leaves_room(arm: SavedArm) -> bool:
    chi2 = arm.report.number("verdict", "image", "chi2")
    explained = arm.report.text("verdict", "cause") == "explained"
    return arm.report.text("kind") == "model" and explained and chi2 is not None and chi2 > _ROOM


def _listed(labels: Sequence[str]) -> str:
    return " and ".join([", ".join(labels[:-1]), labels[-1]] if len(labels) > 1 else labels)
