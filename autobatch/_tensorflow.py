"""TensorFlow's allocator and devices; looks at TensorFlow only if the program already imported it."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from typing import Any

from autobatch._modules import whole_module
from autobatch._types import AllocatorStatistics

_logger = logging.getLogger(__name__)
_FIRST_REGION_BYTES = 2 << 20
# By device, over all resets: what an allocator has once taken from a growing pool it keeps.
_highest_peaks: dict[str, int] = {}


@dataclass(frozen=True, kw_only=True)
class TensorflowGpu:
    """One of TensorFlow's logical GPUs.

    Attributes
    ----------
    name : str
        ``"GPU:i"``.
    cuda_index : int
        Place of the card among those that CUDA shows to this process.
    card_name : str
        Marketing name, empty if not known.
    rank_among_alike : int
        How many cards of the same name come before it.
    configured_limit_bytes : int, optional
        The program's own limit for this device.
    grows : bool
        Whether memory is taken as it is needed.
    is_async : bool
        Whether CUDA's own asynchronous allocator is used, which keeps few statistics.
    """

    name: str
    cuda_index: int
    card_name: str
    rank_among_alike: int
    configured_limit_bytes: int | None
    grows: bool
    is_async: bool


def imported_tensorflow() -> Any | None:
    """Return the TensorFlow module if the program has imported it completely, else None.

    Asking imports and starts nothing. A module is listed before its code has run: another thread may be importing
    it, an import may have failed on the way, and a folder of that name is a module too; all of these are None.

    Returns
    -------
    module or None
        The module ``tensorflow``.
    """
    return whole_module("tensorflow", "config", "errors", "__version__")


def keras_imported() -> Any | None:
    """Return the Keras module if the program has imported it completely, else None."""
    return whole_module("keras", "config", "Model", "tree")


def is_started() -> bool:
    """Return whether TensorFlow has set up its devices and so has taken its share of each card."""
    if imported_tensorflow() is None:
        return False
    from tensorflow.python.eager import context  # the state has no public accessor

    return bool(getattr(context.context(), "_initialized", True))


def gpus() -> list[TensorflowGpu]:
    """Return TensorFlow's visible GPUs in its own numbering, without starting them."""
    tensorflow = imported_tensorflow()
    if tensorflow is None:
        return []
    try:
        return _gpus(tensorflow)
    except Exception as error:  # noqa: BLE001 - a broken CUDA installation raises many kinds; there are no GPUs then
        _logger.debug("TensorFlow's GPUs cannot be listed: %s", error)
        return []


def _gpus(tensorflow: Any) -> list[TensorflowGpu]:
    found: list[TensorflowGpu] = []
    names = [_card_name(tensorflow, card) for card in tensorflow.config.list_physical_devices("GPU")]
    for card in tensorflow.config.get_visible_devices("GPU"):
        place = int(card.name.rsplit(":", 1)[1])
        for configuration in tensorflow.config.get_logical_device_configuration(card) or [None]:
            megabytes = getattr(configuration, "memory_limit", None)
            found.append(
                TensorflowGpu(
                    name=f"GPU:{len(found)}",
                    cuda_index=place,
                    card_name=names[place],
                    rank_among_alike=names[:place].count(names[place]),
                    configured_limit_bytes=None if megabytes is None else int(megabytes) << 20,
                    grows=_grows(tensorflow, card),
                    is_async=os.environ.get("TF_GPU_ALLOCATOR") == "cuda_malloc_async",
                )
            )
    return found


def limit_bytes(name: str) -> int | None:
    """Return the limit of the allocator of a started device, which has no public accessor."""
    if not is_started():
        return None
    try:
        from tensorflow.python import pywrap_tfe
        from tensorflow.python.client import pywrap_tf_session
        from tensorflow.python.eager import context

        devices = pywrap_tfe.TFE_ContextListDevices(getattr(context.context(), "_handle"))  # noqa: B009
        for place in range(pywrap_tf_session.TF_DeviceListCount(devices)):
            if pywrap_tf_session.TF_DeviceListName(devices, place).endswith(f"device:{name}"):
                return int(pywrap_tf_session.TF_DeviceListMemoryBytes(devices, place))
    except (ImportError, AttributeError) as error:
        _logger.debug("TensorFlow's memory limit cannot be read: %s", error)
    return None


def _card_name(tensorflow: Any, card: Any) -> str:
    return str(tensorflow.config.experimental.get_device_details(card).get("device_name", ""))


def _grows(tensorflow: Any, card: Any) -> bool:
    forced = os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH", "").lower()
    if forced in ("true", "false"):
        return forced == "true"
    return bool(tensorflow.config.experimental.get_memory_growth(card))


def allocator_statistics(device: str) -> AllocatorStatistics | None:
    """Return the statistics of ``"GPU:i"`` or ``"CPU:0"``; None if TensorFlow does not run or count."""
    tensorflow = imported_tensorflow()
    if tensorflow is None or not is_started():
        return None
    try:
        info = tensorflow.config.experimental.get_memory_info(device)
    except (ValueError, tensorflow.errors.OpError):
        return None
    highest = _highest_peaks[device] = max(info["peak"], _highest_peaks.get(device, 0))
    return AllocatorStatistics(
        current_bytes=info["current"], peak_bytes=info["peak"], highest_peak_bytes=highest
    )


def reset_peak(device: str) -> None:
    """Start a new peak at what is in use now; does nothing where there are no statistics."""
    tensorflow = imported_tensorflow()
    if tensorflow is None or allocator_statistics(device) is None:  # asked for its note of the peak too
        return
    try:
        tensorflow.config.experimental.reset_memory_stats(device)
    except (ValueError, tensorflow.errors.OpError):
        return


def host_limit_bytes() -> int | None:
    """Return the limit of TensorFlow's own CPU allocator, if the environment chose one that has a limit."""
    if os.environ.get("TF_CPU_ALLOCATOR_USE_BFC", "").lower() not in ("1", "true"):
        return None
    megabytes = os.environ.get("TF_CPU_BFC_MEM_LIMIT_IN_MB", "")
    return int(megabytes) << 20 if re.fullmatch("[0-9]{1,12}", megabytes) else None


def growing_regions(limit_bytes: int, used_bytes: int) -> tuple[int, ...]:
    """Return the free pieces of a pool that grows to a limit, the largest first.

    TensorFlow's allocator takes 2 MiB, then twice as much each time, and last what is left of the limit. Weights
    come first and so lie in the small ones.
    """
    regions: list[int] = []
    size, left = _FIRST_REGION_BYTES, limit_bytes
    while left > 0:
        regions.append(min(size, left))
        left -= regions[-1]
        size *= 2
    free: list[int] = []
    for region in sorted(regions):
        taken = min(region, max(0, used_bytes))
        used_bytes -= taken
        if region > taken:
            free.append(region - taken)
    return tuple(sorted(free, reverse=True))


def version() -> str:
    """Return TensorFlow's version, empty if it is not imported."""
    tensorflow = imported_tensorflow()
    return "" if tensorflow is None else str(tensorflow.__version__)


def enable_memory_growth() -> str:
    """Let TensorFlow take GPU memory as it needs it instead of nearly all of it at first use.

    For command lines, after TensorFlow is imported and before it is first used. A choice that the user's
    environment or an earlier call has made is left alone.

    Returns
    -------
    str
        What was done or why nothing was, as one sentence; it is logged too.

    Raises
    ------
    RuntimeError
        If TensorFlow is not imported.
    """
    tensorflow = imported_tensorflow()
    if tensorflow is None:
        raise RuntimeError("TensorFlow is not imported; import it before calling enable_memory_growth.")
    said = _enable_memory_growth(tensorflow)
    _logger.info("%s", said)
    return said


def _enable_memory_growth(tensorflow: Any) -> str:
    for name in ("TF_FORCE_GPU_ALLOW_GROWTH", "TF_GPU_ALLOCATOR"):
        if os.environ.get(name):
            return f"GPU memory growth is left as {name}={os.environ[name]} says."
    cards = tensorflow.config.get_visible_devices("GPU")
    if not cards:
        return "TensorFlow sees no GPU, so there is no GPU memory to grow."
    config = tensorflow.config
    for card in cards:
        if config.get_logical_device_configuration(card):
            return f"GPU memory growth is left alone: {card.name} has a configured limit."
        try:
            config.experimental.set_memory_growth(card, True)
        except RuntimeError:
            return f"GPU memory growth is left alone: {card.name} is already in use."
    return f"GPU memory grows as needed on {len(cards)} GPU(s)."
