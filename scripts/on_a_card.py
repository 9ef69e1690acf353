"""Try autobatch on a real NVIDIA card: what it reads beside nvidia-smi, and real out-of-memory errors.

``python scripts/on_a_card.py OUT.json`` needs a card, its driver's ``nvidia-smi``, nvidia-ml-py and, for the
parts that use them, PyTorch, JAX and CuPy; what is not installed is left out and named. The card's settings are
not touched. ``docs/autobatch.md`` records what it printed.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_MIB = 1 << 20
_GIB = 1 << 30
_HELD_BYTES = 20 * _GIB

# Each holds _HELD_BYTES until its input ends, and says when it does.
_HOLDERS = {
    "torch": "import torch; held = torch.empty({n}, dtype=torch.uint8, device='cuda')",
    "jax": "import jax, jax.numpy as jnp; held = jnp.zeros({n}, jnp.uint8).block_until_ready()",
    "cupy": "import cupy; held = cupy.zeros({n}, cupy.uint8)",
}


def nvidia_smi() -> dict[str, Any]:
    """Return nvidia-smi's figures for the first card, sizes in MiB."""
    fields = ["name", "driver_version", "memory.total", "memory.used", "memory.free", "memory.reserved"]
    command = ["nvidia-smi", "-i", "0", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    values = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().split(", ")
    return {
        field: int(value) if value.isdecimal() else value for field, value in zip(fields, values, strict=True)
    }


def probe(**environment: str) -> list[dict[str, Any]]:
    """Return the cards of ``python -m autobatch probe --json`` in a process of its own."""
    command = [sys.executable, "-m", "autobatch", "probe", "--json"]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=ROOT, env=os.environ | environment
    )
    return [device for device in json.loads(done.stdout)["devices"] if device["device"].startswith("GPU")]


def beside_nvidia_smi() -> list[dict[str, Any]]:
    """Compare before, during and after 20 GiB that each framework holds, in MiB."""
    rows = [_reading("before")]
    for framework, line in _HOLDERS.items():
        if find_spec(framework) is None:
            rows.append({"moment": f"{framework} is not installed"})
            continue
        code = line.format(n=_HELD_BYTES) + "\nprint('held', flush=True)\ninput()"
        with subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as holder:
            assert holder.stdout is not None
            if holder.stdout.readline().strip() == "held":
                rows.append(_reading(f"20 GiB held by {framework}"))
            holder.communicate("\n")
        rows.append(_reading(f"after {framework}"))
    return rows


def _reading(moment: str) -> dict[str, Any]:
    card, smi = probe()[0], nvidia_smi()
    return {
        "moment": moment,
        "smi_free": smi["memory.free"],
        "probe_free": card["free_bytes"] // _MIB,
        "smi_total": smi["memory.total"],
        "probe_total": card["total_bytes"] // _MIB,
        "usable": card["usable_bytes"] // _MIB,
        "source": card["source"],
        "notes": card["notes"],
    }


def visibility() -> list[dict[str, Any]]:
    """Compare how many cards are seen with CUDA's own count, for the ways to name cards."""
    uuid = probe()[0]["uuid"]
    values = [
        "0",
        "1",
        "",
        "-1",
        "0,7",
        "7,0",
        "0,0",
        "0, 0",
        " 0 ",
        "00",
        "+0",
        "-0",
        "0x0",
        "0x1",
        "0a",
        "0 7",
        "0;7",
    ]
    values += [
        uuid,
        uuid[:12],
        f"{uuid},0",
        f"0,{uuid}",
        f"{uuid},{uuid}",
        uuid.lower(),
        "GPU-nonsense",
        "GPU-",
        "all",
    ]
    count = (
        "import ctypes; cuda = ctypes.CDLL('libcuda.so.1'); n = ctypes.c_int(); "
        "print(n.value if not cuda.cuInit(0) and not cuda.cuDeviceGetCount(ctypes.byref(n)) else 0)"
    )
    rows = []
    for value in values:
        cuda = subprocess.run(
            [sys.executable, "-c", count],
            capture_output=True,
            text=True,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": value},
        )
        n_seen = len(probe(CUDA_VISIBLE_DEVICES=value))
        rows.append({"CUDA_VISIBLE_DEVICES": value, "probe": n_seen, "cuda": cuda.stdout.strip()})
    return rows


def degradation() -> dict[str, Any]:
    """Take from the real library what can be missing; nothing may be raised, and the next source is named."""
    import pynvml

    from autobatch import device_memory

    results: dict[str, Any] = {"whole": _short(device_memory("GPU:0"))}
    version = pynvml.nvmlMemory_v2
    original = pynvml.nvmlDeviceGetMemoryInfo
    del pynvml.nvmlMemory_v2
    results["first version only"] = _short(device_memory("GPU:0"))
    pynvml.nvmlMemory_v2 = version
    pynvml.nvmlDeviceGetMemoryInfo = lambda handle: original(handle)
    results["another package's function of one argument"] = _short(device_memory("GPU:0"))
    pynvml.nvmlDeviceGetMemoryInfo = original
    results["after a fork"] = _in_a_fork(lambda: _short(device_memory("GPU:0")))
    results["eight threads, 200 readings each"] = _in_threads()
    started = time.perf_counter()
    for _ in range(200):
        device_memory("GPU:0")
    results["milliseconds a reading"] = round((time.perf_counter() - started) * 5, 3)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "libnvidia-ml.so.1").write_bytes(b"")
        results["an empty file instead of the library"] = probe(LD_LIBRARY_PATH=folder)
    results["no device files"] = _without_device_files()
    return results


def _without_device_files() -> str:
    """Probe in a mount namespace of its own whose /dev has no card, as a user who cannot make one."""
    inner = f"mount -t tmpfs none /dev && setpriv --reuid 65534 --clear-groups {sys.executable} -m autobatch probe"
    done = subprocess.run(["unshare", "-m", "sh", "-c", inner], capture_output=True, text=True, cwd=ROOT)
    return (done.stdout + done.stderr)[-600:]


def _short(memory: Any) -> dict[str, Any]:
    return {"free": memory.free_bytes // _MIB, "source": memory.source, "notes": memory.notes}


def _in_a_fork(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, json.dumps(read()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return json.loads(os.read(reader, 1 << 16))


def _in_threads() -> dict[str, Any]:
    from autobatch import device_memory

    sources: set[str] = set()

    def read() -> None:
        for _ in range(200):
            sources.add(device_memory("GPU:0").source)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"sources": sorted(sources)}


def torch_runs() -> dict[str, Any]:
    """Run a function that takes 68 MiB of the card an item: too many at once, and as many as a plan says."""
    import torch  # pyright: ignore[reportMissingImports]

    from autobatch import BatchCost, run_in_batches

    side, n_parts = 1024, 16

    def compute(start: int, stop: int) -> Any:
        items = torch.arange(start, stop, device="cuda", dtype=torch.float32)[:, None, None]
        plain = items.expand(-1, side, side) + torch.zeros(1, device="cuda")
        return torch.stack([part.mean(dim=(1, 2)) for part in [plain + k for k in range(n_parts)]]).sum(0)

    def run(n_items: int, device: str | None = "GPU:0", **options: Any) -> dict[str, Any]:
        kept: list[int] = []

        def keep(start: int, stop: int, result: Any) -> None:
            expected = torch.arange(start, stop, dtype=torch.float32) * n_parts + sum(range(n_parts))
            assert torch.allclose(result.cpu(), expected, rtol=1e-3), (start, stop)
            kept.extend(range(start, stop))

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        done = run_in_batches(compute, n_items, commit=keep, device=device, **options)
        assert kept == list(range(n_items))
        return {
            "sizes": done.attempted_sizes,
            "n_oom": done.n_oom,
            "seconds": round(time.perf_counter() - started, 2),
            "seconds_lost": round(done.seconds_lost, 3),
            "reason": None if done.plan is None else done.plan.reason,
            "peak_MiB": torch.cuda.max_memory_allocated() // _MIB,
        }

    cost = BatchCost(
        bytes_per_item=(n_parts + 1) * side * side * 4, largest_tensor_bytes_per_item=side * side * 4
    )
    return {
        "too many at once": run(6000, batch_size=4096),
        "planned": run(6000, cost=cost),
        "planned again in the same process": run(6000, cost=cost),
        "without a cost": run(6000),
        "without a cost or a device": run(6000, device=None),
        "results kept": _kept_on_host(compute),
    }


def _kept_on_host(compute: Callable[[int, int], Any]) -> str:
    from autobatch import run_in_batches

    done = run_in_batches(compute, 8, batch_size=3, device="GPU:0")
    return ", ".join(f"{type(output).__module__}.{type(output).__name__}" for output in done.outputs)


def jax_runs() -> dict[str, Any]:
    """Do the same with JAX, which reports a shortage only where a result is waited for."""
    import jax  # pyright: ignore[reportMissingImports]
    import jax.numpy as jnp  # pyright: ignore[reportMissingImports]

    from autobatch import run_in_batches

    # XLA fuses sums: a product of matrices keeps its operands and its result in memory.
    @functools.partial(jax.jit, static_argnums=1)
    def work(start: Any, n: int) -> Any:
        items = (start + jnp.arange(n, dtype=jnp.float32))[:, None, None]
        matrices = jnp.ones((n, 2048, 2048), jnp.float32) * items
        return jnp.matmul(matrices, matrices).max(axis=(1, 2)) / 2048

    kept: list[int] = []

    def keep(start: int, stop: int, result: Any) -> None:
        expected = jnp.arange(start, stop, dtype=jnp.float32) ** 2
        assert jnp.allclose(result, expected, rtol=1e-2), (start, stop)
        kept.extend(range(start, stop))

    started = time.perf_counter()
    n_items = 12_000
    done = run_in_batches(
        lambda start, stop: work(float(start), stop - start),
        n_items,
        commit=keep,
        batch_size=12_000,
        device="GPU:0",
    )
    assert kept == list(range(n_items))
    return {
        "sizes": done.attempted_sizes,
        "n_oom": done.n_oom,
        "seconds": round(time.perf_counter() - started, 2),
        "seconds_lost": round(done.seconds_lost, 3),
        "attempts": done.as_dict()["attempts"][:6],
        "version": jax.__version__,
    }


def driver_overhead() -> dict[str, Any]:
    """Return the microseconds that the driver adds to a batch with a card to look at."""
    from autobatch import BatchCost, run_in_batches

    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        run_in_batches(
            lambda start, stop: None,
            2000,
            commit=lambda start, stop, result: None,
            batch_size=1,
            cost=BatchCost(bytes_per_item=1),
            device="GPU:0",
        )
        seconds.append(time.perf_counter() - started)
    return {"microseconds a batch": round(statistics.median(seconds) / 2000 * 1e6, 2)}


def main(out: str) -> int:
    """Run every part, each in a process of its own, print and save what it gave."""
    parts = {
        "beside nvidia-smi": beside_nvidia_smi,
        "visibility": visibility,
        "degradation": degradation,
        "torch": torch_runs,
        "jax": jax_runs,
        "driver": driver_overhead,
    }
    if len(sys.argv) > 2:  # one part, in the process made for it below
        print(json.dumps(parts[sys.argv[2]]()))
        return 0
    report: dict[str, Any] = {"card": nvidia_smi()}
    for name in parts:
        started = time.perf_counter()
        try:
            done = subprocess.run(
                [sys.executable, __file__, out, name],
                capture_output=True,
                text=True,
                cwd=ROOT,
                timeout=150,
                env=os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
            )
            report[name] = (
                json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else done.stderr[-3000:]
            )
        except Exception:  # noqa: BLE001 - the other parts are to be run all the same
            report[name] = traceback.format_exc()
        print(f"== {name} ({time.perf_counter() - started:.1f} s)", flush=True)
        print(
            json.dumps(report[name], indent=1) if not isinstance(report[name], str) else report[name],
            flush=True,
        )
        Path(out).write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "on_a_card.json"))
