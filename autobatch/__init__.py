"""How many items fit into memory at once, and what to do when they do not.

`run_in_batches` plans a batch size from what a batch costs and what the device has free, halves it when
memory runs out all the same, resumes where it failed, and commits each finished batch exactly once.
Importing this package imports the standard library only.
"""

from autobatch._driver import run_in_batches as run_in_batches
from autobatch._first_size import plan_batches as plan_batches
from autobatch._keras import keras_model_cost as keras_model_cost
from autobatch._measure import measure_cost as measure_cost
from autobatch._memo import BatchMemo as BatchMemo
from autobatch._oom import is_out_of_memory as is_out_of_memory
from autobatch._planner import plan_batch_size as plan_batch_size
from autobatch._probe import device_memory as device_memory
from autobatch._probe import list_devices as list_devices
from autobatch._progress import LogProgress as LogProgress
from autobatch._progress import NoProgress as NoProgress
from autobatch._progress import Progress as Progress
from autobatch._progress import Stage as Stage
from autobatch._rich_progress import RichProgress as RichProgress
from autobatch._tensorflow import enable_memory_growth as enable_memory_growth
from autobatch._types import Attempt as Attempt
from autobatch._types import BatchCost as BatchCost
from autobatch._types import BatchPlan as BatchPlan
from autobatch._types import BatchRun as BatchRun
from autobatch._types import DeviceMemory as DeviceMemory
from autobatch.errors import AutobatchError as AutobatchError
from autobatch.errors import CannotMeasureError as CannotMeasureError
from autobatch.errors import CommitOutOfMemoryError as CommitOutOfMemoryError
from autobatch.errors import DeviceNotFoundError as DeviceNotFoundError
from autobatch.errors import DoesNotFitError as DoesNotFitError
