"""Zip archives opened without trust: what they declare is compared with what they store before anything is unpacked."""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from ptycho._io.damage import DAMAGE
from ptycho._io.packing import Packing
from ptycho.errors import DataError

_SIGNATURE = b"PK\x03\x04"


@dataclass(frozen=True)
class ZipLimits:
    """What archives of one kind have at most.

    Attributes
    ----------
    kind : str
        What holds so much at most, for messages: ``a model``.
    archive_bytes, member_bytes : int
        Declared by all members and by one.
    members : int
        How many there are.
    """

    kind: str
    archive_bytes: int
    member_bytes: int
    members: int


class ZipMembers:
    """The members of one open zip archive; get one from `zip_members`."""

    def __init__(self, zipped: zipfile.ZipFile, name: str, n_bytes: int, limits: ZipLimits | None) -> None:
        self.name = name
        self._zipped, self._n_bytes, self._limits = zipped, n_bytes, limits
        members = zipped.infolist()
        self._members = {member.filename: member for member in members}
        if len(self._members) < len(members):
            raise DataError(
                f"{name} lists a member twice; it is damaged or not what it seems, write it anew."
            )
        if limits is not None:
            _refuse_excess(members, name, limits)

    def names(self) -> list[str]:
        """Return the names of all members."""
        return list(self._members)

    def info(self, member: str) -> zipfile.ZipInfo:
        """Return what the table of contents says of a member that is there."""
        return self._members[member]

    @contextmanager
    def opened(self, member: str, packing: Packing, *, called: str | None = None) -> Iterator[IO[bytes]]:
        """Give the contents of a member that is there; whatever damage raises in the block becomes a `DataError`."""
        info = self._members[member]
        what = f"{called or member} in {self.name}"
        self._refuse_bomb(info, packing, what)
        with _damage_named(what), self._zipped.open(info) as stream:
            yield stream

    def read(self, member: str, packing: Packing) -> bytes:
        """Return the bytes of `member`, never more than it declares."""
        if member not in self._members:
            raise DataError(
                f"{self.name} has no member {member}; it holds {', '.join(self._members) or 'nothing'}, so "
                "copy it again or name another file."
            )
        with self.opened(member, packing) as stream:
            return stream.read()

    def _refuse_bomb(self, info: zipfile.ZipInfo, packing: Packing, what: str) -> None:
        if self._limits is not None and info.file_size > self._limits.member_bytes:
            raise DataError(
                f"{what} declares {info.file_size} bytes but {self._limits.kind} has at most "
                f"{self._limits.member_bytes}; the archive is not what it seems, so it is not unpacked."
            )
        # Others, of which NumPy and Keras write none, are unpacked by Python without a bound.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(
                f"{what} is packed by method {info.compress_type}, which is not unpacked here; "
                "the file is damaged, or else write it again with numpy.savez."
            )
        stored = min(info.compress_size, self._n_bytes)
        if info.file_size > packing.most(stored):
            raise DataError(
                f"{what} declares {info.file_size} bytes but {stored} are stored, more than "
                f"{packing.ratio} times fewer; the file is damaged or not what it seems, so it is not unpacked."
            )


@contextmanager
def zip_members(
    file: IO[bytes], name: str, *, kind: str, limits: ZipLimits | None = None
) -> Iterator[ZipMembers]:
    """Open a zip archive, called `name` in messages and `kind` what it should be: ``an NPZ``.

    Raises
    ------
    DataError
        It is none, truncated or damaged, lists a member twice, or declares more than `limits`.
    """
    file.seek(0)
    start = file.read(len(_SIGNATURE))
    try:
        zipped = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        if start == _SIGNATURE:
            raise DataError(
                f"{name} is truncated: it begins as {kind} archive but its table of contents, at the end, is "
                f"missing or damaged ({error}); copy or make the file again."
            ) from error
        raise DataError(
            f"{name} is not {kind} archive (it begins with {start!r}); copy it again or name another file."
        ) from error
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise DataError(
            f"{name} is damaged: its table of contents cannot be read ({error}); copy or make the file again."
        ) from error
    with zipped:
        yield ZipMembers(zipped, name, file.seek(0, os.SEEK_END), limits)


@contextmanager
def _damage_named(what: str) -> Iterator[None]:
    """Make one sentence with member and file of whatever damage raises in the block."""
    try:
        yield
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(
            f"{what} cannot be unpacked ({error}); the file is damaged, so copy or make it again."
        ) from error
    except OSError as error:
        # What zipfile makes of places that lie outside the file.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise DataError(
            f"{what} cannot be found in the file ({error}); it is cut or damaged, so copy it again."
        ) from error


def _refuse_excess(members: list[zipfile.ZipInfo], name: str, limits: ZipLimits) -> None:
    declared = sum(member.file_size for member in members)
    if len(members) > limits.members or declared > limits.archive_bytes:
        raise DataError(
            f"{name} declares {declared} bytes in {len(members)} members but {limits.kind} has at most "
            f"{limits.archive_bytes} in {limits.members}; the archive is not what it seems, so it is not unpacked."
        )
