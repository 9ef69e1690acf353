"""Text that a terminal cannot show, or that would steer it."""

import io
import logging
import sys
import warnings

import pytest

from ptycho.cli import _errors, _flags, _logging
from ptycho.cli._drawing import drawn_or_failed
from ptycho.cli._showing import in_one_line, plain

STEERING = "a\x1b[31m\x07\x9b\r\u202eb"
SHOWN = r"a\x1b[31m\x07\x9b\r\u202eb"


def _run(command, argv=()):
    return _errors.run(_flags.argument_parser("tool", "Do a thing with G²."), command, list(argv))


def test_control_characters_are_shown_and_other_text_is_left():
    assert plain(STEERING) == SHOWN
    assert plain("ä 結晶 🧊\t[b]\n") == "ä 結晶 🧊\t[b]\n"
    assert in_one_line("a\nb\x1b") == r"a\nb\x1b"


def test_no_record_steers_the_terminal_or_breaks_a_line_of_the_log(tmp_path, capsys):
    def command(arguments):
        with _logging.file_log(tmp_path / "debug.log"):
            logging.getLogger("ptycho").warning("%s\nerror: forged", STEERING)
            raise ValueError(f"{STEERING}\nc")

    assert _run(command) == 2
    shown = capsys.readouterr().err
    assert shown == f"warning: {SHOWN}\\nerror: forged\ntool: error: {SHOWN}\\nc\n"
    text = (tmp_path / "debug.log").read_text(encoding="utf-8")
    assert f"{SHOWN}\\nerror: forged\n" in text
    assert "Traceback (most recent call last):\n" in text
    assert "\x1b" not in text


def _ascii_output(monkeypatch):
    """Put a terminal that knows no letter beyond ASCII in place of standard output, and return what it gets."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    return stream


def test_a_finished_run_is_no_error_for_want_of_a_letter(monkeypatch):
    stream = _ascii_output(monkeypatch)
    assert _run(lambda arguments: sys.stdout.write("label 結 ä\n") * 0) == 0
    assert stream.buffer.getvalue() == b"label \\u7d50 \\xe4\n"
    assert stream.errors == "strict"


def test_help_is_none_either(monkeypatch):
    stream = _ascii_output(monkeypatch)
    with pytest.raises(SystemExit) as done:
        _run(lambda arguments: 0, ["--help"])
    assert done.value.code == 0
    assert b"Do a thing with G\\xb2." in stream.buffer.getvalue()


def test_letters_that_the_pictures_lack_are_told_once(caplog):
    def draw():
        for glyph in (32080, 129482, 32080):
            warnings.warn(
                f"Glyph {glyph} (NAME) missing from font(s) DejaVu Sans.", UserWarning, stacklevel=1
            )
        return []

    with caplog.at_level(logging.WARNING, logger="ptycho"):
        assert drawn_or_failed(draw) == ([], None)
    (record,) = caplog.records
    assert "the font of the pictures lacks 結 🧊, where" in record.getMessage()


def test_other_warnings_of_a_picture_pass():
    with pytest.warns(UserWarning, match="tight layout"):
        drawn_or_failed(lambda: warnings.warn("tight layout", UserWarning, stacklevel=1) or [])
