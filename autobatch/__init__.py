"""How many items fit into memory at once, and what to do when they do not.

`predict` and `map_batches` run a model or a function over items, `run_in_batches` any computation: they plan a batch
size from what a batch costs and what the device has free, take a smaller one when memory runs out all the same,
resume where it failed, and commit each finished batch exactly once. Importing this package imports nothing: each name
brings its module when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autobatch._batch_run import BatchRun as BatchRun
    from autobatch._batch_run import SkippedItem as SkippedItem
    from autobatch._first_size import plan_batches as plan_batches
    from autobatch._keras import keras_model_cost as keras_model_cost
    from autobatch._map import map_batches as map_batches
    from autobatch._measure import measure_cost as measure_cost
    from autobatch._memo import BatchMemo as BatchMemo
    from autobatch._oom import is_out_of_memory as is_out_of_memory
    from autobatch._planner import plan_batch_size as plan_batch_size
    from autobatch._predict import predict as predict
    from autobatch._probe import device_memory as device_memory
    from autobatch._probe import list_devices as list_devices
    from autobatch._progress import LogProgress as LogProgress
    from autobatch._progress import NoProgress as NoProgress
    from autobatch._progress import Progress as Progress
    from autobatch._progress import Stage as Stage
    from autobatch._progress_of import progress_of as progress_of
    from autobatch._rich_progress import RichProgress as RichProgress
    from autobatch._run import run_in_batches as run_in_batches
    from autobatch._signals import stop_on_signal as stop_on_signal
    from autobatch._tensorflow import enable_memory_growth as enable_memory_growth
    from autobatch._tensorflow import imported_tensorflow as imported_tensorflow
    from autobatch._types import Attempt as Attempt
    from autobatch._types import BatchCost as BatchCost
    from autobatch._types import BatchPlan as BatchPlan
    from autobatch._types import DeviceMemory as DeviceMemory
    from autobatch.errors import AutobatchError as AutobatchError
    from autobatch.errors import CannotMeasureError as CannotMeasureError
    from autobatch.errors import CommitOutOfMemoryError as CommitOutOfMemoryError
    from autobatch.errors import DeviceNotFoundError as DeviceNotFoundError
    from autobatch.errors import DoesNotFitError as DoesNotFitError
    from autobatch.errors import ResultLengthError as ResultLengthError
    from autobatch.errors import StoppedError as StoppedError

# The same names, for when the program runs.
_DOOR = {
    "_batch_run": ("BatchRun", "SkippedItem"),
    "_first_size": ("plan_batches",),
    "_keras": ("keras_model_cost",),
    "_map": ("map_batches",),
    "_measure": ("measure_cost",),
    "_memo": ("BatchMemo",),
    "_oom": ("is_out_of_memory",),
    "_planner": ("plan_batch_size",),
    "_predict": ("predict",),
    "_probe": ("device_memory", "list_devices"),
    "_progress": ("LogProgress", "NoProgress", "Progress", "Stage"),
    "_progress_of": ("progress_of",),
    "_rich_progress": ("RichProgress",),
    "_run": ("run_in_batches",),
    "_signals": ("stop_on_signal",),
    "_tensorflow": ("enable_memory_growth", "imported_tensorflow"),
    "_types": ("Attempt", "BatchCost", "BatchPlan", "DeviceMemory"),
    "errors": (
        "AutobatchError",
        "CannotMeasureError",
        "CommitOutOfMemoryError",
        "DeviceNotFoundError",
        "DoesNotFitError",
        "ResultLengthError",
        "StoppedError",
    ),
}
_MODULE_OF = {name: module for module, names in _DOOR.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import the module of a public name when the name is first asked for."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
