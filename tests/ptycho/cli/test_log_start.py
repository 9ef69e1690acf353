"""What a log file begins with: versions, command, and fingerprints of the inputs."""

import hashlib
import logging
import os
from argparse import Namespace
from datetime import datetime
from pathlib import Path

import numpy as np

from ptycho._version import __version__
from ptycho.cli._log_start import fingerprint, log_start
from ptycho.report.fingerprints import input_file

MIB = 2**20


def _logged(caplog, inputs, warnings=()):
    arguments = Namespace(command_line=("tool", "--a", "b c", "x\ny"), warnings=warnings)
    with caplog.at_level(logging.DEBUG, logger="ptycho"):
        log_start(arguments, [("scan", path) for path in inputs])
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}
    return [record.getMessage() for record in caplog.records]


def test_it_says_command_folder_versions_and_machine(caplog):
    lines = _logged(caplog, [], warnings=("--a is odd",))
    assert lines[0] == r"command: tool --a 'b c' 'x\ny'"
    assert lines[1] == f"folder: {os.getcwd()}"
    assert lines[2].startswith(f"ptycho-autobatch {__version__}, python 3.")
    assert f"numpy {np.__version__}" in lines[2]
    assert lines[3].endswith(" processors")
    assert lines[4:] == ["warning: --a is odd"]


def test_every_file_of_a_folder_has_a_line(caplog, tmp_path):
    (tmp_path / "model" / "deep").mkdir(parents=True)
    (tmp_path / "model" / "b.json").write_text("{}")
    (tmp_path / "model" / "deep" / "a.h5").write_text("")
    os.mkfifo(tmp_path / "model" / "pipe")
    lines = _logged(caplog, [tmp_path / "model", tmp_path / "gone.npz"])
    assert [line.partition(": ")[2].rpartition(": ")[0] for line in lines[4:6]] == [
        str(tmp_path / "model" / "b.json"),
        str(tmp_path / "model" / "deep" / "a.h5"),
    ]
    assert lines[6:] == [f"input: {tmp_path / 'gone.npz'}: No such file or directory"]


def test_a_small_file_is_hashed_whole_and_a_large_one_at_its_ends(tmp_path):
    path = tmp_path / "scan.npz"
    content = np.random.default_rng(0).bytes(2 * MIB + 5)
    path.write_bytes(content[: 2 * MIB])
    os.utime(path, (1e9, 1e9 + 0.25))
    when = datetime.fromtimestamp(1e9 + 0.25).astimezone().isoformat(timespec="milliseconds")
    digest = hashlib.sha256(content[: 2 * MIB]).hexdigest()
    assert fingerprint(input_file(path)) == (
        f"{path}: 2,097,152 bytes, changed {when}, SHA-256 of the whole {digest}"
    )
    path.write_bytes(content)
    digest = hashlib.sha256(content[:MIB] + content[-MIB:]).hexdigest()
    assert fingerprint(input_file(path)).endswith(f"SHA-256 of the first and last MiB {digest}")


def test_a_name_that_would_break_the_line_is_written_as_python_does():
    assert fingerprint(input_file(Path("a\nb"))) == r"'a\nb': No such file or directory"


def test_the_user_s_folder_is_not_told(caplog, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.npz").write_text("")
    lines = _logged(caplog, [tmp_path / "a.npz"])
    assert lines[1] == "folder: ~"
    assert lines[4].startswith("input: ~/a.npz: 0 bytes")
