"""`run_report.json`: how a comparison went, as strict JSON values (docs/formats.md lists every field)."""

from __future__ import annotations

import math
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autobatch import DeviceMemory
from ptycho._version import __version__
from ptycho.evaluation.results import METRIC_NAMES, FrcCurve, FrcCurves, ImageMetrics
from ptycho.report.fingerprints import InputFile

if TYPE_CHECKING:
    from ptycho.comparison import ArmResult, ComparisonResult, Failure
    from ptycho.evaluation import Misfit, SelfConsistency, Verdict
    from ptycho.image.phase import PhaseRamp
    from ptycho.image.placed import PlacedImage
    from ptycho.image.registration import Registration
    from ptycho.orientation import OrientationFindings
    from ptycho.reconstruction import InferenceRun, StitchingRecord
    from ptycho.refinement import RefinementRun
    from ptycho.report.names import ArmPrefixes

SCHEMA_VERSION = 1

# Only what is already imported is asked for its version: a report must not load anything.
_REPORTED_PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "skimage", "numba", "h5py", "matplotlib")
_CUTOFFS = ("half", "one_seventh", "half_bit", "one_bit")


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What only the caller of a comparison knows about the run.

    Attributes
    ----------
    command : tuple of str
        The command line, word by word; empty for a run from Python.
    started_at : datetime, optional
        With a time zone.
    wall_s : float, optional
        Seconds from the start to the report.
    devices : tuple of DeviceMemory
        What the probe said of each device before the first batch.
    inputs : tuple of InputFile
        What was read.
    object_pixel_m : float, optional
        Side of the object's pixel in metres.
    intensity_per_frame : float, optional
        Mean over frames of the sum of amplitude²: the dose, in photons, where frames are counts.
    orientation : OrientationFindings, optional
        How positions and frames are turned, if that was checked.
    """

    command: tuple[str, ...] = ()
    started_at: datetime | None = None
    wall_s: float | None = None
    devices: tuple[DeviceMemory, ...] = ()
    inputs: tuple[InputFile, ...] = ()
    object_pixel_m: float | None = None
    intensity_per_frame: float | None = None
    orientation: OrientationFindings | None = None


def run_report(
    result: ComparisonResult, info: RunInfo, *, prefixes: Mapping[str, ArmPrefixes]
) -> dict[str, Any]:
    """Return everything there is to say about a run, ready for `json.dumps(..., allow_nan=False)`.

    Numbers that are not finite become None, the user's home folder becomes ``~`` and the serial numbers of
    cards are left out.

    Parameters
    ----------
    result : ComparisonResult
    info : RunInfo
    prefixes : mapping of label to ArmPrefixes
        How the files and arrays of each arm are called.
    """
    report = {
        "schema_version": SCHEMA_VERSION,
        "versions": versions(),
        "platform": {
            "system": platform.platform(),
            "machine": platform.machine(),
            "cpu_count": os.cpu_count(),
        },
        "run": {
            "command": list(info.command),
            "started_at": None if info.started_at is None else info.started_at.isoformat(),
            "wall_s": info.wall_s,
            "peak_resident_bytes": peak_resident_bytes(),
        },
        "devices": [device.as_dict() for device in info.devices],
        "settings": asdict(result.settings),
        "inputs": [asdict(file) for file in info.inputs],
        "scan": {
            "n_frames": result.n_frames,
            "has_truth": result.truth is not None,
            "object_pixel_m": info.object_pixel_m,
            "intensity_per_frame": info.intensity_per_frame,
        },
        "orientation": None if info.orientation is None else _orientation(info.orientation),
        "window": asdict(result.window),
        "scored_fraction": float(result.scored.mean()),
        "arms": [_arm(arm, prefixes[arm.label]) for arm in result.arms],
        "failures": [_failure(failure) for failure in result.failures],
    }
    return _public(report)


def _orientation(found: OrientationFindings) -> dict[str, Any]:
    return {
        "verdict": found.verdict,
        "in_words": found.in_words(),
        "method": found.method,
        "n_frames": found.n_frames,
        "seconds": found.seconds,
        "sigmas": found.sigmas,
        "trials": [
            {
                "positions": trial.positions.number,
                "frames": trial.frames.number,
                "error": trial.error,
                "fits": trial in found.fitting,
            }
            for trial in found.trials
        ],
    }


def peak_resident_bytes() -> int | None:
    """Return the most main memory that this process has held at once, None where nothing counts it."""
    status = Path("/proc/self/status")
    # Preferred on Linux: getrusage() keeps the peak of the program that started this one.
    if status.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if found is not None:
            return 1024 * int(found[1])
    try:
        import resource
    except ModuleNotFoundError:
        import psutil

        return getattr(psutil.Process().memory_info(), "peak_wset", None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def versions() -> dict[str, str | None]:
    """Return the versions of this program, Python, and those packages behind the numbers that are loaded."""
    found = {"ptycho-autobatch": __version__, "python": platform.python_version()}
    loaded = {name: sys.modules[name] for name in _REPORTED_PACKAGES if name in sys.modules}
    return found | {name: getattr(module, "__version__", None) for name, module in loaded.items()}


def _arm(arm: ArmResult, prefixes: ArmPrefixes) -> dict[str, Any]:
    return {
        "label": arm.label,
        "kind": arm.kind,
        "file_prefix": prefixes.file,
        "array_prefix": prefixes.array,
        "seconds": arm.seconds,
        **_inference(arm.inference),
        "refinement": None if arm.refinement is None else _refinement(arm.refinement),
        "collapsed": arm.collapsed,
        "assumptions": list(arm.assumptions),
        "probe_overlap": arm.probe_overlap,
        "familiarity": None if arm.familiarity is None else arm.familiarity.as_dict(),
        "coverage": _coverage(arm.image),
        "consistency": None if arm.consistency is None else _consistency(arm.consistency),
        "verdict": None if arm.verdict is None else _verdict(arm.verdict),
        "registration": None if arm.registration is None else _registration(arm.registration),
        "metrics": None if arm.metrics is None else _metrics(arm.metrics),
    }


def _failure(failure: Failure) -> dict[str, str]:
    return {"label": failure.what, "reason": failure.reason, "kind": failure.kind}


def _inference(run: InferenceRun | None) -> dict[str, Any]:
    """Return how a model's batches went; the same keys without values for a finished reconstruction."""
    if run is None:
        return dict.fromkeys(("prediction", "stitching", "n_rejected_patches", "sharding"))
    return {
        "prediction": run.prediction.as_dict(),
        "stitching": _stitching(run.stitching),
        "n_rejected_patches": run.stitching.n_rejected,
        "sharding": None if run.sharding is None else asdict(run.sharding),
    }


def _stitching(record: StitchingRecord) -> dict[str, Any]:
    return {
        "batch_sizes_used": list(record.batch_sizes),
        "n_oom": record.n_oom,
        "seconds": record.seconds,
        "first_batch": None if record.first_batch is None else record.first_batch.as_dict(),
    }


def _refinement(run: RefinementRun) -> dict[str, Any]:
    return {
        "distrust": run.distrust,
        "scale": run.scale,
        "sweeps": [asdict(sweep) for sweep in run.sweeps],
        "settings": asdict(run.settings),
    }


def _coverage(image: PlacedImage) -> dict[str, Any]:
    depth = np.array([]) if image.coverage is None else image.coverage[image.covered]
    statistics = (np.min, np.median, np.mean, np.max) if depth.size else ()
    return {
        "covered_fraction": float(image.covered.mean()),
        "patches_per_covered_pixel": {f.__name__: float(f(depth)) for f in statistics} or None,
    }


def _consistency(consistency: SelfConsistency) -> dict[str, Any]:
    variance = consistency.overlap_variance[np.isfinite(consistency.overlap_variance)]
    statistics = (np.median, np.max) if variance.size else ()
    return {
        "half_set_frc": None if consistency.half_set_frc is None else _frc(consistency.half_set_frc),
        "cutoff_spread": {
            name: asdict(consistency.cutoff_spread(name)) for name in _CUTOFFS if name != "half"
        },
        "n_splits": len(consistency.split_frcs),
        "overlap_disagreement": consistency.overlap_disagreement,
        "overlap_std": {f.__name__: float(f(variance)) ** 0.5 for f in statistics} or None,
        "notes": list(consistency.notes),
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "cause": verdict.cause,
        "diagnosis": verdict.diagnosis,
        "n_bad_frames": verdict.n_bad_frames,
        "counted": verdict.counted,
        "judged_fraction": verdict.judged_fraction,
        "intensity_scale": "fitted per frame",
        **{
            name: None if misfit is None else _misfit(misfit)
            for name in ("image", "patches", "constant")
            for misfit in [getattr(verdict, name)]
        },
        "notes": list(verdict.notes),
    }


def _misfit(misfit: Misfit) -> dict[str, Any]:
    names = ("n_frames", "chi2", "chi2_error", "r_factor", "noise_r_factor", "unexplained")
    return {name: getattr(misfit, name) for name in names} | {
        "median_over_frames": misfit.spread.median,
        "worst_frames": [asdict(frame) for frame in misfit.worst_frames],
    }


def _registration(registration: Registration) -> dict[str, Any]:
    return {
        "offset_yx_px": registration.offset_yx,
        "plausible": registration.plausible,
        "failure": registration.failure,
        "correlation": registration.correlation,
        "overlap_px": registration.overlap_px,
        "independent_px": registration.independent_px,
        "needed_correlation": registration.needed_correlation,
        "rivalry": registration.rivalry,
        "notes": list(registration.notes),
        "phase_ramp": _ramp(registration.ramp),
    }


def _ramp(ramp: PhaseRamp) -> dict[str, Any]:
    return {"offset_rad": ramp.offset, "slope_yx_rad_per_px": ramp.slope_yx}


def _metrics(metrics: ImageMetrics) -> dict[str, Any]:
    return {
        "convention": metrics.convention,
        "values": {name: asdict(getattr(metrics, name)) for name in METRIC_NAMES},
        "ms_ssim_scales": metrics.ms_ssim_scales,
        "frc": None if metrics.frc is None else _frc(metrics.frc),
        "scored_rectangle": asdict(metrics.window),
        "scored_share": metrics.scored_share,
        "n_masked": metrics.n_masked,
        "phase_ramp": _ramp(metrics.ramp),
        "amplitude_scale": metrics.amplitude_scale,
        "collapsed_channels": list(metrics.collapsed),
        "notes": list(metrics.notes),
    }


def _frc(curves: FrcCurves) -> dict[str, Any]:
    return {
        "unit": curves.unit,
        "n_rings": len(curves.frequency),
        "cutoffs": {
            channel: _cutoffs(getattr(curves, channel), in_cycles=curves.unit == "cycles/pixel")
            for channel in ("amplitude", "phase", "field")
        },
    }


def _cutoffs(curve: FrcCurve | None, *, in_cycles: bool) -> dict[str, Any] | None:
    if curve is None or curve.cutoffs is None:
        return None
    found = {name: getattr(curve.cutoffs, name) for name in _CUTOFFS}
    return {
        name: None
        if cutoff is None
        else asdict(cutoff) | {"half_period_px": cutoff.half_period_px if in_cycles else None}
        for name, cutoff in found.items()
    }


def _public(value: Any) -> Any:
    """Return `value` as strict JSON that may be shown to others."""
    if isinstance(value, Mapping):
        return {str(key): _public(item) for key, item in value.items() if key != "uuid"}
    if isinstance(value, (list, tuple)):
        return [_public(item) for item in value]
    if isinstance(value, str):
        return without_home(value)
    if isinstance(value, np.generic):
        return _public(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def without_home(text: str) -> str:
    """Return `text` with `~` for the user's folder, so that it may be shown to others."""
    home = os.path.expanduser("~").rstrip(os.sep)
    # The look-ahead keeps /home/ann from being found in /home/anne.
    return re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text) if len(home) > 1 else text
