"""Work under a cap on TensorFlow's memory: its GPU allocator class, used for the CPU, is full at the cap.

Such work runs in forked copies of an interpreter that has imported TensorFlow without using it: the import takes longer
than most of the work. The allocator waits ten seconds before it raises, so several copies may run side by side.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# The same kernels with and without a cap; TensorFlow reads these when it is imported.
KERNELS = {"CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}


def cap(megabytes: int | None) -> dict[str, str]:
    """Return the variables that TensorFlow reads when it is first used; None is its usual allocator, no cap."""
    if megabytes is None:
        return {"TF_CPU_ALLOCATOR_USE_BFC": "0"}
    return {"TF_CPU_ALLOCATOR_USE_BFC": "1", "TF_CPU_BFC_MEM_LIMIT_IN_MB": str(megabytes)}


class Copy:
    """A forked copy of this interpreter that runs ``work(*arguments)`` under a cap."""

    def __init__(self, work: Callable[..., Any], *arguments: object, cap_mb: int | None) -> None:
        from autobatch import _tensorflow

        assert not _tensorflow.is_started(), "TensorFlow has been used here; a copy of it would not work"
        fork = multiprocessing.get_context("fork")
        self._answer, theirs = fork.Pipe(duplex=False)
        self._process = fork.Process(target=_answer, args=(theirs, work, arguments, cap_mb))
        self._process.start()
        theirs.close()

    def result(self) -> Any:
        """Wait for what `work` returned; None if it was killed or crashed, as TensorFlow may without memory."""
        try:
            answer = self._answer.recv()
        except EOFError:
            answer = None
        self._process.join()
        code = self._process.exitcode or 0
        assert code <= 0, "the work failed; its traceback is above"
        return answer


def _answer(connection: Connection, work: Callable[..., Any], arguments: tuple, cap_mb: int | None) -> None:
    os.environ.update(cap(cap_mb))
    connection.send(work(*arguments))
