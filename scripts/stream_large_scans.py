"""Take scans of some gigabytes through inference, stitching and an epoch of training, and tell the memory it took.

``python scripts/stream_large_scans.py`` (``make streaming``) repeats the frames of a real scan, or without it of a
simulated one, until they are as large as asked for as amplitudes: in HDF5 packed and raw (a virtual data set), in an
NPZ as it is and packed. Each is read, reconstructed and trained on in a process of its own; a row of the table is
printed as soon as it is known. It fails if a process had more resident than allowed. The files are deleted at the end.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "siemens-star-small.npz.bz2"
_FRAMES_AT_ONCE = 516
_JITTER_PX = 20.0
FORMS = ("hdf5-gzip", "hdf5-raw", "npz", "npz-compressed")
WORKS = ("inference", "training")


@dataclass(frozen=True, eq=False)
class Source:
    """A scan whose frames are repeated: amplitudes (k, N, N), positions (k, 2) and probe (N, N)."""

    name: str
    amplitude: np.ndarray
    positions_yx: np.ndarray
    probe: np.ndarray

    @classmethod
    def found(cls) -> Source:
        """Return the real scan, or where it is not there a simulated one."""
        from ptycho.data import SimulationSettings, read_scan, simulate

        if _REAL.exists():
            scan, name = read_scan(_REAL), "the real scan of a Siemens star"
        else:
            scan, name = simulate(SimulationSettings(n_positions=_FRAMES_AT_ONCE, seed=1)), "a simulated scan"
        return cls(name, np.asarray(scan.amplitude), scan.positions_yx, scan.probe)

    def repeated_positions(self, n_repeats: int) -> np.ndarray:
        """Return the positions of all repeats: of the same place, each some pixels aside."""
        shifts = np.random.default_rng(2).uniform(0, _JITTER_PX, (n_repeats, 1, 2))
        return (self.positions_yx + shifts).reshape(-1, 2)


def write(form: str, source: Source, n_repeats: int, folder: Path) -> Path:
    """Write the frames `n_repeats` times in one of `FORMS`."""
    positions_yx = source.repeated_positions(n_repeats)
    if form.startswith("hdf5"):
        return _write_virtual(folder, source, positions_yx, n_repeats, packed=form.endswith("gzip"))
    path = folder / "scan.npz"
    packing = zipfile.ZIP_DEFLATED if form.endswith("compressed") else zipfile.ZIP_STORED
    small = {"xcoords": positions_yx[:, 1], "ycoords": positions_yx[:, 0], "probeGuess": source.probe}
    with zipfile.ZipFile(path, "w", packing, compresslevel=1) as file:
        for key, array in small.items():
            with file.open(f"{key}.npy", "w") as member:
                np.lib.format.write_array(member, array)
        with file.open("diffraction.npy", "w", force_zip64=True) as member:
            shape = (len(positions_yx), *source.amplitude.shape[1:])
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(member, header)
            for _ in range(n_repeats):
                member.write(source.amplitude.tobytes())
    return path


def _write_virtual(
    folder: Path, source: Source, positions_yx: np.ndarray, n_repeats: int, *, packed: bool
) -> Path:
    import h5py

    counts = np.rint(np.square(source.amplitude)).astype(np.uint32)
    options: dict[str, Any] = {"chunks": (4, *counts.shape[1:]), "compression": "gzip"} if packed else {}
    path = folder / "scan.h5"
    with h5py.File(path, "w") as file:
        once = file.create_dataset("once", data=counts, **options)
        layout = h5py.VirtualLayout((n_repeats * len(counts), *counts.shape[1:]), counts.dtype)
        for number in range(n_repeats):
            layout[number * len(counts) : (number + 1) * len(counts)] = h5py.VirtualSource(once)
        file.create_virtual_dataset("frames", layout)
        file["y"], file["x"] = positions_yx.T
        file["probe"] = source.probe
    return path


def read(path: Path) -> Any:
    """Open a scan that `write` has written."""
    from ptycho.data import ImportSettings, read_scan

    if path.suffix == ".npz":
        return read_scan(path)
    importing = ImportSettings(frames=":frames", y=":y", x=":x", position_unit="px", probe=":probe")
    return read_scan(path, importing=importing)


def infer(path: Path) -> dict:
    """Read, predict and stitch a scan, with half sets; the network costs nothing, so that reading shows."""
    import keras

    from ptycho.models.patch_model import ForeignArchitecture, PatchModel
    from ptycho.reconstruction import InferenceSettings, reconstruct

    began = time.perf_counter()
    scan = read(path)
    opened_s = time.perf_counter() - began
    frames = keras.Input((scan.patch_size, scan.patch_size, 1))
    network = keras.Model(frames, [keras.layers.Rescaling(scale)(frames) for scale in (1.0, 0.3)])
    made = ForeignArchitecture(kind="pinn", patch_size=scan.patch_size, gridsize=1, n_weights=0)
    settings = InferenceSettings(crop_size=scan.patch_size // 4, self_consistency=True)
    run = reconstruct(PatchModel(network=network, architecture=made), scan, settings)
    return {"opened_s": opened_s, "n_frames": run.prediction.n_items, "all_s": time.perf_counter() - began}


def fit(path: Path) -> dict:
    """Read a scan and train a small network on it for one epoch."""
    from ptycho.models import Architecture, TrainingSettings, train

    began = time.perf_counter()
    scan = read(path)
    opened_s = time.perf_counter() - began
    made = Architecture(kind="pinn", patch_size=scan.patch_size, n_filters_scale=0.15625)
    train([scan], made, settings=TrainingSettings(epochs=1, batch_size=32))
    return {"opened_s": opened_s, "n_frames": scan.n_frames, "all_s": time.perf_counter() - began}


def work_in_this_process(work: str, path: Path) -> None:
    """Do one of `WORKS` and print what it took."""
    result = {"inference": infer, "training": fit}[work](path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(result | {"resident_bytes": peak}))


def measured(work: str, path: Path) -> dict:
    """Do one of `WORKS` in a process of its own."""
    run = subprocess.run(
        [sys.executable, __file__, "--worker", work, str(path)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(run.stdout.splitlines()[-1])


def main() -> int:
    """Write, measure, print a table, and delete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=4.1, help="of the frames as amplitudes")
    parser.add_argument("--most-resident", type=float, default=2.0, help="gigabytes that a process may take")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--works", nargs="+", choices=WORKS, default=WORKS)
    parser.add_argument("--folder", help="where the files are made and deleted, on a disk with room")
    parser.add_argument("--worker", nargs=2, metavar=("WORK", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        work_in_this_process(arguments.worker[0], Path(arguments.worker[1]))
        return 0
    source = Source.found()
    n_repeats = max(1, round(arguments.gigabytes * 1e9 / source.amplitude.nbytes))
    all_bytes = n_repeats * source.amplitude.nbytes
    n_frames = n_repeats * len(source.amplitude)
    print(f"{n_frames:,} frames of {source.name}, {all_bytes / 1e9:.1f} GB as amplitudes\n")
    print("| file | work | resident at most / GB | opened / s | all / s | frames/s |", flush=True)
    print("|---|---|---:|---:|---:|---:|", flush=True)
    highest = 0.0
    for form in arguments.forms:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            path = write(form, source, n_repeats, Path(folder))
            for work in arguments.works:
                row = measured(work, path)
                resident = row["resident_bytes"] / 1e9
                highest = max(highest, resident)
                print(
                    f"| {form} | {work} | {resident:.2f} | {row['opened_s']:.0f} | {row['all_s']:.0f} | "
                    f"{row['n_frames'] / row['all_s']:,.0f} |",
                    flush=True,
                )
    print(f"\nThe most was {highest:.2f} GB; {arguments.most_resident:.2f} are allowed.")
    return int(highest > arguments.most_resident)


if __name__ == "__main__":
    sys.exit(main())
