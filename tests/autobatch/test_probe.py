"""Which device is meant, and what the package imports."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from autobatch import DeviceMemory
from autobatch import __main__ as command_line
from autobatch._host import host_memory
from autobatch._probe import as_probe
from autobatch.errors import DeviceNotFoundError
from autobatch.testing import FixedMemory

REPOSITORY = Path(__file__).parents[2]


def run_python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout


def test_importing_the_package_imports_the_standard_library_only():
    code = "import sys, autobatch, autobatch.testing; print('\\n'.join(sys.modules))"
    loaded = {name.partition(".")[0] for name in run_python("-c", code).split()}
    expected = {
        name.partition(".")[0]
        for name in run_python("-c", "import sys; print('\\n'.join(sys.modules))").split()
    }
    assert loaded - expected - set(sys.stdlib_module_names) == {"autobatch"}


def test_a_function_is_a_device():
    memory = FixedMemory(7)
    assert as_probe(memory)() == memory()


def test_a_wrong_name_is_refused_before_any_work():
    with pytest.raises(DeviceNotFoundError, match="'gpu' but must be"):
        as_probe("gpu")


def test_the_probe_command_prints_json_with_free_and_usable():
    (host, *_) = json.loads(run_python("-m", "autobatch", "probe", "--json"))["devices"]
    assert host["device"] == "CPU"
    assert 0 < host["usable_bytes"] <= host["free_bytes"] <= host["total_bytes"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["probe", "--jso"], "autobatch: error: unknown --jso; did you mean --json?"),
        (["--frobnicate"], "autobatch: error: unknown --frobnicate; see autobatch --help"),
        (["prob"], "autobatch: error: argument command: invalid choice: 'prob' (choose from"),
        ([], "autobatch: error: the following arguments are required: command; see autobatch --help"),
    ],
)
def test_wrong_use_is_one_line(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        command_line.main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_the_probe_command_prints_a_table(monkeypatch, capsys):
    devices = [
        FixedMemory(3 << 30, total_bytes=24 << 30, device="CPU")(),
        DeviceMemory(
            device="GPU:0",
            total_bytes=None,
            free_bytes=0,
            usable_bytes=0,
            source=DeviceMemory.UNKNOWN,
            notes=("NVML [does not] answer",),
            name="Fake H100",
        ),
    ]
    monkeypatch.setattr(command_line, "list_devices", lambda: devices)
    monkeypatch.setenv("COLUMNS", "100")
    assert command_line.main(["probe"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == ["device", "total", "free", "usable", "source,", "notes"]
    assert lines[2] == ["CPU", "24.0", "GiB", "3.00", "GiB", "3.00", "GiB", "fixed"]
    assert lines[3] == ["GPU:0", "?", "?", "?", "unknown"]
    assert lines[4] == ["Fake", "H100", "NVML", "[does", "not]", "answer"]


def test_python_alone_is_enough(tmp_path, monkeypatch, capsys):
    for name in ("psutil", "rich"):
        monkeypatch.setitem(sys.modules, name, None)
    memory = host_memory(tmp_path)
    assert not memory.is_known
    assert "psutil is not installed" in memory.notes[0]
    monkeypatch.setattr(command_line, "list_devices", lambda: [memory])
    assert command_line.main(["probe"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("CPU\t?\t?\t?\tunknown; the free memory")
