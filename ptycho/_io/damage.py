"""What damaged files make their readers raise: one list for archives and arrays, one for HDF5."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib

# zipfile, its decompressors and NumPy. RuntimeError covers encrypted members and, through its children, unknown
# compression methods and headers that are nested too deeply; NumPy reads an array's header as a line of Python, and an
# impossible shape overflows or asks for more memory than there is.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    EOFError,
    KeyError,
    MemoryError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
# h5py. OverflowError: a place in the file that no file can have.
HDF5_DAMAGE = (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError)
