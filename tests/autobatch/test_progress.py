"""Progress displays: what is said, with clock, console and logger injected."""

import io
import logging
import re
import sys
import types

import pytest
from rich.console import Console

from autobatch import DeviceMemory, LogProgress, NoProgress, RichProgress, _rich_progress, run_in_batches
from autobatch._units import format_rate
from autobatch.errors import StoppedError
from autobatch.testing import FixedMemory, inject_oom

GIB = 1 << 30


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def logged(caplog):
    return [record.getMessage() for record in caplog.records]


def test_log_lines_are_limited_by_the_clock(caplog):
    clock = Clock()
    caplog.set_level(logging.INFO)
    with LogProgress(interval_s=10, clock=clock).stage("stitching", 3000, "patches") as stage:
        for _ in range(3):
            clock.now_s += 4
            stage.advance(1000)
    assert logged(caplog) == [
        "stitching: 3,000 patches to do",
        "stitching: 3,000/3,000 patches, 250 patches/s, finished",
    ]


def test_one_step_has_no_plural_and_no_rate_and_slow_ones_are_not_rounded_to_nothing(caplog):
    clock = Clock()
    caplog.set_level(logging.INFO)
    for total, n_seconds in ((1, 4), (2, 100)):
        with LogProgress(clock=clock).stage("plots", total, "steps") as stage:
            clock.now_s += n_seconds
            stage.advance(total)
    assert logged(caplog) == [
        "plots: 1 step to do",
        "plots: 1/1 step, finished",
        "plots: 2 steps to do",
        "plots: 2/2 steps, 0.02 steps/s, finished",
    ]


def parts_of(stage, rates):
    """Parts that have finished so many items each, told from other threads in life."""
    for number, rate in enumerate(rates):
        part = stage.part(f"worker {number}")
        part.batch_size(32 + number, "given")
        part.memory(
            DeviceMemory(
                device="CPU", total_bytes=4 * GIB, free_bytes=3 * GIB, usable_bytes=0, source="the worker"
            )
        )
        part.advance(rate)
        yield part


def test_a_log_line_tells_of_those_who_share_the_work(caplog):
    clock = Clock()
    caplog.set_level(logging.INFO)
    with LogProgress(interval_s=60, clock=clock).stage("PINN", 1000, "patches") as stage:
        first, second = parts_of(stage, [0, 0])
        clock.now_s = 30
        second.note("lost")
        first.advance(300)
        clock.now_s = 60
        first.advance(60)
        clock.now_s = 119
        second.advance(1)
    assert logged(caplog)[1:] == [
        "PINN: 0/1,000 patches; worker 0: 6 patches/s, batch size 32, 1.00 GiB used; "
        "worker 1: 0 patches/s, batch size 33, 1.00 GiB used, lost",
        "PINN: 0/1,000 patches, finished; worker 0: 3.03 patches/s, batch size 32, 1.00 GiB used; "
        "worker 1: 0.0084 patches/s, batch size 33, 1.00 GiB used, lost",
    ]


def test_a_log_line_of_many_parts_tells_the_range(caplog):
    clock = Clock()
    caplog.set_level(logging.INFO)
    with LogProgress(clock=clock).stage("PINN", 1000, "patches") as stage:
        list(parts_of(stage, [50, 10, 40, 30, 20]))
        clock.now_s = 10
        stage.advance(150)
    assert logged(caplog)[1] == ("PINN: 150/1,000 patches, 15 patches/s; 5 share it, 1 to 5 patches/s each")


def test_lines_may_be_of_another_level(caplog):
    caplog.set_level(logging.DEBUG)
    with LogProgress(level=logging.DEBUG).stage("PINN", 10):
        pass
    assert {record.levelname for record in caplog.records} == {"DEBUG"}


@pytest.mark.parametrize("width", [80, 200])
def test_each_who_shares_the_work_has_a_row_and_many_share_the_last(width):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    with RichProgress(console).stage("PINN", 10_000, "patches") as stage:
        list(parts_of(stage, [1000, 250]))
        for number in range(2, 12):
            stage.part(f"worker {number}").advance(7)
        stage.advance(1250)
    rows = console.file.getvalue().splitlines()[-9:]
    unit = "" if width == 80 else " patches"
    assert rows[0].split()[0] == "PINN"
    assert f"1,250/10,000{unit}" in rows[0]
    assert rows[1].startswith("  worker 0 ")
    assert f" 1,000{unit} " in rows[1]
    assert rows[1].rstrip().endswith("1.00/3.00 GiB" if width == 80 else "1.00 / 3.00 GiB")
    assert rows[8].startswith("  5 others ")
    assert f" 35{unit} " in rows[8]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyboardInterrupt(), "Ctrl-C"),
        (StoppedError(15), "SIGTERM"),
        (ValueError("x"), "an error (ValueError)"),
    ],
)
def test_what_stops_a_stage_is_told_in_words(caplog, error, words):
    caplog.set_level(logging.INFO)
    with pytest.raises(type(error)), LogProgress(clock=Clock()).stage("plots", 2, "steps"):
        raise error
    assert logged(caplog)[-1] == f"plots: stopped at 0/2 steps by {words}"


@pytest.mark.parametrize("width", [80, 200])
def test_what_a_terminal_writes_at_a_key_does_not_break_the_last_line(width):
    lines = drawn(width, lambda progress: _advanced(progress, 3))
    assert lines
    assert max(map(len, lines)) <= width - len("^C")


def _advanced(progress, n_items):
    with progress.stage("stitching", 10, "patches") as stage:
        stage.advance(n_items)


def test_log_lines_tell_size_memory_and_note(caplog):
    clock = Clock()
    caplog.set_level(logging.INFO)
    with LogProgress(interval_s=10, clock=clock).stage("stitching", 3000, "patches") as stage:
        stage.batch_size(512, "planned")
        stage.batch_size(256, "out of memory at 512")
        stage.memory(FixedMemory(3 * GIB)())
        stage.note("loss 0.5")
        clock.now_s += 10
        stage.advance(1000)
    assert logged(caplog)[1:4] == [
        "stitching: batch size 512 (planned)",
        "stitching: batch size 512 → 256 (out of memory at 512)",
        "stitching: 1,000/3,000 patches, 100 patches/s, 3.00 GiB free on GPU:0, loss 0.5",
    ]


def test_a_log_tells_what_stopped_a_stage(caplog):
    caplog.set_level(logging.INFO)

    def fail():
        with LogProgress(clock=Clock()).stage("stitching", 3) as stage:
            stage.advance(1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert logged(caplog)[-1] == "stitching: stopped at 1/3 items by an error (KeyError)"


def test_log_lines_go_to_the_logger_given(caplog):
    caplog.set_level(logging.INFO)
    with LogProgress(logging.getLogger("mine"), clock=Clock()).stage("x", 1):
        pass
    assert {record.name for record in caplog.records} == {"mine"}


def test_no_progress_shows_nothing(capsys, caplog):
    with NoProgress().stage("x", 2) as stage:
        stage.advance(2)
        stage.batch_size(2, "given")
        stage.memory(FixedMemory(1)())
        stage.note("text")
    assert capsys.readouterr() == ("", "")
    assert caplog.text == ""


def drawn(width, act):
    """Return the lines of the final drawing on a terminal of that width."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, color_system=None, _environ={})
    with RichProgress(console) as progress:
        act(progress)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    return [line.rstrip() for line in plain.replace("\r", "\n").split("\n") if line.strip()][-6:]


def oom_run(progress):
    with inject_oom(at=[0, 1, 2], form="memory_error"):
        run_in_batches(
            lambda start, stop: None,
            10304,
            batch_size=512,
            device=FixedMemory(21 * GIB, total_bytes=24 * GIB),
            progress=progress,
            label="predict and stitch",
            unit="patches",
        )


def test_a_wide_terminal_shows_everything():
    text = "\n".join(drawn(200, oom_run))
    for part in (
        "predict and stitch",
        "10,304/10,304 patches",
        "512 → … → 64",
        "3.00 / 21.0 GiB",
        "batch size",
        "memory used / free",
    ):
        assert part in text


def test_80_columns_cut_nothing_that_counts():
    lines = drawn(80, oom_run)
    text = "\n".join(lines)
    for part in ("predict and stitch", "10,304/10,304", "512→64", "3.00/21.0 GiB", "used/free"):
        assert part in text
    assert "…" not in text


def test_a_note_stands_below_the_bars_in_80_columns_and_beside_them_in_200():
    def train(progress):
        with progress.stage("training", 40, "epochs") as stage:
            stage.note("loss 0.0123")
            stage.advance(3)
            progress._bars.refresh()

    narrow, wide = drawn(80, train), drawn(200, train)
    assert narrow[-1].endswith("loss 0.0123")
    assert "training" not in narrow[-1]
    assert "training" in wide[-1]
    assert wide[-1].endswith("loss 0.0123")


def test_a_stage_that_fails_says_by_what():
    def fail(progress):
        with progress.stage("training", 40) as stage:
            stage.advance(3)
            raise KeyError("x")

    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=200, color_system=None, _environ={})
    progress = RichProgress(console)
    with pytest.raises(KeyError):
        fail(progress)
    assert "3/40 items" in stream.getvalue()
    assert "stopped by an error (KeyError)" in stream.getvalue()


def test_a_stage_opens_and_closes_the_display_by_itself():
    stream = io.StringIO()
    progress = RichProgress(
        Console(file=stream, force_terminal=True, width=120, color_system=None, _environ={})
    )
    with progress.stage("alone", 5) as stage:
        assert progress._bars.live.is_started
        stage.advance(5)
    assert not progress._bars.live.is_started
    assert "5/5 items" in stream.getvalue()


def test_drawing_is_limited_however_many_batches_there_are(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_rich_progress.time, "monotonic", clock)
    progress = RichProgress(Console(file=io.StringIO(), width=120))
    stage = progress.stage("many", 10_000)
    drawings = []
    with stage:
        monkeypatch.setattr(stage, "_draw", lambda: drawings.append(clock.now_s))
        for _ in range(10_000):
            stage.advance(1)
    assert len(drawings) == 1  # the one on leaving


def test_memory_of_unknown_size_and_the_rate_of_slow_work():
    memory = DeviceMemory(device="GPU:0", total_bytes=None, free_bytes=GIB, usable_bytes=GIB, source="test")

    def act(progress):
        with progress.stage("slow", 5) as stage:
            stage.memory(memory)

    assert "? / 1.00 GiB" in "\n".join(drawn(200, act))
    assert [format_rate(rate) for rate in (0.123456, 99.96, 1234.5)] == ["0.123", "100", "1,234"]


@pytest.mark.parametrize(
    ("reading_s", "seconds_of_readings"),
    [(0.0, [0.5, 1.5, 2.5, 3.5, 4.5, 5.0]), (0.02, [0.5, 4.5, 5.0])],
    ids=["quick", "slow"],
)
def test_a_run_reads_the_memory_at_most_once_a_second_and_slow_readings_rarely(
    reading_s, seconds_of_readings
):
    seconds = 0.0
    readings = []

    def pass_time(by):
        nonlocal seconds
        seconds += by

    def probe():
        readings.append(round(seconds, 1))
        pass_time(reading_s)
        return FixedMemory(5)()

    run_in_batches(
        lambda start, stop: pass_time(0.5),
        10,
        batch_size=1,
        commit=lambda start, stop, result: None,
        device=probe,
        progress=LogProgress(),
        clock=lambda: seconds,
    )
    # The last reading names the allocator for the report.
    assert readings == seconds_of_readings


def test_a_bar_without_a_total_counts_what_is_done():
    console = Console(file=io.StringIO(), force_terminal=True, width=140)
    with RichProgress(console).stage("stream", None) as stage:
        stage.advance(1234)
    assert "1,234 items" in console.file.getvalue()


class Notebook:
    """IPython's display of one cell: each entry is an output with all that was shown in it."""

    def __init__(self):
        self.outputs = []

    def display(self, bundle, *, raw, display_id):
        assert (raw, display_id) == (True, True)
        self.outputs.append([bundle])
        return types.SimpleNamespace(update=lambda bundle, raw, own=self.outputs[-1]: own.append(bundle))


@pytest.fixture
def notebook(monkeypatch):
    found = Notebook()
    module = types.SimpleNamespace(display=found.display)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=module))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr(_rich_progress, "_REDRAW_S", 0)
    return found


def test_in_a_notebook_one_output_is_drawn_anew_without_widgets(notebook):
    console = Console(force_jupyter=True, file=io.StringIO(), width=120)
    with RichProgress(console) as progress:
        for label in ("pre<dict>", "stitch"):
            with progress.stage(label, 30, "frames") as stage:
                stage.advance(10)
                stage.advance(20)
    (output,) = notebook.outputs
    assert len(output) >= 6
    assert "10/30 frames" in output[1]["text/plain"] + output[2]["text/plain"]
    assert output[-1]["text/plain"].count("30/30 frames") == 2
    assert "pre&lt;dict&gt;" in output[-1]["text/html"]
    assert output[-1]["text/html"].startswith("<pre ")
    assert console.file.getvalue() == ""


def test_in_a_notebook_each_display_has_an_output_of_its_own(notebook):
    console = Console(force_jupyter=True, file=io.StringIO(), width=120)
    progress = RichProgress(console)
    for _ in range(2):
        run_in_batches(
            lambda start, stop: range(start, stop), 3, batch_size=2, progress=progress, label="sums"
        )
    assert len(notebook.outputs) == 2
    assert "3/3 items" in notebook.outputs[0][-1]["text/plain"]
