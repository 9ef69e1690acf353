"""The cost of a batch from allocator peaks of a few small batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

from autobatch import _allocators
from autobatch._types import BatchCost
from autobatch.errors import CannotMeasureError

MEASURED_SIZES = (1, 2, 4)


class PeakMeter:
    """Notes the allocators' peaks during batches of different sizes.

    Parameters
    ----------
    device : str, optional
        ``"CPU:0"`` or ``"GPU:i"``. Where it is not given the work is taken to be on the device whose memory rises most.
    """

    def __init__(self, device: str | None) -> None:
        self._device = device
        self._peaks: dict[str, dict[int, int]] = {}

    def measured(self, compute: Callable[[int, int], Any]) -> Callable[[int, int], Any]:
        """Return `compute` with its peak noted, if it succeeds and an allocator counts."""

        def measured_compute(start: int, stop: int) -> Any:
            before = {device: _allocators.statistics(device) for device in _allocators.watched(self._device)}
            for device in before:
                _allocators.reset_peak(device)
            result = compute(start, stop)
            for device in _allocators.watched(
                self._device
            ):  # a framework may have started its cards just now
                after, earlier = _allocators.statistics(device), before.get(device)
                if after is not None:
                    in_use = 0 if earlier is None else earlier.current_bytes
                    rise = max(0, after.peak_bytes - in_use)
                    self._peaks.setdefault(device, {})[stop - start] = rise
            return result

        return measured_compute

    @property
    def device(self) -> str:
        """The device whose memory rises most, ``"CPU:0"`` or ``"GPU:i"``."""
        if not self.has_statistics:
            return _allocators.name(self._device)
        return max(self._peaks, key=lambda device: max(self._peaks[device].values()))

    @property
    def peaks(self) -> dict[int, int]:
        """Peak bytes on that device by batch size."""
        return self._peaks.get(self.device, {})

    @property
    def has_statistics(self) -> bool:
        """Whether any peak was seen; an allocator that does not count reports zeros."""
        return any(any(peaks.values()) for peaks in self._peaks.values())

    def cost(self) -> BatchCost:
        """Return the line through the peaks; only where there are statistics."""
        return fit_cost(self.peaks)


def fit_cost(peaks: dict[int, int]) -> BatchCost:
    """Fit ``peak = fixed + n · slope`` so that no measured peak lies above the line.

    The slope is the steepest between any two sizes. One size may peak lower than its share: whether a framework
    computes a result in the memory of its input is decided anew in each batch, as its threads happen to let go of
    it. A size measured first may peak higher, for it also holds what the framework allocates once.

    Parameters
    ----------
    peaks : dict of int to int
        Batch size to peak bytes; one entry is taken as a line through the origin.

    Returns
    -------
    BatchCost
        With ``source="measured"``.
    """
    largest = max(peaks)
    slope = max(
        ((peaks[more] - peaks[fewer]) / (more - fewer) for fewer, more in combinations(sorted(peaks), 2)),
        default=0.0,
    )
    if slope <= 0:
        slope = peaks[largest] / largest
    fixed = max(0, *(round(peak - slope * size) for size, peak in peaks.items()))
    per_item = max(1, round(slope))
    # Which tensor is the largest is not known: assume that all is one, as it is under XLA.
    return BatchCost(
        bytes_per_item=per_item,
        fixed_bytes=fixed,
        largest_tensor_bytes_per_item=per_item,
        source="measured",
    )


def measure_cost(
    compute: Callable[[int, int], Any],
    *,
    sizes: Sequence[int] = MEASURED_SIZES,
    keep: Callable[[int, int, Any], None] | None = None,
    device: str | None = None,
) -> BatchCost:
    """Measure what a batch costs on consecutive slices of real work.

    Parameters
    ----------
    compute : callable
        ``compute(start, stop)`` as for `run_in_batches`; called for ``[0, 1)``, ``[1, 3)``, ``[3, 7)`` …
    sizes : sequence of int
        Sizes of the slices, two or more different ones.
    keep : callable, optional
        ``keep(start, stop, result)`` receives each result, so that the work is not lost.
    device : str, optional
        ``"cpu"`` or ``"GPU:i"``; by default TensorFlow's first GPU, else the CPU or the card on which PyTorch's
        memory rises.

    Returns
    -------
    BatchCost
        The straight line through the peaks.

    Raises
    ------
    CannotMeasureError
        If the allocator keeps no statistics, as TensorFlow's plain CPU allocator does not.
    ValueError
        If `sizes` holds no two different sizes of 1 or more.
    """
    if len(set(sizes)) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes is {tuple(sizes)} but must hold two or more different sizes of 1 or more.")
    meter = PeakMeter(device if device is None else _allocators.name(device))
    measured, start = meter.measured(compute), 0
    for size in sizes:
        result = measured(start, start + size)
        if keep is not None:
            keep(start, start + size, result)
        start += size
    if not meter.has_statistics:
        raise CannotMeasureError(
            "the allocator keeps no statistics, so no peak could be measured; pass a BatchCost, "
            "for a Keras model keras_model_cost(model)."
        )
    return meter.cost()
