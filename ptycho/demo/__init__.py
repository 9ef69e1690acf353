"""The embedded default of `compare-models --demo`: two small trained networks and a simulated scan.

How the networks were trained is in ``docs/examples/demo.md``; their objects come from the same family as the
scan's and differ from it.
"""

from __future__ import annotations

from pathlib import Path

from ptycho.data import SimulationSettings, simulate
from ptycho.data.scan import ScanData
from ptycho.models.networks import ModelKind

# Seeds 1 to 30 made the training scans.
_TEST_SEED = 2026


def demo_scan() -> ScanData:
    """Simulate the test scan: a jittered raster over an object that no network has seen.

    Returns
    -------
    ScanData
        Frames (n, 64, 64) with the truth (256, 256); the same at every call.
    """
    return simulate(SimulationSettings(seed=_TEST_SEED, object_shape_yx=(256, 256), step_px=5.0))


def model_folder(kind: ModelKind) -> Path:
    """Return where a shipped network lies.

    Parameters
    ----------
    kind : {"pinn", "baseline"}

    Returns
    -------
    pathlib.Path
        A folder that `ptycho.load_model` reads.
    """
    return Path(__file__).parent / kind
