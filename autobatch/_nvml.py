"""NVIDIA's management library through nvidia-ml-py; the one file that imports pynvml.

Every call opens the library and closes it again. NVML counts its openings per process, so that this needs no state
here, and works after a fork and in any thread. The first opening is slow (`held_open`).

Drivers, the layers that share a card between containers and packages that replace pynvml's functions answer
what no documentation foresees. So every answer is checked for type and range, and whatever an answer raises
is a reason to go on without it.
"""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

_logger = logging.getLogger(__name__)

# More than any machine has; a count or an index beyond it is no count.
_MOST_CARDS = 1024
_MOST_BYTES = 1 << 60


class NvmlUnavailableError(Exception):
    """NVML cannot answer; the text says why. Never leaves this package.

    Attributes
    ----------
    has_driver : bool
        Whether a driver was found, so that there may be cards all the same.
    """

    def __init__(self, message: str, *, has_driver: bool = False) -> None:
        super().__init__(message)
        self.has_driver = has_driver


@dataclass(frozen=True, kw_only=True)
class Card:
    """A card, or one slice of it, as NVML names it.

    Attributes
    ----------
    index : int
        NVML's index of the (whole) card, in the order of the PCI bus.
    uuid : str
        ``"GPU-…"`` or ``"MIG-…"``.
    name : str
        Marketing name.
    capability : tuple of int
        CUDA compute capability, ``(0, 0)`` if not known.
    mig_index : int, optional
        Which slice of the card; None for the whole card.
    mig_instance : tuple of int, optional
        GPU instance and compute instance of a slice, by which older drivers named it.
    fault : str
        Why the card does not answer, empty if it does; it keeps its place, so that the others keep theirs.
    """

    index: int
    uuid: str
    name: str
    capability: tuple[int, int] = (0, 0)
    mig_index: int | None = None
    mig_instance: tuple[int, int] | None = None
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class CardMemory:
    """Bytes of a card as NVML reports them; `total_bytes` is 0 where memory is shared with the host."""

    total_bytes: int
    free_bytes: int


@contextmanager
def held_open() -> Iterator[None]:
    """Hold the library open, so that of the calls within only this opening takes its time; they tell if it fails."""
    with ExitStack() as stack:
        with suppress(NvmlUnavailableError):
            stack.enter_context(_session())
        yield


def cuda_cards(environ: Mapping[str, str] = os.environ) -> list[Card]:
    """Return the cards in CUDA's order, as far as the environment lets this process see them.

    Raises
    ------
    NvmlUnavailableError
        If NVML cannot be asked.
    """
    with _session() as nvml:
        cards = [_card(nvml, index) for index in range(_count(nvml.nvmlDeviceGetCount(), _MOST_CARDS))]
        slices = [mig for card in cards for mig in _mig_slices(nvml, card)]
    return visible_cards(cards, slices, environ)


def card_memory(card: Card) -> CardMemory:
    """Read a card's memory.

    Raises
    ------
    NvmlUnavailableError
        If NVML cannot be asked, or not about this card.
    """
    if card.fault:
        raise NvmlUnavailableError(card.fault, has_driver=True)
    with _session() as nvml:
        handle = nvml.nvmlDeviceGetHandleByIndex(card.index)
        if card.mig_index is not None:
            handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, card.mig_index)
        try:
            return _memory(nvml, handle)
        except nvml.NVMLError as error:
            if error.value != nvml.NVML_ERROR_NOT_SUPPORTED:
                raise
            return CardMemory(total_bytes=0, free_bytes=0)


def visible_cards(cards: Sequence[Card], slices: Sequence[Card], environ: Mapping[str, str]) -> list[Card]:
    """Apply ``CUDA_DEVICE_ORDER`` and ``CUDA_VISIBLE_DEVICES`` to NVML's list of cards.

    Parameters
    ----------
    cards : sequence of Card
        Whole cards in NVML's order.
    slices : sequence of Card
        MIG slices of those that are divided.
    environ : mapping
        The process's environment.
    """
    ordered = list(cards)
    if environ.get("CUDA_DEVICE_ORDER", "FASTEST_FIRST") != "PCI_BUS_ID":
        # CUDA's measure of speed is not documented; newer generations come first, equal ones keep order.
        answering = iter(
            sorted((card for card in cards if not card.fault), key=lambda card: card.capability, reverse=True)
        )
        ordered = [card if card.fault else next(answering) for card in cards]
    wanted = environ.get("CUDA_VISIBLE_DEVICES")
    found = ordered if wanted is None else _named_cards(wanted, ordered, slices)
    # CUDA cannot use a divided card as a whole: it takes the first slice.
    return [next((s for s in slices if c.mig_index is None and s.index == c.index), c) for c in found]


def _named_cards(wanted: str, ordered: Sequence[Card], slices: Sequence[Card]) -> list[Card]:
    """Return the cards of ``CUDA_VISIBLE_DEVICES`` as CUDA's driver reads it.

    The first entry says whether the list is one of numbers or of names. The first entry that names no card ends it,
    and a card that is named twice leaves none at all.
    """
    entries = [entry.strip() for entry in wanted.split(",")]
    named = _named_by_uuid if entries[0].startswith(("GPU-", "MIG-")) else _named_by_number
    found: list[Card] = []
    for entry in entries:
        card = named(entry, ordered, slices)
        if card is None:
            break
        if card in found:
            return []
        found.append(card)
    return found


def _named_by_number(entry: str, ordered: Sequence[Card], _slices: Sequence[Card]) -> Card | None:
    """Return the card of a number; the driver reads its digits and stops at what follows them."""
    digits = re.match(r"[+-]?[0-9]+", entry)
    if digits is None or len(digits[0]) > len(str(_MOST_CARDS)) + 1:
        return None
    index = int(digits[0])
    return ordered[index] if 0 <= index < len(ordered) else None


def _named_by_uuid(entry: str, ordered: Sequence[Card], slices: Sequence[Card]) -> Card | None:
    if entry in ("GPU-", "MIG-") or not entry.startswith(("GPU-", "MIG-")):
        return None
    matches = [card for card in (*ordered, *slices) if card.uuid.startswith(entry)]
    if entry.startswith("MIG-GPU-"):
        matches = [piece for piece in slices if entry == _older_name(piece, ordered)]
    return matches[0] if len(matches) == 1 else None


def _older_name(piece: Card, cards: Sequence[Card]) -> str:
    """Return a slice's name before driver 470: ``MIG-<card>/<GPU instance>/<compute instance>``."""
    if piece.mig_instance is None:
        return ""
    card = next((card for card in cards if card.index == piece.index), None)
    if card is None:
        return ""
    return f"MIG-{card.uuid}/{piece.mig_instance[0]}/{piece.mig_instance[1]}"


@contextmanager
def _session() -> Iterator[Any]:
    """Open NVML; every way in which it can fail leaves as `NvmlUnavailableError`, logged once."""
    try:
        import pynvml
    except Exception as error:
        raise NvmlUnavailableError(f"nvidia-ml-py is not installed ({error})") from error
    try:
        pynvml.nvmlInit()
        try:
            yield pynvml
        finally:
            _optional(pynvml.nvmlShutdown, None)
    except NvmlUnavailableError:  # from a call that was held open
        raise
    except Exception as error:
        reason = f"NVML does not answer: {_in_words(error)}"
        _log_once(reason)
        raise NvmlUnavailableError(reason, has_driver=_has_driver(pynvml, error)) from error


def _has_driver(nvml: Any, error: Exception) -> bool:
    """Return whether an error came from a driver rather than from the lack of one."""
    code = getattr(error, "value", None)
    if code is None:
        return not isinstance(error, OSError | AttributeError)
    names = ("NVML_ERROR_LIBRARY_NOT_FOUND", "NVML_ERROR_DRIVER_NOT_LOADED")
    return code not in [getattr(nvml, name, None) for name in names]


def _in_words(error: Exception) -> str:
    """Return the text of an error; pynvml looks some texts up in the driver, which may fail too."""
    return _optional(lambda: str(error), type(error).__name__)


@functools.cache
def _log_once(reason: str) -> None:
    """Log a failure the first time it is met: a reading is taken every second."""
    _logger.info("%s; going on without it", reason)


def _card(nvml: Any, index: int) -> Card:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    except Exception as error:  # noqa: BLE001 - lost, or forbidden to this process; the others may answer
        reason = f"NVML does not answer for card {index}: {_in_words(error)}"
        _log_once(reason)
        return Card(index=index, uuid="", name="", fault=reason)
    return Card(
        index=index,
        uuid=_text(lambda: nvml.nvmlDeviceGetUUID(handle)),
        name=_text(lambda: nvml.nvmlDeviceGetName(handle)),
        capability=_optional(lambda: _capability(nvml.nvmlDeviceGetCudaComputeCapability(handle)), (0, 0)),
    )


def _mig_slices(nvml: Any, card: Card) -> Iterator[Card]:
    if card.fault:
        return
    handle = _optional(lambda: nvml.nvmlDeviceGetHandleByIndex(card.index), None)
    if handle is None:
        return
    is_divided = _optional(lambda: nvml.nvmlDeviceGetMigMode(handle)[0] == 1, False)
    if not is_divided:
        return
    # Places may be empty; those calls answer NotFound.
    places = _optional(lambda: _count(nvml.nvmlDeviceGetMaxMigDeviceCount(handle), _MOST_CARDS), 0)
    for place in range(places):
        piece = _optional(functools.partial(_mig_slice, nvml, card, handle, place), None)
        if piece is not None:
            yield piece


def _mig_slice(nvml: Any, card: Card, handle: Any, place: int) -> Card:
    piece = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)

    def instance() -> tuple[int, int]:
        ids = nvml.nvmlDeviceGetGpuInstanceId(piece), nvml.nvmlDeviceGetComputeInstanceId(piece)
        return _count(ids[0], _MOST_BYTES), _count(ids[1], _MOST_BYTES)

    return replace(
        card,
        uuid=_text(lambda: nvml.nvmlDeviceGetUUID(piece)),
        mig_index=place,
        mig_instance=_optional(instance, None),
    )


def _memory(nvml: Any, handle: Any) -> CardMemory:
    """Return the memory in the newest form that the driver and the installed bindings know and that can be true.

    "used" is the last resort: the two versions disagree about the driver's own share. But a layer that gives
    a container a part of a card may set `total` and `used` to that part and leave the whole card's `free`.
    """
    try:
        return _checked_memory(nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2))
    except Exception as error:  # noqa: BLE001 - an older driver or binding, or a replacement by another package
        _logger.debug("NVML's second version of the memory is not used: %s", error)
    info = nvml.nvmlDeviceGetMemoryInfo(handle)
    try:
        return _checked_memory(info)
    except _ImpossibleError:
        total_bytes = _count(info.total, _MOST_BYTES)
        return CardMemory(total_bytes=total_bytes, free_bytes=total_bytes - _count(info.used, total_bytes))


class _ImpossibleError(ValueError):
    """More is said to be free than there is."""


def _checked_memory(info: Any) -> CardMemory:
    total_bytes, free_bytes = _count(info.total, _MOST_BYTES), _count(info.free, _MOST_BYTES)
    if free_bytes > total_bytes:
        raise _ImpossibleError(f"{free_bytes:,} of {total_bytes:,} bytes are said to be free")
    return CardMemory(total_bytes=total_bytes, free_bytes=free_bytes)


def _count(value: Any, most: int) -> int:
    """Return a number of things or bytes that NVML gave.

    Raises
    ------
    ValueError
        If it is no integer from 0 to `most`.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{value!r:.100} is no number from 0 to {most:,}")
    return value


def _capability(value: Any) -> tuple[int, int]:
    major, minor = value
    return _count(major, _MOST_CARDS), _count(minor, _MOST_CARDS)


def _optional(read: Callable[[], Any], otherwise: Any) -> Any:
    try:
        return read()
    except Exception:  # noqa: BLE001 - no answer, whatever the way of giving none
        return otherwise


def _text(read: Callable[[], str | bytes]) -> str:
    """Return a name, with a sign for every byte that is not UTF-8; empty if there is none.

    pynvml decodes by itself, and its error holds the bytes.
    """
    try:
        value = read()
    except UnicodeDecodeError as error:
        value = error.object
    except Exception:  # noqa: BLE001 - as in _optional
        return ""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    # Lone surrogates can be neither printed nor written to a file.
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""
