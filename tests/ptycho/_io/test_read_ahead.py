"""Whatever ranges are asked for, each gets its items; the next is read meanwhile, and no thread is left behind."""

import threading
import time

import numpy as np
import pytest

from ptycho._io.read_ahead import ReadAhead
from ptycho._io.stored import as_range
from ptycho.errors import DataError

N_ITEMS = 200


class Items:
    """Gives the numbers of the items, twice the number too, and notes what was read and by which thread."""

    def __init__(self):
        self.reads, self.threads = [], set()

    def __call__(self, start, stop):
        self.reads.append((start, stop))
        self.threads.add(threading.current_thread().name.partition("_")[0])
        return np.arange(start, stop), 2 * np.arange(start, stop)[:, None]


def check(rows, start, stop):
    np.testing.assert_array_equal(rows[0], np.arange(start, stop))
    np.testing.assert_array_equal(rows[1][:, 0], 2 * np.arange(start, stop))


def test_the_next_range_is_read_on_a_thread_and_no_item_twice():
    items = Items()
    with ReadAhead(items, N_ITEMS) as ahead:
        for start in range(0, N_ITEMS, 64):
            check(ahead.take(start, min(start + 64, N_ITEMS)), start, min(start + 64, N_ITEMS))
    assert items.reads == [(0, 64), (64, 128), (128, 192), (192, 200)]
    assert items.threads == {"MainThread", "read-ahead"}


def test_the_thread_reads_while_the_caller_works():
    begun = threading.Event()

    def read(start, stop):
        if start == 4:
            begun.set()
        return (np.arange(start, stop),)

    with ReadAhead(read, 8) as ahead:
        ahead.take(0, 4)
        assert begun.wait(60)


def test_two_ranges_are_read_while_the_caller_works_on_one():
    seen, both = [], threading.Event()

    def read(start, stop):
        seen.append((start, stop))
        if len(seen) == 3:
            both.set()
        return (np.arange(start, stop),)

    with ReadAhead(read, 40) as ahead:
        ahead.take(0, 4)
        assert both.wait(60)
        assert seen == [(0, 4), (4, 8), (8, 12)]


def test_of_large_ranges_one_is_read_ahead(monkeypatch):
    monkeypatch.setattr("ptycho._io.read_ahead._SECOND_RANGE_BYTES", 100)
    items = Items()
    with ReadAhead(items, 40) as ahead:
        ahead.take(0, 10)  # 160 bytes
    assert items.reads == [(0, 10), (10, 20)]


def test_the_caller_and_the_thread_never_read_at_once():
    at_once, most = 0, 0

    def read(start, stop):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.002)
        at_once -= 1
        return (np.arange(start, stop),)

    with ReadAhead(read, N_ITEMS) as ahead:
        for start in range(0, N_ITEMS, 20):
            ahead.take(start, start + 20)
            # As after an error: what was given is read anew, though the thread is at work.
            np.testing.assert_array_equal(ahead.take(start, start + 10)[0], np.arange(start, start + 10))
    assert most == 1


def test_a_batch_that_is_halved_gets_its_items_again_and_loses_none_that_were_read_ahead():
    items = Items()
    with ReadAhead(items, N_ITEMS) as ahead:
        ahead.take(0, 64)
        ahead.take(64, 128)  # fails, so that smaller ones follow
        for start in range(64, N_ITEMS, 32):
            check(ahead.take(start, min(start + 32, N_ITEMS)), start, min(start + 32, N_ITEMS))
    again = [(64, 96), (96, 128)]
    assert items.reads == [(0, 64), (64, 128), (128, 192), (192, 200), *again]


@pytest.mark.parametrize("seed", range(6))
def test_ranges_of_any_length_get_their_items(seed):
    rng, items = np.random.default_rng(seed), Items()
    with ReadAhead(items, N_ITEMS) as ahead:
        start = 0
        while start < N_ITEMS:
            stop = min(N_ITEMS, start + int(rng.integers(1, 40)))
            check(ahead.take(start, stop), start, stop)
            # Sometimes the batch fails and is asked for anew.
            start = stop if rng.random() < 0.7 else start
    assert all(0 <= first < last <= N_ITEMS for first, last in items.reads)


def test_what_a_thread_cannot_read_is_an_error_of_the_range_that_needs_it():
    def read(start, stop):
        if start <= 70 < stop:
            raise DataError("frame 70 is damaged; copy the file again.")
        return (np.arange(start, stop),)

    with ReadAhead(read, N_ITEMS) as ahead:
        np.testing.assert_array_equal(ahead.take(0, 64)[0], np.arange(64))
        with pytest.raises(DataError, match="frame 70 is damaged"):
            ahead.take(64, 128)
        # Smaller, as after an error that is a want of memory, it may do.
        np.testing.assert_array_equal(ahead.take(64, 70)[0], np.arange(64, 70))


@pytest.mark.parametrize("failing", [False, True])
def test_no_thread_is_left_behind(failing):
    def run():
        with ReadAhead(Items(), N_ITEMS) as ahead:
            ahead.take(0, 10)
            if failing:
                raise KeyboardInterrupt

    if failing:
        with pytest.raises(KeyboardInterrupt):
            run()
    else:
        run()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_numbers_that_follow_one_another_are_a_range():
    array = np.random.default_rng(0).random((9, 3))
    assert as_range(np.arange(2, 7)) == slice(2, 7)
    for indices in ([2, 3, 4], [4, 3, 2], [2, 2, 4], [1, 5], [7], []):
        numbers = np.array(indices, int)
        np.testing.assert_array_equal(array[as_range(numbers)], array[numbers])
