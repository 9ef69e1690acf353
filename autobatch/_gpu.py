"""What is free on a GPU: NVML's figure or TensorFlow's allocator's, by the mode TensorFlow runs in.

Once TensorFlow has started it holds nearly the whole card, or a pool that grows, and what NVML calls free
is no longer what a new tensor can have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autobatch import _host, _nvml, _pytorch, _tensorflow
from autobatch._nvml import Card, CardMemory, NvmlUnavailableError
from autobatch._pytorch import Pool
from autobatch._tensorflow import TensorflowGpu
from autobatch._types import AllocatorStatistics, DeviceMemory

# What a CUDA context with cuDNN and cuBLAS takes before the first tensor; hundreds of MiB, by driver.
CUDA_CONTEXT_BYTES = 400 << 20
_MIB = 1 << 20


def n_gpus() -> int | None:
    """Return how many GPUs this process may use: TensorFlow's count if it is imported, else NVML's.

    None if the driver is there but does not say. Where TensorFlow sees none, those that PyTorch uses count.
    """
    if _tensorflow.imported_tensorflow() is not None:
        return len(_tensorflow.gpus()) or _pytorch.n_cards()
    try:
        return len(_nvml.cuda_cards())
    except NvmlUnavailableError as error:
        return None if error.has_driver else 0


def first_gpu() -> int | None:
    """Return the first GPU that this process may use and that answers, None if there is none."""
    if _tensorflow.imported_tensorflow() is not None:
        return 0 if _tensorflow.gpus() else None
    try:
        return next((place for place, card in enumerate(_nvml.cuda_cards()) if not card.fault), None)
    except NvmlUnavailableError:
        return None


def gpu_memory(index: int) -> DeviceMemory:
    """Read GPU `index`, in TensorFlow's numbering where TensorFlow is imported, else in CUDA's."""
    notes: list[str] = []
    gpu = None
    if _tensorflow.imported_tensorflow() is not None:
        gpus = _tensorflow.gpus()
        if index < len(gpus):
            gpu = gpus[index]
        elif index >= _pytorch.n_cards():  # imported after the device was looked up, and sees fewer than NVML
            return _as_memory(index, None, None, None, ["TensorFlow does not see this card"])
    card, reading = _from_nvml(index, gpu, notes)
    pool = _pytorch.pool(index) if gpu is None else None
    if reading is not None and reading.total_bytes == 0:
        return _shared_with_host(index, card, notes)
    statistics = _tensorflow.allocator_statistics(f"GPU:{index}")
    if statistics is None and gpu is not None and gpu.is_async and _tensorflow.is_started():
        statistics = AllocatorStatistics(current_bytes=0, peak_bytes=0)  # it need not count
    if gpu is not None and statistics is not None:
        bound = _started(gpu, statistics, reading)
    elif pool is not None:
        bound = _in_pytorch(pool, reading)
    elif reading is not None:
        bound = _not_started(gpu, card, reading)
    else:
        bound = None
    return _as_memory(index, gpu, card, bound, notes)


@dataclass(frozen=True, kw_only=True)
class _Bound:
    total_bytes: int | None
    free_bytes: int
    usable_bytes: int
    source: str
    regions: tuple[int, ...] = ()


def reserve_bytes(total_bytes: int, capability: tuple[int, int]) -> int:
    """Return what TensorFlow leaves to the system (``MinSystemMemory`` in its ``gpu_device.cc``)."""
    if total_bytes < 2 << 30:
        return 225 * _MIB
    by_generation = {5: 500, 6: 500, 7: 1050, 8: 1536}
    return by_generation.get(capability[0], 500 if 0 < capability[0] < 5 else 1800) * _MIB


def _from_nvml(
    index: int, gpu: TensorflowGpu | None, notes: list[str]
) -> tuple[Card | None, CardMemory | None]:
    card = None
    try:
        with _nvml.held_open():
            card = _matching_card(_nvml.cuda_cards(), index, gpu)
            if card is None:
                notes.append("NVML does not list this card")
                return None, None
            return card, _nvml.card_memory(card)
    except NvmlUnavailableError as error:
        notes.append(str(error))
        return card, None


def _matching_card(cards: list[Card], index: int, gpu: TensorflowGpu | None) -> Card | None:
    """Find the card of a TensorFlow device: by place, unless names show that the order is another."""
    if gpu is None:
        return cards[index] if index < len(cards) else None
    if gpu.card_name:
        alike = [card for card in cards if card.name == gpu.card_name]
        if gpu.rank_among_alike < len(alike):
            return alike[gpu.rank_among_alike]
    return cards[gpu.cuda_index] if gpu.cuda_index < len(cards) else None


def _not_started(gpu: TensorflowGpu | None, card: Card | None, reading: CardMemory) -> _Bound:
    capability = (0, 0) if card is None else card.capability
    kept = reserve_bytes(reading.total_bytes, capability) + CUDA_CONTEXT_BYTES
    usable_bytes = max(0, reading.free_bytes - kept)
    source = "NVML, TensorFlow not started"
    if gpu is not None and gpu.configured_limit_bytes is not None:
        usable_bytes = min(usable_bytes, gpu.configured_limit_bytes)
        source += ", configured limit"
    return _Bound(
        total_bytes=reading.total_bytes,
        free_bytes=reading.free_bytes,
        usable_bytes=usable_bytes,
        source=source,
    )


def _in_pytorch(pool: Pool, reading: CardMemory | None) -> _Bound:
    """Add to what the card has free what PyTorch has taken of it and not handed out."""
    seen_bytes, source = pool.card_free_bytes, "CUDA and PyTorch's pool"
    if reading is not None:
        seen_bytes, source = reading.free_bytes, "NVML and PyTorch's pool"
    free_bytes = seen_bytes + pool.unused_bytes
    if pool.limit_bytes is not None and pool.limit_bytes < free_bytes:
        free_bytes, source = max(0, pool.limit_bytes), "PyTorch's limit"
    return _Bound(
        total_bytes=pool.card_total_bytes if reading is None else reading.total_bytes,
        free_bytes=free_bytes,
        usable_bytes=free_bytes,
        source=source,
    )


def _started(
    gpu: TensorflowGpu, statistics: AllocatorStatistics, reading: CardMemory | None
) -> _Bound | None:
    """Apply the table of modes in docs/autobatch.md; None if too little is known."""
    limit_bytes = gpu.configured_limit_bytes or _tensorflow.limit_bytes(gpu.name)
    # The pool never shrinks, though its statistics may have been reset.
    pool_bytes = max(statistics.peak_bytes, statistics.highest_peak_bytes) - statistics.current_bytes
    bounds: list[tuple[int, str]] = []
    if limit_bytes and not gpu.is_async:
        bounds.append((limit_bytes - statistics.current_bytes, "TensorFlow's limit"))
    if reading is not None and (gpu.grows or gpu.is_async):
        bounds.append((reading.free_bytes + pool_bytes, "NVML and TensorFlow's pool"))
    if not bounds:
        return None
    free_bytes, source = min(bounds)
    total_bytes = limit_bytes or (None if reading is None else reading.total_bytes)
    free_bytes = max(0, free_bytes)
    regions: tuple[int, ...] = ()
    if gpu.grows and not gpu.is_async:
        # What others hold of the card shortens the last region, the largest.
        regions = _tensorflow.growing_regions(statistics.current_bytes + free_bytes, statistics.current_bytes)
    return _Bound(
        total_bytes=total_bytes,
        free_bytes=free_bytes,
        usable_bytes=free_bytes,
        source=source,
        regions=regions,
    )


def _shared_with_host(index: int, card: Card | None, notes: list[str]) -> DeviceMemory:
    host = _host.host_memory()
    return replace(
        host,
        device=f"GPU:{index}",
        source=f"{host.source} (memory shared with the host)" if host.is_known else host.source,
        notes=(*notes, *host.notes),
        name="" if card is None else card.name,
        uuid="" if card is None else card.uuid,
    )


def _as_memory(
    index: int, gpu: TensorflowGpu | None, card: Card | None, bound: _Bound | None, notes: list[str]
) -> DeviceMemory:
    if bound is None:
        notes.append("the free memory is not known")
        bound = _Bound(total_bytes=None, free_bytes=0, usable_bytes=0, source=DeviceMemory.UNKNOWN)
    name = card.name if card is not None else gpu.card_name if gpu is not None else ""
    return DeviceMemory(
        device=f"GPU:{index}",
        total_bytes=bound.total_bytes,
        free_bytes=bound.free_bytes,
        usable_bytes=bound.usable_bytes,
        source=bound.source,
        regions=bound.regions,
        notes=tuple(notes),
        name=name,
        uuid="" if card is None else card.uuid,
    )
