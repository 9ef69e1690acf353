"""What a run of models says at its end: tables and the list of files, or the plan of a dry run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho.cli._settings_as_flags import settings_as_flags
from ptycho.cli._showing import in_one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ptycho.comparison import Arm, ArmResult, ComparisonResult, ComparisonSettings
    from ptycho.data.scan import ScanData
    from ptycho.evaluation import ImageMetrics, Misfit, SelfConsistency

_COLUMNS = ("mae", "psnr", "ssim", "ms_ssim", "frc50")
_HEADINGS = {"mae": "MAE", "psnr": "PSNR dB", "ssim": "SSIM", "ms_ssim": "MS-SSIM"}
# Below this a cut-off moves by more than a twentieth of the axis from one ring to the next.
_FEW_RINGS = 20
_FRC_HEADINGS = {"standard": "FRC50 1/px", "ptychopinn": "FRC50 rings"}


def print_summary(result: ComparisonResult, files: Sequence[Path]) -> None:
    """Print the figures, how the patches agree, how the batches went, the notes, and the files written."""
    console, result = _console(), _with_plain_labels(result)
    if result.truth is None:
        console.print("No ground truth (objectGuess) in the test data: images and report, but no metrics.")
    elif result.arms:
        console.print(_metrics_table(result))
        if result.settings.metric_convention != "standard":
            console.print(
                f"Figures by the {result.settings.metric_convention} convention; not to be compared with others."
            )
    _print_runs(console, result, files)


def print_runs(result: ComparisonResult, files: Sequence[Path]) -> None:
    """Print how the batches of each arm went, the notes, and the files written."""
    _print_runs(_console(), _with_plain_labels(result), files)


def _print_runs(console: Console, result: ComparisonResult, files: Sequence[Path]) -> None:
    if any(arm.consistency is not None for arm in result.arms):
        console.print(_consistency_table(result))
    if any(arm.familiarity is not None for arm in result.arms):
        console.print(_familiarity_table(result))
    if any(arm.verdict is not None for arm in result.arms):
        console.print(_verdict_table(result))
    if any(arm.refinement is not None for arm in result.arms):
        console.print(_refinement_table(result))
    console.print(_runs_table(result))
    for text in _notes(result):
        console.print(in_one_line(settings_as_flags(text)), highlight=False)
    console.print("Files:", style="bold")
    for path in files:
        console.print(f"  {in_one_line(str(path))}", highlight=False, soft_wrap=True)


def print_plan(arms: Sequence[Arm], scan: ScanData, settings: ComparisonSettings) -> None:
    """Print what a comparison would do and the memory it would take; computes nothing."""
    from ptycho.comparison import plan_arm, refined_label

    console = _console()
    console.print(
        f"{scan.n_frames:,} frames of {scan.patch_size}x{scan.patch_size} pixels "
        f"({_mebibytes(scan.amplitude.nbytes)}), stitched on {settings.crop_size}x{settings.crop_size}"
    )
    table = _table("arm", "patches", "batch size", "memory of a batch", "canvases", "why")
    for arm in arms:
        plan = plan_arm(arm, scan, settings)
        if plan is None:
            table.add_row(in_one_line(arm.label), "-", "-", "-", "-", "a finished reconstruction")
            continue
        peak = plan.batches.predicted_peak_bytes
        rows, columns = plan.canvas_shape_yx
        table.add_row(
            in_one_line(arm.label),
            f"{plan.n_patches:,}",
            f"{plan.batches.batch_size:,}",
            "unknown" if peak is None else _mebibytes(peak),
            f"{rows}x{columns}, {_mebibytes(plan.canvas_bytes)}",
            plan.batches.reason,
        )
        wanted = arm.refinement_in(settings.refinement)
        if wanted is not None:
            label, frames = refined_label(arm.label, wanted), f"{scan.n_frames * wanted.sweeps:,} frames"
            table.add_row(label, "-", f"{wanted.mini_batch:,}", "-", "-", f"steps of so many of {frames}")
    console.print(table)
    console.print("Dry run: nothing was computed, nothing was written.")


def _with_plain_labels(result: ComparisonResult) -> ComparisonResult:
    """Return `result` as it may be printed: no label steers the terminal."""
    arms = tuple(replace(arm, label=in_one_line(arm.label)) for arm in result.arms)
    return replace(result, arms=arms)


def _console() -> Console:
    from rich.console import Console

    # A pipe or a log has no width of its own; rows must not be folded there.
    # Square brackets in a label or a path are no markup.
    return Console(width=None if sys.stdout.isatty() else 160, markup=False)


def _table(first: str, *others: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="left" if heading == "why" else "right")
    return table


def _metrics_table(result: ComparisonResult) -> Table:
    frc_heading = _FRC_HEADINGS[result.settings.metric_convention]
    table = _table("arm", "scored", "image", *_HEADINGS.values(), frc_heading)
    for arm in result.arms:
        label = f"{arm.label} (collapsed)" if arm.collapsed else arm.label
        if arm.metrics is None:
            table.add_row(label, "-", "not scored", *("-" for _ in _COLUMNS))
            continue
        for channel in ("amplitude", "phase"):
            values = {name: getattr(getattr(arm.metrics, name), channel) for name in _COLUMNS}
            beyond = _never_below_half(arm.metrics, channel)
            table.add_row(
                *((label, f"{arm.metrics.scored_share:.1%}") if channel == "amplitude" else ("", "")),
                channel,
                *(
                    "-" if value is None else _bounded(value, beyond=beyond and name == "frc50")
                    for name, value in values.items()
                ),
            )
    return table


def _never_below_half(metrics: ImageMetrics, channel: str) -> bool:
    cutoffs = None if metrics.frc is None else getattr(metrics.frc, channel).cutoffs
    return cutoffs is not None and cutoffs.half.beyond_last_ring


def _consistency_table(result: ComparisonResult) -> Table:
    table = _table("self-consistency", "covered", "disagreement", "half-bit amplitude 1/px", "phase 1/px")
    for arm in result.arms:
        if arm.consistency is None:
            continue
        disagreement = arm.consistency.overlap_disagreement
        table.add_row(
            arm.label,
            f"{arm.image.covered.mean():.1%}",
            "-" if disagreement is None else f"{disagreement:.1%}",
            *_half_bit_cutoffs(arm.consistency),
        )
    return table


def _familiarity_table(result: ComparisonResult) -> Table:
    """Show how like the scan is to what each model was trained on."""
    table = _table("scan beside the training's", "dose", "light differs by", "probe overlap", "word")
    for arm in result.arms:
        found = arm.familiarity
        if found is None:
            continue
        table.add_row(
            arm.label,
            "-" if found.dose_ratio is None else f"x {found.dose_ratio:.3g}",
            "-" if found.light_distance is None else f"{found.light_distance:.2f}",
            "-" if found.probe_overlap is None else f"{found.probe_overlap:.3f}",
            found.word,
        )
    return table


def _verdict_table(result: ComparisonResult) -> Table:
    """Show chi² over what counting noise leaves (1 at best), and R-factors over the noise's."""
    table = _table("verdict of the frames", "chi² image", "chi² patches", "R image", "R patches", "suspect")
    judged = {arm.label: arm.verdict for arm in result.arms if arm.verdict is not None}
    for label, verdict in judged.items():
        misfits = verdict.image, verdict.patches
        cause = "-" if verdict.cause == "explained" else verdict.cause
        table.add_row(label, *map(_chi2, misfits), *map(_r_factor, misfits), cause)
    constant = next(iter(judged.values())).constant
    table.add_row("(a constant object)", _chi2(constant), "", _r_factor(constant), "", "")
    if constant.chi2 is not None:
        table.add_row("(counting noise alone)", "1", "1", "", "", "")
    return table


def _chi2(misfit: Misfit | None) -> str:
    return "-" if misfit is None or misfit.chi2 is None else f"{misfit.chi2:.4g}"


def _r_factor(misfit: Misfit | None) -> str:
    if misfit is None:
        return "-"
    noise = "" if misfit.noise_r_factor is None else f" ({misfit.noise_r_factor:.3f} noise)"
    return f"{misfit.r_factor:.3f}{noise}"


def _refinement_table(result: ComparisonResult) -> Table:
    table = _table(
        "refinement", "changed by the 1st sweep", "by the last", "R in the 1st", "in the last", "s"
    )
    for arm in result.arms:
        if arm.refinement is None:
            continue
        first, last = arm.refinement.sweeps[0], arm.refinement.sweeps[-1]
        table.add_row(
            arm.label,
            f"{first.change:.1%}",
            f"{last.change:.1%}",
            f"{first.r_factor:.4f}",
            f"{last.r_factor:.4f}",
            f"{arm.refinement.seconds:.2f}",
        )
    return table


def _half_bit_cutoffs(consistency: SelfConsistency) -> tuple[str, str]:
    frc = consistency.half_set_frc
    found = (None, None) if frc is None else frc.cutoffs("half_bit")
    spread = consistency.cutoff_spread("half_bit")
    amplitude, phase = (
        "-"
        if cutoff is None
        else _bounded(cutoff.frequency, beyond=cutoff.beyond_last_ring)
        + (f" ± {over_splits:.1g}" if over_splits else "")
        for cutoff, over_splits in zip(found, (spread.amplitude, spread.phase), strict=True)
    )
    return amplitude, phase


def _bounded(value: float, *, beyond: bool) -> str:
    """Format a cut-off that may lie beyond the last ring, where nothing was measured."""
    return f"{'≥ ' if beyond else ''}{value:.4g}"


def _runs_table(result: ComparisonResult) -> Table:
    table = _table("arm", "batch size", "OOMs", "predict s", "stitch s", "total s", "residual px")
    for arm in result.arms:
        table.add_row(arm.label, *_batches(arm), _seconds(arm, "reconstruct"), _shift(arm))
    return table


def _batches(arm: ArmResult) -> tuple[str, str, str, str]:
    run = arm.inference
    if run is None:
        return "-", "-", "-", "-"
    return (
        f"{run.prediction.final_batch_size:,}",
        str(run.prediction.n_oom + run.stitching.n_oom),
        _seconds(arm, "predict"),
        _seconds(arm, "stitch"),
    )


def _seconds(arm: ArmResult, stage: str) -> str:
    return f"{arm.seconds[stage]:.2f}" if stage in arm.seconds else "-"


def _shift(arm: ArmResult) -> str:
    if arm.registration is None:
        return "not registered"
    if not arm.registration.plausible:
        return "registration failed"
    return f"{arm.registration.offset_yx[0]:+.2f}, {arm.registration.offset_yx[1]:+.2f}"


def _notes(result: ComparisonResult) -> list[str]:
    """Return what is to be known of each arm; what holds for several alike is said once, with their labels."""
    notes = [f"{arm.label} has COLLAPSED: {arm.collapsed}." for arm in result.arms if arm.collapsed]
    for arm in result.arms:
        if arm.registration is not None and arm.registration_failed:
            left = (
                " It is scored where its positions put it."
                if arm.place_known
                else " Nothing else says where its image lies, so it stands in the middle."
            )
            notes.append(f"{arm.label} was not registered: {arm.registration.failure}.{left}")
        if arm.familiarity is not None and arm.familiarity.sentence is not None:
            notes.append(f"{arm.label} may be wrong here: {arm.familiarity.sentence}.")
    labels: dict[str, list[str]] = {}
    for arm in result.arms:
        for note in _notes_of(arm):
            labels.setdefault(note, []).append(arm.label)
    return notes + [f"{', '.join(alike)}: {note}" for note, alike in labels.items()]


def _notes_of(arm: ArmResult) -> Iterator[str]:
    if arm.n_rejected:
        yield f"{arm.n_rejected} patches were not finite and were left out."
    if arm.familiarity is not None and arm.familiarity.note is not None:
        yield arm.familiarity.note
    if arm.verdict is not None:
        yield arm.verdict.diagnosis
    for scored in (arm.registration, arm.metrics, arm.consistency, arm.verdict):
        if scored is not None:
            yield from scored.notes
    if arm.metrics is not None and arm.metrics.frc is not None:
        n_rings = len(arm.metrics.frc.frequency)
        if n_rings < _FEW_RINGS:
            yield f"the FRC has {n_rings} rings only; its cut-offs are coarse."


def _mebibytes(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.1f} MiB"
