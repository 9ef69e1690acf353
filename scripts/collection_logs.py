"""The record of what pytest collects for every documented selector, for `registry.py`.

It is a folder ``collect-only/`` in a report of a plan, ``plans/*/*/reports/*/``. A new one takes the place of the
newest; other evidence in that report stays.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from collected_suite import RegistryError, SuiteModule, collect

_COMMAND = "$ python -m pytest --collect-only -q "
_REPORTS = "*/*/reports"
_PLANS = Path("plans")


def newest_logs() -> Path | None:
    """Return the newest folder of logs; reports are named after the time they were made."""
    found = _PLANS.glob(f"{_REPORTS}/*/collect-only")
    return max(found, key=lambda folder: folder.parent.name, default=None)


def log_faults(modules: Sequence[SuiteModule]) -> list[str]:
    """Return a sentence for each selector whose log is missing, gone, or not what pytest collects."""
    folder = newest_logs()
    logged = {} if folder is None else _logged(folder)
    collected = {module.selector: set(map(_plain, module.selected)) for module in modules}
    missing = {module.selector for module in modules if module.state == "Active"} - logged.keys()
    other = {name for name in logged.keys() & collected.keys() if logged[name] != collected[name]}
    where = folder or f"{_PLANS}/{_REPORTS}"
    return [
        *(f"{where} has no log of the Active selector `{name}`" for name in sorted(missing)),
        *(
            f"{where} has a log of `{name}`, which is no selector any more"
            for name in sorted(logged.keys() - collected)
        ),
        *(f"{where} has a log of `{name}` with other tests than pytest collects" for name in sorted(other)),
    ]


def _logged(folder: Path) -> dict[str, set[str]]:
    """Return the tests in the log of each selector."""
    text = "".join(log.read_text(encoding="utf-8") for log in sorted(folder.glob("*.log")))
    logs = (log.splitlines() for log in f"\n{text}".split(f"\n{_COMMAND}")[1:])
    return {selector: {_plain(line) for line in lines if "::" in line} for selector, *lines in logs}


def _plain(node_id: str) -> str:
    """Return what pytest calls a test with single backslashes: it doubles them whenever it collects again."""
    return re.sub(r"\\+", r"\\", node_id)


def log_texts(modules: Sequence[SuiteModule]) -> dict[str, str]:
    """Return pytest's own list of every documented selector, one text for each folder of tests."""
    texts: dict[str, str] = {}
    for module in modules:
        code, output = collect(shlex.split(module.selector))
        folder = Path(module.path).parts[1:-1][:1] or ("repository",)
        log = f"{_COMMAND}{module.selector}\n{output}exit code {code}\n\n"
        texts[folder[0]] = texts.get(folder[0], "") + log
    return texts


def write_logs(modules: Sequence[SuiteModule]) -> Path:
    """Put the logs into a new report in place of the newest ones, and return their folder."""
    texts, newest, reports = log_texts(modules), newest_logs(), _reports()
    # Before the new folder is made, which within one second has the name of the last.
    if newest is not None:
        shutil.rmtree(newest)
        if not any(newest.parent.iterdir()):
            newest.parent.rmdir()
    folder = reports / datetime.now(timezone.utc).strftime("%Y-%m-%dT%H%M%SZ") / "collect-only"
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / f"{name}.log").write_text(text, encoding="utf-8")
    return folder


def _reports() -> Path:
    """Return the folder that new logs go to: that of the newest ones, or else the only one.

    Raises
    ------
    RegistryError
        If there are no logs, and none or several folders that they could go to.
    """
    newest = newest_logs()
    found = [newest.parents[1]] if newest else sorted(_PLANS.glob(_REPORTS))
    if len(found) != 1:
        raise RegistryError(
            f"{_PLANS} has {len(found)} folders {_REPORTS} and no logs yet, so that it is not known where they belong; "
            f"make the folder {_PLANS}/active/<ID>/reports/<time>/collect-only in the plan that is worked on."
        )
    return found[0]
