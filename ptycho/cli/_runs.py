"""When a run of models began and what there was then, for its report."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autobatch import DeviceMemory, list_devices
from ptycho.orientation import OrientationFindings
from ptycho.report import RunInfo
from ptycho.report.fingerprints import InputFile, input_files

if TYPE_CHECKING:
    from ptycho.data import ScanData

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


def _intensity_per_frame(scan: ScanData) -> float:
    # Frames may lie in a file that is larger than memory; so many tell the dose of a scan well enough.
    some = scan.amplitude[:: -(-scan.n_frames // _MOST_FRAMES)]
    return float(np.mean([np.sum(np.square(frame, dtype=np.float64)) for frame in some]))
