"""Files that appear whole or not at all: one, or all of a folder's."""

from __future__ import annotations

import errno
import glob
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

logger = logging.getLogger(__name__)

STAGE_PREFIX = ".unfinished-"
# What a run that was killed leaves behind; no file of a user's has such a name.
_RANDOM = "[0-9a-f]" * 32
_LEFT_OVERS = (f"{STAGE_PREFIX}*", f".*.{_RANDOM}.tmp")
# What a stage holds of the earlier files while they are moved out, and once they all are.
_OLD, _REPLACED = ".old", ".replaced"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path` only once the block has ended well.

    The bytes go to a temporary neighbour, so that `path` never holds half a file; after an error the
    neighbour is removed and an older `path` is untouched. A symbolic link stays and its target is replaced. The
    neighbours that killed writers of `path` have left are removed too.

    Raises
    ------
    OSError
        The file cannot be written; the error carries its name.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        # Renaming over a device or a pipe would remove it.
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            _is_locked(file.fileno())
            _remove_left_overs(target, temporary)
            yield file
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o7777)
        temporary.replace(target)
    except OSError as error:
        # An error made of words alone would lose them to the name.
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _remove_left_overs(target: Path, own: Path) -> None:
    """Remove the temporary neighbours of `target` whose writers are no more: those that nobody has locked."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.{_RANDOM}.tmp"):
        if left != own:
            # Another user's, or gone by now.
            with suppress(OSError), left.open("rb") as file:
                if _is_locked(file.fileno()):
                    left.unlink()
                    logger.warning("removed %s, which a run that was killed left there", left)


@contextmanager
def staged_files(
    folder: str | os.PathLike[str],
    *,
    replaces: Sequence[str] = (),
    last: str | None = None,
    overwrite: bool = True,
    keeps_what_fits: bool = False,
) -> Iterator[Path]:
    """Give a hidden folder whose files move into `folder` once the block has ended well: all of them, or none.

    Parameters
    ----------
    folder : path
        Where the files go; made if there is none.
    replaces : sequence of str
        Glob patterns of earlier files that go when the new ones come, replaced by one or not.
    last : str, optional
        Name of the file that appears after all others, so that its presence means that all is there.
    overwrite : bool
        Whether earlier files of these names may be replaced. If not, and there are such by then, the new ones are
        kept in a visible folder of their own.
    keeps_what_fits : bool
        Whether, if the block ends for want of space, the files that it has finished (`whole_file`) are kept: in
        their place if no earlier ones are there, or else in a visible folder of their own, for these are complete.

    Raises
    ------
    FileExistsError
        Files were not to be replaced, but there are some; names them and the folder that holds the new ones.
    OSError
        A file cannot be written or moved; then everything is as it was.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    # Inside the target, so that a move never crosses from one file system to another.
    with tempfile.TemporaryDirectory(prefix=STAGE_PREFIX, dir=target) as name:
        stage = Path(name)
        try:
            yield stage
        except OSError as error:
            if keeps_what_fits and is_full(error) and any(stage.iterdir()):
                raise _what_fits(stage, target, replaces, error) from error
            _name_final_place(error, stage, target)
            raise
        fresh = in_order(stage, last=last)
        there = _in_the_way(target, replaces, fresh)
        if there and not overwrite:
            kept = _keep_aside(stage, target, "not-overwritten")
            raise FileExistsError(
                errno.EEXIST,
                f"{', '.join(there)} came to be there during the run and may not be replaced; the new files are in "
                f"{kept}",
                str(target),
            )
        _exchange(stage, target, fresh, there)


def _name_final_place(error: OSError, stage: Path, target: Path) -> None:
    """Let an error tell where a file was to be in the end, for the stage is gone by the time it is read."""
    if error.errno is not None and error.filename is None:
        # What is written does not know its name; the folder at least is known.
        error.filename = str(target)
    elif isinstance(error.filename, str | os.PathLike):
        with suppress(ValueError):
            error.filename = str(target / Path(error.filename).relative_to(stage))


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Remove what is there of a file of a stage if it could not be finished."""
    try:
        yield path
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def is_full(error: OSError) -> bool:
    """Tell whether an error says that a disk, a quota or a limit of a file's size was reached."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _what_fits(stage: Path, target: Path, replaces: Sequence[str], error: OSError) -> OSError:
    """Keep the finished files of a stage and return the error that says where they are."""
    fresh = in_order(stage)
    kept = target
    if _in_the_way(target, replaces, fresh):
        kept = _keep_aside(stage, target, "unfinished-results")
    else:
        _exchange(stage, target, fresh, [])
    reason = f"{error.strerror or error}; kept in {kept}: {', '.join(fresh)}"
    return OSError(error.errno, reason, str(target))


def _in_the_way(target: Path, replaces: Sequence[str], fresh: Sequence[str]) -> list[str]:
    stale = {path.name for pattern in replaces for path in target.glob(pattern)}
    return sorted(stale | {name for name in fresh if (target / name).exists()})


def _keep_aside(stage: Path, target: Path, name: str) -> Path:
    kept = target / f"{name}-{uuid.uuid4().hex[:8]}"
    stage.rename(kept)
    # What is to be removed at the end of the block has to be there.
    stage.mkdir()
    return kept


def _exchange(stage: Path, target: Path, fresh: Sequence[str], there: Sequence[str]) -> None:
    """Move the `fresh` files in and those that are `there` out; after an error everything is as it was.

    If the process ends meanwhile, `_settle` does the rest or undoes it.
    """
    old, replaced = stage / _OLD, stage / _REPLACED
    old.mkdir()
    try:
        for name in there:
            if (target / name).is_dir():
                raise IsADirectoryError(errno.EISDIR, "a folder has the name of a result", str(target / name))
            (target / name).replace(old / name)
        old.rename(replaced)
        for name in fresh:
            if (replaced / name).exists():
                (stage / name).chmod((replaced / name).stat().st_mode & 0o7777)
            (stage / name).replace(target / name)
    except BaseException:
        # From what is where, for a signal may come between a move and any note of it.
        for name in fresh:
            if not (stage / name).exists():
                (target / name).replace(stage / name)
        for folder in (old, replaced):
            _move_all(folder, target)
        raise


def _settle(stage: Path, target: Path) -> None:
    """Put a folder's files in order if the run that was exchanging them is no more: all as before, or all new."""
    if (stage / _REPLACED).is_dir():
        said, moved = "finished moving in", _move_all(stage, target)
    else:
        said, moved = "put back", _move_all(stage / _OLD, target)
    if moved:
        logger.warning("%s in %s, where a run was killed: %s", said, target, ", ".join(moved))


def _move_all(folder: Path, target: Path) -> list[str]:
    """Move the files of a folder, if there is one, and return their names."""
    names = sorted(path.name for path in folder.glob("*") if path.name not in (_OLD, _REPLACED))
    for name in names:
        (folder / name).replace(target / name)
    return names


def in_order(stage: Path, *, last: str | None = None) -> list[str]:
    """Return the names of the files in a stage in the order in which they appear."""
    return sorted((path.name for path in stage.iterdir()), key=lambda name: (name == last, name))


@contextmanager
def sole_use(folder: Path) -> Iterator[list[str]]:
    """Make `folder`, keep other runs out of it for the block, and give what a killed run had left there.

    The lock is the kernel's and ends with the process, however that ends. What is left of a run that is no more
    (its stages and temporary files) is removed; the names are given.

    Raises
    ------
    BlockingIOError
        Another run is at work in the folder.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if made:
            stack.callback(_remove_if_empty, folder)
        _lock(folder, stack)
        left = [path for pattern in _LEFT_OVERS for path in folder.glob(pattern)]
        for path in left:
            if path.is_dir():
                _settle(path, folder)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield sorted(path.name for path in left)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _lock(folder: Path, stack: ExitStack) -> None:
    if os.name != "posix":  # such a system keeps open files from being replaced by itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    stack.callback(os.close, descriptor)
    try:
        _is_locked(descriptor)
    except BlockingIOError as error:
        raise BlockingIOError(
            error.errno, "another run is at work in this folder; wait for it or name another", str(folder)
        ) from error


def _is_locked(descriptor: int) -> bool:
    """Lock a file or folder for as long as it is open; False where the system or its files know no locks.

    Raises
    ------
    BlockingIOError
        Another process has locked it.
    """
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except (ModuleNotFoundError, OSError):
        return False
    return True
