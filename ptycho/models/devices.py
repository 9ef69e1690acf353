"""Where TensorFlow computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ptycho.errors import DataError


@contextmanager
def computing_on(device: str | None) -> Iterator[None]:
    """Place what is built and run inside the block on `device` ("CPU", "GPU:i"; None for TensorFlow's choice).

    Memory growth is turned on before the first use, unless the environment says otherwise.

    Raises
    ------
    DataError
        If TensorFlow sees no such GPU.
    """
    import tensorflow as tf

    from autobatch import enable_memory_growth

    enable_memory_growth()
    if device is None:
        yield
        return
    known = [gpu.name.removeprefix("/device:") for gpu in tf.config.list_logical_devices("GPU")]
    if device != "CPU" and device not in known:
        raise DataError(
            f"device is {device} but TensorFlow sees {', '.join(known) or 'no GPU'}; "
            "pass --device cpu or auto, or mend the driver and CUDA libraries."
        )
    with tf.device(f"/{device}" if ":" in device else f"/{device}:0"):
        yield
