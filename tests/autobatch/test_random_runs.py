"""Random runs that fail in random ways, resumed until they are done: every item once, in order, or reported.

``AUTOBATCH_RANDOM_RUNS=10000 python -m pytest tests/autobatch/test_random_runs.py`` makes that many; by default few.
"""

import json
import os
from unittest import mock

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autobatch import (
    BatchCost,
    BatchMemo,
    CommitOutOfMemoryError,
    DoesNotFitError,
    map_batches,
    progress_of,
    run_in_batches,
)
from autobatch.testing import FixedMemory

N_RUNS = int(os.environ.get("AUTOBATCH_RANDOM_RUNS", "60"))


class MistakeError(Exception):
    """Of the user's code."""


ERRORS = {"memory": MemoryError, "mistake": MistakeError, "interrupt": KeyboardInterrupt}
ENDS = (MistakeError, ValueError, KeyboardInterrupt, DoesNotFitError, CommitOutOfMemoryError)
FAULTS = st.dictionaries(
    st.integers(0, 25), st.tuples(st.sampled_from(sorted(ERRORS)), st.booleans()), max_size=6
)
WEIGHTS = st.one_of(st.none(), st.lists(st.floats(0.1, 30), min_size=40, max_size=40))
MEMOS = st.one_of(
    st.none(),
    st.sampled_from(
        [
            "",
            "[]",
            "\x00",
            json.dumps({"schema": "autobatch-memo-1", "entries": {}}),
            json.dumps({"schema": "autobatch-memo-1", "entries": {"key": {"good": "many"}}}),
        ]
    ),
)


class Faulty:
    """A function that fails at chosen calls, before or after it has done its work."""

    def __init__(self, function, faults):
        self.function, self.faults, self.n_calls = function, faults, 0
        self.last_fault_came_after = False

    def __call__(self, *arguments):
        kind, comes_after = self.faults.get(self.n_calls, (None, False))
        self.n_calls += 1
        self.last_fault_came_after = comes_after
        if kind is not None and not comes_after:
            raise ERRORS[kind](kind)
        result = self.function(*arguments)
        if kind is not None:
            raise ERRORS[kind](kind)
        return result


def ended(start, check, **resuming):
    """Start a run, and resume it after each error until it is done; `check` sees each part."""
    try:
        run = start()
    except ENDS as error:
        run = progress_of(error)
    while not run.is_finished:
        check(run)
        choices = {name: choice() for name, choice in resuming.items()} if run.interrupted else {}
        try:
            run = run.resume(**choices)
        except ENDS as error:
            run = progress_of(error)
    return run


# A collection takes a tenth of a second once TensorFlow is imported, and no memory is at stake here.
fast = mock.patch("autobatch._driver.gc.collect", new=int)
many = settings(
    deadline=None, max_examples=N_RUNS, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@fast
@many
@given(
    n_items=st.integers(0, 40),
    batch_size=st.one_of(st.just("auto"), st.integers(1, 50)),
    computing=FAULTS,
    committing=FAULTS,
    weights=WEIGHTS,
    memo=MEMOS,
    on_error=st.sampled_from(["raise", "skip"]),
    keeps=st.booleans(),
)
def test_every_item_is_done_once_or_reported(
    n_items, batch_size, computing, committing, weights, memo, on_error, keeps, tmp_path
):
    committed = []
    compute = Faulty(lambda start, stop: list(range(start, stop)), computing)
    commit = Faulty(lambda start, stop, part: committed.extend(part), committing)
    remembered = None
    if memo is not None and weights is None:
        (tmp_path / "memo.json").write_text(memo)
        remembered = BatchMemo(tmp_path / "memo.json", "key")

    def done(run):
        return [item for part in run.outputs for item in part] if keeps else committed

    def check(run):
        skipped = [skipped.item for skipped in run.skipped]
        in_doubt = [] if run.interrupted is None else list(range(*run.interrupted))
        certain = [item for item in done(run) if item not in in_doubt]
        assert certain == [item for item in range(run.n_done) if item not in skipped]

    run = ended(
        lambda: run_in_batches(
            compute,
            n_items,
            commit=None if keeps else commit,
            batch_size=batch_size,
            cost=BatchCost(bytes_per_item=7, fixed_bytes=3),
            device=FixedMemory(200),
            weights=None if weights is None else weights[:n_items],
            memo=remembered,
            on_error=on_error,
        ),
        check,
        repeat_interrupted=lambda: not commit.last_fault_came_after,
    )
    check_all = [item for item in range(n_items) if item not in [skipped.item for skipped in run.skipped]]
    assert done(run) == check_all
    assert on_error == "skip" or not run.skipped


@fast
@many
@given(
    n_items=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    computing=FAULTS,
    weights=WEIGHTS,
    chunks=st.one_of(st.none(), st.integers(1, 9)),
    pad=st.booleans(),
    multiple_of=st.integers(1, 3),
    on_error=st.sampled_from(["raise", "skip"]),
    sort=st.booleans(),
)
def test_every_row_comes_back_to_its_place(
    n_items, batch_size, computing, weights, chunks, pad, multiple_of, on_error, sort
):
    x = np.arange(2.0 * n_items).reshape(n_items, 2) + 1
    function = Faulty(lambda batch: (3 * batch, batch[:, 0]), computing)
    is_stream = chunks is not None
    source = (x[start : start + chunks] for start in range(0, n_items, chunks)) if is_stream else x
    given_weights = None if weights is None or is_stream else weights[:n_items]
    runs = []

    def start():
        map_batches(
            function,
            source,
            batch_size=batch_size,
            weights=given_weights,
            sort=sort and given_weights is not None,
            pad=pad,
            multiple_of=multiple_of,
            on_error=on_error,
            report=runs.append,
        )
        return runs[-1]

    def check(run):
        assert sum(map(len, (part[0] for part in run.outputs))) >= run.n_done - len(run.skipped)

    run = ended(start, check)
    kept = np.setdiff1d(np.arange(n_items), [skipped.item for skipped in run.skipped])
    if len(kept) == 0:
        assert run.outputs == []
        return
    tripled, first = run.outputs[0]
    if len(tripled) == n_items:
        tripled, first = tripled[kept], first[kept]
    np.testing.assert_array_equal(tripled, 3 * x[kept])
    np.testing.assert_array_equal(first, x[kept, 0])
