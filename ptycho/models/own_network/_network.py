"""`OwnNetwork`: a network of the user's own, of which only a function and its description are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho._error_wording import statement_of
from ptycho.errors import DataError
from ptycho.models.description import NetworkDescription
from ptycho.models.own_network._images import images_in
from ptycho.models.predictor import PatchPredictor

if TYPE_CHECKING:
    from autobatch import BatchCost

Compute = Callable[[np.ndarray], Any]


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
    """

    compute: Compute
    description: NetworkDescription
    name: str
    assumptions: tuple[str, ...] = ()
    memory_key: str | None = None
    estimate: Callable[[tuple[int, int, int]], BatchCost | None] | None = None
    is_oom: Callable[[BaseException], bool] | None = None
    identity: Callable[[], str] | None = None

    def weights_digest(self) -> str | None:
        """Return what tells its weights from all others; None for a function, which nothing tells."""
        return None if self.identity is None else self.identity()

    def batch_cost(self, frame_shape: tuple[int, int, int]) -> BatchCost | None:
        """Return the estimate of what a batch costs; None where there is none."""
        return None if self.estimate is None else self.estimate(frame_shape)

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Return whether the network's own framework means a want of memory by `error`."""
        return self.is_oom is not None and self.is_oom(error)

    def images_of(self, frames: np.ndarray) -> list[np.ndarray]:
        """Return what the network makes of frames, as one or two images (B, N, N, C or 1)."""
        try:
            given = self.compute(frames)
        except Exception as error:
            # Whatever it raises is this arm's failure and no word of ours; its causes tell whether memory ran out.
            raise DataError(
                f"{self.name} failed on frames of shape {frames.shape} ({type(error).__name__}: "
                f"{statement_of(error)}); call it on such an array of float32 to see where."
            ) from error
        return images_in(given, self.description.outputs, self.name)


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
