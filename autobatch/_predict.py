"""`predict`: what ``model.predict`` returns, in batches that fit into memory."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from autobatch._batch_run import BatchRun
from autobatch._keras import keras_model_cost
from autobatch._map import map_batches
from autobatch._models import is_keras_model, prediction_of
from autobatch._numbers import checked_count
from autobatch._probe import Device
from autobatch._progress import Progress
from autobatch._run import Commit
from autobatch._sources import Collate, Elements
from autobatch._types import BatchCost

if TYPE_CHECKING:
    from autobatch._memo import BatchMemo

_logger = logging.getLogger(__name__)
# Tracing a model for its cost takes as long as many batches. An entry goes with its model, and is made anew when
# the model has other layers or is compiled otherwise.
_ESTIMATES: WeakKeyDictionary[Any, tuple[tuple[bool, int, int], BatchCost | None]] = WeakKeyDictionary()


def predict(
    model: Any,
    x: Any,
    *,
    out: Any = None,
    commit: Commit | None = None,
    batch_size: int | Literal["auto"] = "auto",
    cost: BatchCost | None = None,
    device: Device = None,
    usable_fraction: float = 0.9,
    max_batch_size: int | None = None,
    weights: Sequence[float] | None = None,
    sort: bool = False,
    pad: bool | None = None,
    multiple_of: int = 1,
    elements: Elements = "batches",
    collate: Collate | None = None,
    start: int = 0,
    on_error: Literal["raise", "skip"] = "raise",
    recover: bool = True,
    is_oom: Callable[[BaseException], bool] | None = None,
    progress: Progress | None = None,
    memo: BatchMemo | None = None,
    report: Callable[[BatchRun], None] | None = None,
    label: str = "predict",
    unit: str = "items",
    remedy: str | None = None,
) -> Any:
    """Return what ``model.predict(x)`` returns, in batches that fit into memory.

    Parameters
    ----------
    model : keras.Model or callable
        Any Keras model: functional, Sequential, subclassed, with several inputs and outputs as lists, tuples and
        dicts, also one made under a `tf.distribute` strategy. Or a function of a batch.
    x : array, nested structure, tf.data.Dataset, keras.utils.PyDataset or iterable
        What ``model.predict`` takes, and memory maps and HDF5 data sets, which are read batch by batch. Data sets
        and iterables give batches of any size, without or with targets and weights.
    out : array or structure of arrays, optional
        Where the rows are written, in the nesting of the results: arrays, memory maps, HDF5, zarr, whatever takes
        slices. By default they are gathered in memory.
    commit : callable, optional
        ``commit(start, stop, rows)``, called once per finished batch and in order, in place of `out`.
    batch_size : int or "auto"
        An integer is the first size and the upper limit; ``"auto"`` plans it.
    cost : BatchCost, optional
        Memory that a batch needs. By default it is estimated from the model's layers where they can be counted,
        else measured, else 32 items are taken.
    device : str or callable, optional
        Where the model computes, see `run_in_batches`.
    usable_fraction : float
        Share of the usable memory to plan with, in (0, 1].
    max_batch_size : int, optional
        Upper limit.
    weights : sequence of float, optional
        One number for each item, such as its length; bounds the sum in a batch. All sizes then count weight, and
        the cost is measured unless one is given.
    sort : bool
        Runs the heaviest items first and puts the rows back.
    pad : bool, optional
        Whether a batch smaller than one that has run is filled up to that one's size, see `map_batches`. None does
        so where every new size costs a compilation: for models compiled by XLA and for a `tf.function`.
    multiple_of : int
        Batches are filled up to a multiple of this; the number of replicas is always respected.
    elements : {"batches", "items"}
        What data sets, iterables and lists hold.
    collate : callable, optional
        Makes a batch of a list of items, with ``elements="items"``; stacks them by default.
    start : int
        First item; the result has rows for those from it on.
    on_error : {"raise", "skip"}
        What becomes of items that fail by themselves, see `map_batches`.
    recover : bool
        False raises the first out-of-memory error as it came.
    is_oom : callable, optional
        Recognises other libraries' out-of-memory errors.
    progress : Progress, optional
        Shows how far it is.
    memo : BatchMemo, optional
        Sizes remembered between runs.
    report : callable, optional
        Called with the `BatchRun` at the end.
    label : str
        Names the run in messages.
    unit : str
        What is counted.
    remedy : str, optional
        What the user can do when one item does not fit.

    Returns
    -------
    array or structure of arrays, or None
        NumPy arrays in the nesting of the model's outputs; `out` itself if it was given; None with `commit`.

    Raises
    ------
    DoesNotFitError
        If one item alone does not fit.
    ResultLengthError
        If the model returns more or fewer rows than it was given.
    TypeError, ValueError
        If the arguments do not go together.
    Exception
        Whatever the model raises. `progress_of` tells of any error what was finished; its ``resume()`` goes on.
    """
    called = prediction_of(model)
    multiple = math.lcm(checked_count("multiple_of", multiple_of, least=1), called.n_replicas)
    if cost is None and batch_size == "auto" and weights is None:
        cost = _estimated(model)
    return map_batches(
        called.function,
        x,
        out=out,
        commit=commit,
        batch_size=batch_size,
        cost=cost,
        device=device,
        usable_fraction=usable_fraction,
        max_batch_size=max_batch_size,
        weights=weights,
        sort=sort,
        pad=called.compiles if pad is None else pad,
        multiple_of=multiple,
        elements=elements,
        collate=collate,
        start=start,
        on_error=on_error,
        recover=recover,
        is_oom=is_oom,
        progress=progress,
        memo=memo,
        report=report,
        label=label,
        unit=unit,
        remedy=remedy,
    )


def _estimated(model: Any) -> BatchCost | None:
    """Return the estimate, or None where the model cannot be counted and has to be measured."""
    if not is_keras_model(model):
        return None
    form = (bool(model.jit_compile), model.count_params() if model.built else 0, len(model.layers))
    known = _ESTIMATES.get(model)
    if known is None or known[0] != form:
        known = _ESTIMATES[model] = (form, _counted(model))
    return known[1]


def _counted(model: Any) -> BatchCost | None:
    try:
        return keras_model_cost(model)
    except Exception as error:  # noqa: BLE001 - tracing may fail in as many ways as there are layers
        _logger.debug("the cost of %s is measured, not estimated: %s", model.name, error)
        return None
