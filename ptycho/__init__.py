"""Ptychography networks: data, simulation, training, stitching and honest comparison.

The way from data to an image, each step loaded when it is first used::

    scan = ptycho.read_scan("scan.npz")  # or ptycho.simulate()
    model = ptycho.load_model("runs/pinn")  # or ptycho.train([scan], ptycho.Architecture(...)).model
    run = ptycho.reconstruct(model, scan, ptycho.InferenceSettings(crop_size=20))
    result = ptycho.compare([ptycho.load_arm("runs/pinn"), ptycho.load_arm("runs/baseline")], scan)

What is here is a shorter address of the same objects in `ptycho.data`, `ptycho.models` and the other rooms.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ptycho._version import __version__ as __version__

if TYPE_CHECKING:
    from ptycho.comparison import ComparisonSettings as ComparisonSettings
    from ptycho.comparison import compare as compare
    from ptycho.comparison import load_arm as load_arm
    from ptycho.data import ScanData as ScanData
    from ptycho.data import SimulationSettings as SimulationSettings
    from ptycho.data import read_scan as read_scan
    from ptycho.data import simulate as simulate
    from ptycho.errors import DataError as DataError
    from ptycho.errors import PtychoError as PtychoError
    from ptycho.errors import SettingsError as SettingsError
    from ptycho.models import Architecture as Architecture
    from ptycho.models import TrainingSettings as TrainingSettings
    from ptycho.models import load_model as load_model
    from ptycho.models import train as train
    from ptycho.reconstruction import InferenceSettings as InferenceSettings
    from ptycho.reconstruction import reconstruct as reconstruct
    from ptycho.stitching import reassemble_position as reassemble_position
    from ptycho.stitching import stitch_patches as stitch_patches

# Where each name is at home; a type checker reads the imports above, a program this table.
_HOMES = {
    "ptycho.comparison": ("ComparisonSettings", "compare", "load_arm"),
    "ptycho.data": ("ScanData", "SimulationSettings", "read_scan", "simulate"),
    "ptycho.errors": ("DataError", "PtychoError", "SettingsError"),
    "ptycho.models": ("Architecture", "TrainingSettings", "load_model", "train"),
    "ptycho.reconstruction": ("InferenceSettings", "reconstruct"),
    "ptycho.stitching": ("reassemble_position", "stitch_patches"),
}


def __getattr__(name: str) -> object:
    """Import the room of a name when the name is first asked for (PEP 562)."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names of this module and those that it would import."""
    return sorted({*globals(), *(name for names in _HOMES.values() for name in names)})
