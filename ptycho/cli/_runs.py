"""When a run of models began and what there was then, for its report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from autobatch import DeviceMemory, list_devices
from ptycho.report import RunInfo


@dataclass(frozen=True)
class RunStart:
    """When a run began, and what the probe said of each device then."""

    started_at: datetime
    clock_s: float
    devices: tuple[DeviceMemory, ...]

    @classmethod
    def now(cls) -> RunStart:
        """Take the time and probe the devices."""
        return cls(datetime.now().astimezone(), time.perf_counter(), tuple(list_devices()))

    def info(self, command_line: tuple[str, ...]) -> RunInfo:
        """Return what the report of the run says beyond its result."""
        return RunInfo(
            command=command_line,
            started_at=self.started_at,
            wall_s=time.perf_counter() - self.clock_s,
            devices=self.devices,
        )
