"""A small file of every kind that other packages write, by the name of its kind."""

from __future__ import annotations

import h5py
import numpy as np
from peer_writers import (
    BASES,
    fold_slice_variables,
    pinn_members,
    write_cxi,
    write_eiger,
    write_fold_slice,
    write_frames,
    write_nexus,
    write_product,
    write_ptyd,
    write_training,
)
from scipy.io import savemat


def _product_and_frames(folder, known):
    write_frames(folder / "diffraction.h5", known)
    write_product(folder / "product.h5", known)
    return folder / "product.h5"


def _fold_slice(folder, known):
    write_fold_slice(folder, known)
    return folder / "data_roi0_para.hdf5"


def _eiger(folder, known):
    write_eiger(folder, known)
    return folder / "a_master.h5"


def _one(writer, name, **options):
    def write(folder, known):
        writer(folder / name, known, **options)
        return folder / name

    return write


def _mat(folder, known):
    savemat(folder / "a.mat", fold_slice_variables(known), do_compression=False)
    return folder / "a.mat"


def _pinn(folder, known):
    np.savez(folder / "a.npz", **pinn_members(known))
    return folder / "a.npz"


def _hdf5(contents):
    """Return a writer of a file with the datasets that `contents` makes of a scan."""

    def write(folder, known):
        with h5py.File(folder / "a.h5", "w") as file:
            for path, value in contents(known).items():
                file[path] = value
        return folder / "a.h5"

    return write


def _ptyr(known):
    return {
        "content/obj/S/data": known.image[None],
        "content/obj/S/_psize": np.full(2, known.pixel_m),
        "content/obj/S/_origin": np.zeros(2),
        "content/probe/S/data": known.modes,
        "content/positions/S": known.positions_yx * known.pixel_m,
    }


def _ptylab(known):
    return {
        "ptychogram": known.clean,
        "encoder": known.metres_about(),
        "dxd": known.detector_pixel_m,
        "zo": known.distance_m,
        "wavelength": known.wavelength_m,
        "orientation": 5,
    }


def _ptylab_result(known):
    return {
        "object": known.image[None, None, None, None],
        "probe": known.modes[None, None, :, None],
        "encoder_corrected": (known.positions_yx - np.array(known.image.shape) // 2) * known.pixel_m,
        "dxp": known.pixel_m,
    }


def _hxn(known):
    return {
        "diffamp": np.sqrt(np.fft.ifftshift(known.clean, axes=(1, 2)).astype(np.float32)),
        "points": known.metres_about().T * 1e6,
        "lambda_nm": known.wavelength_m * 1e9,
        "z_m": known.distance_m,
        "ccd_pixel_um": 75.0,
    }


def _cdtools(known):
    basis = np.array([[0, -known.pixel_m], [-known.pixel_m, 0], [0, 0]])
    return {
        "obj": known.image,
        "probe": known.modes,
        "obj_basis": basis,
        "translations": known.positions_yx @ basis.T,
        "state_dict/min_translation": np.full(2, known.side / 2),
    }


def _ptyrad(known):
    corners = np.floor(known.positions_yx - known.side / 2)
    # Two slices, the second of a phase alone.
    return {
        "optimizable_tensors/obja": np.stack([np.abs(known.image), np.ones(known.image.shape)])[None],
        "optimizable_tensors/objp": np.stack(
            [np.angle(known.image) - 0.25, np.full(known.image.shape, 0.25)]
        )[None],
        "optimizable_tensors/probe": known.modes,
        "optimizable_tensors/probe_pos_shifts": known.positions_yx - known.side / 2 - corners,
        "model_attributes/crop_pos": corners.astype(np.int32),
        "model_attributes/dx": known.pixel_m * 1e10,
        "ptyrad_version": "1.0.0",
    }


def _emd(known):
    calibration = "4DSTEM_experiment/data/datacubes/metadatabundle/calibration"
    return {
        "4DSTEM_experiment/data/datacubes/cube/data": known.clean.reshape(3, 4, 16, 16),
        f"{calibration}/R_pixel_size": 0.5,
        f"{calibration}/R_pixel_units": "A",
        f"{calibration}/Q_pixel_size": 0.02,
        f"{calibration}/Q_pixel_units": "A^-1",
        f"{calibration}/QR_rotation": 0.1,
    }


WRITERS = {
    "product": _product_and_frames,
    "training": _one(write_training, "a.h5"),
    "pinn": _pinn,
    "cxi": _one(write_cxi, "a.cxi", basis=BASES["x positive"]),
    "nexus": _one(write_nexus, "a.nxs"),
    "ptyd": _one(write_ptyd, "a.ptyd"),
    "fold_slice": _fold_slice,
    "mat": _mat,
    "eiger": _eiger,
    "ptyr": _hdf5(_ptyr),
    "ptylab": _hdf5(_ptylab),
    "ptylab_result": _hdf5(_ptylab_result),
    "hxn": _hdf5(_hxn),
    "cdtools": _hdf5(_cdtools),
    "emd": _hdf5(_emd),
    "ptyrad": _hdf5(_ptyrad),
}
