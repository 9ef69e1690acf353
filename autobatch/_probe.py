"""`device_memory`: one reading of one device, from the source that knows best."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace

from autobatch import _gpu, _host
from autobatch._types import DeviceMemory
from autobatch.errors import DeviceNotFoundError

Device = str | Callable[[], DeviceMemory] | None
_GPU_NAME = re.compile(r"(?:.*/)?(?:device:|physical_device:)?GPU:(\d+)$", re.IGNORECASE)
_MOST_DIGITS = 9
_HOST_NAME = re.compile(r"(?:.*/)?(?:device:|physical_device:)?(?:CPU(?::\d+)?|host)$", re.IGNORECASE)


def device_memory(device: str | None = None) -> DeviceMemory:
    """Read how much memory a device has free for this process.

    Parameters
    ----------
    device : str, optional
        ``"cpu"``, or ``"GPU:i"`` in TensorFlow's numbering (a full TensorFlow name will do). None is the
        first GPU that this process may use, else the host.

    Returns
    -------
    DeviceMemory
        The figure with its source; a source that fails is replaced by the next best and named in a note.
        That of a card holds the host's too.

    Raises
    ------
    TypeError
        If `device` is no text.
    DeviceNotFoundError
        If there is no such device, or it is hidden from this process.
    """
    return as_probe(device)()


def as_probe(device: Device) -> Callable[[], DeviceMemory]:
    """Return a function that reads the device; a function is taken as it is.

    The device is looked up here and never again: a source that fails later must not turn it into another
    one, nor end the work. It then reads as unknown.
    """
    if callable(device):
        return device
    index = _gpu_index(device)
    if index is None:
        return _host.host_memory
    return lambda: replace(_gpu.gpu_memory(index), host=_host.host_memory())


def list_devices() -> list[DeviceMemory]:
    """Read every device that this process may use.

    Returns
    -------
    list of DeviceMemory
        The host, then each GPU.
    """
    return [_host.host_memory(), *(_gpu.gpu_memory(index) for index in range(_gpu.n_gpus() or 0))]


def _gpu_index(device: str | None) -> int | None:
    """Return the GPU's index, None for the host."""
    if device is None:
        return _gpu.first_gpu()
    if not isinstance(device, str):
        raise TypeError(f'device is {device!r} but must be "cpu", "GPU:i", a function or None.')
    if _HOST_NAME.match(device):
        return None
    named = _GPU_NAME.match(device)
    if named is None:
        raise DeviceNotFoundError(f'device is {device!r} but must be "cpu" or "GPU:i", for example "GPU:0".')
    count = _gpu.n_gpus()
    index = int(named[1]) if len(named[1]) < _MOST_DIGITS else sys.maxsize
    if index == sys.maxsize or (count is not None and index >= count):
        seen = f"the last of {count} is GPU:{count - 1}" if count else "this process sees no GPU"
        raise DeviceNotFoundError(
            f'device is {device!r} but {seen}; pass "cpu" or another index, or check CUDA_VISIBLE_DEVICES.'
        )
    return index
