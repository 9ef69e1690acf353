"""The curves of a figure: correlations, losses and learning rates."""

from dataclasses import replace

import made_results as made
import numpy as np
import pytest
from matplotlib.figure import Figure

from ptycho.evaluation import FrcCurve, FrcCutoff, FrcCutoffs
from ptycho.report._curves import draw_correlations, draw_learning_rate, draw_losses, lowest_correlation


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture(scope="module")
def frc():
    return made.metrics(amplitude=0.0, phase=0.0).frc


def _labelled(ax):
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def _legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_training_and_validation_lead_the_legend(ax):
    draw_losses(
        ax, {"phase_loss": np.array([2.0, 1]), "loss": np.array([3.0, 2]), "val_loss": np.array([3.0, 2.5])}
    )
    assert _legend(ax) == ["training", "validation", "phase loss", "best epoch"]
    lines = _labelled(ax)
    np.testing.assert_array_equal(lines["training"].get_xdata(), [1, 2])
    assert lines["training"].get_linewidth() > lines["phase loss"].get_linewidth()


def test_the_best_epoch_is_the_smallest_validation_loss_that_is_a_number(ax):
    draw_losses(ax, {"loss": np.array([3.0, 2, 1, 1]), "val_loss": np.array([3.0, 1.5, np.nan, 2.5])})
    best = _labelled(ax)["best epoch"]
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (2, 1.5)


@pytest.mark.parametrize(
    ("losses", "scale"), [([100.0, 9, 1], "log"), ([3.0, 2], "linear"), ([3.0, -1], "linear")]
)
def test_the_loss_axis_is_logarithmic_over_more_than_a_decade(ax, losses, scale):
    draw_losses(ax, {"loss": np.array(losses)})
    assert ax.get_yscale() == scale


def test_a_single_epoch_is_a_visible_dot(ax):
    draw_losses(ax, {"loss": np.array([2.0])})
    assert _labelled(ax)["training"].get_marker() == "o"


def test_a_loss_that_was_never_a_number_is_still_drawn(ax):
    draw_losses(ax, {"loss": np.array([np.nan, np.nan]), "val_loss": np.array([np.nan, np.nan])})
    assert _legend(ax) == ["training", "validation"]


def test_the_learning_rate_is_labelled_at_both_ends(ax):
    draw_learning_rate(ax, [1e-3, 5e-4, 1.25e-4])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0.00013", "0.001"]


def test_a_learning_rate_that_falls_to_0_fills_its_strip(ax):
    """On a logarithmic axis the last step, down to 0, would take all of it."""
    draw_learning_rate(ax, [1e-3, 5e-4, 0.0])
    heights = ax.transAxes.inverted().transform(ax.transData.transform([(1, 1e-3), (2, 5e-4), (3, 0.0)]))[
        :, 1
    ]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2])
    assert heights[0] > 0.9


def test_curves_are_drawn_as_measured_with_their_crossing(ax, frc):
    draw_correlations(ax, {"PtychoPINN": frc}, "phase", frc_sigma=0.0)
    label = f"PtychoPINN: {frc.phase.cutoffs.half.frequency:.3f}"
    (line,) = (line for line in ax.lines if line.get_label() == label)
    np.testing.assert_array_equal(line.get_ydata(), frc.phase.correlation)
    np.testing.assert_array_equal(line.get_xdata(), frc.frequency)
    assert ax.get_legend().get_title().get_text() == "FRC50 (cycles/pixel)"


@pytest.mark.parametrize(("half_sets", "constant"), [(False, "0.5"), (True, "1/7")])
def test_the_thresholds_that_belong_to_a_curve_are_there_and_named(ax, frc, half_sets, constant):
    frc = replace(frc, half_sets=half_sets)
    draw_correlations(ax, {"PtychoPINN": frc}, "amplitude", frc_sigma=0.0)
    curves = [np.asarray(line.get_ydata(), float) for line in ax.lines]
    for threshold in (frc.half_bit, frc.one_bit):
        assert any(np.array_equal(curve, threshold) for curve in curves)
    levels = {round(float(curve[0]), 6) for curve in curves if len(curve) == 2 and np.ptp(curve) == 0}
    assert levels == {round({"0.5": 0.5, "1/7": 1 / 7}[constant], 6)}
    assert {text.get_text() for text in ax.texts} == {constant, "half-bit", "one-bit"}
    for text in ax.texts:
        assert text.get_bbox_patch().get_facecolor()[:3] == (1, 1, 1)
        assert text.xy[0] < frc.frequency[-1] / 2
        assert text.get_va() == "bottom"


def test_a_smoothed_curve_stands_over_the_one_that_was_measured(ax, frc):
    draw_correlations(ax, {"PtychoPINN": frc}, "amplitude", frc_sigma=2.0)
    drawn = [line.get_ydata() for line in ax.lines if np.array_equal(line.get_xdata(), frc.frequency)]
    measured = [curve for curve in drawn if np.array_equal(curve, frc.amplitude.correlation)]
    smooth = _labelled(ax)[_legend(ax)[0]].get_ydata()
    assert len(measured) == 1
    assert np.abs(np.diff(smooth)).max() < np.abs(np.diff(measured[0])).max()


def test_a_curve_that_never_falls_says_so_and_has_no_dot(ax, frc):
    never = FrcCutoff(0.5, beyond_last_ring=True)
    curves = replace(frc, phase=FrcCurve(np.ones_like(frc.frequency), FrcCutoffs(never, never)))
    draw_correlations(ax, {"ePIE": curves}, "phase", frc_sigma=0.0)
    assert _legend(ax) == ["ePIE: ≥ 0.500"]
    assert not [line for line in ax.lines if line.get_marker() == "o"]


def test_a_silent_channel_is_left_out(ax, frc):
    silent = replace(frc, amplitude=FrcCurve(np.full_like(frc.frequency, np.nan), None))
    draw_correlations(ax, {"flat": silent, "PtychoPINN": frc}, "amplitude", frc_sigma=0.0)
    assert len(_legend(ax)) == 1
    assert _legend(ax)[0].startswith("PtychoPINN")


def test_rings_are_counted_in_the_older_convention(ax, frc):
    rings = replace(
        frc, unit="ring", frequency=np.arange(len(frc.frequency), dtype=float), half_bit=None, one_bit=None
    )
    draw_correlations(ax, {"PtychoPINN": rings}, "amplitude", frc_sigma=0.0)
    assert ax.get_xlabel() == "ring"
    assert ax.get_xlim()[1] == len(frc.frequency) - 1
    assert "half-bit" not in {text.get_text() for text in ax.texts}


def test_the_lowest_correlation_ignores_silent_rings(frc):
    curves = replace(frc, phase=FrcCurve(np.array([0.9, np.nan, -0.75]), None))
    assert lowest_correlation({"a": frc, "b": curves}) == -0.75
    assert lowest_correlation({"a": replace(frc, amplitude=frc.phase, phase=FrcCurve(np.ones(3), None))}) <= 0
