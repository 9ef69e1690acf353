"""NVML through the real bindings: a fake driver library in C, loaded by name in a subprocess."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autobatch._nvml import Card, visible_cards

REPOSITORY = Path(__file__).parents[2]
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
MIB = 1 << 20


def built(folder, *flags):
    source = Path(__file__).with_name("fake_nvml.c")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(
        [COMPILER, "-shared", "-fPIC", "-Wall", "-Werror", *flags, "-o", library, source], check=True
    )
    return folder


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    if COMPILER is None:
        pytest.skip("no C compiler")
    return built(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="module")
def v1_driver(tmp_path_factory):
    if COMPILER is None:
        pytest.skip("no C compiler")
    return built(tmp_path_factory.mktemp("nvml_v1"), "-DV1_ONLY")


def run_python(code, driver, **environment):
    """Run code in a fresh interpreter that finds the fake driver; return what it printed as JSON."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CUDA_")}
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**inherited, "LD_LIBRARY_PATH": str(driver), "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


PROBE = """
import json
from autobatch._probe import list_devices
print(json.dumps([memory.as_dict() for memory in list_devices()]))
"""


def gpus(driver, **environment):
    return [device for device in run_python(PROBE, driver, **environment) if device["device"] != "CPU"]


def test_cards_are_listed_in_cudas_order_not_nvmls(driver):
    found = gpus(driver)
    assert [(gpu["device"], gpu["name"]) for gpu in found] == [("GPU:0", "Fake H100"), ("GPU:1", "Fake T4")]
    assert [gpu["total_bytes"] for gpu in found] == [80000 * MIB, 16000 * MIB]
    by_bus = gpus(driver, CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert [gpu["name"] for gpu in by_bus] == ["Fake T4", "Fake H100"]


def test_free_is_nvmls_and_usable_leaves_tensorflows_reserve(driver):
    first, second = gpus(driver)
    assert first["free_bytes"] == 60000 * MIB
    assert first["usable_bytes"] == (60000 - 1800 - 400) * MIB
    assert second["usable_bytes"] == (12000 - 1050 - 400) * MIB


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("1", ["T4"]),
        ("1,0", ["T4", "H100"]),
        ("", []),
        ("-1", []),
        ("0,7,1", ["H100"]),
        ("GPU-cafe", ["T4"]),
        ("GPU-beef,GPU-cafe", ["H100", "T4"]),
        ("nonsense,0", []),
        # As the driver 580.159 reads them on an H200 (scripts/on_a_card.py).
        ("0,0", []),
        ("GPU-cafe,GPU-ca", []),
        ("0,GPU-cafe", ["H100"]),
        ("GPU-cafe,0", ["T4"]),
        ("gpu-cafe", []),
        ("GPU-", []),
        ("all", []),
        (" 1 ", ["T4"]),
        ("01", ["T4"]),
        ("+1", ["T4"]),
        ("-0", ["H100"]),
        ("0x1", ["H100"]),
        ("1a,0 7", ["T4", "H100"]),
        ("9" * 5000, []),
    ],
)
def test_cuda_visible_devices_is_read_as_the_driver_reads_it(visible, names):
    cards = visible_cards([H100, T4], [], {"CUDA_VISIBLE_DEVICES": visible})
    assert [card.name for card in cards] == names


def test_cuda_visible_devices_is_honoured(driver):
    assert [gpu["name"] for gpu in gpus(driver, CUDA_VISIBLE_DEVICES="1,0")] == ["Fake T4", "Fake H100"]


@pytest.mark.parametrize("name", ["MIG-0255", "MIG-0255-aaaa", "MIG-GPU-beef0001-22/7/0"])
def test_a_slice_is_reported_with_its_own_memory(driver, name):
    (gpu,) = gpus(driver, FAKE_NVML_MIG="1", CUDA_VISIBLE_DEVICES=name)
    assert (gpu["uuid"], gpu["total_bytes"]) == ("MIG-0255-aaaa", 20000 * MIB)


def test_a_divided_card_counts_as_its_first_slice(driver):
    (gpu,) = gpus(driver, FAKE_NVML_MIG="1", CUDA_VISIBLE_DEVICES="GPU-beef")
    assert (gpu["uuid"], gpu["free_bytes"]) == ("MIG-0055-aaaa", 15000 * MIB)


def test_a_driver_with_the_first_version_only_gives_the_same_figures(driver, v1_driver):
    assert gpus(v1_driver) == gpus(driver)


def test_another_packages_one_argument_function_is_tolerated(driver):
    code = """
import pynvml
original = pynvml.nvmlDeviceGetMemoryInfo
pynvml.nvmlDeviceGetMemoryInfo = lambda handle: original(handle)
"""
    found = run_python(code + PROBE, driver)
    assert [gpu["free_bytes"] for gpu in found[1:]] == [60000 * MIB, 12000 * MIB]


def test_a_card_without_memory_of_its_own_takes_the_hosts(driver):
    host, *found = run_python(PROBE, driver, FAKE_NVML_ZERO="1")
    assert len(found) == 2
    for gpu in found:
        assert gpu["total_bytes"] == host["total_bytes"]
        assert "shared with the host" in gpu["source"]


def test_memory_that_is_not_supported_is_the_hosts_too(driver):
    code = """
import os
import autobatch
os.environ["FAKE_NVML_FAIL"] = "nvmlDeviceGetMemoryInfo:3"
"""
    without_v2 = "import pynvml; del pynvml.nvmlMemory_v2\n"
    host, *found = run_python(without_v2 + code + PROBE, driver)
    assert len(found) == 2
    assert all(gpu["total_bytes"] == host["total_bytes"] for gpu in found)


FUNCTIONS = [
    "nvmlInitWithFlags",
    "nvmlShutdown",
    "nvmlDeviceGetCount_v2",
    "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMigDeviceHandleByIndex",
]
# NotSupported, NoPermission, DriverNotLoaded, LibraryNotFound, FunctionNotFound, GpuIsLost,
# LibRmVersionMismatch, ArgumentVersionMismatch, one from the future, Unknown.
CODES = [3, 4, 9, 12, 13, 15, 18, 25, 77, 999]


def test_every_error_at_every_call_degrades_and_none_is_raised(driver):
    code = f"""
import json, os
from autobatch import device_memory, run_in_batches, BatchCost
told = {{}}
for function in {FUNCTIONS}:
    for code in {CODES}:
        for failing_call in (1, 3):
            os.environ["FAKE_NVML_FAIL"] = f"{{function}}:{{code}}:{{failing_call}}"
            memory = device_memory()
            cost = BatchCost(bytes_per_item=1 << 20)
            run = run_in_batches(lambda start, stop: None, 50, cost=cost)
            told[f"{{function}}:{{code}}:{{failing_call}}"] = [memory.device, memory.source, sum(run.batch_sizes)]
print(json.dumps(told))
"""
    told = run_python(code, driver)
    assert len(told) == len(FUNCTIONS) * len(CODES) * 2
    assert {items for _, _, items in told.values()} == {50}
    assert told["nvmlInitWithFlags:9:1"][0] == "CPU"
    assert told["nvmlDeviceGetMemoryInfo_v2:13:1"][:2] == ["GPU:0", "NVML, TensorFlow not started"]
    assert told["nvmlDeviceGetName:999:1"][:2] == ["GPU:0", "NVML, TensorFlow not started"]


LOST_IN_MID_RUN = """
import json, logging, os
lines = []
handler = logging.Handler()
handler.emit = lambda record: lines.append(record.getMessage())
logging.getLogger("autobatch").addHandler(handler)
logging.getLogger("autobatch").setLevel(logging.INFO)
from autobatch import DoesNotFitError, NoProgress, device_memory, run_in_batches

class Watching:
    def stage(self, label, total, unit="items"):
        stage = NoProgress().stage(label, total, unit)
        stage.memory = lambda memory: readings.append([memory.device, memory.is_known])
        return stage

seconds = 0
def run(compute, device):
    os.environ.pop("FAKE_NVML_FAIL", None)
    def two_seconds_long(start, stop):
        global seconds
        seconds += 2
        return compute(start, stop)
    return run_in_batches(
        two_seconds_long, 10, batch_size=2, device=device, progress=Watching(), clock=lambda: seconds
    )
def lose_the_driver(start, stop):
    if start == 4:
        os.environ["FAKE_NVML_FAIL"] = "nvmlInitWithFlags:999"
def lose_it_and_run_out(start, stop):
    lose_the_driver(4, 6)
    raise MemoryError
told = []
for device in ("GPU:0", None):
    readings = []
    told.append([sum(run(lose_the_driver, device).batch_sizes), readings])
    try:
        run(lose_it_and_run_out, device)
    except DoesNotFitError as error:
        told[-1].append("an unknown amount is free on GPU:0" in str(error))
afterwards = device_memory("GPU:0")
print(json.dumps([told, [afterwards.device, afterwards.is_known], lines]))
"""


def test_a_failure_in_mid_run_costs_one_log_line_and_neither_the_run_nor_the_device(driver):
    told, afterwards, lines = run_python(LOST_IN_MID_RUN, driver)
    readings = [["GPU:0", True]] * 2 + [["GPU:0", False]] * 3
    assert told == [[10, readings, True]] * 2
    assert afterwards == ["GPU:0", False]
    assert [line for line in lines if "NVML" in line] == [
        "NVML does not answer: Unknown Error; going on without it"
    ]


def test_every_opening_is_closed_also_after_errors_and_in_threads(driver):
    code = """
import ctypes, json, os
from concurrent.futures import ThreadPoolExecutor
from autobatch._probe import list_devices
with ThreadPoolExecutor(4) as pool:
    totals = {tuple(m.total_bytes for m in devices[1:]) for devices in pool.map(lambda _: list_devices(), range(40))}
os.environ["FAKE_NVML_FAIL"] = "nvmlDeviceGetMemoryInfo_v2:15"
list_devices()
openings = ctypes.CDLL("libnvidia-ml.so.1").fake_openings()
print(json.dumps([len(totals), openings]))
"""
    assert run_python(code, driver) == [1, 0]


def test_a_forked_child_reads_for_itself(driver):
    code = """
import json, os
from autobatch import device_memory
before = device_memory().free_bytes
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.write(writer, str(device_memory().free_bytes).encode())
    os._exit(0)
os.waitpid(child, 0)
print(json.dumps([before, int(os.read(reader, 100))]))
"""
    before, in_child = run_python(code, driver)
    assert before == in_child == 60000 * MIB


def test_without_a_driver_there_are_no_gpus(tmp_path):
    assert gpus(tmp_path) == []


def test_without_the_bindings_there_are_no_gpus(driver):
    code = "import sys; sys.modules['pynvml'] = None\n"
    assert [memory["device"] for memory in run_python(code + PROBE, driver)] == ["CPU"]


H100, T4 = (
    Card(index=1, uuid="GPU-beef", name="H100", capability=(9, 0)),
    Card(index=0, uuid="GPU-cafe", name="T4", capability=(7, 5)),
)


def test_an_ambiguous_prefix_names_no_card():
    twin = Card(index=2, uuid="GPU-bee2", name="H100")
    assert visible_cards([T4, H100, twin], [], {"CUDA_VISIBLE_DEVICES": "GPU-bee"}) == []


def test_a_lost_card_keeps_its_place_and_hides_no_other(driver):
    code = """
import pynvml
original = pynvml.nvmlDeviceGetHandleByIndex
def lost(index):
    if index == 0:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
    return original(index)
pynvml.nvmlDeviceGetHandleByIndex = lost
from autobatch import device_memory
assert device_memory().device == "GPU:1"
"""
    found = run_python(code + PROBE, driver)
    assert [(gpu["device"], gpu["name"], gpu["source"]) for gpu in found[1:]] == [
        ("GPU:0", "", "unknown"),
        ("GPU:1", "Fake H100", "NVML, TensorFlow not started"),
    ]
