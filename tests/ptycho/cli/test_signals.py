"""A signal that falls into an import waits until the import is done, for what is imported would swallow or keep it."""

import importlib
import signal
import sys
from contextlib import nullcontext

import pytest

from ptycho.cli import _errors
from ptycho.cli._parser import Parser
from ptycho.cli._signals import signals_held_back, stopping_on_signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP] if sys.platform != "win32" else []
_INNER = """
import signal
try:
    signal.raise_signal({number})
    swallowed = False
except BaseException:
    swallowed = True
whole = True
"""


@pytest.fixture(autouse=True)
def handlers():
    """Begin as a terminal leaves the signals: where tests run in the background some are ignored."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in NUMBERS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(params=NUMBERS, ids=lambda number: number.name)
def module(request, tmp_path, monkeypatch):
    """Return the name of a module that imports another, into which a signal falls, and the signal."""
    (tmp_path / "inner_of_signals.py").write_text(_INNER.format(number=int(request.param)))
    (tmp_path / "outer_of_signals.py").write_text("import inner_of_signals\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield "outer_of_signals", request.param
    for name in ("inner_of_signals", "outer_of_signals"):
        sys.modules.pop(name, None)


def _is_whole(name):
    return getattr(sys.modules.get(name), "whole", False)


def test_an_import_is_finished_before_a_signal_takes_effect(module):
    name, number = module
    profiled = sys.getprofile()
    with stopping_on_signals() as received, pytest.raises(KeyboardInterrupt):
        importlib.import_module(name)
    assert received == [number]
    assert not sys.modules["inner_of_signals"].swallowed
    assert _is_whole("inner_of_signals")
    assert _is_whole(name)
    assert sys.getprofile() is profiled


def test_a_signal_in_a_command_that_is_itself_imported_does_not_wait(tmp_path, monkeypatch):
    (tmp_path / "importing_of_signals.py").write_text(
        "import signal\n"
        "from ptycho.cli._signals import stopping_on_signals\n"
        "try:\n"
        "    with stopping_on_signals():\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "        stopped = False\n"
        "except KeyboardInterrupt:\n"
        "    stopped = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert importlib.import_module("importing_of_signals").stopped


def test_the_command_says_that_it_was_stopped_when_the_import_is_done(module, capsys):
    name, number = module
    parser = Parser("tool", "A tool.")
    code = _errors.run(parser, lambda arguments: importlib.import_module(name) and 0, [])
    assert code == 128 + number
    said = "Ctrl-C" if number == signal.SIGINT else number.name
    assert capsys.readouterr().err == f"tool: error: stopped by {said} before anything was finished\n"


@pytest.mark.parametrize("within", [nullcontext, _errors.working])
@pytest.mark.parametrize("kind", [AttributeError, ValueError])
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_an_error_behind_a_swallowed_signal_is_a_stop_and_no_traceback(number, kind, within, capsys):
    def swallow(arguments):
        with within():
            try:
                signal.raise_signal(number)
            except KeyboardInterrupt:
                raise kind("half a module") from None

    assert _errors.run(Parser("tool", "A tool."), swallow, []) == 128 + number
    said = "Ctrl-C" if number == signal.SIGINT else number.name
    assert capsys.readouterr().err == (
        f"tool: error: stopped by {said}; what it fell into failed ({kind.__name__}: half a module)\n"
    )


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stopping_on_signals() as received:
        signal.raise_signal(signal.SIGHUP)
    assert received == []


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_a_signal_that_is_held_back_comes_at_the_end(number):
    done = []

    def do_all():
        with signals_held_back():
            signal.raise_signal(number)
            done.append(number)

    with stopping_on_signals() as received, pytest.raises(KeyboardInterrupt):
        do_all()
    assert done == received == [number]
