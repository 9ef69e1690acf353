"""`map_batches`: any source, any destination, the same rows in the same order."""

import logging

import h5py
import numpy as np
import pytest

from autobatch import ResultLengthError, map_batches, progress_of
from autobatch.testing import inject_oom

X = np.arange(33.0).reshape(11, 3)


def doubled(batch):
    return 2 * batch


def in_batches(*sizes):
    start = 0
    for size in sizes:
        yield X[start : start + size]
        start += size


@pytest.mark.parametrize("batch_size", [1, 4, "auto"])
def test_an_array_a_memory_map_and_a_file_give_the_same(tmp_path, batch_size):
    memory_map = np.memmap(tmp_path / "x.bin", np.float64, "w+", shape=X.shape)
    memory_map[:] = X
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = X
        for x in (X, X.tolist(), memory_map, file["x"]):
            result = map_batches(doubled, x, batch_size=batch_size)
            assert type(result) is np.ndarray
            np.testing.assert_array_equal(result, 2 * X)


def test_nested_inputs_and_outputs_keep_their_form():
    x = {"a": X, "b": (X[:, 0], [X[:, 1:]])}

    def function(batch):
        assert batch["a"].shape[0] == batch["b"][1][0].shape[0]
        return [
            batch["b"][0] + 1,
            {"rest": batch["b"][1][0]},
            batch["a"].astype(np.int64).sum(axis=1).tolist(),
        ]

    first, second, third = map_batches(function, x, batch_size=4)
    np.testing.assert_array_equal(first, X[:, 0] + 1)
    np.testing.assert_array_equal(second["rest"], X[:, 1:])
    np.testing.assert_array_equal(third, X.sum(axis=1))


def test_a_stream_is_cut_anew_whatever_the_size_of_its_batches():
    sizes = []

    def function(batch):
        sizes.append(len(batch))
        return 2 * batch

    np.testing.assert_array_equal(map_batches(function, in_batches(5, 1, 3, 2), batch_size=4), 2 * X)
    assert sizes == [4, 4, 3]


def test_targets_and_weights_in_a_stream_are_left_out():
    stream = ((part, part[:, 0], None) for part in in_batches(6, 5))
    np.testing.assert_array_equal(map_batches(doubled, stream, batch_size=4), 2 * X)


def test_a_stream_of_items_is_stacked_or_collated():
    np.testing.assert_array_equal(map_batches(doubled, iter(X), elements="items", batch_size=4), 2 * X)
    words = ["a", "bbb", "cc", "dddd", ""]
    lengths = map_batches(
        lambda batch: [len(word) for word in batch], words, elements="items", collate=list, batch_size=2
    )
    assert lengths.tolist() == [1, 3, 2, 4, 0]


def test_an_oom_in_a_stream_loses_and_repeats_nothing():
    with inject_oom(at=[1, 2], form="memory_error") as faults:
        result = map_batches(doubled, in_batches(5, 6), batch_size=4)
    np.testing.assert_array_equal(result, 2 * X)
    assert faults.n_injected == 2


def test_a_stream_holds_no_more_than_it_has_to():
    taken = []

    def stream():
        for number in range(100):
            taken.append(number)
            yield np.full((1, 2), number)

    def commit(start, stop, rows):
        assert len(taken) <= stop

    map_batches(doubled, stream(), commit=commit, batch_size=4)
    assert len(taken) == 100


def test_rows_go_into_whatever_takes_slices(tmp_path):
    out = np.empty_like(X)
    assert map_batches(doubled, X, out=out, batch_size=4) is out
    np.testing.assert_array_equal(out, 2 * X)
    with h5py.File(tmp_path / "out.h5", "w") as file:
        written = file.create_dataset("y", X.shape, "f4")
        sums = np.empty(11)
        map_batches(lambda b: (2 * b, b.sum(axis=1)), in_batches(5, 6), out=(written, sums), batch_size=4)
        np.testing.assert_array_equal(written[:], 2 * X)
        np.testing.assert_array_equal(sums, X.sum(axis=1))


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.empty((10, 3)), "out has 10 rows but x has 11 items"),
        (np.empty((11, 2)), r"out has rows of shape \(2,\) but the results are \(3,\)"),
        (np.empty((11, 1)), r"out has rows of shape \(1,\)"),
        (np.empty((11, 3), np.int32), "out is int32 but the results are float64"),
    ],
)
def test_an_out_that_cannot_hold_the_rows_is_refused(out, message):
    with pytest.raises(ValueError, match=message):
        map_batches(doubled, X, out=out, batch_size=4)


def test_an_out_that_a_stream_overruns_is_refused():
    with pytest.raises(ValueError, match="out has 9 rows but x has more"):
        map_batches(doubled, in_batches(5, 6), out=np.empty((9, 3)), batch_size=4)


def test_a_commit_gets_the_rows_in_order_and_nothing_is_returned():
    got = []
    result = map_batches(
        doubled, X, commit=lambda start, stop, rows: got.append((start, stop, rows)), batch_size=4
    )
    assert result is None
    assert [part[:2] for part in got] == [(0, 4), (4, 8), (8, 11)]
    np.testing.assert_array_equal(np.concatenate([part[2] for part in got]), 2 * X)


@pytest.mark.parametrize("n_rows", [3, 8])
def test_another_number_of_rows_than_items_is_refused(n_rows):
    with pytest.raises(ResultLengthError, match=rf"items 0 to 3 has 4 rows, .* shape \({n_rows}, 2\)"):
        map_batches(lambda batch: np.zeros((n_rows, 2)), X, batch_size=4)
    with pytest.raises(ResultLengthError, match=r"came back has shape \(\)"):
        map_batches(lambda batch: {"sum": [batch.sum()]}, X, batch_size=4)


def test_weights_bound_a_batch_and_sorting_puts_the_rows_back():
    lengths = np.array([3, 1, 9, 2, 8, 1, 1, 7, 2, 5, 4])
    seen = []

    def function(batch):
        seen.append(batch[0].tolist())
        return batch[1]

    np.testing.assert_array_equal(
        map_batches(function, (lengths, X), weights=lengths, sort=True, batch_size=10), X
    )
    assert seen == [[9], [8], [7], [5, 4], [3, 2, 2, 1, 1, 1]]
    out = np.empty_like(X)
    map_batches(function, (lengths, X), weights=lengths, sort=True, batch_size=10, out=out)
    np.testing.assert_array_equal(out, X)


def test_a_file_can_be_read_and_written_in_sorted_order(tmp_path):
    weights = [3, 1, 9, 2, 8, 1, 1, 7, 2, 5, 4]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"], out = X, file.create_dataset("y", X.shape)
        map_batches(doubled, file["x"], out=out, weights=weights, sort=True, batch_size=10)
        np.testing.assert_array_equal(out[:], 2 * X)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"sort": True}, "sort=True was given without weights"),
        ({"weights": [1] * 11, "sort": True, "start": 2}, "start was given with sort=True"),
        ({"weights": [1] * 11, "sort": True, "commit": print}, "puts the rows back, which a commit cannot"),
        ({"weights": [1] * 4}, "weights has 4 entries but there are 11 items"),
        ({"out": X, "commit": print}, "out and commit were both given"),
        ({"multiple_of": 0}, "multiple_of is 0 but must be 1 or more"),
        ({"elements": "rows"}, "elements is 'rows' but must be"),
        ({"start": 12}, "start is 12 but there are 11 items"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        map_batches(doubled, X, **choices)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"commit": 3}, "commit is 3 but must be a function"),
        ({"collate": "stack"}, "collate is 'stack' but must be a function"),
        ({"report": []}, r"report is \[\] but must be a function"),
        ({"is_oom": MemoryError()}, "is_oom is MemoryError"),
        ({"cost": 1 << 20}, r"cost is 1048576 but must be a BatchCost"),
        ({"recover": "no"}, "recover is 'no' but must be True or False"),
        ({"pad": 8}, "pad is 8 but must be True or False"),
    ],
)
def test_arguments_of_another_kind_are_refused(choices, message):
    with pytest.raises(TypeError, match=message):
        map_batches(doubled, X, **choices)
    with pytest.raises(TypeError, match="function is 3 but must be a function"):
        map_batches(3, X)


def test_what_holds_no_items_is_refused():
    with pytest.raises(TypeError, match="x is a int but must be an array"):
        map_batches(doubled, 7)
    with pytest.raises(TypeError, match="which has no rows"):
        map_batches(doubled, {"a": X, "b": 3})
    with pytest.raises(ValueError, match="have 11, 5 rows"):
        map_batches(doubled, [X, X[:5]])
    with pytest.raises(ValueError, match="x gave no items"):
        map_batches(doubled, iter(()))


def test_no_items_give_no_rows_of_the_right_shape():
    result = map_batches(lambda batch: {"twice": 2 * batch[:, :2]}, X[:0])
    assert result["twice"].shape == (0, 2)


def test_padding_shows_a_function_no_size_but_the_planned_ones():
    sizes = []

    def function(batch):
        sizes.append(len(batch))
        return 2 * batch

    np.testing.assert_array_equal(map_batches(function, X, pad=True, batch_size=4), 2 * X)
    assert sizes == [4, 4, 4]
    sizes.clear()
    with inject_oom(at=[1], form="memory_error"):
        np.testing.assert_array_equal(map_batches(function, X, pad=True, batch_size=4), 2 * X)
    assert set(sizes) == {4}


def test_padding_does_not_fill_up_to_a_size_that_no_longer_fits():
    sizes, largest = [], [4]

    def function(batch):
        sizes.append(len(batch))
        if len(sizes) == 2:
            largest[0] = 2
        if len(batch) > largest[0]:
            raise MemoryError
        return 2 * batch

    np.testing.assert_array_equal(map_batches(function, X, pad=True, batch_size=4), 2 * X)
    assert sizes == [4, 4, 2, 2, 2, 2]


def test_batches_are_filled_up_to_a_multiple():
    sizes = []

    def function(batch):
        sizes.append(len(batch))
        return {"y": 2 * batch}

    result = map_batches(function, X, multiple_of=3, batch_size=7)
    np.testing.assert_array_equal(result["y"], 2 * X)
    assert sizes == [6, 6]


def test_skipped_rows_are_empty_and_reported():
    def function(batch):
        if 15 in batch:
            raise ValueError("bad pixel")
        return batch, batch.astype(np.int64)

    runs = []
    values, counts = map_batches(function, X, batch_size=4, on_error="skip", report=runs.append)
    assert np.isnan(values[5]).all()
    assert (counts[5] == 0).all()
    np.testing.assert_array_equal(np.delete(values, 5, 0), np.delete(X, 5, 0))
    assert [(skipped.item, skipped.error) for skipped in runs[0].skipped] == [(5, "ValueError: bad pixel")]


def test_a_run_of_which_nothing_is_left_says_why():
    def function(batch):
        raise OSError("no such file")

    with pytest.raises(
        ValueError, match="all 11 items failed and were skipped, item 0 by OSError: no such file"
    ):
        map_batches(function, X, batch_size=4, on_error="skip")


@pytest.mark.parametrize("x", ["array", "stream"])
def test_what_is_finished_is_in_the_error_and_the_run_goes_on_with_a_mended_function(x):
    def function(batch):
        if 24 in batch:
            raise KeyboardInterrupt
        return 2 * batch

    with pytest.raises(KeyboardInterrupt) as caught:
        map_batches(function, X if x == "array" else in_batches(5, 6), batch_size=4)
    run = progress_of(caught.value)
    np.testing.assert_array_equal(np.concatenate(run.outputs), 2 * X[:8])
    finished = run.resume(doubled)
    np.testing.assert_array_equal(finished.outputs[0], 2 * X)


def test_of_a_sorted_run_the_finished_rows_come_in_the_order_of_the_run():
    weights = np.array([3, 1, 9, 2, 8, 1, 1, 7, 2, 5, 4])

    def function(batch):
        if batch[0, 0] == X[7, 0]:
            raise ValueError("bad")
        return 2 * batch

    with pytest.raises(ValueError, match="bad") as caught:
        map_batches(function, X, weights=weights, sort=True, batch_size=9)
    run = progress_of(caught.value)
    assert run.order[: run.n_done].tolist() == [2, 4]
    np.testing.assert_array_equal(run.outputs[0], 2 * X[[2, 4]])
    np.testing.assert_array_equal(run.resume(doubled).outputs[0], 2 * X)


def test_an_interrupted_write_into_out_is_repeated_without_asking():
    class Slow(np.ndarray):
        interrupts = True

        def __setitem__(self, key, value):
            if key == slice(4, 8) and Slow.interrupts:
                Slow.interrupts = False
                raise KeyboardInterrupt
            super().__setitem__(key, value)

    out = np.zeros_like(X).view(Slow)
    with pytest.raises(KeyboardInterrupt) as caught:
        map_batches(doubled, X, out=out, batch_size=4)
    assert progress_of(caught.value).resume().is_finished
    np.testing.assert_array_equal(out, 2 * X)


def test_a_stream_that_failed_is_not_taken_for_a_short_one():
    def stream():
        yield X[:5]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone") as caught:
        map_batches(doubled, stream(), batch_size=4)
    run = progress_of(caught.value)
    assert run.n_done == 4
    with pytest.raises(
        ValueError, match=r"x failed after item 5 and cannot be read on; pass a new one, and start="
    ):
        run.resume()
    np.testing.assert_array_equal(map_batches(doubled, in_batches(5, 6), start=4), 2 * X[4:])


def test_a_mistyped_commit_of_a_gathering_run_is_refused():
    with pytest.raises(ZeroDivisionError) as caught:
        map_batches(lambda batch: 1 / 0, X)
    with pytest.raises(ValueError, match="this run gathers its rows"):
        progress_of(caught.value).resume(commit=print)


def test_types_grow_with_the_rows():
    def function(batch):
        return np.array(["x" * int(row[0]) for row in batch]), (
            batch[:, 0] if batch[0, 0] else np.zeros(len(batch), int)
        )

    words, numbers = map_batches(function, X[:5], batch_size=1)
    assert words[-1] == "x" * 12
    assert numbers.tolist() == X[:5, 0].tolist()


def test_rows_of_different_shapes_are_refused_with_a_way_out():
    with pytest.raises(ValueError, match=r"rows of shape \(3,\) but earlier ones were \(4,\)"):
        map_batches(lambda batch: np.zeros((len(batch), len(batch))), X, batch_size=4)


def test_a_display_is_told_when_nobody_knows_the_length(caplog):
    from autobatch import LogProgress

    with caplog.at_level(logging.INFO):
        map_batches(doubled, in_batches(11), progress=LogProgress(), label="stream")
    assert "stream: an unknown number of items to do" in caplog.text
    assert "11 items" in caplog.text
