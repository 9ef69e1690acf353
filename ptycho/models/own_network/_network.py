"""`OwnNetwork`: a network of the user's own, of which only a function and its description are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho._error_wording import statement_of
from ptycho.errors import DataError
from ptycho.models.description import NetworkDescription
from ptycho.models.devices import sees_card
from ptycho.models.own_network._images import images_in, tensors_in
from ptycho.models.patch_parts import PatchNeeds, PatchParts
from ptycho.models.predictor import PatchPredictor

if TYPE_CHECKING:
    from autobatch import BatchCost
    from ptycho.models._parts_graph import PartsGraph

Compute = Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class TensorNetwork:
    """A network of TensorFlow's as a function of tensors.

    Attributes
    ----------
    compute : callable
        Takes a tensor and gives what `NetworkDescription` says, in tensors.
    entering : callable
        Makes of frames (B, N, N, C) the array that becomes that tensor.
    dtype : tf.DType
        Its type.
    """

    compute: Callable[[Any], Any]
    entering: Callable[[np.ndarray], np.ndarray]
    dtype: Any


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnNetwork(PatchPredictor):
    """A function from frames to patches, of whatever framework, and what is known of it.

    Attributes
    ----------
    compute : callable
        Takes frames (B, N, N, C) float32 and gives what `description` says: an array, several, or a mapping of them.
    description : NetworkDescription
    name : str
    assumptions : tuple of str
    memory_key : str, optional
    estimate : callable, optional
        Takes (N, N, C) and returns what a batch costs, None if it cannot say.
    is_oom : callable, optional
        Says of an error of `compute` whether it means a want of memory.
    identity : callable, optional
        Returns text that tells its weights from all others.
    in_graph : TensorNetwork, optional
        The same function of tensors, for a network of TensorFlow's: what follows it is then computed beside it.
    """

    compute: Compute
    description: NetworkDescription
    name: str
    assumptions: tuple[str, ...] = ()
    memory_key: str | None = None
    estimate: Callable[[tuple[int, int, int]], BatchCost | None] | None = None
    is_oom: Callable[[BaseException], bool] | None = None
    identity: Callable[[], str] | None = None
    in_graph: TensorNetwork | None = None

    def weights_digest(self) -> str | None:
        """Return what tells its weights from all others; None for a function, which nothing tells."""
        return None if self.identity is None else self.identity()

    def batch_cost(self, frame_shape: tuple[int, int, int]) -> BatchCost | None:
        """Return the estimate of what a batch costs; None where there is none."""
        return None if self.estimate is None else self.estimate(frame_shape)

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Return whether the network's own framework means a want of memory by `error`."""
        return self.is_oom is not None and self.is_oom(error)

    @property
    def computes_on_card(self) -> bool:
        """Whether TensorFlow computes it, and does so on a card."""
        return self.in_graph is not None and sees_card()

    def predict_parts(
        self, frames: np.ndarray, offsets_yx: np.ndarray, needs: PatchNeeds, *, n_whole: int = 0
    ) -> PatchParts:
        """Return what is needed of the patches of a batch, computed in the network's graph if it has one."""
        graph = self._parts_graph
        if graph is not None and self.in_graph is not None:
            entering, dtype = self.in_graph.entering(frames), self.in_graph.dtype
            if graph.can_take(entering.shape[1:], dtype, offsets_yx.shape[1], needs):
                with self._failures_named(frames):
                    return graph(entering, dtype, offsets_yx, needs, n_whole)
        return super().predict_parts(frames, offsets_yx, needs, n_whole=n_whole)

    @cached_property
    def _parts_graph(self) -> PartsGraph | None:
        if self.in_graph is None:
            return None
        from ptycho.models._parts_graph import PartsGraph

        network, outputs = self.in_graph.compute, self.description.outputs
        return PartsGraph(lambda frames: tensors_in(network(frames), outputs), outputs)

    def images_of(self, frames: np.ndarray) -> list[np.ndarray]:
        """Return what the network makes of frames, as one or two images (B, N, N, C or 1)."""
        with self._failures_named(frames):
            given = self.compute(frames)
        return images_in(given, self.description.outputs, self.name)

    @contextmanager
    def _failures_named(self, frames: np.ndarray) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # Whatever it raises is this arm's failure and no word of ours; its causes tell whether memory ran out.
            raise DataError(
                f"{self.name} failed on frames of shape {frames.shape} ({type(error).__name__}: "
                f"{statement_of(error)}); call it on such an array of float32 to see where."
            ) from error


def network_of_callable(
    compute: Compute,
    *,
    name: str,
    description: NetworkDescription | None = None,
    is_oom: Callable[[BaseException], bool] | None = None,
) -> OwnNetwork:
    """Return a function as a model.

    Raises
    ------
    TypeError
        `compute` cannot be called.
    """
    if not callable(compute):
        raise TypeError(f"{name} is {compute!r} but must be a function from frames (B, N, N, C) to patches.")
    return OwnNetwork(
        compute=compute, description=description or NetworkDescription(), name=name, is_oom=is_oom
    )
