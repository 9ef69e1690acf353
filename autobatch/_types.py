"""Frozen results: what a device has free, what an item costs, what was planned, what happened."""

from __future__ import annotations

import operator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from autobatch._numbers import checked_number

Outcome = Literal["done", "out_of_memory"]
Limit = Literal[
    "memory", "host_memory", "tensor", "items", "max_batch_size", "host", "caller", "memo", "no_estimate"
]
CostSource = Literal["given", "measured", "estimated"]


@dataclass(frozen=True, kw_only=True)
class DeviceMemory:
    """One reading of one device.

    Attributes
    ----------
    device : str
        ``"GPU:0"`` (TensorFlow's numbering) or ``"CPU"``.
    total_bytes : int, optional
        Size of the memory, or of the limit that applies to this process.
    free_bytes : int
        What the source reports as free.
    usable_bytes : int
        What a planner may use of it: less what the framework keeps for itself, and on the host less a
        wide margin, because there running out ends the process instead of raising an error.
    source : str
        Where the figure comes from, for example ``"NVML"`` or ``"cgroup v2 /app"``.
    notes : tuple of str
        What the reader of the figure should know, for example a fall-back that was taken.
    name : str
        Marketing name of the card; empty for the host.
    uuid : str
        NVML's identifier of the card or MIG slice; empty for the host.
    host : DeviceMemory, optional
        For a card, what main memory has free at the same time: a batch passes through it, and work that
        never touches the card takes all of its memory there. A plan keeps to both. None where main memory
        is no limit.
    regions : tuple of int
        Bytes of the pieces that the memory consists of, where it is no single one: no tensor lies in two.
    """

    device: str
    total_bytes: int | None
    free_bytes: int
    usable_bytes: int
    source: str
    notes: tuple[str, ...] = ()
    name: str = ""
    uuid: str = ""
    host: DeviceMemory | None = None
    regions: tuple[int, ...] = ()

    UNKNOWN: ClassVar[str] = "unknown"
    TENSORFLOW_ON_CPU: ClassVar[str] = "TF_CPU_BFC_MEM_LIMIT_IN_MB"

    @property
    def is_known(self) -> bool:
        """Whether any source could say what is free; if not, the byte counts are 0."""
        return self.source != self.UNKNOWN

    @property
    def used_bytes(self) -> int | None:
        """Bytes that are not free, where the total is known."""
        return None if self.total_bytes is None else max(0, self.total_bytes - self.free_bytes)

    @property
    def is_host(self) -> bool:
        """Whether this is main memory rather than a card's."""
        return self.device.upper().startswith("CPU")

    @property
    def is_ordinary_host(self) -> bool:
        """Whether this is main memory without a pool of its own: running out ends the process."""
        return self.is_host and self.source != self.TENSORFLOW_ON_CPU

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values.

        Returns
        -------
        dict
            By the names of the fields; sizes in bytes.
        """
        host = None if self.host is None else self.host.as_dict()
        return asdict(self) | {"notes": list(self.notes), "regions": list(self.regions), "host": host}


@dataclass(frozen=True, kw_only=True)
class AllocatorStatistics:
    """Bytes that the allocator of one device has handed out: now, at most since the last reset, and at most ever."""

    current_bytes: int
    peak_bytes: int
    highest_peak_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class BatchCost:
    """Peak memory of a batch as a straight line: ``fixed_bytes + n · bytes_per_item``.

    Attributes
    ----------
    bytes_per_item : int
        What each further item adds to the peak.
    fixed_bytes : int
        What a batch needs whatever its size, on top of what is in use before it starts.
    largest_tensor_bytes_per_item : int
        Share of one item in the largest single tensor, 0 if not known. Allocators need it in one piece.
    source : {"given", "measured", "estimated"}
        How the figures were obtained.
    largest_tensor_elements_per_item : int
        Numbers that one item adds to the tensor with the most elements, 0 if not known. Kernels count them
        in 32 bits, so that a batch may hold 2³¹ − 1. Where it is not known, four bytes an element of
        the largest tensor's are assumed.
    host_bytes_per_item : int, optional
        What an item takes in main memory when the batch runs on a card, for example its input and result.
        None if not known: main memory must then have room for all of it.
    uncertainty : float
        The real peak may be this many times the line; 1 for what is exact.
    not_counted : tuple of str
        What the figures leave out, in words; empty if they are whole. A plan from figures that are not
        whole is made only where nothing can be measured.
    in_turns : bool
        Whether a loop goes through an item in turns, as recurrent layers do: each call then handles little of a
        batch, so that larger ones gain on a CPU.

    Raises
    ------
    TypeError
        If a count is no integer.
    ValueError
        If a count is negative or `uncertainty` below 1.
    """

    bytes_per_item: int
    fixed_bytes: int = 0
    largest_tensor_bytes_per_item: int = 0
    source: CostSource = "given"
    largest_tensor_elements_per_item: int = 0
    host_bytes_per_item: int | None = None
    uncertainty: float = 1.0
    not_counted: tuple[str, ...] = ()
    in_turns: bool = False

    # Bytes that an element is taken to have where only bytes are known: float32.
    ELEMENT_BYTES: ClassVar[int] = 4

    def __post_init__(self) -> None:
        """Refuse what is no number of bytes."""
        for name in (
            "bytes_per_item",
            "fixed_bytes",
            "largest_tensor_bytes_per_item",
            "largest_tensor_elements_per_item",
            "host_bytes_per_item",
        ):
            value: Any = getattr(self, name)
            if value is None and name == "host_bytes_per_item":
                continue
            try:
                number = operator.index(value)  # pyright: ignore[reportArgumentType] - it says which it is not
            except TypeError:
                raise TypeError(f"{name} is {value!r} but must be an integer, a number of bytes.") from None
            if number < 0:
                raise ValueError(f"{name} is {number} but must be a number of bytes, 0 or more.")
            object.__setattr__(self, name, number)  # NumPy's integers overflow
        if not checked_number("uncertainty", self.uncertainty) >= 1:
            raise ValueError(f"uncertainty is {self.uncertainty} but must be a factor of 1 or more.")

    @property
    def elements_per_item(self) -> int:
        """Elements that an item adds to the tensor with the most, 0 if nothing is known of it."""
        if self.largest_tensor_elements_per_item:
            return self.largest_tensor_elements_per_item
        return -(-self.largest_tensor_bytes_per_item // self.ELEMENT_BYTES)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values.

        Returns
        -------
        dict
            By the names of the fields; sizes in bytes.
        """
        return asdict(self) | {"not_counted": list(self.not_counted)}

    def peak_bytes(self, batch_size: int) -> int:
        """Return the predicted peak of a batch.

        Parameters
        ----------
        batch_size : int
            How many items it has.

        Returns
        -------
        int
            Bytes.
        """
        return self.fixed_bytes + batch_size * self.bytes_per_item


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """The size to start with, and why.

    Attributes
    ----------
    batch_size : int
        Items per batch; 0 only when there are no items.
    reason : str
        The arithmetic in words.
    limited_by : str
        What kept the size from being larger.
    predicted_peak_bytes : int, optional
        Memory that a full batch is expected to need.
    cost : BatchCost, optional
        The line that the plan was made from.
    memory : DeviceMemory, optional
        The reading that the plan was made from.
    """

    batch_size: int
    reason: str
    limited_by: Limit
    predicted_peak_bytes: int | None = None
    cost: BatchCost | None = None
    memory: DeviceMemory | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Consecutive batches of one size and outcome, taken together so that a long run stays small.

    Attributes
    ----------
    start, stop : int
        First item, and one past the last.
    batch_size : int
        Items in each of the batches.
    n_batches : int
        How many batches this stands for.
    outcome : {"done", "out_of_memory"}
        Out-of-memory attempts always stand alone.
    seconds : float
        Time spent, with `commit` where there is one.
    error : str
        The telling line of the error's text; empty for ``"done"``.
    """

    start: int
    stop: int
    batch_size: int
    n_batches: int
    outcome: Outcome
    seconds: float
    error: str = ""
