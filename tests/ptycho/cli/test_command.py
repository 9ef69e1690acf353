"""The door that errors leave by, display flags, argument types, and checks of output paths."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import re
import sys

import pytest
import tensorflow as tf

from autobatch.errors import DeviceNotFoundError, DoesNotFitError
from ptycho.cli import _errors, _flags, _logging, _paths
from ptycho.errors import DataError, SettingsError
from ptycho.reconstruction import InferenceSettings


def _parser() -> argparse.ArgumentParser:
    parser = _flags.argument_parser("tool", "Do a thing.")
    _flags.add_display_flags(parser)
    parser.add_argument("--size", type=_flags.positive_int)
    parser.add_argument("--batch", type=_flags.auto_or_positive_int)
    return parser


def _raising(error, *, late=False):
    def command(arguments):
        if late:
            with _errors.working():
                raise error
        raise error

    return command


@pytest.mark.spec("CM-10.4")
@pytest.mark.spec("CM-11.3")
@pytest.mark.parametrize(
    ("error", "early", "late", "message"),
    [
        (DataError("frames are odd."), 2, 1, "frames are odd."),
        (_errors.UsageError("no model."), 2, 1, "no model."),
        (ValueError("M is 65 of 64."), 2, 1, "M is 65 of 64."),
        (DeviceNotFoundError("no GPU:3."), 2, 1, "no GPU:3."),
        (DoesNotFitError("one item is 5 GiB."), 1, 1, "one item is 5 GiB."),
        (MemoryError(), 1, 1, "out of memory; close other programs or pass fewer frames."),
        (MemoryError("8 GiB"), 1, 1, "out of memory (8 GiB); close other programs or pass fewer frames."),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "a.npz"),
            *(2, 1, "a.npz: No such file or directory; check the path."),
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "a.npz"),
            *(1, 1, "a.npz: No space left on device; free some space or write elsewhere."),
        ),
        (OSError("odd"), 2, 1, "odd"),
    ],
)
def test_expected_errors_are_one_line_and_an_exit_code(capsys, error, early, late, message):
    assert _errors.run(_parser(), _raising(error), []) == early
    assert capsys.readouterr().err == f"tool: error: {message}\n"
    assert _errors.run(_parser(), _raising(error, late=True), ["--quiet"]) == late
    assert capsys.readouterr() == ("", f"tool: error: {message}\n")


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{{function_node __wrapped__AddV2_device_/x:0}} OOM when allocating [Op:AddV2]",
            "OOM when allocating [Op:AddV2]",
        ),
        ("OOM when allocating tensor with shape[8]\nHint: …", "OOM when allocating tensor with shape[8]"),
        ("Graph execution error:\n\nat f\nOOM when allocating\n\t [[{{node f}}]]", "OOM when allocating"),
    ],
)
def test_tensorflow_out_of_memory_is_one_line_too(capsys, late, text, said):
    error = tf.errors.ResourceExhaustedError(None, None, text)
    assert _errors.run(_parser(), _raising(error, late=late), []) == 1
    assert (
        capsys.readouterr().err
        == f"tool: error: out of memory ({said}); close other programs or pass fewer frames.\n"
    )


@pytest.mark.parametrize("late", [False, True])
def test_a_programming_error_is_not_hidden(late):
    with pytest.raises(ZeroDivisionError):
        _errors.run(_parser(), _raising(ZeroDivisionError(), late=late), [])


@pytest.mark.spec("CM-11.4")
@pytest.mark.parametrize("late", [False, True])
def test_ctrl_c_is_130(capsys, late):
    assert _errors.run(_parser(), _raising(KeyboardInterrupt(), late=late), []) == 130
    assert capsys.readouterr().err == "tool: error: stopped by Ctrl-C before anything was finished\n"


def test_ctrl_c_says_what_is_kept(capsys):
    assert _errors.run(_parser(), _raising(KeyboardInterrupt("stopped by Ctrl-C; a kept")), []) == 130
    assert capsys.readouterr().err == "tool: error: stopped by Ctrl-C; a kept\n"


def test_the_command_s_own_code_is_returned():
    assert _errors.run(_parser(), lambda arguments: arguments.size, ["--size", "7"]) == 7


@pytest.mark.spec("CM-10.4")
def test_verbose_shows_where_it_failed(capsys):
    _errors.run(_parser(), _raising(DataError("odd")), ["--verbose"])
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("tool: error: odd\n")


@pytest.mark.spec("CM-10.2")
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "i\nwarning: w\n"),
        (["--verbose"], "debug: d\ni\nwarning: w\n"),
        (["--console-level", "WARNING"], "warning: w\n"),
        (["--console-level", "ERROR"], ""),
        (["--quiet"], ""),
    ],
)
@pytest.mark.parametrize("name", ["ptycho.any", "autobatch.any"])
def test_display_flags_choose_what_reaches_the_console(capsys, flags, expected, name):
    def command(arguments):
        for level, text in ((logging.DEBUG, "d"), (logging.INFO, "i"), (logging.WARNING, "w")):
            logging.getLogger(name).log(level, text)
        return 0

    assert _errors.run(_parser(), command, flags) == 0
    assert capsys.readouterr().err == expected


def test_console_lines_follow_a_replaced_stderr(monkeypatch, capsys):
    """A live display replaces standard error so that log lines appear above its bars."""
    lines = []

    class Display:
        write = staticmethod(lines.append)
        flush = staticmethod(lambda: None)

    def command(arguments):
        monkeypatch.setattr(sys, "stderr", Display())
        logging.getLogger("ptycho").info("above the bars")
        monkeypatch.undo()
        return 0

    _errors.run(_parser(), command, [])
    assert "".join(lines) == "above the bars\n"


def test_no_handler_or_level_is_left_behind():
    loggers = [logging.getLogger(name) for name in ("ptycho", "autobatch")]
    before = [(list(each.handlers), each.level) for each in loggers]
    _errors.run(_parser(), _raising(DataError("odd")), [])
    assert [(list(each.handlers), each.level) for each in loggers] == before


@pytest.mark.spec("CM-9.8")
def test_the_file_log_holds_everything_whatever_the_console_shows(tmp_path, capsys):
    def command(arguments):
        with _logging.file_log(tmp_path / "debug.log"), _errors.working():
            logging.getLogger("autobatch").debug("detail")
            raise DataError("odd")

    assert _errors.run(_parser(), command, ["--quiet"]) == 1
    text = (tmp_path / "debug.log").read_text()
    assert "DEBUG   autobatch: detail" in text
    assert "Traceback" in text
    assert "DataError: odd" in text
    assert capsys.readouterr().err == "tool: error: odd\n"


@pytest.mark.spec("CM-1.1")
@pytest.mark.spec("CM-10.2")
@pytest.mark.parametrize("argv", [["--quiet", "--verbose"], ["--huge", "3"], ["--console-level", "LOUD"]])
def test_wrong_flags_are_one_line_and_code_2(capsys, argv):
    with pytest.raises(SystemExit) as caught:
        _errors.run(_parser(), lambda arguments: 0, argv)
    assert caught.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("tool: error: ")
    assert shown.endswith("; see tool --help\n")
    assert shown.count("\n") == 1


@pytest.mark.spec("CM-1.7")
def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        _errors.run(_parser(), lambda arguments: 0, ["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("tool ")


@pytest.mark.parametrize("text", ["0", "-2", "abc", "1.5", ""])
def test_sizes_that_are_none_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"{text!r} is not a whole number of at least 1"):
        _flags.positive_int(text)
    with pytest.raises(argparse.ArgumentTypeError, match=f"{text!r} is neither 'auto' nor a whole number"):
        _flags.auto_or_positive_int(text)


@pytest.mark.spec("CM-5.1")
def test_sizes_are_parsed():
    assert _flags.positive_int("12") == 12
    assert _flags.auto_or_positive_int("3") == 3
    assert _flags.auto_or_positive_int("auto") == "auto"


def test_output_files_are_checked_and_nothing_is_made(tmp_path):
    existing = tmp_path / "old.npz"
    existing.write_text("x")
    _paths.check_output_file(tmp_path / "new.npz", overwrite=False)
    _paths.check_output_file(existing, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.npz"]


@pytest.mark.parametrize(
    ("name", "overwrite", "message"),
    [
        ("old.npz", False, "already exists; pass --overwrite"),
        ("", True, "is a folder but the output must be a file"),
        ("none/new.npz", True, "the folder .*none does not exist"),
        ("old.npz/new.npz", True, "old.npz is a file but the output needs a folder there"),
        ("pipe", True, "is a device or pipe"),
    ],
)
def test_impossible_output_files_are_refused(tmp_path, name, overwrite, message):
    (tmp_path / "old.npz").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(_errors.UsageError, match=message):
        _paths.check_output_file(tmp_path / name, overwrite=overwrite)


def test_output_folders_are_checked_and_nothing_is_made(tmp_path):
    (tmp_path / "file").write_text("x")
    _paths.check_output_folder(tmp_path)
    _paths.check_output_folder(tmp_path / "a" / "b")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    with pytest.raises(_errors.UsageError, match="file is a file but the output needs a folder there"):
        _paths.check_output_folder(tmp_path / "file" / "a" / "b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(_errors.UsageError, match="is not writable"):
        _paths.check_output_folder(tmp_path / "a")


@pytest.mark.spec("CM-10.1")
def test_progress_is_log_lines_without_a_terminal(capsys):
    with _logging.progress_display(_parser().parse_args([])) as progress:
        assert type(progress).__name__ == "LogProgress"


@pytest.mark.spec("CM-10.1")
def test_progress_is_bars_on_a_terminal_unless_quiet(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    kinds = []
    for flags in ([], ["--quiet"]):
        with _logging.progress_display(_parser().parse_args(flags)) as progress:
            kinds.append([type(each).__name__ for each in getattr(progress, "displays", [progress])])
    assert kinds == [["RichProgress", "LogProgress"], ["LogProgress"]]


def test_bars_on_a_terminal_leave_lines_in_the_log_file_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    arguments = _parser().parse_args([])
    log = tmp_path / "debug.log"
    with (
        _logging.console_log(logging.INFO),
        _logging.file_log(log),
        _logging.progress_display(arguments) as both,
        both.stage("PINN", 20, "patches") as stage,
    ):
        stage.batch_size(4, "given")
        stage.part("worker 0").advance(20)
        stage.note("so far")
        stage.advance(20)
    lines = [line.split("autobatch: ")[1] for line in log.read_text().splitlines()]
    assert lines[0] == "PINN: 20 patches to do"
    assert re.fullmatch(
        r"PINN: 20/20 patches, .* patches/s, finished, so far; worker 0: .* patches/s", lines[-1]
    )
    assert "patches to do" not in capsys.readouterr().err


@pytest.mark.spec("CM-5.8")
@pytest.mark.parametrize(
    ("text", "device"),
    [("auto", None), ("cpu", "CPU"), ("CPU:0", "CPU"), ("GPU:0", "GPU:0"), ("gpu:12", "GPU:12")],
)
def test_devices_are_named_as_tensorflow_does(text, device):
    assert InferenceSettings(device=device and text).device == device
    parser = _parser()
    _flags.add_device_flag(parser)
    assert parser.parse_args(["--device", text]).device == device
    assert parser.parse_args([]).device is None


@pytest.mark.spec("CM-5.8")
@pytest.mark.parametrize("text", ["gpu", "GPU:", "GPU:x", "GPU:²", "tpu", ""])
@pytest.mark.parametrize("several", [False, True])
def test_other_devices_are_refused(text, several, capsys):
    parser = _parser()
    _flags.add_device_flag(parser, several=several)
    with pytest.raises(SystemExit):
        parser.parse_args(["--device", text])
    assert f"{text!r} is none of auto, cpu and GPU:i" in capsys.readouterr().err
    with pytest.raises(SettingsError, match="must be None, 'CPU' or 'GPU:0'"):
        InferenceSettings(device=text)


@pytest.mark.spec("CM-5.8")
@pytest.mark.parametrize(
    ("text", "device", "names"),
    [
        ("cpu:2", "CPU", ("CPU", "CPU")),
        ("GPU:1,gpu:0", "GPU:1", ("GPU:1", "GPU:0")),
        ("GPU:1", "GPU:1", None),
        ("auto", None, None),
    ],
)
def test_a_list_of_devices_has_workers(text, device, names):
    parser = _parser()
    _flags.add_device_flag(parser.add_argument_group(), several=True)
    assert parser.parse_args([]).worker_devices is parser.parse_args([]).device is None
    arguments = parser.parse_args(["--device", text])
    assert arguments.device == device
    assert (arguments.worker_devices and arguments.worker_devices.names) == names


@pytest.mark.parametrize(
    ("text", "said"),
    [("GPU:1,GPU:1", "each card has one worker; name each once"), ("GPU:0,cpu", "must be cards such as")],
)
def test_other_lists_of_devices_are_refused(text, said, capsys):
    parser = _parser()
    _flags.add_device_flag(parser, several=True)
    with pytest.raises(SystemExit):
        parser.parse_args(["--device", text])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "level"), [([], "3"), (["--quiet"], "3"), (["--verbose"], "0")])
def test_what_native_code_says_is_for_who_asks_for_everything(monkeypatch, flags, level):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    found = []
    assert (
        _errors.run(_parser(), lambda arguments: found.append(os.environ["TF_CPP_MIN_LOG_LEVEL"]) or 0, flags)
        == 0
    )
    assert found == [level]
