"""A disk that is full, a folder that is another's: one sentence, the right exit code, and nothing half."""

import logging
import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from full_disks import disk_full_at

from ptycho.cli._logging import console_log, file_log
from ptycho.cli.convert import main as convert
from ptycho.cli.reconstruct import main as reconstruct
from ptycho.cli.simulate import main as simulate
from ptycho.demo import model_folder

_SMALL = ["--object-size", "80", "90", "--step", "12"]


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    assert simulate([str(path), *_SMALL]) == 0
    return path


@pytest.mark.parametrize("command", ["simulate", "convert"])
def test_a_full_disk_is_one_sentence_and_leaves_the_older_file(scan, tmp_path, capsys, command):
    out = tmp_path / "out.npz"
    words = [str(out), *_SMALL] if command == "simulate" else [str(scan), str(out)]
    out.write_bytes(b"older")
    whole = scan.stat().st_size
    for place in (0, 1, 100, 4096, whole // 2, whole - 1):
        with disk_full_at(place):
            code = (simulate if command == "simulate" else convert)([*words, "--overwrite"])
        told = capsys.readouterr().err.splitlines()[-1]
        assert code == 1
        assert told == (
            f"ptycho-{command}: error: {out}: File too large; raise the limit on file sizes or write elsewhere."
        )
        assert out.read_bytes() == b"older"
        assert [path.name for path in tmp_path.iterdir()] == ["out.npz"]


def _reconstruct(scan, folder):
    words = [
        "--test_data",
        str(scan),
        "--model_dir",
        str(model_folder("baseline")),
        "--output_dir",
        str(folder),
    ]
    return reconstruct(words)


def test_a_disk_too_small_for_the_image_names_the_file_and_leaves_no_half(scan, tmp_path, capsys):
    # Once with room, for what is compiled is kept in files too.
    assert _reconstruct(scan, tmp_path / "first") == 0
    capsys.readouterr()
    out = tmp_path / "out"
    with disk_full_at(300):
        assert _reconstruct(scan, out) == 1
    told = capsys.readouterr().err
    assert told.splitlines()[-1].startswith(
        f"ptycho-reconstruct: error: {out / 'reconstruction.npz'}: File too large"
    )
    assert told.count("debug.log ends here: File too large") == 1
    assert "Traceback" not in told
    assert [path.name for path in out.iterdir()] == ["logs"]


def test_a_file_system_that_is_full_is_as_a_limit_is(scan, tmp_path, capsys):
    out = tmp_path / "small"
    out.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=32k", "none", str(out)]
    try:
        mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no file system may be mounted here")
    try:
        assert simulate([str(out / "a.npz"), *_SMALL]) == 1
        assert f"error: {out / 'a.npz'}: No space left on device; free some space" in capsys.readouterr().err
        assert list(out.iterdir()) == []
    finally:
        subprocess.run(["umount", str(out)], check=True)


def test_a_log_that_ends_early_says_so_once(tmp_path, capsys):
    log, logger = tmp_path / "debug.log", logging.getLogger("ptycho.test")
    with console_log(logging.INFO), disk_full_at(200), file_log(log):
        for number in range(20):
            logger.info("line %d of some length, so that the file is full before the last", number)
    told = capsys.readouterr().err
    assert told.count("line ") == 20
    assert told.count(f"warning: the log {log} ends here: File too large") == 1
    assert "Traceback" not in told


@contextmanager
def _another_user():
    """Be nobody for the block, where this process may: the superuser may write everywhere."""
    if os.geteuid() == 0:
        os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        if os.getresuid()[2] == 0:
            os.setresuid(0, 0, 0)


@pytest.mark.skipif(not hasattr(os, "setresuid"), reason="users of Linux")
@pytest.mark.parametrize("mode", [0o555, 0o755])
def test_a_folder_of_another_user_or_for_reading_is_refused_before_any_work(capsys, mode):
    if mode == 0o755 and os.geteuid() != 0:
        pytest.skip("only the superuser can be another user")
    # Not pytest's own folder, into which no other user may look.
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        folder = Path(name) / "folder"
        folder.mkdir()
        folder.chmod(mode)
        with _another_user():
            code = simulate([str(folder / "a.npz"), *_SMALL])
        assert list(folder.iterdir()) == []
    assert code == 2
    assert capsys.readouterr().err == (
        f"ptycho-simulate: error: the folder {folder} is not writable; change its permissions or write elsewhere.\n"
    )
