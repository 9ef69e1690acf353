"""Where TensorFlow computes."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from ptycho.errors import DataError

logger = logging.getLogger(__name__)


@contextmanager
def computing_on(device: str | None, *, beside: Collection[str] = ()) -> Iterator[None]:
    """Place what is built and run inside the block on a device.

    Memory growth is turned on before the first use, unless the environment says otherwise.

    Parameters
    ----------
    device : str or None
        "CPU" or "GPU:i"; None for TensorFlow's own choice.
    beside : collection of str
        Devices of other processes, which have to be there too.

    Yields
    ------
    None

    Raises
    ------
    DataError
        If TensorFlow sees no such GPU.
    """
    from autobatch import enable_memory_growth

    with _native_messages_logged():
        import tensorflow as tf

        enable_memory_growth()
        gpus = [gpu.name.removeprefix("/device:") for gpu in tf.config.list_logical_devices("GPU")]
    if device is None:
        yield
        return
    missing = [name for name in (device, *beside) if name != "CPU" and name not in gpus]
    if missing:
        raise DataError(
            f"device is {missing[0]} but TensorFlow sees {', '.join(gpus) or 'no GPU'}; "
            "pass `device='CPU'`, or mend the driver and CUDA libraries."
        )
    with placed_on(device):
        yield


def placed_on(device: str | None) -> AbstractContextManager[object]:
    """Place what the calling thread runs inside the block on a device that `computing_on` has made ready.

    Parameters
    ----------
    device : str or None
        As for `computing_on`.

    Returns
    -------
    context manager
    """
    if device is None:
        return nullcontext()
    import tensorflow as tf

    return tf.device(f"/{device}" if ":" in device else f"/{device}:0")


def sees_card() -> bool:
    """Return whether TensorFlow computes on a card unless it is told otherwise."""
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))


@contextmanager
def _native_messages_logged() -> Iterator[None]:
    """Send what native code writes to standard error inside the block to the log, at level DEBUG.

    TensorFlow's libraries greet the user before any of their logging settings apply. Should the block fail,
    their messages are shown, since they may say why. Where standard error is closed nothing is caught.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        shown = os.dup(2)
    except OSError:
        yield
        return
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(shown, 2)
            os.close(shown)
            caught.seek(0)
            text = caught.read()
            if failed:
                os.write(2, text)
    for line in text.decode(errors="replace").splitlines():
        logger.debug("TensorFlow: %s", line)
