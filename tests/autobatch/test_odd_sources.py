"""Whatever NVML, /proc, a control group or the environment holds, nothing is raised and no figure is impossible."""

import importlib.machinery
import resource
import sys
import types
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autobatch import _cgroup, _host, _nvml, _tensorflow, device_memory, run_in_batches
from autobatch._nvml import Card, NvmlUnavailableError, card_memory, cuda_cards, visible_cards
from autobatch._probe import list_devices

MIB = 1 << 20


class FakeNvml(types.ModuleType):
    """Stands for pynvml: two cards with the answers given, everything else as a driver without fault."""

    class NVMLError(Exception):
        value = 999

    NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_LIBRARY_NOT_FOUND, NVML_ERROR_DRIVER_NOT_LOADED = 3, 12, 9
    nvmlMemory_v2 = 2  # noqa: N815

    def __init__(self, **answers):
        super().__init__("pynvml")
        self.answers = {
            "nvmlDeviceGetCount": 2,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetUUID": "GPU-cafe",
            "nvmlDeviceGetName": "T4",
            "nvmlDeviceGetCudaComputeCapability": (7, 5),
            "nvmlDeviceGetMigMode": (0, 0),
            "nvmlDeviceGetMaxMigDeviceCount": 0,
            "nvmlDeviceGetMemoryInfo": memory(16 * MIB, 12 * MIB),
        } | answers

    def __getattr__(self, name):
        if not name.startswith("nvml"):
            raise AttributeError(name)
        return lambda *arguments, **named: self.answer(self.answers.get(name))

    @staticmethod
    def answer(value):
        if isinstance(value, Exception):
            raise value
        return value


def memory(total, free, used=0):
    return types.SimpleNamespace(total=total, free=free, used=used)


@pytest.fixture
def nvml(monkeypatch):
    """Return a function that puts a fake library in place."""
    monkeypatch.setattr(_tensorflow, "imported_tensorflow", lambda: None)

    def replace(**answers):
        monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(**answers))

    return replace


NOT_UTF8 = b"NVIDIA GeForce RTX 4090 \xf8"


@pytest.mark.parametrize(
    "answer", [NOT_UTF8, UnicodeDecodeError("utf-8", NOT_UTF8, 24, 25, "invalid start byte")]
)
def test_a_name_that_is_not_utf8_costs_its_odd_bytes_only(nvml, answer):
    nvml(nvmlDeviceGetName=answer)
    reading = device_memory("GPU:0")
    assert (reading.name, reading.free_bytes) == ("NVIDIA GeForce RTX 4090 \ufffd", 12 * MIB)
    assert sum(run_in_batches(lambda start, stop: None, 10, batch_size=4).batch_sizes) == 10


def test_a_part_of_a_card_is_not_given_the_whole_cards_free_memory(nvml):
    nvml(nvmlDeviceGetMemoryInfo=memory(total=4000, free=24000, used=1000))
    assert card_memory(Card(index=0, uuid="", name="")) == _nvml.CardMemory(total_bytes=4000, free_bytes=3000)


@pytest.mark.parametrize("free", [-1, 1 << 70, None, "12", float("nan"), True])
def test_impossible_figures_are_no_figures(nvml, free):
    nvml(nvmlDeviceGetMemoryInfo=memory(total=4000, free=free))
    with pytest.raises(NvmlUnavailableError, match="is no number from 0"):
        card_memory(Card(index=0, uuid="", name=""))
    assert not device_memory("GPU:0").is_known


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 70), 1 << 70),
    st.integers(-2, 3),
    st.floats(),
    st.text(max_size=9),
    st.binary(max_size=9),
    st.tuples(st.integers(-1, 9), st.integers(-1, 9)),
    st.just(()),
    st.just(object()),
    st.builds(memory, st.integers(-9, 1 << 62) | st.none(), st.integers(-9, 1 << 62) | st.text(max_size=2)),
    st.sampled_from(
        [
            RuntimeError("odd"),
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"),
            KeyError("odd"),
            OSError(5, "odd"),
        ]
    ),
    st.builds(FakeNvml.NVMLError),
)
CALLS = [
    "nvmlInit",
    "nvmlShutdown",
    "nvmlDeviceGetCount",
    "nvmlDeviceGetHandleByIndex",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMigDeviceHandleByIndex",
    "nvmlDeviceGetGpuInstanceId",
    "nvmlDeviceGetComputeInstanceId",
    "nvmlDeviceGetMemoryInfo",
]
whole_source = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@whole_source
@given(answers=st.dictionaries(st.sampled_from(CALLS), ODD, max_size=4))
def test_whatever_nvml_answers_nothing_is_raised(nvml, answers):
    nvml(**answers)
    for reading in list_devices():
        assert 0 <= reading.usable_bytes <= reading.free_bytes
        assert reading.total_bytes is None or reading.free_bytes <= reading.total_bytes
        reading.name.encode()
    assert len(run_in_batches(lambda start, stop: 1, 3, batch_size=2).outputs) == 2


@given(
    visible=st.lists(
        st.text(max_size=5)
        | st.integers(-2, 3).map(str)
        | st.sampled_from(["GPU-", "MIG-GPU-b/0/1", "²", "9" * 5000])
    ).map(",".join),
    order=st.text(max_size=3) | st.just("PCI_BUS_ID"),
)
def test_whatever_the_environment_names_nothing_is_raised(visible, order):
    cards = [Card(index=0, uuid="GPU-a", name="T4"), Card(index=1, uuid="GPU-b", name="", fault="lost")]
    slices = [Card(index=7, uuid="MIG-b", name="T4", mig_index=0, mig_instance=(0, 1))]
    found = visible_cards(cards, slices, {"CUDA_VISIBLE_DEVICES": visible, "CUDA_DEVICE_ORDER": order})
    assert set(found) <= {*cards, *slices}


def test_a_library_that_fails_to_close_has_answered_all_the_same(nvml):
    nvml(nvmlShutdown=FakeNvml.NVMLError("closed twice"))
    assert len(cuda_cards()) == 2


ODD_LINES = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.binary(max_size=12),
        st.sampled_from(
            ["0::/a/b", "0::/", "4:memory:/a", "x", "::", "0::relative", "1:memory", "0::/../..", "0::/\0"]
        ),
        st.sampled_from(
            [
                "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
                "31 23 0:26 /a /mnt rw - cgroup2 cgroup2 rw",
                "32 23 0:26 /b /mnt rw - cgroup2 cgroup2 rw",
                "30 23 - cgroup2",
                "30 23 0:26 /\\000 /\\777 rw - cgroup2 cgroup2 rw",
                "35 31 0:32 / /sys/fs/cgroup rw - cgroup cgroup rw,memory",
                " - ",
            ]
        ),
        st.sampled_from(
            ["MemTotal: 9 kB", "MemAvailable: 12 kB", f"MemTotal: {'9' * 5000} kB", "VmSize: \u0661 kB"]
        ),
        st.sampled_from(["0", "-1", "max", "²", "9" * 5000, "1e9", "inactive_file 5", "inactive_file x"]),
    ),
    max_size=5,
).map(
    lambda lines: b"\n".join(
        line if isinstance(line, bytes) else line.encode(errors="replace") for line in lines
    )
)
FILES = [
    "proc/self/cgroup",
    "proc/self/mountinfo",
    "proc/meminfo",
    "proc/self/status",
    "sys/fs/cgroup/memory.max",
    "sys/fs/cgroup/memory.current",
    "sys/fs/cgroup/a/memory.max",
    "sys/fs/cgroup/a/memory.current",
    "sys/fs/cgroup/memory.limit_in_bytes",
    "sys/fs/cgroup/memory.stat",
    "mnt/memory.max",
]
FOLDER = b"folder"


@pytest.fixture
def no_own_limits(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (5 * MIB, resource.RLIM_INFINITY))
    monkeypatch.setattr(_tensorflow, "host_limit_bytes", lambda: None)


@whole_source
@given(contents=st.dictionaries(st.sampled_from(FILES), ODD_LINES | st.just(FOLDER)))
def test_whatever_the_files_hold_nothing_is_raised(tmp_path_factory, no_own_limits, contents):
    root = tmp_path_factory.mktemp("root")
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if content == FOLDER else path.write_bytes(content)
    reading = _host.host_memory(root)
    assert 0 <= reading.usable_bytes <= reading.free_bytes
    assert reading.total_bytes is None or reading.free_bytes <= reading.total_bytes


def group_files(root, *, membership, mounts, limits):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    (root / "proc/self/mountinfo").write_text(mounts)
    for folder, limit in limits.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "memory.max").write_text(str(limit))
        (root / folder / "memory.current").write_text("0")


MOUNT = "30 23 0:26 {} {} rw - cgroup2 cgroup2 rw\n"


def test_of_several_mounts_the_one_that_shows_the_group_counts(tmp_path):
    mounts = MOUNT.format("/other", "/elsewhere") + MOUNT.format("/", "/sys/fs/cgroup")
    limits = {"elsewhere": 1 * MIB, "sys/fs/cgroup/job": 700 * MIB}
    group_files(tmp_path, membership="0::/job\n", mounts=mounts, limits=limits)
    assert [bound.free_bytes for bound in _cgroup.bounds(tmp_path, [])] == [700 * MIB]


def test_every_mount_that_shows_the_group_counts(tmp_path):
    mounts = MOUNT.format("/", "/sys/fs/cgroup") + MOUNT.format("/job", "/part")
    limits = {"sys/fs/cgroup": 900 * MIB, "part": 300 * MIB}
    group_files(tmp_path, membership="0::/job\n", mounts=mounts, limits=limits)
    assert min(bound.free_bytes for bound in _cgroup.bounds(tmp_path, [])) == 300 * MIB


def test_a_mount_hides_the_one_below_it(tmp_path):
    mounts = MOUNT.format("/other", "/sys/fs/cgroup") + MOUNT.format("/job", "/sys/fs/cgroup")
    group_files(tmp_path, membership="0::/job/x\n", mounts=mounts, limits={"sys/fs/cgroup/x": 60 * MIB})
    assert [bound.free_bytes for bound in _cgroup.bounds(tmp_path, [])] == [60 * MIB]


def test_an_odd_line_hides_no_limit(tmp_path):
    odd = "\nnonsense\n7:memory\n"
    group_files(
        tmp_path,
        membership=f"{odd}0::/job\n",
        mounts=f"{odd}{MOUNT.format('/', '/sys/fs/cgroup')}",
        limits={"sys/fs/cgroup/job": 60 * MIB},
    )
    assert [bound.free_bytes for bound in _cgroup.bounds(tmp_path, [])] == [60 * MIB]


@pytest.mark.parametrize("megabytes", ["²", "9" * 5000, "-1", "", "4e2"])
def test_an_odd_limit_in_the_environment_is_none(monkeypatch, megabytes):
    monkeypatch.setenv("TF_CPU_ALLOCATOR_USE_BFC", "1")
    monkeypatch.setenv("TF_CPU_BFC_MEM_LIMIT_IN_MB", megabytes)
    assert _tensorflow.host_limit_bytes() is None


def test_this_machine_is_read(tmp_path):
    assert _host.host_memory(Path("/")).is_known


class Unloadable(types.ModuleType):
    def __getattr__(self, name):
        raise ImportError(f"cannot load {name}")


@pytest.mark.parametrize("name", ["tensorflow", "keras"])
@pytest.mark.parametrize("state", ["empty", "going on", "broken"])
def test_a_module_that_is_not_whole_counts_as_not_imported(monkeypatch, name, state):
    module = Unloadable(name) if state == "broken" else types.ModuleType(name)
    if state == "going on":
        for attribute in ("config", "errors", "__version__", "Model", "tree"):
            setattr(module, attribute, None)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__spec__._initializing = True
    monkeypatch.setitem(sys.modules, name, module)
    assert (_tensorflow.imported_tensorflow if name == "tensorflow" else _tensorflow.keras_imported)() is None
    assert _tensorflow.version() == "" or name == "keras"
    assert _tensorflow.gpus() == [] or name == "keras"
