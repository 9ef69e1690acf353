"""The compiled kernel: its cache, threads, forks, and sums of a million patches."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import reference

from ptycho._compiled.bands import run_bands
from ptycho.stitching import Canvas, _cpu, stitch_patches

ROOT = Path(__file__).parents[3]
LOGGED = """
import logging
logging.basicConfig(level=logging.INFO, format="%(message)s")
"""
# A kernel that is quick to compile.
EXTRACT = """
import numpy as np
from ptycho.stitching import Canvas
Canvas((12, 14), crop_size=4).extract(np.ones((12, 14), complex), np.array([[5.25, 7.5]]))
"""
STITCH = """
import sys
import numpy as np
from ptycho.stitching import stitch_patches
offsets = np.random.default_rng(0).uniform(-90, 90, (1000, 2))
image = stitch_patches(np.ones((1000, 64, 64), np.complex64), offsets, crop_size=20)
assert abs(image[image.shape[0] // 2, image.shape[1] // 2] - 1) < 1e-5
print("imported:", [name for name in ("tensorflow", "keras", "rich", "matplotlib") if name in sys.modules])
"""


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )


ANNOUNCEMENT = "Compiling the stitching kernel for this processor; this happens once.\n"


def test_the_first_compile_is_announced_and_the_second_process_loads_it(tmp_path):
    first, second = (run_python(LOGGED + EXTRACT, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert (first.stderr, second.stderr) == (ANNOUNCEMENT, "")


def test_the_kernel_of_vectors_is_loaded_by_a_second_process_and_brings_no_heavy_package():
    # Beside the code, where the other tests have it from: it takes ten seconds to compile.
    first, second = run_python(LOGGED + STITCH), run_python(LOGGED + STITCH)
    assert second.stderr == ""
    assert first.stdout == second.stdout == "imported: []\n"


def test_the_first_compile_is_announced_where_no_logging_is_set_up(tmp_path):
    assert run_python(EXTRACT, NUMBA_CACHE_DIR=str(tmp_path)).stderr == ANNOUNCEMENT


def test_without_a_place_for_the_cache_it_compiles_all_the_same(monkeypatch):
    from numba.core.caching import CacheImpl

    from ptycho._compiled.compiling import compiled

    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    twice = compiled(lambda x: 2 * x)
    assert twice(21) == 42


def scan(n=300, seed=2):
    rng = np.random.default_rng(seed)
    return reference.random_patches(rng, n, 16), reference.random_positions(rng, n, (40, 25))


def test_several_threads_may_stitch_at_once():
    patches, positions = scan()
    expected = stitch_patches(patches, positions, crop_size=12).tobytes()
    images = []
    threads = [
        threading.Thread(target=lambda: images.append(stitch_patches(patches, positions, crop_size=12)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [image.tobytes() for image in images] == [expected] * 6


def test_what_a_thread_raises_is_raised_when_all_have_ended():
    ended = []

    def work(begin, _end):
        if begin == 3:
            raise MemoryError("band 3")
        time.sleep(0.05)
        ended.append(begin)

    with pytest.raises(MemoryError, match="band 3"):
        run_bands(work, [0, 3, 5, 9])
    assert set(ended) <= {0, 5}
    assert not [thread for thread in threading.enumerate() if "work_off" in thread.name]


def refuse_threads(monkeypatch, allowed, error):
    start, started = threading.Thread.start, []

    def refusing(thread):
        if len(started) == allowed:
            raise error
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refusing)


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_bands_whose_thread_cannot_start_are_added_all_the_same(monkeypatch, allowed):
    monkeypatch.setattr("ptycho.stitching._cpu._PIXELS_PER_THREAD", 1)
    patches, positions = scan()
    expected, canvas = (Canvas.around(positions, crop_size=12, n_threads=4) for _ in range(2))
    expected.add(patches, positions)
    refuse_threads(monkeypatch, allowed, RuntimeError("can't start new thread"))
    canvas.add(patches, positions)
    assert canvas.state().digest() == expected.state().digest()


def test_an_interrupt_while_threads_start_waits_for_those_at_work(monkeypatch):
    ended = []

    def work(begin, _end):
        time.sleep(0.05)
        ended.append(begin)

    refuse_threads(monkeypatch, 1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_bands(work, [0, 3, 5, 9])
    assert sorted(ended) == [0, 3, 5]


def test_an_interrupt_while_waiting_waits_for_all(monkeypatch):
    ended, join, interrupts = [], threading.Thread.join, [KeyboardInterrupt(), KeyboardInterrupt()]

    def work(begin, _end):
        time.sleep(0.2 if threading.current_thread() is not threading.main_thread() else 0)
        ended.append(begin)

    def interrupted(thread, timeout=None):
        if interrupts:
            raise interrupts.pop()
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_bands(work, [0, 3, 5, 9])
    assert sorted(ended) == [0, 3, 5]
    assert not interrupts


def _stitch_in_child(connection, patches, positions):
    connection.send(stitch_patches(patches, positions, crop_size=12).tobytes())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")
def test_stitching_works_after_a_fork(monkeypatch):
    monkeypatch.setattr("ptycho.stitching._cpu._PIXELS_PER_THREAD", 1)
    patches, positions = scan()
    expected = stitch_patches(patches, positions, crop_size=12).tobytes()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_stitch_in_child, args=(sender, patches, positions))
    child.start()
    assert receiver.poll(60)
    assert receiver.recv() == expected
    child.join()


def test_a_million_overlapping_patches_do_not_drift_in_float64():
    rng = np.random.default_rng(3)
    patches = reference.random_patches(rng, 1000, 4)
    corners = rng.uniform(0, 3.9, (1000, 2))
    canvas = Canvas((9, 8), crop_size=4, accumulate="float64")
    for _ in range(1000):
        canvas.add(patches, corners + 2)
    expected, weights = reference.stitch_at(patches, corners, 4, (9, 8))
    assert np.abs(canvas.image() - expected).max() <= 1e-6 * np.abs(expected).max()
    np.testing.assert_allclose(canvas.coverage(), 1000 * weights, rtol=1e-6)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the pages of files")
@pytest.mark.parametrize("crop_size", [32, 20])
def test_a_mapped_file_takes_the_memory_of_a_batch(tmp_path, crop_size):
    path = tmp_path / "patches.npy"
    patches = np.lib.format.open_memmap(path, mode="w+", dtype=np.complex64, shape=(16_000, 32, 32))
    patches[:] = 1 + 1j
    patches.flush()
    del patches
    code = f"""
import re, numpy as np
from ptycho.stitching import Canvas, add_in_batches
def pages():
    return int(re.search(r"RssFile:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
positions = np.random.default_rng(0).uniform(20, 80, (16_000, 2))
Canvas((100, 100), crop_size={crop_size}).add(np.ones((2, 32, 32), np.complex64), positions[:2])
canvas = Canvas((100, 100), crop_size={crop_size})
patches = np.load({str(path)!r}, mmap_mode="r")
before = pages()
run = add_in_batches(canvas, patches, positions)
print(max(run.batch_sizes), pages() - before)
assert np.abs(canvas.image()[30:70, 30:70] - 1 - 1j).max() < 1e-5
"""
    size, grown_mib = run_python(code).stdout.split()
    # 125 MiB in batches of 16.
    assert int(size) == 2048
    assert float(grown_mib) < 40


def test_pages_of_a_map_that_may_have_been_written_to_are_kept(tmp_path):
    np.save(tmp_path / "patches.npy", np.ones((64, 32, 32), np.complex64))
    patches = np.load(tmp_path / "patches.npy", mmap_mode="c")
    patches[:] = 2
    patches.flags.writeable = False
    canvas = Canvas((32, 32), crop_size=32)
    canvas.add(patches, np.full((64, 2), 16.0))
    canvas.add(patches, np.full((64, 2), 16.0))
    np.testing.assert_allclose(canvas.image(), 2)


def test_positions_in_any_memory_order_are_one_kernel():
    compiled = _cpu.load_kernels().add_band.signatures
    patches, positions = scan()
    images = [
        stitch_patches(patches, given, crop_size=12).tobytes()
        for given in (positions, np.asfortranarray(positions), np.stack([*positions.T[::-1]]).T[:, ::-1])
    ]
    assert len(set(images)) == 1
    assert len(_cpu.load_kernels().add_band.signatures) <= max(1, len(compiled))


def test_overlap_variance_weighs_the_fading_edges_of_patches():
    """Patches that differ by a constant only: the variance is that of the constants, by their weights."""
    levels, fractions = np.array([1.0, 2.0, 5.0]), np.array([[0.25, 0.5], [0.75, 0.125], [0.5, 0.875]])
    patches = np.ones((3, 8, 8), np.complex64) * levels[:, None, None].astype(np.complex64)
    canvas = Canvas((12, 12), crop_size=8, overlap_variance=True)
    canvas.add(patches, 6 + fractions)
    weights = np.zeros((3, 12, 12))
    for weight, (f_y, f_x) in zip(weights, fractions, strict=True):
        along = [np.r_[0, 0, 1 - f, np.ones(7), f, 0] for f in (f_y, f_x)]
        weight[:] = np.outer(*along)
    total = weights.sum(axis=0)
    known = total > 1 + 1e-6
    mean = np.tensordot(levels, weights, 1)[known] / total[known]
    expected = np.tensordot(levels**2, weights, 1)[known] / total[known] - mean**2
    np.testing.assert_allclose(canvas.overlap_variance()[known], expected, rtol=1e-4, atol=1e-6)


def test_overlap_variance_is_that_of_the_patches_on_a_pixel():
    patches, _ = scan(n=7)
    canvas = Canvas((20, 24), crop_size=10, overlap_variance=True)
    canvas.add(patches, np.full((7, 2), [9.0, 12.0]))
    expected = np.array([reference.crop_of(patch, 10) for patch in patches]).var(axis=0)
    np.testing.assert_allclose(canvas.overlap_variance()[4:14, 7:17], expected, rtol=1e-5)
    assert np.isnan(canvas.overlap_variance()[:4]).all()


def test_patches_that_agree_have_no_overlap_variance():
    rng = np.random.default_rng(5)
    positions = reference.random_positions(rng, 60, (9, 14))
    patches = np.full((60, 16, 16), 3 - 2j, np.complex64)
    canvas = Canvas.around(positions, crop_size=11, overlap_variance=True)
    canvas.add(patches, positions)
    variance = canvas.overlap_variance()
    assert np.nanmax(variance) < 1e-12 * 13 + 1e-6
    assert np.isfinite(variance).sum() > 200


def test_overlap_variance_has_to_be_asked_for():
    with pytest.raises(ValueError, match="overlap_variance=True"):
        Canvas((9, 9), crop_size=3).overlap_variance()
    with pytest.raises(ValueError, match="backend is 'tensorflow' but must be one of None, 'cpu'"):
        Canvas((9, 9), crop_size=3, overlap_variance=True, backend="tensorflow")


def test_extracting_from_a_ramp_interpolates_it():
    canvas = Canvas((12, 14), crop_size=4)
    rows, columns = np.indices((12, 14))
    crops = canvas.extract(rows + 1j * columns, np.array([[5.25, 7.5]]))
    np.testing.assert_allclose(crops[0], (3.25 + np.arange(4))[:, None] + 1j * (5.5 + np.arange(4)))
