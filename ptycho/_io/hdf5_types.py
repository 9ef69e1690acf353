"""Which datasets of HDF5 hold numbers or texts in the file itself, and MATLAB's pairs as complex numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptycho.errors import DataError

if TYPE_CHECKING:
    import h5py


def keeps_numbers_elsewhere(dataset: h5py.Dataset) -> bool:
    """Tell whether a dataset takes its numbers from other files, or from other datasets."""
    return bool(dataset.external) or dataset.is_virtual


def refuse_odd_type(dataset: h5py.Dataset, path: str, name: str) -> None:
    """Refuse a dataset of anything but numbers, text, or MATLAB's pairs of real and imaginary parts."""
    import h5py

    if dataset.shape is None:
        raise DataError(f"{path} in {name} is empty but numbers are needed; mend the file.")
    kind = dataset.dtype.kind
    if kind in "biufcS" or is_pair(dataset.dtype) or h5py.check_string_dtype(dataset.dtype) is not None:
        return
    raise DataError(f"{path} in {name} holds {dataset.dtype} but numbers or texts are needed; store it so.")


def is_pair(dtype: np.dtype) -> bool:
    """Tell whether a type is MATLAB's pair of real and imaginary parts."""
    return dtype.names == ("real", "imag") and all(dtype[name].kind == "f" for name in ("real", "imag"))


def plain_type(dtype: np.dtype) -> np.dtype:
    """Return the type of the numbers that such pairs become, or the type itself."""
    return np.dtype(np.complex128) if is_pair(dtype) else dtype


def as_complex(values: np.ndarray) -> np.ndarray:
    """Return such pairs as complex numbers, anything else as it is."""
    return values["real"] + 1j * values["imag"] if is_pair(values.dtype) else values


def described(values: np.ndarray) -> str:
    """Return what is there instead of one number, for a message."""
    return str(values[0]) if values.size == 1 else f"{values.dtype} of {values.size} entries"
