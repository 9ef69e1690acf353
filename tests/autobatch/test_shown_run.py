"""A `BatchRun` shows itself: in one line, and in a notebook as a table with a picture."""

import re
from dataclasses import replace

from autobatch import Attempt, BatchPlan, BatchRun, SkippedItem, progress_of, run_in_batches


def attempt(start, stop, size, outcome="done", n_batches=1, error=""):
    return Attempt(
        start=start,
        stop=stop,
        batch_size=size,
        n_batches=n_batches,
        outcome=outcome,
        seconds=0.5,
        error=error,
    )


def run(*attempts, n_items=100, **changes):
    plan = BatchPlan(batch_size=64, reason="<b>64</b> & no more", limited_by="memory")
    return BatchRun(n_items=n_items, plan=plan, attempts=attempts, seconds=13.75, **changes)


def test_a_run_is_one_line():
    def compute(start, stop):
        if (start, stop) == (40, 80):
            raise MemoryError
        return range(start, stop)

    finished = run_in_batches(compute, 100, batch_size=40)
    shown = re.sub(r"in [\d.e-]+ s", "in T s", repr(finished))
    assert shown == "BatchRun(100 of 100 items in T s, batches of 40 → 20, 1 out of memory)"


def test_a_run_that_an_error_ended_says_so_and_how_it_goes_on():
    def compute(start, stop):
        return [1 / (item - 50) for item in range(start, stop)]

    try:
        run_in_batches(compute, 100, batch_size=20)
    except ZeroDivisionError as error:
        stopped = progress_of(error)
    assert "40 of 100 items" in repr(stopped)
    assert repr(stopped).endswith(", not finished)")
    assert "Stopped at item 40; resume() goes on." in stopped._repr_html_()


def test_a_line_is_short_whatever_happened():
    sizes = [attempt(i, i + 1, 10**9 + i) for i in range(300)]
    skipped = tuple(SkippedItem(item=i, error="x" * 900) for i in range(50))
    long = run(*sizes, n_items=10**12, skipped=skipped, stopped_at=10**11, start=7)
    assert len(repr(long)) <= 240
    assert "items 7 to 100,000,000,000 of 1,000,000,000,000" in repr(long)
    assert len(long._repr_html_()) < 60_000
    assert repr(replace(long, attempts=(), skipped=())).count("batches of none") == 1


def test_a_notebook_shows_the_sizes_over_the_items():
    text = run(
        attempt(0, 50, 50, "out_of_memory", error="<i>OOM</i>"), attempt(0, 100, 25, n_batches=4)
    )._repr_html_()
    bars = re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="([\d.]+)" (fill="\S+")', text)
    assert bars == [("0.0", "159.5", "56.0", 'fill="none"'), ("0.0", "319.5", "28.0", 'fill="#0072B2"')]
    assert "&lt;i&gt;OOM&lt;/i&gt;" in text
    assert "&lt;b&gt;64&lt;/b&gt; &amp; no more" in text
    assert "<i>" not in text
    assert "<svg" not in run(n_items=0)._repr_html_()
