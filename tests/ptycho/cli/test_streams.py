"""Nobody needs to read what a command says: its work is done all the same."""

import io
import os
import subprocess
import sys

import pytest

from ptycho.cli import _summary
from ptycho.cli._streams import streams_that_may_end
from ptycho.cli.simulate import main

_SMALL = ["--object-size", "80", "90", "--step", "12"]


class _Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text):
        raise OSError(28, "No space left on device")


class _Ended(io.StringIO):
    """A pipe whose reader is gone; that shows only when what waits is written."""

    def flush(self):
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize("stream", [_Full, _Ended, None])
def test_a_stream_that_ends_makes_no_error_of_finished_work(tmp_path, monkeypatch, name, stream):
    made = None if stream is None else stream()
    monkeypatch.setattr(sys, name, made)
    assert main([str(tmp_path / "a.npz"), *_SMALL]) == 0
    assert getattr(sys, name) is made
    assert (tmp_path / "a.npz").exists()


def test_a_table_is_printed_to_a_stream_that_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with streams_that_may_end():
        _summary._console().print("a row")
    assert sys.stdout is None


@pytest.mark.parametrize("stream", [_Full, None])
def test_an_error_keeps_its_code_when_nobody_reads_it(tmp_path, monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", None if stream is None else stream())
    assert main([str(tmp_path / "nowhere" / "a.npz"), *_SMALL]) == 2


@pytest.mark.skipif(os.name != "posix", reason="descriptors of POSIX")
def test_no_file_gets_the_number_of_a_stream_that_is_closed(tmp_path):
    code = (
        "import os, sys; from ptycho.cli._streams import streams_that_may_end; [os.close(n) for n in (0, 1, 2)];"
        " sys.stdout = sys.stderr = None\n"
        f"with streams_that_may_end(): opened = os.open({str(tmp_path)!r}, os.O_RDONLY)\n"
        # A child, a worker perhaps, has them too.
        "sys.exit(opened if os.system('echo said >&2') == 0 else 1)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=False)
    assert run.returncode >= 3


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_pipe_that_is_closed_makes_no_error_of_finished_work(tmp_path):
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", "ptycho.cli.simulate", str(tmp_path / "a.npz"), *_SMALL]
    run = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (run.returncode, run.stderr) == (0, "")
