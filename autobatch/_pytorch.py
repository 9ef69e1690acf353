"""PyTorch's cards and its caching allocator; looks at PyTorch only if the program already computes on a card with it.

Its index is the place of a card in CUDA's order, as that of `_nvml.cuda_cards` is.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from autobatch._modules import whole_module
from autobatch._types import AllocatorStatistics

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """What PyTorch holds of a card.

    Attributes
    ----------
    unused_bytes : int
        Taken from the card and not handed out: what a next tensor gets first.
    card_free_bytes, card_total_bytes : int
        What CUDA's driver says of the whole card.
    limit_bytes : int, optional
        The most that PyTorch may still hand out, where the program has set a fraction.
    """

    unused_bytes: int
    card_free_bytes: int
    card_total_bytes: int
    limit_bytes: int | None = None


def n_cards() -> int:
    """Return how many cards PyTorch has started; 0 before its first use of one."""
    cuda = _started()
    return 0 if cuda is None else _asked(cuda.device_count, 0)


def statistics(index: int) -> AllocatorStatistics | None:
    """Return what the allocator has handed out on a card; None if PyTorch does not use cards."""
    cuda = _started()
    if cuda is None:
        return None
    return _asked(
        lambda: AllocatorStatistics(
            current_bytes=int(cuda.memory_allocated(index)), peak_bytes=int(cuda.max_memory_allocated(index))
        ),
        None,
    )


def reset_peak(index: int) -> None:
    """Start a new peak at what is in use now."""
    cuda = _started()
    if cuda is not None:
        _asked(lambda: cuda.reset_peak_memory_stats(index), None)


def pool(index: int) -> Pool | None:
    """Return what PyTorch holds of a card; None if it does not use it."""
    cuda = _started()
    return None if cuda is None or index >= n_cards() else _asked(lambda: _pool(cuda, index), None)


def _pool(cuda: Any, index: int) -> Pool | None:
    allocated_bytes, reserved_bytes = int(cuda.memory_allocated(index)), int(cuda.memory_reserved(index))
    if reserved_bytes == 0:  # the driver's question would take some 400 MiB of a card that is not used
        return None
    free_bytes, total_bytes = (int(n_bytes) for n_bytes in cuda.mem_get_info(index))
    fraction = _asked(lambda: float(cuda.get_per_process_memory_fraction(index)), 1.0)
    return Pool(
        unused_bytes=max(0, reserved_bytes - allocated_bytes),
        card_free_bytes=free_bytes,
        card_total_bytes=total_bytes,
        limit_bytes=int(fraction * total_bytes) - allocated_bytes if 0 < fraction < 1 else None,
    )


def _started() -> Any | None:
    """Return ``torch.cuda`` once the program has used a card; asking any earlier would take memory of it."""
    torch = whole_module("torch", "cuda", "__version__")
    return torch.cuda if torch is not None and _asked(torch.cuda.is_initialized, False) else None


def _asked(read: Any, otherwise: Any) -> Any:
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - whatever PyTorch raises, a run can go on without its figures
        _logger.debug("PyTorch does not say: %s", error)
        return otherwise
