"""What frameworks' allocators have handed out on a device, all that count added up."""

from __future__ import annotations

from autobatch import _pytorch, _tensorflow
from autobatch._types import AllocatorStatistics


def statistics(device: str) -> AllocatorStatistics | None:
    """Return what is handed out on ``"GPU:i"`` or ``"CPU:0"``; None if no framework that counts runs there."""
    card = _cuda_index(device)
    found = (_tensorflow.allocator_statistics(device), None if card is None else _pytorch.statistics(card))
    counting = [framework for framework in found if framework is not None]
    if not counting:
        return None
    return AllocatorStatistics(
        current_bytes=sum(framework.current_bytes for framework in counting),
        peak_bytes=sum(framework.peak_bytes for framework in counting),
        highest_peak_bytes=sum(framework.highest_peak_bytes for framework in counting),
    )


def reset_peak(device: str) -> None:
    """Start new peaks at what is in use now."""
    _tensorflow.reset_peak(device)
    card = _cuda_index(device)
    if card is not None:
        _pytorch.reset_peak(card)


def name(device: str | None) -> str:
    """Return the allocator's device for a user's word: ``"CPU:0"``, or ``"GPU:i"``; None is TensorFlow's first card."""
    if device is None:
        return next((gpu.name for gpu in _tensorflow.gpus()), "CPU:0")
    return "CPU:0" if device.upper().startswith(("CPU", "HOST")) else device.upper()


def watched(device: str | None) -> tuple[str, ...]:
    """Return the devices on which work may take memory: the one that is named, or with it each card of PyTorch's.

    A function says nowhere where it computes: a network of PyTorch beside a TensorFlow without CUDA does so on a card.
    """
    own = name(device)
    if device is not None or own != "CPU:0":
        return (own,)
    return (own, *(f"GPU:{index}" for index in range(_pytorch.n_cards())))


def _cuda_index(device: str) -> int | None:
    """Return the place of ``"GPU:i"``, in TensorFlow's numbering where it sees cards, in CUDA's order."""
    kind, _, digits = device.rpartition(":")
    if kind != "GPU" or not digits.isdecimal():
        return None
    index = int(digits)
    gpus = _tensorflow.gpus()
    return index if not gpus else gpus[index].cuda_index if index < len(gpus) else None
