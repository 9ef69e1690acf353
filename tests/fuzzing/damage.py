"""How a good file becomes a bad one: bytes that are flipped, cut or moved, and contents that nobody would write."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

# What a command of a pickle or a lambda of Keras's would leave behind.
CANARY = "executed"
_DEEP = 100_000
_OTHER_TYPES = ("f2", "f8", "i1", "u8", "?", "c16", "S3", "U3")
_ODD_NAMES = ("../a.npy", "/etc/a", "a\\b.npy", "a\n.npy", "\x1b[2J", "\ud7ff\ufffe.npy")


def damage(path: Path, rng: np.random.Generator) -> None:
    """Replace `path` by a damaged copy of itself: half the time its bytes, else what it holds."""
    crafted = rng.random() < 0.5 and _craft(path, rng)
    if not crafted or rng.random() < 0.1:
        path.write_bytes(damaged_bytes(path.read_bytes(), rng))


def damaged_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a copy with a few bytes changed, more often where a file keeps its structure, or a piece lost or moved."""
    changed = bytearray(content)
    kind = rng.integers(8)
    if kind < 5:
        for _ in range(rng.integers(1, 9)):
            at = _place(len(changed), rng)
            if kind < 3:
                changed[at] ^= 1 << int(rng.integers(8))
            else:
                changed[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)])
    elif kind == 5:
        del changed[int(rng.integers(len(changed))) :]
    elif kind == 6:
        start = _place(len(changed), rng)
        changed[start : start + int(rng.integers(1, 4096))] = bytes(int(rng.integers(4096)))
    else:
        start, stop = sorted(rng.integers(0, len(changed) + 1, 2).tolist())
        at = _place(len(changed), rng)
        changed[at:at] = changed[start : min(stop, start + 65536)]
    return bytes(changed)


def _place(n_bytes: int, rng: np.random.Generator) -> int:
    """Return a place anywhere, near the start or near the end, where headers and tables of contents lie."""
    reach = min(n_bytes, int(rng.choice([128, 1024, 8192])))
    return int(rng.choice([rng.integers(n_bytes), rng.integers(reach), n_bytes - 1 - rng.integers(reach)]))


def _craft(path: Path, rng: np.random.Generator) -> bool:
    """Change what a file holds and write it anew; False for a kind of file that is only bytes here."""
    content = path.read_bytes()
    for signature, rewrite in _REWRITERS.items():
        if content.startswith(signature):
            path.write_bytes(rewrite(content, rng))
            return True
    return False


def _rewritten_zip(content: bytes, rng: np.random.Generator) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = str(rng.choice(list(members)))
    kind = rng.integers(10)
    if kind == 0:
        del members[name]
    elif kind == 1:
        members[str(rng.choice(_ODD_NAMES))] = members[name]
    elif kind == 2:
        members[name] = bytes(members[str(rng.choice(list(members)))])
    elif kind == 3:
        members[name] = b""
    else:
        members[name] = _rewritten(members[name], rng)
    method = rng.choice(
        [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
        p=[0.5, 0.3, 0.1, 0.1],
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", int(method)) as archive:
        for each, value in members.items():
            archive.writestr(each, value)
    packed = bytearray(buffer.getvalue())
    if rng.random() < 0.05:
        # The flag of an encrypted member, in the table of contents.
        packed[packed.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(packed)


def _rewritten(content: bytes, rng: np.random.Generator) -> bytes:
    for signature, rewrite in _REWRITERS.items():
        if content.startswith(signature):
            return rewrite(content, rng)
    return damaged_bytes(content, rng) if content else b"\0"


def _rewritten_npy(content: bytes, rng: np.random.Generator) -> bytes:
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if rng.random() < 0.35:
        return _odd_npy(array, rng)
    buffer = io.BytesIO()
    np.save(buffer, _odd_array(array, rng), allow_pickle=False)
    return buffer.getvalue()


def _odd_npy(array: np.ndarray, rng: np.random.Generator) -> bytes:
    """Return an array with a header that lies, is deep, is code, or announces a pickle."""
    command = f"cposix\nsystem\n(S'touch {CANARY}'\ntR.".encode()
    header, body = [
        (
            f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': (1000000, 1000000)}}",
            array.tobytes(),
        ),
        (f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': ({10**40},)}}", array.tobytes()),
        (f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': (True, -1)}}", array.tobytes()),
        (f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': ([],)}}", array.tobytes()),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", command),
        ("{'descr': [('a', '<f8'), ('b', '|O')], 'fortran_order': False, 'shape': (1,)}", command),
        ("{'descr': '<f8', 'fortran_order': 3, 'shape': ()}", bytes(8)),
        (f"__import__('os').system('touch {CANARY}')", b""),
        ("(" * 9000, b""),
        ("[" * 200_000, b""),
    ][int(rng.integers(10))]
    text = header.encode("latin-1") + b"\n"
    version = int(rng.choice([1, 2, 3, 9])) if len(text) < 65536 else 2
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + body


def _odd_array(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return numbers of another shape, type or size."""
    flat = np.atleast_1d(array)
    changes: list[Callable[[], np.ndarray]] = [
        lambda: array.reshape(-1)[:0],
        lambda: np.asarray(array.reshape(-1)[0]),
        lambda: array[np.newaxis],
        lambda: array[..., np.newaxis],
        lambda: array.T,
        lambda: flat[:-1],
        lambda: np.concatenate([flat, flat]),
        lambda: np.zeros_like(array),
        lambda: array.astype(str(rng.choice(_OTHER_TYPES if array.dtype.kind in "biufc" else ["S3", "U3"]))),
        lambda: np.zeros(array.shape, [("real", "f4"), ("imag", "f4")]),
        lambda: np.zeros(array.shape, "M8[s]"),
        lambda: np.zeros((64, 64, 64, 16), "f4"),
        lambda: np.zeros((3000, 3000), "c8"),
        lambda: _with_odd_values(array, rng),
        lambda: _with_odd_values(array, rng),
    ]
    with np.errstate(all="ignore"):
        return changes[int(rng.integers(len(changes)))]()


def _with_odd_values(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    values = (
        np.array(array, ndmin=1).astype(array.dtype if array.dtype.kind in "fc" else "f8")
        if array.dtype.kind in "biufc"
        else np.zeros(3)
    )
    odd = rng.choice([np.nan, np.inf, -np.inf, -1.0, 0.0, 1e300, 1e-300, 65535.0, 2.0**63])
    where = rng.integers(0, max(1, values.size), max(1, values.size // int(rng.choice([1, 10, 1000]))))
    if values.size:
        values.reshape(-1)[where] = odd
    return values


def _rewritten_json(content: bytes, rng: np.random.Generator) -> bytes:
    if rng.random() < 0.1:
        return (b"[" if rng.random() < 0.5 else b'{"a":') * _DEEP
    try:
        tree: Any = json.loads(content)
    except ValueError:
        return damaged_bytes(content, rng)
    for _ in range(rng.integers(1, 4)):
        holder, key = _somewhere(tree, rng)
        if holder is None:
            break
        if rng.random() < 0.15:
            del holder[key]
        elif rng.random() < 0.1 and isinstance(holder, dict):
            holder[str(rng.choice(["", "\0", "class_name", "__proto__", "more"]))] = holder[key]
        else:
            holder[key] = _odd_value(rng)
    text = json.dumps(tree)
    return text.replace(f'"{_BIG}"', "1" + "0" * 5000).encode("utf-8", "surrogatepass")


_BIG = "a number of 5000 digits"


def _odd_value(rng: np.random.Generator) -> Any:
    return [
        None,
        True,
        -1,
        0,
        1,
        2**31,
        10**30,
        10**400,
        _BIG,
        0.5,
        float("nan"),
        float("inf"),
        1e308,
        "",
        "a",
        "\0",
        "\udc80",
        "x" * 100_000,
        [],
        {},
        [[]],
        {"a": None},
        [1] * 1000,
        "Lambda",
        "builtins.exec",
    ][int(rng.integers(25))]


def _somewhere(tree: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return a list or dict in `tree` and one of its keys; (None, None) if there is none."""
    holder, key = None, None
    while isinstance(tree, dict | list) and tree and (holder is None or rng.random() < 0.8):
        holder = tree
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        key = keys[int(rng.integers(len(keys)))]
        tree = holder[key]
    return holder, key


def _rewritten_hdf5(content: bytes, rng: np.random.Generator) -> bytes:
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        paths: list[str] = []
        file.visit(paths.append)
        if not paths:
            return damaged_bytes(content, rng)
        path = paths[int(rng.integers(len(paths)))]
        found = file[path]
        if found.attrs and rng.random() < 0.3:
            _change_attribute(found, rng)
        else:
            values = found[()] if isinstance(found, h5py.Dataset) and found.shape is not None else None
            del file[path]
            _put(file, path, np.asarray(0.0 if values is None else values), rng)
    return buffer.getvalue()


def _change_attribute(found: Any, rng: np.random.Generator) -> None:
    name = str(rng.choice(list(found.attrs)))
    del found.attrs[name]
    value = [
        None,
        h5py.Empty("f8"),
        "",
        b"\xff\xfe",
        np.nan,
        -1.0,
        np.zeros(0),
        np.zeros((3, 4)),
        "x" * 1000,
        np.zeros(2, [("a", "f4")]),
    ][int(rng.integers(10))]
    if value is not None:
        found.attrs[name] = value


def _put(file: h5py.File, path: str, values: np.ndarray, rng: np.random.Generator) -> None:
    """Put something else where a dataset was: nothing, a link, an odd type, far more than is stored."""
    numeric = values.dtype.kind in "biufc"
    kind = int(rng.integers(12))
    if kind == 0:
        return
    if kind == 1:
        file[path] = h5py.SoftLink("/nowhere" if rng.random() < 0.5 else f"/{path}")
    elif kind == 2:
        file[path] = h5py.ExternalLink(str(rng.choice(["/etc/passwd", "missing.h5", "/dev/zero"])), "/a")
    elif kind == 3:
        file[path] = h5py.Empty("f4")
    elif kind == 4:
        file.create_dataset(path, (1 << 20, 1 << 12, 3), "f4", chunks=(1, 64, 1))
    elif kind == 5:
        file.create_group(path)
    elif kind == 6:
        file[path] = np.zeros(values.shape, [("real", "f4"), ("imag", "f4"), ("more", "S3")])
    elif kind == 7:
        file.create_dataset(path, data="text" if rng.random() < 0.5 else b"\xff")
    elif kind == 8:
        file.create_dataset(path, (64, 64, 64, 16), "f4", compression="gzip", fillvalue=1)
    elif kind == 9:
        file.create_dataset(path, (3,), h5py.ref_dtype if rng.random() < 0.5 else h5py.vlen_dtype("f4"))
    else:
        odd = _odd_array(values, rng) if numeric else np.zeros(3)
        file[path] = odd if odd.dtype.kind in "biufcS" else np.zeros(odd.shape)


def _rewritten_tiff(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a TIFF file of which one tag of one directory lies, or the chain of directories leads elsewhere."""
    changed = bytearray(content)
    starts, start = [], int.from_bytes(content[4:8], "little")
    while start and start not in starts:
        starts.append(start)
        n_tags = int.from_bytes(content[start : start + 2], "little")
        start = int.from_bytes(content[start + 2 + 12 * n_tags :][:4], "little")
    at = int(rng.choice(starts))
    n_tags = int.from_bytes(content[at : at + 2], "little")
    # Its tag, type, number of values, value; or where the next directory is.
    field, size = [(0, 2), (2, 2), (4, 4), (8, 4), (8, 4)][int(rng.integers(5))]
    place = at + 2 + 12 * int(rng.integers(n_tags + 1)) + field
    odd = rng.choice([0, 1, 3, 0x7FFF, 0xFFFF, 2**31, 2**32 - 1, at, len(content) - 1, rng.integers(2**32)])
    changed[place : place + size] = (int(odd) % 256**size).to_bytes(size, "little")
    return bytes(changed)


_REWRITERS: dict[bytes, Callable[[bytes, np.random.Generator], bytes]] = {
    b"PK\x03\x04": _rewritten_zip,
    b"\x93NUMPY": _rewritten_npy,
    b"\x89HDF": _rewritten_hdf5,
    b"II*\0": _rewritten_tiff,
    b"{": _rewritten_json,
}
