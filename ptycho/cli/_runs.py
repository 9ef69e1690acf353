"""When a run of models began and what there was then, for its report."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autobatch import DeviceMemory, list_devices
from ptycho.cli import _logging, _orientation
from ptycho.cli._log_start import log_start
from ptycho.orientation import OrientationFindings
from ptycho.report import RunInfo
from ptycho.report.fingerprints import InputFile, input_files

if TYPE_CHECKING:
    from ptycho.comparison import Arm
    from ptycho.data import ScanData
    from ptycho.reconstruction import InferenceSettings

_MOST_FRAMES = 256


@dataclass(frozen=True)
class RunStart:
    """When a run began, on what, what the probe said of each device then, and how the scan is turned if checked."""

    started_at: datetime
    clock_s: float
    devices: tuple[DeviceMemory, ...]
    inputs: tuple[InputFile, ...]
    scan: ScanData
    orientation: OrientationFindings | None = None

    @classmethod
    def now(cls, scan: ScanData, inputs: Iterable[tuple[str, Path]]) -> RunStart:
        """Take the time, probe the devices and take the fingerprints of the `inputs`."""
        return cls(
            datetime.now().astimezone(),
            time.perf_counter(),
            tuple(list_devices()),
            input_files(inputs),
            scan,
        )

    def info(self, command_line: tuple[str, ...]) -> RunInfo:
        """Return what the report of the run says beyond its result."""
        return RunInfo(
            command=command_line,
            started_at=self.started_at,
            wall_s=time.perf_counter() - self.clock_s,
            devices=self.devices,
            inputs=self.inputs,
            object_pixel_m=None if self.scan.geometry is None else self.scan.geometry.object_pixel_m,
            intensity_per_frame=_intensity_per_frame(self.scan),
            orientation=self.orientation,
        )


@contextmanager
def begun(
    arguments: argparse.Namespace,
    log: Path,
    inputs: Sequence[tuple[str, Path]],
    scan: ScanData,
    arms: Sequence[Arm] = (),
    settings: InferenceSettings | None = None,
) -> Iterator[RunStart]:
    """Begin a run: give its start, the check of the orientation done, and keep its log in the file `log`."""
    start = RunStart.now(scan, inputs)
    log.parent.mkdir(parents=True, exist_ok=True)
    with _logging.file_log(log):
        log_start(arguments, inputs)
        yield _orientation.with_orientation(start, arguments, scan, arms, settings)


def _intensity_per_frame(scan: ScanData) -> float:
    # Frames may lie in a file that is larger than memory; so many tell the dose of a scan well enough.
    some = scan.frames(slice(None, None, -(-scan.n_frames // _MOST_FRAMES)))
    return float(np.mean([np.sum(np.square(frame, dtype=np.float64)) for frame in some]))
