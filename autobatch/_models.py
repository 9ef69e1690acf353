"""How a model is called on one batch: Keras's own way, or replica by replica under a strategy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autobatch import _tensorflow
from autobatch._rows import joined, sliced
from autobatch._structures import leaves, mapped


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A model as a function of a batch.

    Attributes
    ----------
    function : callable
        Takes a batch and returns its rows.
    n_replicas : int
        Number of which each batch must be a multiple.
    compiles : bool
        Whether each new batch size costs a compilation.
    """

    function: Callable[[Any], Any]
    n_replicas: int = 1
    compiles: bool = False


def prediction_of(model: Any) -> Prediction:
    """Return how to call a Keras model or any other callable.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if not hasattr(model, "predict_on_batch"):
        if not callable(model):
            raise TypeError(
                f"model is a {type(model).__name__} but must be a Keras model or a function of a batch."
            )
        return Prediction(function=model, compiles=hasattr(model, "get_concrete_function"))
    compiles = bool(getattr(model, "jit_compile", False))
    strategy = getattr(model, "distribute_strategy", None)
    n_replicas = getattr(strategy, "num_replicas_in_sync", 1)
    if strategy is None or n_replicas == 1:
        return Prediction(function=model.predict_on_batch, compiles=compiles)
    return Prediction(
        function=Distributed(model, strategy, n_replicas), n_replicas=n_replicas, compiles=compiles
    )


def is_keras_model(model: Any) -> bool:
    """Return whether it is a model of the Keras that the program imported."""
    keras = _tensorflow.keras_imported()
    return keras is not None and isinstance(model, keras.Model)


class Distributed:
    """A model under a strategy, each replica with its own part of the batch.

    ``model.predict_on_batch`` gives every replica the whole batch and returns the rows of all of them.

    Parameters
    ----------
    model : keras.Model
        Made in the strategy's scope.
    strategy : tf.distribute.Strategy
        Its strategy.
    n_replicas : int
        How many parts.
    """

    def __init__(self, model: Any, strategy: Any, n_replicas: int) -> None:
        import tensorflow as tf

        self._strategy, self._n_replicas = strategy, n_replicas
        self._call = tf.function(
            lambda inputs: strategy.run(lambda part: model(part, training=False), args=(inputs,)),
            reduce_retracing=True,
        )

    def __call__(self, batch: Any) -> Any:
        """Return the rows of a batch whose length is a multiple of the number of replicas."""
        import tensorflow as tf

        length = int(next(leaves(batch)).shape[0]) // self._n_replicas

        def part_of(leaf: Any) -> Any:
            return self._strategy.experimental_distribute_values_from_function(
                lambda context: tf.convert_to_tensor(
                    sliced(
                        leaf,
                        context.replica_id_in_sync_group * length,
                        (context.replica_id_in_sync_group + 1) * length,
                    )
                )
            )

        result = self._call(mapped(part_of, batch))
        return mapped(
            lambda leaf: joined([part.numpy() for part in self._strategy.experimental_local_results(leaf)]),
            result,
        )
