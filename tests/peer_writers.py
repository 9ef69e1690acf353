"""Writers of other packages' files: a scan of which everything is known, key by key as those packages lay it out."""

from __future__ import annotations

import h5py
import numpy as np

P = 75e-6
CENTRE_YX = (-7e-7, 1.3e-6)
# Steps of rows and columns in (x, y, z): the default of CXI, and detectors mounted otherwise.
BASES = {
    "absent": None,
    "default": [[0, -P, 0], [-P, 0, 0]],
    "x positive": [[0, -P, 0], [P, 0, 0]],
    "y positive": [[0, P, 0], [-P, 0, 0]],
    "turned": [[P, 0, 0], [0, -P, 0]],
}


def write_product(path, known, *, older: bool = False, order=None) -> None:
    """Write a product as ptychodus 1.7 does, or with the keys of 2024."""
    order = np.arange(len(known.counts)) if order is None else np.asarray(order)
    metres = known.metres_about(CENTRE_YX)[order]
    with h5py.File(path, "w") as file:
        file.attrs["probe_energy_eV" if older else "photon_energy_eV"] = known.energy_ev
        file.attrs["detector_object_distance_m"] = known.distance_m
        file["probe_position_y_m"], file["probe_position_x_m"] = metres.T
        file["probe_position_indexes"] = order
        file["object"] = known.image[None]
        pixels = {"pixel_height_m": known.pixel_m, "pixel_width_m": known.pixel_m}
        file["object"].attrs.update({"center_y_m": CENTRE_YX[0], "center_x_m": CENTRE_YX[1], **pixels})
        file["probe"] = known.modes if older else known.modes[None]


def write_frames(path, known) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("patterns", data=known.counts, compression="lzf", chunks=(5, 8, 8))
        for side in ("height", "width"):
            file["patterns"].attrs[f"detector_pixel_{side}_m"] = known.detector_pixel_m
        file["indexes"] = np.arange(len(known.counts))
        file["bad_pixels"] = known.bad


def write_training(path, known) -> None:
    with h5py.File(path, "w") as file:
        file["patterns"], file["bad_pixels"] = known.clean, known.bad
        file["probe"], file["object"] = known.modes, known.image
        file["probe_position_y_px"], file["probe_position_x_px"] = (known.positions_yx - 0.5).T
        file["object_pixel_height_m"] = file["object_pixel_width_m"] = known.pixel_m
        file["detector_object_distance_m"], file["photon_energy_eV"] = known.distance_m, known.energy_ev


def pinn_members(known) -> dict:
    y, x = (known.positions_yx - 0.5).T
    return {
        "diff3d": known.clean,
        "xcoords": x,
        "ycoords": y,
        "probeGuess": known.modes,
        "objectGuess": known.image,
        "bad_pixels": known.bad,
    }


def translations(known, basis) -> np.ndarray:
    """Sample translations (n, 3) under which the probe moves along rows and columns as it does."""
    steps = np.array(BASES["default"] if basis is None else basis) / P
    return -known.metres_about() @ steps + np.array([3e-6, -1e-6, 0])


def write_cxi(path, known, *, basis=None, transpose_basis=False) -> None:
    with h5py.File(path, "w") as file:
        file["cxi_version"] = 160
        detector = file.create_group("entry_1/instrument_1/detector_1")
        detector.create_dataset(
            "data", data=known.counts.astype(np.int32), chunks=(5, 8, 8), compression="gzip"
        )
        detector["distance"], detector["x_pixel_size"], detector["y_pixel_size"] = known.distance_m, P, P
        mask = known.bad.astype(np.uint32)
        mask[5, 5] = 0x1000
        detector["mask"] = mask
        if basis is not None:
            detector["basis_vectors"] = np.transpose(basis) if transpose_basis else np.array(basis)
        file["entry_1/instrument_1/source_1/energy"] = known.energy_j
        file["entry_1/sample_1/geometry_1/translation"] = translations(known, basis)
        file["entry_1/data_1/data"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/data")
        file["entry_1/data_1/translation"] = h5py.SoftLink("/entry_1/sample_1/geometry_1/translation")


def write_fold_slice(folder, known, *, unit=1.0, shape=(-1, 1)):
    with h5py.File(folder / "data_roi0_dp.hdf5", "w") as file:
        file["dp"] = known.clean
    with h5py.File(folder / "data_roi0_para.hdf5", "w") as file:
        y, x = known.metres_about().T / unit
        file["ppY"], file["ppX"] = y.reshape(shape), x.reshape(shape)
        file["dx"], file["lambda"] = [known.pixel_m], [known.wavelength_m]


def fold_slice_variables(known) -> dict:
    middle = np.ceil((np.array(known.image.shape) - known.side) / 2) - 1 + known.side / 2
    return {
        "object": known.image,
        "probe": np.moveaxis(known.modes, 0, -1)[..., None],
        "outputs": {"probe_positions": (known.positions_yx - middle)[:, ::-1]},
        "p": {"dx_spec": np.array([[known.pixel_m, known.pixel_m]]), "lambda": known.wavelength_m},
    }


def write_ptyd(path, known, *, linked=False) -> None:
    """Two chunks, the second before the first in the scan; numbers beyond 9 to tell numeric order from text."""
    rows = {"2": np.arange(7, 12), "10": np.arange(7)}
    weights = np.broadcast_to(~known.bad, known.counts.shape).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.attrs["h5rw_version"] = "0.1"
        for number, chosen in rows.items():
            if linked:
                partner = path.with_name(f"{path.name}.part{number}")
                holder = h5py.File(partner, "w")
                file[f"chunks/{number}"] = h5py.ExternalLink(f"/home/someone/{partner.name}", "/")
            else:
                holder = file.create_group(f"chunks/{number}")
            holder["data"], holder["indices"] = known.counts[chosen], chosen
            holder["positions"], holder["weights"] = known.metres_about()[chosen], weights[chosen]
            if linked:
                holder.close()
        file["meta/energy"], file["meta/distance"] = known.energy_ev / 1e3, known.distance_m
        file["meta/psize"] = np.array([0.0])
        file["meta/psize"].attrs["type"] = "None"
        file["info/psize"], file["info/rebin"] = known.detector_pixel_m / 2, 2


def write_nexus(path, known, *, names=True, raster=False) -> None:
    tail = "_1" if names else ""
    entry = f"entry{tail}"
    with h5py.File(path, "w") as file:
        file[f"{entry}/definition"] = "NXcxi_ptycho" if names else "NXptycho"
        detector = file.create_group(f"{entry}/instrument{tail}/detector{tail}")
        detector["data"] = known.counts.reshape(3, 4, 16, 16) if raster else known.counts
        detector["mask"] = known.bad.astype(np.int32)
        detector["distance"], detector["x_pixel_size"] = known.distance_m * 1e3, known.detector_pixel_m * 1e6
        detector["distance"].attrs["units"], detector["x_pixel_size"].attrs["units"] = (
            "mm",
            "um",
        )
        file[f"{entry}/instrument{tail}/source{tail}/energy"] = 3.0
        file[f"{entry}/instrument{tail}/beam{tail}/energy"] = known.energy_ev
        axes = file.create_group(f"{entry}/sample{tail}/transformations")
        y, x = known.metres_about().T * 1e6
        for name, values, vector in (("slow", -y, (0, -1, 0)), ("fast", x, (1, 0, 0))):
            axes[name] = values[:, None, None]
            axes[name].attrs.update({"units": "um", "vector": vector, "transformation_type": "translation"})


def write_eiger(folder, known, *, announced=3) -> None:
    frames = np.pad(known.counts, ((0, 0), (4, 0), (0, 10)))
    for number, chosen in ((1, frames[:8]), (2, frames[8:])):
        with h5py.File(folder / f"a_data_00000{number}.h5", "w") as file:
            file["entry/data/data"] = chosen
    with h5py.File(folder / "a_master.h5", "w") as file:
        for number in range(1, announced + 1):
            name = f"a_data_00000{number}.h5"
            file[f"entry/data/data_00000{number}"] = h5py.ExternalLink(name, "/entry/data/data")
        detector = file.create_group("entry/instrument/detector")
        detector["beam_center_y"], detector["beam_center_x"] = 12.0, 8.0
        detector["x_pixel_size"], detector["detector_distance"] = (
            known.detector_pixel_m * 1e3,
            known.distance_m,
        )
        detector["x_pixel_size"].attrs["units"] = "mm"
        detector["detectorSpecific/photon_energy"] = known.energy_ev
        detector["detectorSpecific/pixel_mask"] = np.pad(known.bad, ((4, 0), (0, 10))).astype(np.uint32)
    np.savetxt(folder / "a.csv", known.metres_about(), delimiter=",")
