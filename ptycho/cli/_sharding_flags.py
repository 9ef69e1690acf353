"""Flags for runs in shards: their size, the cluster that does them, and the folder that keeps them."""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho.cli import _flags, _named_inputs, _paths
from ptycho.cli._errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

    from ptycho.comparison import Arm, ModelArm
    from ptycho.data.scan import ScanData
    from ptycho.refinement import Refine


def add_sharding(parser: argparse.ArgumentParser) -> None:
    """Add ``--shard-size``, ``--scheduler``, ``--checkpoint`` and ``--resume``."""
    group = parser.add_argument_group("shards (docs/how-to/cluster.md)")
    group.add_argument(
        "--shard-size",
        type=_flags.positive_int,
        metavar="N",
        help="patches whose sums are made on their own; it decides the image's last bits (default: one piece, or with "
        "--scheduler or --checkpoint a 64th of the scan, 1,024 at least)",
    )
    add_scheduler(group, "do the shards, and what --refine asks for,")
    add_checkpoint(group, "every finished shard and sweep")


def add_checkpoint(group: argparse._ActionsContainer, what: str) -> None:
    """Add ``--checkpoint``, which keeps `what`, and ``--resume``; see `check_checkpoint`."""
    group.add_argument(
        "--checkpoint",
        type=Path,
        metavar="DIR",
        help=f"keep {what} in this folder, for --resume",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run whose --checkpoint this is, and replace what it left in the output folder",
    )


def add_scheduler(group: argparse._ActionsContainer, what: str) -> None:
    """Add ``--scheduler``, which has `what` done on a cluster; see `check_workers`."""
    group.add_argument(
        "--scheduler",
        type=_scheduler,
        metavar="local:N|tcp://HOST:PORT|FILE.json",
        help=f"{what} on a Dask cluster: N workers of one thread each on this machine, a scheduler's address, or the "
        "file that it has written (default: here, in this process)",
    )


def _scheduler(text: str) -> str:
    from ptycho.distributed import check_scheduler
    from ptycho.errors import SettingsError

    try:
        return check_scheduler(text)
    except SettingsError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is none of local:N, an address such as tcp://host:8786, and FILE.json"
        ) from None


def check_sharding(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be kept or gone on with, or not by workers; nothing is created."""
    check_checkpoint(arguments)
    check_workers(arguments)
    draws = getattr(arguments, "n_test_subsample", None) or getattr(arguments, "n_test_groups", None)
    shared = arguments.checkpoint is not None or _flag_of_workers(arguments) is not None
    if draws and shared and arguments.test_subsample_seed is None:
        raise UsageError(
            f"{draws} frames are drawn without a seed, which neither workers nor a run that goes on could repeat; add "
            "--test-subsample-seed 0."
        )


def check_checkpoint(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be kept or gone on with; nothing is created."""
    if arguments.resume and arguments.checkpoint is None:
        raise UsageError("--resume goes on with a checkpoint, but none is named; add --checkpoint DIR.")
    if arguments.checkpoint is not None:
        _paths.check_output_folder(arguments.checkpoint)


def check_workers(arguments: argparse.Namespace) -> None:
    """Refuse workers that cannot be had, or could not do what is asked for."""
    flag = _flag_of_workers(arguments)
    if flag is None:
        return
    if None not in (arguments.scheduler, arguments.worker_devices):
        raise UsageError(
            "--scheduler names workers, and a list of --device starts others on this machine; drop one of them."
        )
    looked_at = (getattr(arguments, f"baseline_debug_{what}", None) for what in ("dir", "limit"))
    if any(value is not None for value in looked_at):
        raise UsageError(
            f"patches do not leave the workers of {flag}, so --baseline-debug-dir and --baseline-debug-limit cannot "
            f"look at them; drop these, or {flag}."
        )
    from ptycho.distributed import import_distributed

    import_distributed(flag)


def _flag_of_workers(arguments: argparse.Namespace) -> str | None:
    """Return what asks for workers, None if this process does it all."""
    if arguments.scheduler is not None:
        return "--scheduler"
    return None if arguments.worker_devices is None else "a list of --device"


def devices_of_workers(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the devices of this machine that a list of ``--device`` has workers for."""
    return () if arguments.worker_devices is None else arguments.worker_devices.names


def continues(arguments: argparse.Namespace) -> bool:
    """Return whether there is an earlier run to go on with, whose results may be replaced."""
    from ptycho._io.manifest import MANIFEST

    return arguments.resume and any(arguments.checkpoint.glob(f"*/{MANIFEST}"))


@contextmanager
def sharded(arguments: argparse.Namespace, arms: Sequence[Arm]) -> Iterator[Sequence[Arm]]:
    """Give the arms with the cluster and the checkpoints that the flags ask for; what workers lack is told here."""
    from ptycho.comparison import ModelArm
    from ptycho.reconstruction import Checkpointing

    if arguments.checkpoint is not None:
        folders = _folders(arms, arguments.checkpoint.resolve())
        arms = [
            replace(arm, checkpoint=Checkpointing(folder, arguments.resume))
            if isinstance(arm, ModelArm)
            else arm
            for arm, folder in zip(arms, folders, strict=True)
        ]
        # Here, for it is an error of the command line and no arm's.
        for arm in arms:
            if isinstance(arm, ModelArm) and arm.checkpoint is not None:
                arm.checkpoint.refuse_unasked()
    if _flag_of_workers(arguments) is None:
        yield arms
        return
    with _client(arguments) as client:
        yield _on_cluster(arguments, arms, client)


@contextmanager
def _client(arguments: argparse.Namespace) -> Iterator[Client]:
    from ptycho.distributed import cluster_client, device_client, import_distributed

    import_distributed()
    from distributed.utils import silence_logging_cmgr

    # What goes wrong there is told in one sentence; Dask's own words would tear the display.
    with silence_logging_cmgr(logging.CRITICAL), ExitStack() as stack:
        if arguments.scheduler is not None:
            yield stack.enter_context(cluster_client(arguments.scheduler))
        else:
            yield stack.enter_context(device_client(arguments.worker_devices))


def _on_cluster(arguments: argparse.Namespace, arms: Sequence[Arm], client: Client) -> list[Arm]:
    from ptycho.comparison import ModelArm
    from ptycho.distributed import ClusterRunner, check_workers

    open_scan, scans = _scan_on_workers(arguments)
    devices = arguments.worker_devices

    def runner(arm: ModelArm) -> ClusterRunner:
        assert arm.source is not None  # a command loads its models from files
        return ClusterRunner(
            client=client,
            open_model=arm.source.open,
            open_scan=open_scan,
            paths=(arm.source.path, *scans),
            device=devices and devices.name_on_worker,
        )

    refine = _refiner(arguments, client)
    placed = [
        replace(arm, runner=runner(arm), refine=refine) if isinstance(arm, ModelArm) else arm for arm in arms
    ]
    paths = {path for arm in placed if isinstance(arm, ModelArm) and arm.runner for path in runner(arm).paths}
    folder = None if arguments.checkpoint is None else str(arguments.checkpoint.resolve())
    check_workers(client, sorted(paths), folder)
    return placed


@contextmanager
def refining(arguments: argparse.Namespace) -> Iterator[Refine]:
    """Give what improves an image: on a worker of ``--scheduler``, or here."""
    if arguments.scheduler is None:
        from ptycho.refinement import refine

        yield refine
        return
    from ptycho.distributed import check_workers

    with _client(arguments) as client:
        check_workers(client, _scan_on_workers(arguments)[1], None)
        yield _refiner(arguments, client)


def _refiner(arguments: argparse.Namespace, client: Client) -> Refine:
    from ptycho.distributed import ClusterRefiner
    from ptycho.refinement import refine

    # Workers for devices of this machine have but a share of its threads, and this process has them all.
    if arguments.scheduler is None:
        return refine
    open_scan, scans = _scan_on_workers(arguments)
    return ClusterRefiner(client=client, open_scan=open_scan, paths=scans)


def _scan_on_workers(arguments: argparse.Namespace) -> tuple[Callable[[], ScanData], tuple[str, ...]]:
    """Return what opens the scan on a worker, and the files that have to be there for it."""
    from ptycho.cli._scans import scan_again, sent

    paths = (str(path.resolve()) for path in _named_inputs.inputs_of_scan(arguments))
    return partial(scan_again, sent(arguments)), tuple(paths)


def _folders(arms: Sequence[Arm], folder: Path) -> list[Path]:
    """Return a folder for each arm, called like it."""
    names: list[str] = []
    for arm in arms:
        name = re.sub(r"[^\w.-]+", "_", arm.label).strip("._").lower() or "arm"
        names.append(name if name not in names else f"{name}-{len(names)}")
    return [folder / name for name in names]
