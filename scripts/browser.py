"""Install Debian's Chromium for the tests of pages, where that can be done without asking; never an error.

``make test`` runs it. Where there is no Chromium, no root, no apt or no time, it says so in a line, and the tests of
pages in a browser are skipped with their reason; ``make test BROWSER=none`` leaves it out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser")
# Of the download alone: what is being unpacked is never interrupted.
_MOST_DOWNLOAD_S = 90.0
_APT = ("apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=5", "--no-install-recommends")
_QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


def main() -> int:
    """Install it if need be and say what came of it in a line."""
    print(f"browser for the tests of pages: {installed()}")
    return 0


def installed() -> str:
    """Return where Chromium is, or why it is not, after an attempt to install it."""
    if found := _path():
        return found
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return "none, and only root with apt-get can install it: those tests are skipped"
    try:
        _download(time.monotonic() + _MOST_DOWNLOAD_S)
        _apt("install", NAMES[0], timeout_s=None)
    except (OSError, subprocess.SubprocessError) as error:
        return f"none, and it could not be installed ({_reason(error)}): those tests are skipped"
    return _path() or "none, though apt-get has installed it: those tests are skipped"


def _path() -> str | None:
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def _download(deadline_s: float) -> None:
    """Fetch the packages; an image of a machine has old lists, or none, of what there is."""
    words = ("install", "--download-only", NAMES[0])
    try:
        _apt(*words, timeout_s=deadline_s - time.monotonic())
    except subprocess.CalledProcessError:
        _apt("update", timeout_s=deadline_s - time.monotonic())
        _apt(*words, timeout_s=deadline_s - time.monotonic())


def _apt(*words: str, timeout_s: float | None) -> None:
    subprocess.run(
        [*_APT, *words],
        check=True,
        timeout=timeout_s,
        env=os.environ | _QUIET,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no more than {_MOST_DOWNLOAD_S:.0f} s are waited for the download"
    told = getattr(error, "stderr", None) or str(error)
    return told.strip().splitlines()[-1] if told.strip() else type(error).__name__


if __name__ == "__main__":
    raise SystemExit(main())
