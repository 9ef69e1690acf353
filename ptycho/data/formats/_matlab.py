"""MATLAB files of versions 5 and 6 opened without trust; version 7.3 is HDF5."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import numpy as np

from ptycho.errors import DataError

# What SciPy raises on damaged input.
_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    struct.error,
    zlib.error,
    EOFError,
    AssertionError,
)
_MAX_RATIO = 1100
_SMALL_BYTES = 64 << 20


class MatFile:
    """The variables of one MAT file, read when they are asked for."""

    def __init__(self, path: Path) -> None:
        from scipy.io import whosmat

        self.path, self.name = path, str(path)
        try:
            found = whosmat(path)
        except _DAMAGE as error:
            raise self._damaged("its list of variables", error) from error
        self._shapes = {name: tuple(shape) for name, shape, _ in found}
        self.keys = tuple(self._shapes)

    def __contains__(self, key: str) -> bool:
        return key in self._shapes

    def shape(self, key: str) -> tuple[int, ...] | None:
        """Return the shape of a variable, None if there is none."""
        return self._shapes.get(key)

    def read(self, key: str) -> np.ndarray:
        """Return the numbers of one variable in MATLAB's own order of axes."""
        value = self._load(key)
        if value.dtype.kind not in "biufc":
            raise DataError(f"{key} in {self.name} holds {value.dtype} but numbers are needed; store it so.")
        return value

    def field(self, key: str, name: str) -> np.ndarray | None:
        """Return field `name` of the structure `key`, None if there is no such structure or field."""
        if key not in self:
            return None
        value = self._load(key)
        if value.dtype.names is None or name not in value.dtype.names or not value.size:
            return None
        found = np.asarray(value[name].ravel()[0])
        return found if found.dtype.kind in "biufc" else None

    def _load(self, key: str) -> np.ndarray:
        from scipy.io import loadmat

        if key not in self:
            raise DataError(f"{self.name} has no {key}; it holds {', '.join(self.keys) or 'nothing'}.")
        declared = math.prod(self._shapes[key]) * 16
        stored = self.path.stat().st_size
        if declared > max(_SMALL_BYTES, _MAX_RATIO * stored):
            raise DataError(
                f"{key} in {self.name} declares {self._shapes[key]} but the file has {stored} bytes; it is not what it "
                "seems, so it is not read."
            )
        try:
            return np.asarray(loadmat(self.path, variable_names=[key])[key])
        except _DAMAGE as error:
            raise self._damaged(key, error) from error

    def _damaged(self, what: str, error: Exception) -> DataError:
        return DataError(
            f"{what} in {self.name} cannot be read ({error}); the file is damaged, copy it again."
        )
