"""Time every method on every case; `python -m benchmarks.report` turns the result into docs/benchmarks.md."""

import gc

import numpy as np
import pytest
from benchmarks.memory import peak_growth_bytes
from benchmarks.methods import METHODS, NAIVE_PATCHES
from benchmarks.scans import CASES, ORDERS, patches_of, positions_of

pytestmark = [
    pytest.mark.benchmark,
    # ptychodus and TensorFlow warn about matters of their own.
    pytest.mark.filterwarnings("default"),
]
ROUNDS = {"ptychodus": 2, "NumPy loop": 2, "naive full canvas": 1, "ours, TensorFlow": 4}
FAST_ROUNDS = 15
RANDOM_ONLY = ("ours, TensorFlow", "ptychodus", "NumPy loop", "naive full canvas", "read", "copy")
COMBINATIONS = [
    (case, method, order)
    for case in CASES
    for order in ORDERS
    for method in METHODS
    if order == "random" or method not in RANDOM_ONLY
]


@pytest.fixture(scope="module")
def patches():
    made = {}

    def of(case):
        if case not in made:
            made.clear()
            gc.collect()
            made[case] = patches_of(case)
        return made[case]

    return of


@pytest.mark.parametrize(("case", "method", "order"), COMBINATIONS, ids=str)
def test_time(case, method, order, patches, benchmark):
    if method == "ptychodus":
        pytest.importorskip("ptychodus")
    data, positions = patches(case), positions_of(case, order)
    run = METHODS[method]
    # Imports and compilation are no memory of a stitch.
    run(data[:64], positions[:64], case.crop_size)
    benchmark.extra_info |= {
        "case": [case.n, case.patch_size, case.crop_size, case.span],
        "method": method,
        "order": order,
        "scale": case.n / NAIVE_PATCHES if method == "naive full canvas" else 1.0,
        "peak_bytes": peak_growth_bytes(lambda: run(data, positions, case.crop_size)),
    }
    rounds = ROUNDS.get(method, FAST_ROUNDS)
    benchmark.pedantic(run, (data, positions, case.crop_size), rounds=rounds, warmup_rounds=1)


def test_methods_make_the_same_image(patches):
    pytest.importorskip("ptychodus")
    case = CASES[1]
    data, positions = patches(case)[:500], positions_of(case, "random")[:500]
    ours = np.asarray(METHODS["ours, CPU"](data, positions, case.crop_size))[..., 0]
    for method in ("ptychodus", "NumPy loop", "ours, TensorFlow"):
        other = np.asarray(METHODS[method](data, positions, case.crop_size)).squeeze()
        border = (other.shape[0] - ours.shape[0]) // 2
        inner = slice(max(border, 0), other.shape[0] - max(border, 0))
        mine = slice(max(-border, 0), ours.shape[0] - max(-border, 0))
        other, mine = np.nan_to_num(other[inner, inner]), ours[mine, mine]
        both = (other != 0) & (mine != 0)
        assert np.array_equal(both, mine != 0), method
        # Where only a faint edge lies (weight about 1e-3 and less), ptychodus' image differs by up to 4e-6.
        assert np.quantile(np.abs(other - mine)[both], 0.99) < 1e-6, method
