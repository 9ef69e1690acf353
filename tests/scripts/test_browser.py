"""Chromium is installed where that can be done without asking, and nothing fails where it cannot."""

import os
import subprocess

import pytest

from scripts import browser


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A path with nothing on it but what a test puts there; root."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    def program(name, script="exit 0"):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return program


def test_one_that_is_there_is_left_alone(machine, capsys):
    found = machine("chromium")
    machine("apt-get", "exit 1")
    assert browser.main() == 0
    assert capsys.readouterr().out == f"browser for the tests of pages: {found}\n"


def test_it_is_downloaded_first_and_then_installed(machine, tmp_path):
    log, made = tmp_path / "log", tmp_path / "chromium"
    machine(
        "apt-get",
        f'echo "$*" >> {log}\ncase "$*" in *download-only*) ;; *install*) printf "#!/bin/sh\\n" > {made}; '
        f"/bin/chmod +x {made};; esac",
    )
    assert browser.installed() == str(made)
    assert ["--download-only" in line for line in log.read_text().splitlines()] == [True, False]
    assert all("--no-install-recommends" in line for line in log.read_text().splitlines())


def test_old_lists_are_fetched_anew_once(machine, tmp_path):
    log, fresh = tmp_path / "log", tmp_path / "fresh"
    machine(
        "apt-get",
        f'echo "$*" >> {log}\ncase "$*" in *update*) : > {fresh};; *) [ -e {fresh} ] || exit 100;; esac',
    )
    assert "though apt-get has installed it" in browser.installed()
    kinds = [
        next(w for w in ("update", "download", "install") if w in line)
        for line in log.read_text().splitlines()
    ]
    assert kinds == ["download", "update", "download", "install"]


@pytest.mark.parametrize("root", [True, False])
def test_without_root_or_apt_the_tests_are_skipped(machine, monkeypatch, root):
    if not root:
        machine("apt-get")
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert browser.installed() == "none, and only root with apt-get can install it: those tests are skipped"


def test_what_apt_says_is_the_reason_and_no_error(machine, monkeypatch):
    machine("apt-get", "echo noise >&2; echo 'E: Unable to locate package chromium' >&2; exit 100")
    assert "(E: Unable to locate package chromium): those tests are skipped" in browser.installed()

    def too_slow(*words, timeout, **options):
        raise subprocess.TimeoutExpired(words, timeout)

    monkeypatch.setattr(subprocess, "run", too_slow)
    assert "no more than 90 s are waited" in browser.installed()
