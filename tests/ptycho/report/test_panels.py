"""Colour scales, labels and thinning of what is drawn."""

from functools import partial

import made_results as made
import numpy as np
import pytest

from ptycho.comparison import Failure, shown
from ptycho.errors import DataError
from ptycho.evaluation import ChannelPair
from ptycho.report import PlotOptions, _panels
from ptycho.report._panels import (
    ColourScale,
    error_scale,
    percentile_scale,
    plain,
    scale_bar_of,
    shortened,
)

panels_of = partial(shown.panels_of, most_px=1200)


def _images(*values):
    return [np.ma.MaskedArray(np.array(v, np.float32), np.isnan(np.array(v, float))) for v in values]


def test_arms_come_in_order_and_the_truth_last():
    panels = panels_of(made.comparison(made.model_arm(), made.finished_arm()))
    assert [panel.label for panel in panels] == ["PtychoPINN", "ePIE", "Ground truth"]
    assert panels[-1].amplitude_error is None
    np.testing.assert_allclose(panels[-1].amplitude, np.abs(made.image()), rtol=1e-6)


def test_uncovered_pixels_are_masked_in_every_image_of_an_arm():
    arm, _ = panels_of(made.comparison(made.model_arm()))
    for name in ("amplitude", "phase", "amplitude_error", "phase_error"):
        np.testing.assert_array_equal(np.ma.getmaskarray(getattr(arm, name)), ~made.covered())


def test_scale_and_ramp_of_a_perfect_arm_leave_no_error():
    y, x = np.mgrid[:40, :56]
    turned = made.image() * 0.3 * np.exp(1j * (2.0 + 0.07 * y - 0.11 * x))
    arm, truth = panels_of(
        made.comparison(made.finished_arm(aligned=made.placed(turned.astype(np.complex64))))
    )
    np.testing.assert_allclose(arm.amplitude_error, 0, atol=1e-5)
    np.testing.assert_allclose(arm.phase_error, 0, atol=1e-5)
    np.testing.assert_allclose(arm.phase, truth.phase, atol=1e-5)


def test_with_mean_alignment_a_ramp_stays_visible():
    y = np.arange(40)[:, None]
    tilted = made.image() * np.exp(0.02j * (y - 19.5))
    result = made.comparison(
        made.finished_arm(aligned=made.placed(tilted.astype(np.complex64))), phase_align="mean"
    )
    error = panels_of(result)[0].phase_error
    np.testing.assert_allclose(np.diff(error, axis=0), 0.02, atol=1e-4)


def test_a_phase_error_is_the_wrapped_difference():
    flipped = np.where(np.arange(56) > 40, -1, 1) * made.image()
    arm = made.finished_arm(aligned=made.placed(flipped.astype(np.complex64)))
    error = panels_of(made.comparison(arm, phase_align="mean"))[0].phase_error
    assert np.abs(error).max() <= np.float32(np.pi)
    jump = np.angle(np.exp(1j * (error[:, 50] - error[:, 10])))
    np.testing.assert_allclose(np.abs(jump), np.pi, atol=1e-3)


def test_without_a_truth_an_arm_loses_its_own_ramp():
    y, x = np.mgrid[:40, :56]
    wave = np.exp(1j * (0.2 * y - 0.13 * x)) * (2 + 0.5 * (x > 30))
    arm = made.finished_arm(aligned=made.placed(wave.astype(np.complex64)), metrics=None)
    (panel,) = panels_of(made.comparison(arm, truth=False))
    np.testing.assert_allclose(panel.phase, 0, atol=1e-3)
    np.testing.assert_allclose(panel.amplitude, np.abs(wave), rtol=1e-6)
    assert panel.phase_error is None


def test_large_images_are_decimated_to_what_a_panel_can_show():
    image = np.arange(3 * 2500).reshape(3, 2500)
    np.testing.assert_array_equal(shown.decimated(image, 1200), image[::3, ::3])
    np.testing.assert_array_equal(shown.decimated(image[:, :1200], 1200), image[:, :1200])


def test_an_arm_without_any_covered_pixel_is_all_masked():
    nowhere = np.zeros((40, 56), bool)
    arm, _ = panels_of(made.comparison(made.model_arm(aligned=made.placed(made.image(), nowhere))))
    assert np.ma.getmaskarray(arm.amplitude).all()


def test_an_amplitude_scale_spans_the_percentiles_of_all_visible_pixels():
    images = _images([[0, 1, 2, 3, 4]], [[5, 6, 7, 8, 9, 10, np.nan]])
    assert percentile_scale(images, 10, 90) == ColourScale(1.0, 9.0)
    assert percentile_scale(_images([[3, 3]]), 10, 90) == ColourScale(2.5, 3.5)


def test_a_phase_scale_is_symmetric_until_it_nearly_fills_a_turn():
    assert percentile_scale(_images([[-0.5, 0, 1.5]]), 0, 100, phase=True) == ColourScale(-1.5, 1.5)
    assert percentile_scale(_images([[-0.75, 0, 0.5]]), 0, 100, phase=True) == ColourScale(-0.75, 0.75)
    assert percentile_scale(_images([[-2.5, 0, 2.5]]), 0, 100, phase=True) == ColourScale(
        -np.pi, np.pi, cyclic=True
    )


def test_an_error_scale_leaves_the_largest_two_percent_outside():
    values = np.append(np.linspace(-1, 1, 99), 50.0)
    scale = error_scale(_images([values]))
    assert scale.low == -scale.high
    assert 0.9 < scale.high < 1.2


@pytest.mark.parametrize(
    "scale", [percentile_scale(_images([[np.nan]]), 10, 90), error_scale(_images([[0.0]]))]
)
def test_there_is_a_scale_where_there_is_nothing_to_see(scale):
    assert scale.low < scale.high


def test_given_ends_replace_one_or_both():
    scale = ColourScale(-1.0, 2.0)
    assert scale.with_ends(None, None) is scale
    assert scale.with_ends(None, 3.0) == ColourScale(-1.0, 3.0)
    assert scale.with_ends(-np.pi, np.pi).cyclic
    with pytest.raises(DataError, match=r"2\.5 and 2 but the first must be the smaller"):
        scale.with_ends(2.5, 2.0)


@pytest.mark.spec("CM-9.5")
def test_one_given_end_beyond_the_other_takes_it_along():
    scale = ColourScale(-1.0, 2.0)
    assert scale.with_ends(2.5, None) == ColourScale(2.5, 5.5)
    assert scale.with_ends(None, -1.5) == ColourScale(-4.5, -1.5)
    far = scale.with_ends(1e20, None)
    assert far.low < far.high


def test_a_cyclic_scale_folds_whole_turns():
    image = np.ma.MaskedArray([[0.5, 2 * np.pi + 0.5, -7.0]], [[False, False, True]])
    folded = ColourScale(-np.pi, np.pi, cyclic=True).fold(image)
    np.testing.assert_allclose(folded.compressed(), [0.5, 0.5])
    assert folded.mask.tolist() == [[False, False, True]]
    assert ColourScale(-1, 1).fold(image) is image


@pytest.mark.parametrize(
    ("width", "length"), [(1, 1), (3, 1), (8, 2), (39, 5), (40, 10), (216, 50), (4000, 1000)]
)
def test_a_scale_bar_is_a_round_number_in_a_quarter_of_the_width(width, length):
    assert scale_bar_of(width, None) == (length, f"{length} px")


@pytest.mark.parametrize(
    ("width", "pixel_m", "length_px", "name"),
    [
        (80, 1e-9, 20, "20 nm"),
        (80, 6.25e-9, 16, "100 nm"),
        (1000, 1e-8, 200, "2 µm"),
        (400, 1e-8, 100, "1 µm"),
        (80, 2e-11, 10, "0.2 nm"),
        (2, 6.25e-9, 0.8, "5 nm"),
    ],
)
def test_a_scale_bar_is_a_round_length_where_the_pixel_is_known(width, pixel_m, length_px, name):
    found = scale_bar_of(width, pixel_m)
    assert found == (pytest.approx(length_px), name)


def test_no_pixel_lies_beyond_a_scale_that_is_cyclic():
    images = _images([-2.0, 0.5, 1.5, np.nan])
    assert _panels.clipped_share(images, ColourScale(-1.0, 1.0)) == pytest.approx(2 / 3)
    assert _panels.clipped_share(images, ColourScale(-1.0, 1.0, cyclic=True)) == 0


def test_figures_of_merit_have_a_dash_for_what_is_not_defined():
    scored = made.metrics(amplitude=0.125, phase=0.5, frc50=ChannelPair(None, 0.25))
    arm = made.model_arm(metrics=scored)
    assert _panels.figures_of_merit(arm, "amplitude") == "SSIM 3.125 · MAE 0.12 · FRC50 –"
    assert _panels.figures_of_merit(arm, "phase") == "SSIM 3.500 · MAE 0.50 · FRC50 0.250"
    assert _panels.figures_of_merit(made.model_arm(metrics=None), "phase") == ""
    assert _panels.figures_of_merit(None, "phase") == ""


def test_the_caption_tells_scales_convention_and_failures():
    scored = made.metrics(amplitude=1.0, phase=1.0, convention="ptychopinn")
    result = made.comparison(
        made.model_arm(metrics=scored), failures=[Failure("Baseline", "z" * 500)], crop_size=17
    )
    scales = {"amplitude": ColourScale(0.0, 1.0), "phase": ColourScale(-1.0, 1.0)}
    options = PlotOptions(p_min=5, p_max=97.5)
    caption = _panels.comparison_caption(result, options, scales, panels_of(result)[-1:])
    assert "100 frames, crops of 17 px on 40×56 px" in caption
    assert "percentiles 5 to 97.5 of the ground truth" in caption
    assert "FRC50 in rings. All by the ptychopinn convention." in caption
    assert caption.endswith("Baseline failed: " + "z" * 159 + "…")


def test_words_of_a_user_are_no_formula_and_never_hidden():
    assert plain("$a^2$ _b") == r"\$a^2\$ _b"
    assert plain("_b") == " _b"
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"
