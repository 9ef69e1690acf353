"""What a command that runs models says of its run: when it began, and why it failed."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from autobatch import DeviceMemory, list_devices
from ptycho.cli import _common
from ptycho.run_report import RunInfo

if TYPE_CHECKING:
    from ptycho.comparison import ComparisonResult


@dataclass(frozen=True)
class Beginning:
    """When a run began, and what the probe said of each device then."""

    started_at: datetime
    clock_s: float
    devices: tuple[DeviceMemory, ...]

    @classmethod
    def now(cls) -> Beginning:
        """Take the time and probe the devices."""
        return cls(datetime.now().astimezone(), time.perf_counter(), tuple(list_devices()))

    def info(self, program: str) -> RunInfo:
        """Return what the report of the run says beyond its result."""
        return RunInfo(
            command=(program, *sys.argv[1:]),
            started_at=self.started_at,
            wall_s=time.perf_counter() - self.clock_s,
            devices=self.devices,
        )


def fail_for(result: ComparisonResult, *, kept_in: Path) -> None:
    """Raise, with every reason, if an arm failed, or as Ctrl-C does if that ended the run early."""
    from ptycho.comparison import NOT_SCORED, STOPPED

    stopped = [failure.label for failure in result.failures if failure.reason == STOPPED]
    unscored = [failure.label for failure in result.failures if failure.reason == NOT_SCORED]
    reasons = [
        f"{failure.label} failed: {failure.reason}"
        for failure in result.failures
        if failure.reason not in (STOPPED, NOT_SCORED)
    ]
    if stopped or unscored:
        finished = ", ".join(arm.label for arm in result.arms) or "the report"
        said = [f"stopped by Ctrl-C; {finished} kept in {kept_in}"]
        said += [f"{', '.join(unscored)} not scored"] if unscored else []
        said += [f"{', '.join(stopped)} not finished"] if stopped else []
        raise KeyboardInterrupt(" ".join([f"{', '.join(said)}.", *reasons]))
    if reasons:
        raise _common.WorkFailedError(" ".join(reasons))
