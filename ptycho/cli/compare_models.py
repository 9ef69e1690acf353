"""`compare-models`: models in, images, metrics, plots and a report out."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho._io.unchanged import Snapshot
from ptycho.cli import (
    _errors,
    _flags,
    _inputs,
    _logging,
    _named_inputs,
    _paths,
    _sharding_flags,
)
from ptycho.cli._compare_flags import build_parser

if TYPE_CHECKING:
    import numpy as np

    from autobatch import Progress
    from ptycho.cli._runs import RunStart
    from ptycho.comparison import Arm, ComparisonResult, ComparisonSettings, Failure
    from ptycho.comparison.settings import Registered
    from ptycho.data.scan import ScanData
    from ptycho.models.networks import ModelKind
    from ptycho.report import PlotOptions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Job:
    """Everything a comparison needs, opened and checked."""

    arms: Sequence[Arm]
    scan: ScanData
    settings: ComparisonSettings
    frame_positions_yx: np.ndarray


def run(arguments: argparse.Namespace) -> int:
    """Compare; the work of `main` once the arguments are parsed."""
    _check_usage(arguments)
    _flags.check_batch_memo(arguments)
    _sharding_flags.check_sharding(arguments)
    output, dump = _output_folder(arguments), _dump_folder(arguments)
    inputs = _named_inputs.named_inputs(arguments)
    read = [path for _, path in inputs]
    output.check(read)
    before = Snapshot.of(read, but=output.path)
    if dump is not None:
        dump.check(read, flag="--baseline-debug-dir")

    from ptycho.models.devices import computing_on

    logger.info("opening the scan and the models …")
    with computing_on(arguments.device, beside=_sharding_flags.devices_of_workers(arguments)):
        job = _open(arguments)
        _paths.check_space(output.path, _bytes_to_write(arguments, job))
        if arguments.dry_run:
            from ptycho.cli._summary import print_plan

            print_plan(job.arms, job.scan, job.settings)
            return 0
        with _sharding_flags.sharded(arguments, job.arms) as arms, _errors.working(), output.in_use():
            return _compare(arguments, replace(job, arms=arms), inputs, output, before)


def _output_folder(arguments: argparse.Namespace) -> _paths.OutputFolder:
    from ptycho.report.names import ARTIFACT_PATTERNS, LOG_FILE, PLOT_PATTERNS

    replaces = (*ARTIFACT_PATTERNS, *PLOT_PATTERNS, LOG_FILE)
    overwrite = arguments.overwrite or _sharding_flags.continues(arguments)
    return _paths.OutputFolder(arguments.output_dir, replaces, overwrite)


def _compare(
    arguments: argparse.Namespace,
    job: _Job,
    inputs: Sequence[tuple[str, Path]],
    output: _paths.OutputFolder,
    before: Snapshot,
) -> int:
    from ptycho.cli._runs import begun
    from ptycho.cli._summary import print_summary
    from ptycho.report.names import LOG_FILE, REPORT_FILE

    log = output.path / LOG_FILE
    with begun(arguments, log, inputs, job.scan, job.arms, job.settings) as start:
        with _logging.progress_display(arguments) as progress:
            result = _result(arguments, job, progress)
            # An earlier comparison is worth more than one without an image.
            if not result.arms and (output.path / REPORT_FILE).exists():
                _errors.raise_failures(result, kept_in=None)
            result = _inputs.with_changes(result, before)
            with progress.stage("files, plots", 1, "steps") as stage:
                result, files = _keep(arguments, result, job.scan, output, start)
                stage.advance(1)
        if not arguments.quiet:
            print_summary(result, [*files, log])
    _errors.raise_failures(result, kept_in=output.path)
    return 0


def _result(arguments: argparse.Namespace, job: _Job, progress: Progress) -> ComparisonResult:
    """Compare; a dump that cannot be finished costs no arm."""
    from ptycho.comparison import Failure, compare

    result = None
    try:
        with _observed(arguments, job.arms) as arms:
            result = compare(
                arms,
                job.scan,
                settings=job.settings,
                frame_positions_yx=job.frame_positions_yx,
                progress=progress,
            )
    except (OSError, KeyboardInterrupt) as error:
        if result is None:
            raise
        what = "the dump of the baseline"
        stopped = isinstance(error, KeyboardInterrupt)
        return _with_failure(result, Failure.stopped(what) if stopped else Failure(what, str(error)))
    return result


def _with_failure(result: ComparisonResult, failure: Failure) -> ComparisonResult:
    logger.error("%s failed: %s", failure.what, failure.reason)
    return replace(result, failures=(*result.failures, failure))


def _keep(
    arguments: argparse.Namespace,
    result: ComparisonResult,
    scan: ScanData,
    output: _paths.OutputFolder,
    start: RunStart,
) -> tuple[ComparisonResult, list[Path]]:
    """Write images, tables and report; then draw, which may fail or be stopped without costing them."""
    from ptycho.comparison import Failure
    from ptycho.report import write_page, write_plots, write_report
    from ptycho.report.names import REPORT_FILE

    try:
        written = _write(arguments, result, scan, output, start)
    except KeyboardInterrupt:
        logger.warning("keeping what is finished, without plots; Ctrl-C again gives it up")
        result = _with_failure(result, Failure.stopped("the plots"))
        return result, _write_at_last(arguments, result, scan, output, start)
    result, plots = _draw(
        result,
        "the plots",
        lambda: write_plots(result, output.path, options=_plot_options(arguments, result)),
    )
    # Anew, for it tells the time of the plots and whether they failed; the page is made from it.
    write_report(output.path / REPORT_FILE, result, start.info(arguments.command_line))
    if not arguments.html or any(failure.kind == "stopped" for failure in result.failures):
        return result, [*plots, *written]
    result, page = _draw(result, "the page", lambda: [write_page(output.path)])
    if not page:
        write_report(output.path / REPORT_FILE, result, start.info(arguments.command_line))
    return result, [*page, *plots, *written]


def _draw(
    result: ComparisonResult, what: str, draw: Callable[[], list[Path]]
) -> tuple[ComparisonResult, list[Path]]:
    """Return the files that `draw` makes; if it does not, the failure is in the result."""
    from ptycho.cli._drawing import drawn_or_failed

    drawn, failure = drawn_or_failed(draw, what)
    return (result if failure is None else _with_failure(result, failure)), drawn


def _write_at_last(
    arguments: argparse.Namespace,
    result: ComparisonResult,
    scan: ScanData,
    output: _paths.OutputFolder,
    start: RunStart,
) -> list[Path]:
    try:
        return _write(arguments, result, scan, output, start)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped by Ctrl-C while the results were written; {output.path} lacks them"
        ) from None


def _write(
    arguments: argparse.Namespace,
    result: ComparisonResult,
    scan: ScanData,
    output: _paths.OutputFolder,
    start: RunStart,
) -> list[Path]:
    """Put the data into the output folder, all or none, in place of all files of an earlier run."""
    from ptycho.report import ArtifactOptions, export_images, write_artifacts
    from ptycho.report.names import ARTIFACT_PATTERNS, PLOT_PATTERNS

    return write_artifacts(
        result,
        output.path,
        options=_flags.settings_from(arguments, ArtifactOptions),
        report=start.info(arguments.command_line),
        also=lambda folder: export_images(result, scan, folder, arguments.export),
        replaces=(*ARTIFACT_PATTERNS, *PLOT_PATTERNS),
        overwrite=output.overwrite,
    )


@contextmanager
def _observed(arguments: argparse.Namespace, arms: Sequence[Arm]) -> Iterator[Sequence[Arm]]:
    """Give the arms, the baseline's with a dump of its patches if that is asked for."""
    output = _dump_folder(arguments)
    if output is None:
        yield arms
        return
    from ptycho.report import dumping

    with dumping(output.path) as dump:
        # Only the arm of --baseline_dir, a model, has that role.
        yield [replace(arm, observer=dump) if arm.role == "baseline" else arm for arm in arms]
    logger.info("what the baseline saw and put out is in %s", output.path)


def _dump_folder(arguments: argparse.Namespace) -> _paths.OutputFolder | None:
    from ptycho.report.patch_dump import DUMP_FILE, STATISTICS_FILE

    path = arguments.baseline_debug_dir
    if path is None and arguments.baseline_debug_limit is not None:
        path = arguments.output_dir / "baseline_debug"
    if path is None:
        return None
    return _paths.OutputFolder(path, (DUMP_FILE, STATISTICS_FILE), arguments.overwrite)


def _plot_options(arguments: argparse.Namespace, result: ComparisonResult) -> PlotOptions:
    from ptycho.report import PlotOptions

    limits = {
        arm.label: _flags.phase_limits(arguments, f"{arm.role}_")
        for arm in result.arms
        if arm.role is not None
    }
    return _flags.settings_from(
        arguments, PlotOptions, phase_limits=limits, debug_images=arguments.save_debug_images
    )


def _open(arguments: argparse.Namespace) -> _Job:
    from ptycho.cli._scans import part_of, whole_scan
    from ptycho.comparison import ComparisonSettings, check_arms
    from ptycho.data import check_export

    whole = whole_scan(arguments)
    check_export(arguments.export, whole.geometry)
    settings = _flags.settings_from(
        arguments,
        ComparisonSettings,
        register=_registered(arguments),
        n_groups=arguments.n_test_groups if arguments.n_test_subsample else None,
        seed=arguments.test_subsample_seed or 0,
        refinement=_flags.refinement_from(arguments),
    )
    scan = part_of(whole, arguments)
    arms = _arms(arguments, whole, scan)
    if arguments.demo and settings.refinement is None:
        arms = _with_refined_pinn(arms)
    check_arms(arms, scan, settings)
    return _Job(arms, scan, settings, (whole if arguments.fixed_canvas else scan).positions_yx)


def _arms(arguments: argparse.Namespace, whole: ScanData, scan: ScanData) -> list[Arm]:
    from ptycho.comparison import load_arm
    from ptycho.comparison.roles import ROLES

    if arguments.baseline_debug_limit is not None:
        logger.warning(
            "the baseline runs on its first %d frames only; all arms are scored where it has been",
            arguments.baseline_debug_limit,
        )
    arms = [
        load_arm(
            folder,
            ROLES[role].label,
            role=role,
            predict_batch_size=getattr(arguments, f"{role}_predict_batch_size"),
            max_predict_batch_size=getattr(arguments, f"{role}_chunk_size"),
            max_groups=arguments.baseline_debug_limit if role == "baseline" else None,
        )
        for role, folder in _model_folders(arguments).items()
        if folder is not None
    ]
    if arguments.tike_recon_path is not None:
        arms.append(load_arm(arguments.tike_recon_path, scan=whole, subset=scan))
    return arms + [load_arm(path, label, scan=whole, subset=scan) for label, path in arguments.arm]


def _with_refined_pinn(arms: Sequence[Arm]) -> list[Arm]:
    """Have the demo show what one sweep over the frames makes of the self-supervised network's image."""
    from ptycho.comparison import ModelArm
    from ptycho.refinement import RefinementSettings

    return [
        replace(arm, refinement=RefinementSettings())
        if isinstance(arm, ModelArm) and arm.role == "pinn"
        else arm
        for arm in arms
    ]


def _model_folders(arguments: argparse.Namespace) -> dict[ModelKind, Path | None]:
    if not arguments.demo:
        return {"pinn": arguments.pinn_dir, "baseline": arguments.baseline_dir}
    from ptycho.demo import model_folder

    return {"pinn": model_folder("pinn"), "baseline": model_folder("baseline")}


def _bytes_to_write(arguments: argparse.Namespace, job: _Job) -> int:
    from ptycho.image.cropping import object_window
    from ptycho.report import artifact_bytes

    n_models = sum(arm.fills_canvases for arm in job.arms)
    return artifact_bytes(
        object_window(job.frame_positions_yx, job.settings.crop_size).area_px,
        n_models=n_models,
        n_finished=len(job.arms) - n_models,
        has_truth=job.scan.object_guess is not None,
        self_consistency=job.settings.self_consistency,
        save_npz=arguments.save_npz,
        save_npz_aligned=arguments.save_npz_aligned,
    )


def _registered(arguments: argparse.Namespace) -> Registered:
    if arguments.skip_registration:
        return "none"
    return "finished" if arguments.register_ptychi_only else "all"


def _check_usage(arguments: argparse.Namespace) -> None:
    inputs = [arguments.pinn_dir, arguments.baseline_dir, arguments.test_data]
    if arguments.demo:
        if any(path is not None for path in inputs):
            raise _errors.UsageError(
                "--demo brings its own scan and models; drop --pinn_dir, --baseline_dir and --test_data."
            )
    elif arguments.test_data is None or (None in inputs and not arguments.arm):
        flags = ("--pinn_dir", "--baseline_dir", "--test_data")
        missing = [flag for flag, path in zip(flags, inputs, strict=True) if path is None]
        raise _errors.UsageError(
            f"{' and '.join(missing)} must be given; give {'it' if len(missing) == 1 else 'them'}, other arms with "
            "--arm LABEL=PATH, or try --demo."
        )
    dumping = arguments.baseline_debug_limit is not None or arguments.baseline_debug_dir is not None
    if dumping and arguments.baseline_dir is None and not arguments.demo:
        raise _errors.UsageError(
            "--baseline-debug-limit and --baseline-debug-dir look into the baseline, but --baseline_dir is not "
            "given; give it, or drop them."
        )
    if arguments.tike_recon_path is not None and arguments.tike_recon_path.is_dir():
        raise _errors.UsageError(
            f"--tike_recon_path is the folder {arguments.tike_recon_path} but must be the file of a finished "
            "reconstruction; name the file, or pass a model with --arm LABEL=PATH."
        )
    _flags.check_colour_scale(arguments)
    for model in ("pinn", "baseline"):
        _flags.check_phase_limits(arguments, f"{model}_")


def main(argv: Sequence[str] | None = None, *, prog: str = "compare-models") -> int:
    """Run `compare-models` with `argv`, called `prog` in its messages, and return its exit code."""
    return _errors.run(build_parser(prog), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
