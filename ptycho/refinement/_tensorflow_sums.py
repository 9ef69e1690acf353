"""The steps of a sweep as TensorFlow graphs, for cards: the same sums as `_cpu_sums`, equal to rounding.

Scattered sums are added in any order on a card, so the last bits may differ from run to run there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.refinement._mini_batch import MiniBatch, Wishes

if TYPE_CHECKING:
    from ptycho.refinement._state import RefinementState

_TAPS = 4


class TensorFlowSums:
    """Computes what frames want changed, adds it up, and takes the step, on a device of TensorFlow's.

    Parameters
    ----------
    state : RefinementState
        Object and frames; `finish` brings the object back to it. Probe and positions stay as they are.
    alpha : float
    device : str
        As TensorFlow spells it, such as "GPU:0".
    """

    def __init__(self, state: RefinementState, *, alpha: float, device: str) -> None:
        import tensorflow as tf

        self._state, self._alpha, self._device = state, np.float32(alpha), device
        self._columns = state.coefficients.shape[1]
        side = state.patch_size
        # Where the coefficients under a patch lie, from the first of them: (N + 3, N + 3).
        taps = np.arange(side + _TAPS - 1)
        self._reach = (taps[:, None] * self._columns + taps).astype(np.int64)
        with tf.device(device):
            # Real and imaginary part beside each other: every device gathers and scatters floats.
            self._coefficients = tf.Variable(tf.constant(state.coefficients.view(np.float32).reshape(-1, 2)))
            self._sums = tf.Variable(tf.zeros_like(self._coefficients))
            self._weights = tf.Variable(tf.zeros((state.light.size, 1), tf.float32))
            self._light = tf.Variable(tf.constant(state.light.reshape(-1, 1)))
            self._probe = tf.constant(state.probe)
            self._counts = tf.constant(np.fft.ifftshift(state.counts))
        # Of this object alone, so that the graphs go with it.
        self._compute = tf.function(self._wishes, reduce_retracing=True)
        self._add = tf.function(self._added, reduce_retracing=True)
        self._step = tf.function(self._stepped)

    def compute(self, batch: MiniBatch) -> Wishes:
        """Return what the frames of `batch` want; changes nothing."""
        import tensorflow as tf

        amplitude = np.fft.ifftshift(self._state.frames(batch.frames), axes=(1, 2))
        with tf.device(self._device):
            gradients, misfit = self._compute(self._first(batch), batch.weights, amplitude)
        nothing = np.empty((0, 0, 0), np.complex64)
        return Wishes(gradients, misfit.numpy(), nothing, nothing, np.empty((0, 2)))

    def add(self, batch: MiniBatch, wishes: Wishes) -> None:
        """Add the wishes for the object to the sums."""
        import tensorflow as tf

        with tf.device(self._device):
            self._add(self._first(batch), batch.weights, wishes.gradients)

    def step(self, batch: MiniBatch) -> None:
        """Change the object by the sums, those of all frames of `batch`, and empty them."""
        import tensorflow as tf

        with tf.device(self._device):
            self._step()

    @property
    def n_traces(self) -> int:
        """How often the costliest graph was made."""
        return self._compute.experimental_get_tracing_count()

    def finish(self) -> None:
        """Bring the object back to the state, as it is after the steps so far."""
        shape = self._state.coefficients.shape
        self._state.coefficients[:] = self._coefficients.numpy().view(np.complex64).reshape(shape)
        self._state.light[:] = self._light.numpy().reshape(shape)

    def _first(self, batch: MiniBatch) -> np.ndarray:
        return batch.first_yx @ np.array([self._columns, 1])

    def _wishes(self, first: Any, weights: Any, amplitude: Any) -> tuple[Any, Any]:
        """Return gradients (b, N, N) complex64 and misfits (b, 2) float64; `amplitude` has its DC term at (0, 0)."""
        import tensorflow as tf

        side = self._state.patch_size
        parts = tf.gather(self._coefficients, first[:, None, None] + self._reach)
        windows = tf.complex(parts[..., 0], parts[..., 1])  # (b, N + 3, N + 3)
        rows = sum(_share(weights, tap, 0) * windows[:, tap : tap + side] for tap in range(_TAPS))
        patches = sum(_share(weights, tap, 1) * rows[:, :, tap : tap + side] for tap in range(_TAPS))  # pyright: ignore
        waves = tf.signal.fft2d(patches * self._probe) / side
        modulus = tf.abs(waves)
        lacking = tf.where(self._counts, amplitude - modulus, 0.0)
        change = tf.math.divide_no_nan(lacking, modulus)
        differences = tf.signal.ifft2d(waves * tf.cast(change, tf.complex64)) * side
        measured = tf.where(self._counts, amplitude, 0.0)
        misfit = [tf.reduce_sum(tf.cast(image, tf.float64), (1, 2)) for image in (tf.abs(lacking), measured)]
        return tf.math.conj(self._probe) * differences, tf.stack(misfit, -1)

    def _added(self, first: Any, weights: Any, gradients: Any) -> None:
        import tensorflow as tf

        where = tf.reshape(first[:, None, None] + self._reach, (-1, 1))
        spread = _spread(gradients, weights)
        parts = tf.reshape(tf.stack([tf.math.real(spread), tf.math.imag(spread)], -1), (-1, 2))
        self._sums.assign(tf.tensor_scatter_nd_add(self._sums, where, parts))
        light = _spread(tf.cast(tf.abs(self._probe) ** 2, tf.complex64)[None], weights)
        self._weights.assign(
            tf.tensor_scatter_nd_add(self._weights, where, tf.reshape(tf.math.real(light), (-1, 1)))
        )

    def _stepped(self) -> None:
        import tensorflow as tf

        divisor = (1 - self._alpha) * self._weights + self._alpha * tf.reduce_max(self._weights)
        self._coefficients.assign_add(self._sums / divisor)
        self._light.assign_add(self._weights)
        self._sums.assign(tf.zeros_like(self._sums))
        self._weights.assign(tf.zeros_like(self._weights))


def _share(weights: Any, tap: int, axis: int) -> Any:
    import tensorflow as tf

    return tf.cast(weights[:, tap, axis], tf.complex64)[:, None, None]


def _spread(patches: Any, weights: Any) -> Any:
    """Spread patches (b, N, N), or one for all, over the coefficients (b, N + 3, N + 3) under them."""
    import tensorflow as tf

    last = _TAPS - 1
    rows = sum(
        _share(weights, tap, 0) * tf.pad(patches, [(0, 0), (tap, last - tap), (0, 0)]) for tap in range(_TAPS)
    )
    return sum(
        _share(weights, tap, 1) * tf.pad(rows, [(0, 0), (0, 0), (tap, last - tap)]) for tap in range(_TAPS)
    )
