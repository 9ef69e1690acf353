"""What losses decide: the same as Keras's own callbacks, which keep their own state."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from ptycho.models._course import best_epoch, has_rested, is_halving_due, sparkline


def _course(losses, patience):
    """What Keras's callbacks do after each of `losses`: the learning rate, whether to stop, and the best epoch."""
    model = SimpleNamespace(
        optimizer=SimpleNamespace(learning_rate=1.0),
        stop_training=False,
        get_weights=lambda: None,
        metrics=[],
    )
    rate = keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=patience, mode="min")
    stop = keras.callbacks.EarlyStopping(patience=patience, mode="min")
    for callback in (rate, stop):
        callback.set_model(model)
        callback.on_train_begin()
    told = []
    for epoch, loss in enumerate(losses):
        for callback in (rate, stop):
            callback.on_epoch_end(epoch, {"val_loss": loss})
        told.append((model.optimizer.learning_rate, model.stop_training, stop.best_epoch))
    return told


@pytest.mark.parametrize("patience", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_rate_end_and_best_epoch_are_those_of_keras(patience, seed):
    rng = np.random.default_rng(seed)
    # Steps below the least gain that counts for the rate, so that gains on both sides of it occur.
    losses = [float(loss) for loss in 0.02 + 4e-5 * np.cumsum(rng.integers(-3, 3, 25))]
    rate, told = 1.0, []
    for n_done in range(1, len(losses) + 1):
        rate /= 2 if is_halving_due(losses[:n_done], patience) else 1
        told.append((rate, has_rested(losses[:n_done], patience), best_epoch(losses[:n_done])))
    expected = _course(losses, patience)
    ended = (
        [stopped for _, stopped, _ in expected].index(True) if any(s for _, s, _ in expected) else len(losses)
    )
    assert [(rate, best) for rate, _, best in told] == [(rate, best) for rate, _, best in expected]
    assert told[: ended + 1] == expected[: ended + 1]
    assert told[-1][0] < 1


def test_losses_that_are_no_numbers_are_never_the_best():
    assert best_epoch([np.nan, 0.3, np.nan, 0.2, 0.2]) == 3
    assert best_epoch([np.nan, np.nan]) == 0
    assert not has_rested([0.1], 1)


@pytest.mark.parametrize(
    ("losses", "line"),
    [
        ([], ""),
        ([1.0], ""),
        ([1.0, 1.0], ""),
        ([100.0, 10.0, 1.0], "█▅▁"),
        ([9.0, 100.0, np.nan, 1.0], "█ ▁"),
        ([-1.0, 2.0, 1.0, np.inf], " █▁ "),
    ],
)
def test_the_course_of_the_losses_is_drawn_in_blocks_on_a_logarithmic_scale(losses, line):
    assert sparkline(losses, width=3 if len(losses) == 4 and losses[0] > 0 else 16) == line
