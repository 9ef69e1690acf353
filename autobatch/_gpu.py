"""What is free on a GPU: NVML's figure or the TensorFlow allocator's, by the mode TensorFlow runs in."""

from __future__ import annotations

from autobatch import _tensorflow
from autobatch._types import DeviceMemory


def n_gpus() -> int:
    """Return how many GPUs this process may use: TensorFlow's count if it is imported, else NVML's."""
    if _tensorflow.imported() is not None:
        return len(_tensorflow.gpu_names())
    return 0


def gpu_memory(index: int) -> DeviceMemory:
    """Read GPU `index` in TensorFlow's numbering."""
    raise NotImplementedError
