"""What is free on a GPU in each of TensorFlow's modes, with TensorFlow and NVML faked at the edge."""

import sys
from types import SimpleNamespace

import pytest

from autobatch import _allocators, _gpu, _nvml, _pytorch, _tensorflow, device_memory, run_in_batches
from autobatch._gpu import gpu_memory, reserve_bytes
from autobatch._nvml import Card, CardMemory, NvmlUnavailableError
from autobatch._tensorflow import TensorflowGpu
from autobatch._types import AllocatorStatistics
from autobatch.errors import DeviceNotFoundError

GIB, MIB = 1 << 30, 1 << 20
T4 = Card(index=0, uuid="GPU-cafe", name="Tesla T4", capability=(7, 5))
H100 = Card(index=1, uuid="GPU-beef", name="H100", capability=(9, 0))


@pytest.fixture
def machine(monkeypatch):
    """Two cards; the first of CUDA's is NVML's second. Returns what can be changed."""
    state = SimpleNamespace(
        cards=[H100, T4],
        memory={H100: CardMemory(total_bytes=80 * GIB, free_bytes=60 * GIB)},
        statistics=None,
        limit_bytes=None,
        gpus=[tensorflow_gpu()],
        nvml_error=None,
    )

    def card_memory(card):
        if state.nvml_error:
            raise NvmlUnavailableError(state.nvml_error)
        return state.memory[card]

    monkeypatch.setattr(_nvml, "cuda_cards", lambda: state.cards)
    monkeypatch.setattr(_nvml, "card_memory", card_memory)
    monkeypatch.setattr(_tensorflow, "imported_tensorflow", lambda: state.gpus or None)
    monkeypatch.setattr(_tensorflow, "gpus", lambda: state.gpus or [])
    monkeypatch.setattr(_tensorflow, "allocator_statistics", lambda name: state.statistics)
    monkeypatch.setattr(_tensorflow, "limit_bytes", lambda name: state.limit_bytes)
    return state


def tensorflow_gpu(**changes):
    settings = {
        "name": "GPU:0",
        "cuda_index": 0,
        "card_name": "H100",
        "rank_among_alike": 0,
        "configured_limit_bytes": None,
        "grows": False,
        "is_async": False,
    }
    return TensorflowGpu(**(settings | changes))


def used(current, peak):
    return AllocatorStatistics(current_bytes=current, peak_bytes=peak)


def test_before_tensorflow_starts_its_reserve_and_the_context_are_left(machine):
    memory = gpu_memory(0)
    assert memory.free_bytes == 60 * GIB
    assert memory.usable_bytes == 60 * GIB - (1800 + 400) * MIB
    assert (memory.name, memory.uuid) == ("H100", "GPU-beef")


def test_before_it_starts_a_configured_limit_bounds_it(machine):
    machine.gpus = [tensorflow_gpu(configured_limit_bytes=5 * GIB)]
    assert gpu_memory(0).usable_bytes == 5 * GIB


def test_preallocated_it_is_the_rest_of_the_limit_whatever_nvml_says(machine):
    machine.statistics, machine.limit_bytes = used(10 * GIB, 30 * GIB), 77 * GIB
    machine.memory[H100] = CardMemory(total_bytes=80 * GIB, free_bytes=1 * GIB)
    memory = gpu_memory(0)
    assert (memory.free_bytes, memory.usable_bytes, memory.total_bytes) == (67 * GIB, 67 * GIB, 77 * GIB)
    assert memory.source == "TensorFlow's limit"


@pytest.mark.parametrize(("nvml_free", "free"), [(20 * GIB, 23 * GIB), (70 * GIB, 67 * GIB)])
def test_growing_it_is_the_smaller_of_limit_and_card_with_the_pool(machine, nvml_free, free):
    machine.gpus = [tensorflow_gpu(grows=True)]
    machine.statistics, machine.limit_bytes = used(10 * GIB, 13 * GIB), 77 * GIB
    machine.memory[H100] = CardMemory(total_bytes=80 * GIB, free_bytes=nvml_free)
    assert gpu_memory(0).free_bytes == free


def test_a_configured_limit_wins_over_the_cards(machine):
    machine.gpus = [tensorflow_gpu(configured_limit_bytes=8 * GIB)]
    machine.statistics, machine.limit_bytes = used(3 * GIB, 5 * GIB), 77 * GIB
    assert gpu_memory(0).free_bytes == 5 * GIB


def test_a_configured_limit_with_growth_is_capped_by_the_card(machine):
    machine.gpus = [tensorflow_gpu(configured_limit_bytes=8 * GIB, grows=True)]
    machine.statistics = used(3 * GIB, 4 * GIB)
    machine.memory[H100] = CardMemory(total_bytes=80 * GIB, free_bytes=2 * GIB)
    assert gpu_memory(0).free_bytes == 3 * GIB


def test_cudas_own_allocator_leaves_nvml_alone_to_ask(machine):
    machine.gpus = [tensorflow_gpu(is_async=True)]
    machine.statistics, machine.limit_bytes = used(0, 0), 77 * GIB
    assert gpu_memory(0).free_bytes == 60 * GIB


def test_cudas_own_allocator_need_not_count(machine, monkeypatch):
    machine.gpus = [tensorflow_gpu(is_async=True)]
    monkeypatch.setattr(_tensorflow, "is_started", lambda: True)
    assert gpu_memory(0).usable_bytes == 60 * GIB


def test_a_pool_is_not_forgotten_when_its_statistics_are_reset(machine):
    machine.gpus = [tensorflow_gpu(grows=True)]
    machine.statistics = AllocatorStatistics(current_bytes=GIB, peak_bytes=GIB, highest_peak_bytes=9 * GIB)
    assert gpu_memory(0).free_bytes == 68 * GIB


def test_without_nvml_a_started_tensorflow_is_enough(machine):
    machine.nvml_error = "NVML does not answer: GPU is lost"
    machine.statistics, machine.limit_bytes = used(10 * GIB, 30 * GIB), 77 * GIB
    memory = gpu_memory(0)
    assert memory.free_bytes == 67 * GIB
    assert "NVML does not answer: GPU is lost" in memory.notes


def test_when_nobody_knows_it_says_so(machine):
    machine.nvml_error = "NVML does not answer: Unknown Error"
    memory = gpu_memory(0)
    assert not memory.is_known
    assert memory.notes == ("NVML does not answer: Unknown Error", "the free memory is not known")


def test_an_exhausted_limit_leaves_nothing_rather_than_less(machine):
    machine.statistics, machine.limit_bytes = used(9 * GIB, 9 * GIB), 8 * GIB
    assert gpu_memory(0).free_bytes == 0


def test_cards_are_matched_by_name_when_the_orders_differ(machine):
    machine.cards = [T4, H100]
    assert gpu_memory(0).uuid == "GPU-beef"


def test_twins_are_matched_by_their_rank(machine):
    twin = Card(index=2, uuid="GPU-bee2", name="H100", capability=(9, 0))
    machine.cards = [T4, H100, twin]
    machine.memory[twin] = CardMemory(total_bytes=80 * GIB, free_bytes=1 * GIB)
    machine.gpus = [tensorflow_gpu(cuda_index=1, rank_among_alike=1)]
    assert gpu_memory(0).uuid == "GPU-bee2"


def test_a_card_that_nvml_does_not_list_is_noted(machine):
    machine.gpus = [tensorflow_gpu(card_name="MI300", cuda_index=5)]
    machine.statistics, machine.limit_bytes = used(0, 0), 77 * GIB
    memory = gpu_memory(0)
    assert (memory.free_bytes, memory.name) == (77 * GIB, "MI300")
    assert "NVML does not list this card" in memory.notes


def test_without_tensorflow_cudas_order_counts(machine):
    machine.gpus = []
    machine.memory[T4] = CardMemory(total_bytes=16 * GIB, free_bytes=15 * GIB)
    assert [device_memory(name).uuid for name in ("GPU:0", "gpu:1")] == ["GPU-beef", "GPU-cafe"]
    assert device_memory().device == "GPU:0"


@pytest.mark.parametrize(
    "name", ["/GPU:0", "/physical_device:GPU:0", "/job:localhost/replica:0/task:0/device:GPU:0"]
)
def test_tensorflows_long_names_will_do(machine, name):
    assert device_memory(name).device == "GPU:0"


@pytest.mark.parametrize("name", ["cpu", "CPU:0", "/device:CPU:0", "host"])
def test_the_host_has_several_names(machine, name):
    assert device_memory(name).device == "CPU"


def test_a_device_that_does_not_exist_is_refused(machine):
    with pytest.raises(DeviceNotFoundError, match=r"device is 'GPU:3' but the last of 1 is GPU:0"):
        device_memory("GPU:3")
    with pytest.raises(DeviceNotFoundError, match=r"device is 'TPU' but must be \"cpu\" or \"GPU:i\""):
        device_memory("TPU")
    machine.gpus, machine.cards = [], []
    with pytest.raises(DeviceNotFoundError, match="this process sees no GPU"):
        device_memory("GPU:0")


@pytest.mark.parametrize(
    ("total_gib", "capability", "mib"),
    [
        (1, (9, 0), 225),
        (4, (3, 5), 500),
        (8, (6, 1), 500),
        (16, (7, 5), 1050),
        (40, (8, 0), 1536),
        (80, (9, 0), 1800),
    ],
)
def test_tensorflows_reserve_by_generation(total_gib, capability, mib):
    assert reserve_bytes(total_gib * GIB, capability) == mib * MIB


def test_an_unknown_generation_is_taken_for_the_newest():
    assert reserve_bytes(80 * GIB, (0, 0)) == reserve_bytes(80 * GIB, (12, 0)) == 1800 * MIB
    assert (_gpu.n_gpus() or 0) >= 0


class FakeCuda:
    """Stands for ``torch.cuda`` on the second of two cards, with a caching allocator of plain numbers."""

    def __init__(self, *, allocated=0, reserved=0, is_initialized=True, fraction=1.0):
        self.allocated, self.reserved, self.peak, self.fraction = allocated, reserved, allocated, fraction
        self.is_initialized = lambda: is_initialized
        self.asked_of = []

    def device_count(self):
        return 2

    def memory_allocated(self, index):
        return self.allocated if index == 1 else 0

    def memory_reserved(self, index):
        return self.reserved if index == 1 else 0

    def max_memory_allocated(self, index):
        return self.peak if index == 1 else 0

    def reset_peak_memory_stats(self, index):
        self.peak = self.allocated

    def mem_get_info(self, index):
        self.asked_of.append(index)
        return 50 * GIB, 80 * GIB

    def get_per_process_memory_fraction(self, index):
        return self.fraction


@pytest.fixture
def pytorch(machine, monkeypatch):
    """Let the program use PyTorch on its second card, which NVML lists with 8 of 16 GiB free."""
    machine.gpus = []
    machine.memory[T4] = CardMemory(total_bytes=16 * GIB, free_bytes=8 * GIB)

    def use(**state):
        cuda = FakeCuda(**state)
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda, __version__="2"))
        return cuda

    return use


def test_what_pytorch_holds_and_has_not_handed_out_is_free(pytorch):
    pytorch(allocated=3 * GIB, reserved=5 * GIB)
    memory = gpu_memory(1)
    assert (memory.free_bytes, memory.usable_bytes, memory.total_bytes) == (10 * GIB, 10 * GIB, 16 * GIB)
    assert memory.source == "NVML and PyTorch's pool"


def test_a_fraction_set_in_pytorch_bounds_it(pytorch):
    pytorch(allocated=3 * GIB, reserved=5 * GIB, fraction=0.1)
    memory = gpu_memory(1)
    assert (memory.free_bytes, memory.source) == (5 * GIB, "PyTorch's limit")


def test_without_nvml_cuda_says_what_is_free(pytorch, machine):
    pytorch(allocated=3 * GIB, reserved=5 * GIB)
    machine.nvml_error = "NVML does not answer"
    assert gpu_memory(1).free_bytes == 52 * GIB


@pytest.mark.parametrize("state", [{"is_initialized": False}, {"reserved": 0}])
def test_a_card_that_pytorch_does_not_use_is_left_alone(pytorch, state):
    cuda = pytorch(**state)
    assert gpu_memory(1).source == "NVML, TensorFlow not started"
    assert cuda.asked_of == []


def test_whatever_pytorch_raises_the_card_is_read(pytorch, monkeypatch):
    cuda = pytorch(allocated=GIB, reserved=GIB)
    monkeypatch.setattr(cuda, "memory_reserved", lambda index: 1 / 0)
    assert gpu_memory(1).source == "NVML, TensorFlow not started"
    assert _pytorch.statistics(1) == used(GIB, GIB)


def test_a_card_of_pytorchs_can_be_named_beside_a_tensorflow_without_cuda(pytorch, monkeypatch):
    monkeypatch.setattr(_tensorflow, "imported_tensorflow", lambda: object())
    pytorch(allocated=GIB, reserved=GIB)
    assert device_memory("GPU:1").free_bytes == 8 * GIB
    with pytest.raises(DeviceNotFoundError, match="the last of 2 is GPU:1"):
        device_memory("GPU:2")


def test_work_of_pytorchs_is_measured_on_its_card_and_planned_with_its_memory(pytorch, monkeypatch):
    monkeypatch.setattr(_tensorflow, "imported_tensorflow", lambda: object())
    monkeypatch.setattr(_tensorflow, "allocator_statistics", lambda name: None)
    cuda = pytorch(allocated=GIB, reserved=3 * GIB)

    def compute(start, stop):
        cuda.peak = max(cuda.peak, cuda.allocated + (stop - start) * 4 * MIB)
        return list(range(start, stop))

    run = run_in_batches(compute, 4000)
    assert run.plan.memory.device == "GPU:1"
    assert (run.plan.cost.source, run.plan.cost.bytes_per_item) == ("measured", 4 * MIB)
    assert run.plan.batch_size >= 1024
    assert run.measured_peak_bytes > GIB + run.plan.batch_size * 4 * MIB // 2
    assert [item for output in run.outputs for item in output] == list(range(4000))


def test_frameworks_on_one_card_are_added_up(pytorch, machine):
    machine.gpus, machine.statistics = [tensorflow_gpu(cuda_index=1)], used(2 * GIB, 4 * GIB)
    pytorch(allocated=3 * GIB, reserved=5 * GIB)
    assert _allocators.statistics("GPU:0") == used(5 * GIB, 7 * GIB)
