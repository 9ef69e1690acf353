"""Main memory: limits read from folders that look like /proc and /sys."""

import json
import os
import resource
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from control_group import control_group

from autobatch import _cgroup, _host
from autobatch._host import host_memory

REPOSITORY = Path(__file__).parents[2]
MIB = 1 << 20

V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
V1_CPU_MOUNT = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
HYBRID_V2_MOUNT = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"


class Tree:
    """A folder with the few files of /proc and /sys that matter."""

    def __init__(self, root, *, membership, mounts, available_mib=64_000):
        self.root = root
        self.write("proc/self/cgroup", membership)
        self.write("proc/self/mountinfo", "22 27 0:21 / /proc rw - proc proc rw\n" + mounts)
        self.write("proc/meminfo", f"MemTotal: {65_536 << 10} kB\nMemAvailable:  {available_mib << 10} kB\n")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def v2(self, group, *, limit="max", usage_mib=0, high="max", stat=""):
        folder = f"sys/fs/cgroup{group}"
        self.write(f"{folder}/memory.max", f"{limit}\n")
        self.write(f"{folder}/memory.high", f"{high}\n")
        self.write(f"{folder}/memory.current", f"{usage_mib * MIB}\n")
        self.write(f"{folder}/memory.stat", stat)

    def v1(self, group, *, limit, usage_mib=0, stat=""):
        folder = f"sys/fs/cgroup/memory{group}"
        self.write(f"{folder}/memory.limit_in_bytes", f"{limit}\n")
        self.write(f"{folder}/memory.usage_in_bytes", f"{usage_mib * MIB}\n")
        self.write(f"{folder}/memory.stat", stat)


@pytest.fixture(autouse=True)
def no_own_limits(monkeypatch):
    """The machine that runs the tests may have limits of its own."""
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    monkeypatch.delenv("TF_CPU_ALLOCATOR_USE_BFC", raising=False)


def free_mib(tree):
    return host_memory(tree.root).free_bytes / MIB


def test_without_groups_it_is_what_the_kernel_calls_available(tmp_path):
    memory = host_memory(Tree(tmp_path, membership="", mounts="").root)
    assert (memory.free_bytes, memory.total_bytes) == (64_000 * MIB, 65_536 * MIB)
    assert (memory.source, memory.usable_bytes) == ("MemAvailable", 32_000 * MIB)


def test_old_kernels_without_available_are_added_up(tmp_path):
    tree = Tree(tmp_path, membership="", mounts="")
    tree.write(
        "proc/meminfo", "MemTotal: 4096 kB\nMemFree: 1000 kB\nBuffers: 20 kB\nCached: 300 kB\nHugePages: 7\n"
    )
    assert host_memory(tree.root).free_bytes == 1320 << 10


def test_v2_limit_on_the_parent_counts(tmp_path):
    tree = Tree(tmp_path, membership="0::/app.slice/job 7\n", mounts=V2_MOUNT)
    tree.v2("/app.slice/job 7", usage_mib=100)
    tree.v2(
        "/app.slice",
        limit=1000 * MIB,
        usage_mib=700,
        stat=f"anon 5\ninactive_file {50 * MIB}\nactive_file {MIB}\n",
    )
    memory = host_memory(tree.root)
    assert memory.free_bytes == 351 * MIB
    assert memory.total_bytes == 1000 * MIB
    assert memory.source == "cgroup v2 memory.max of /app.slice"


def test_v2_the_tightest_of_all_levels_counts(tmp_path):
    tree = Tree(tmp_path, membership="0::/a/b\n", mounts=V2_MOUNT)
    tree.v2("/a", limit=1000 * MIB, usage_mib=100)
    tree.v2("/a/b", limit=2000 * MIB, usage_mib=1500)
    assert free_mib(tree) == 500


def test_v2_a_soft_limit_is_respected(tmp_path):
    tree = Tree(tmp_path, membership="0::/a\n", mounts=V2_MOUNT)
    tree.v2("/a", limit=1000 * MIB, high=600 * MIB, usage_mib=200)
    assert free_mib(tree) == 400
    assert "memory.high" in host_memory(tree.root).source


def test_v2_max_everywhere_is_no_limit(tmp_path):
    tree = Tree(tmp_path, membership="0::/a\n", mounts=V2_MOUNT)
    tree.v2("/a", usage_mib=200)
    assert host_memory(tree.root).source == "MemAvailable"


def test_v1_gives_the_page_cache_back(tmp_path):
    tree = Tree(tmp_path, membership="4:memory:/job\n1:cpu,cpuacct:/other\n", mounts=V1_CPU_MOUNT + V1_MOUNT)
    stat = f"cache 1\ninactive_file 7\ntotal_inactive_file {400 * MIB}\ntotal_active_file {43 * MIB}\n"
    tree.v1("/job", limit=1024 * MIB, usage_mib=445, stat=stat)
    assert free_mib(tree) == 1024 - 2
    assert host_memory(tree.root).source == "cgroup v1 memory.limit_in_bytes of /job"


@pytest.mark.parametrize("sentinel", ["9223372036854771712", "9223372036854710272", "18446744073709551615"])
def test_v1_sentinels_are_no_limit(tmp_path, sentinel):
    tree = Tree(tmp_path, membership="4:memory:/job\n", mounts=V1_MOUNT)
    tree.v1("/job", limit=sentinel, usage_mib=445)
    assert _cgroup.bounds(tree.root, []) == []
    assert host_memory(tree.root).source == "MemAvailable"


def test_hybrid_takes_the_memory_controller_of_v1(tmp_path):
    tree = Tree(tmp_path, membership="4:memory:/job\n0::/job\n", mounts=V1_MOUNT + HYBRID_V2_MOUNT)
    tree.v1("/job", limit=300 * MIB, usage_mib=100)
    (tmp_path / "sys/fs/cgroup/unified/job").mkdir(parents=True)
    assert free_mib(tree) == 200


def test_a_container_that_sees_only_its_own_part_of_the_tree(tmp_path):
    mount = "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n"
    tree = Tree(tmp_path, membership="0::/docker/abc/inner\n", mounts=mount)
    tree.v2("", limit=900 * MIB, usage_mib=100)
    tree.v2("/inner", usage_mib=50)
    assert free_mib(tree) == 800


@pytest.mark.parametrize("group", ["/../../other", "/not/mounted/here"])
def test_a_path_outside_of_the_mount_means_its_top(tmp_path, group):
    mount = "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n"
    tree = Tree(tmp_path, membership=f"0::{group}\n", mounts=mount)
    tree.v2("", limit=900 * MIB, usage_mib=100)
    assert free_mib(tree) == 800


def test_a_mount_point_with_a_space(tmp_path):
    mount = "30 23 0:26 / /sys/fs/my\\040groups rw - cgroup2 cgroup2 rw\n"
    tree = Tree(tmp_path, membership="0::/\n", mounts=mount)
    tree.write("sys/fs/my groups/memory.max", str(500 * MIB))
    tree.write("sys/fs/my groups/memory.current", "0")
    assert free_mib(tree) == 500


def test_a_limit_below_the_usage_leaves_nothing(tmp_path):
    tree = Tree(tmp_path, membership="0::/a\n", mounts=V2_MOUNT)
    tree.v2("/a", limit=100 * MIB, usage_mib=300)
    memory = host_memory(tree.root)
    assert (memory.free_bytes, memory.usable_bytes) == (0, 0)


def test_more_cache_than_usage_does_not_invent_memory(tmp_path):
    tree = Tree(tmp_path, membership="0::/a\n", mounts=V2_MOUNT)
    tree.v2("/a", limit=100 * MIB, usage_mib=30, stat=f"inactive_file {500 * MIB}\n")
    assert free_mib(tree) == 100


def test_an_unreadable_limit_is_noted_and_the_others_hold(tmp_path, monkeypatch):
    tree = Tree(tmp_path, membership="0::/a/b\n", mounts=V2_MOUNT)
    tree.v2("/a/b", limit=100 * MIB)
    tree.v2("/a", limit=700 * MIB, usage_mib=100)
    secret = tmp_path / "sys/fs/cgroup/a/b/memory.max"
    read_text = Path.read_text

    def guarded(path, *args, **kwargs):
        if path == secret:
            raise PermissionError(13, "Permission denied")
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", guarded)
    memory = host_memory(tree.root)
    assert memory.free_bytes == 600 * MIB
    assert any("memory.max cannot be read (Permission denied)" in note for note in memory.notes)


def test_nonsense_in_a_limit_is_no_limit(tmp_path):
    tree = Tree(tmp_path, membership="0::/a\n", mounts=V2_MOUNT)
    tree.v2("/a", limit="-17")
    assert host_memory(tree.root).source == "MemAvailable"


@pytest.mark.parametrize(("limit", "entry"), [("RLIMIT_AS", "VmSize"), ("RLIMIT_DATA", "VmData")])
def test_the_process_own_limits_count(tmp_path, monkeypatch, limit, entry):
    tree = Tree(tmp_path, membership="", mounts="")
    tree.write("proc/self/status", f"Name:\tpython\n{entry}:\t {200 << 10} kB\n")
    which = getattr(resource, limit)
    monkeypatch.setattr(
        resource, "getrlimit", lambda name: (500 * MIB if name == which else resource.RLIM_INFINITY, 0)
    )
    memory = host_memory(tree.root)
    assert (memory.free_bytes, memory.source) == (300 * MIB, limit)


def test_without_proc_psutil_is_asked(tmp_path, monkeypatch):
    import psutil

    class Memory:
        total, available = 800, 300

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    memory = host_memory(tmp_path)
    assert (memory.total_bytes, memory.free_bytes, memory.source) == (800, 300, "psutil")


def test_tensorflows_own_cpu_limit_needs_no_margin(tmp_path, monkeypatch):
    tree = Tree(tmp_path, membership="", mounts="")
    monkeypatch.setenv("TF_CPU_ALLOCATOR_USE_BFC", "1")
    monkeypatch.setenv("TF_CPU_BFC_MEM_LIMIT_IN_MB", "400")
    used = _host._tensorflow.AllocatorStatistics(current_bytes=30 * MIB, peak_bytes=90 * MIB)
    monkeypatch.setattr(_host._tensorflow, "allocator_statistics", lambda device: used)
    memory = host_memory(tree.root)
    assert (memory.free_bytes, memory.usable_bytes) == (370 * MIB, 370 * MIB)
    assert memory.source == "TF_CPU_BFC_MEM_LIMIT_IN_MB"
    monkeypatch.setenv("TF_CPU_ALLOCATOR_USE_BFC", "0")
    assert host_memory(tree.root).source == "MemAvailable"


def test_this_machines_own_groups_can_be_read():
    notes = []
    for bound in _cgroup.bounds(Path("/"), notes):
        assert 0 <= bound.free_bytes <= bound.total_bytes


READING = """
import json
from autobatch import device_memory
print(json.dumps(device_memory("cpu").as_dict()))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
def test_a_real_limit_on_the_address_space_is_seen():
    limit = 900 * MIB

    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    memory = read_in_subprocess(preexec_fn=limited)
    assert (memory["source"], memory["total_bytes"]) == ("RLIMIT_AS", limit)
    assert 600 * MIB < memory["free_bytes"] < limit


@pytest.fixture
def own_group():
    """A real control group with a limit, where this machine lets a test make one."""
    with ExitStack() as stack:
        try:
            group = stack.enter_context(control_group(f"autobatch_test_{os.getpid()}", limit_bytes=300 * MIB))
        except OSError as error:
            pytest.skip(str(error))
        yield group


def test_a_real_control_group_is_seen(own_group):
    memory = read_in_subprocess(preexec_fn=own_group.join)
    assert own_group.folder.name in memory["source"]
    assert memory["total_bytes"] == 300 * MIB
    assert 200 * MIB < memory["free_bytes"] < 300 * MIB


def read_in_subprocess(**settings):
    finished = subprocess.run(
        [sys.executable, "-c", READING],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
        **settings,
    )
    return json.loads(finished.stdout)
