"""The pictures of a comparison, read back from what was drawn."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import made_results as made
import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from ptycho.comparison import Failure
from ptycho.comparison.shown import panels_of
from ptycho.data import ScanData, ScanGeometry
from ptycho.errors import DataError
from ptycho.evaluation import seen_images
from ptycho.image.placed import PlacedImage
from ptycho.models import HeldOutImage
from ptycho.report import (
    PlotOptions,
    curve_figures,
    figure_files,
    image_figures,
    plot_comparison,
    plot_errors,
    plot_frc,
    plot_half_sets,
    plot_held_out,
    plot_image,
    plot_loss_curve,
    plot_reconstruction,
    plot_scan,
    save_figure,
    training_figures,
    write_plots,
)
from ptycho.report import options as report_options
from ptycho.report.figures import plot_seen_images
from ptycho.report.names import PLOT_STEMS

PLOT_FILES = [f"{stem}.png" for stem in PLOT_STEMS]
QUICK = PlotOptions(dpi=40)
SCAN = ScanData(
    amplitude=np.random.default_rng(1).random((3, 16, 16)),
    positions_yx=np.array([[20.0, 30.0], [20.0, 40.0], [25.0, 35.0]]),
    probe=np.exp(-(np.hypot(*np.mgrid[-8:8, -8:8]) ** 2) / 18),
    geometry=ScanGeometry(object_pixel_m=2e-8),
)


@pytest.fixture
def drawn(monkeypatch):
    """The figures, as they are about to be saved."""
    saved = []
    for module in (image_figures, curve_figures, training_figures):
        monkeypatch.setattr(module, "save", lambda figure, path, options: saved.append(figure))
    return saved


@pytest.fixture(scope="module")
def result():
    return made.comparison(made.model_arm(), made.model_arm("Baseline", seed=5), made.finished_arm())


def _image_axes(figure):
    """Axes that hold an image, as rows."""
    shown = [ax for ax in figure.axes if ax.images]
    n_rows = len({ax.get_subplotspec().rowspan.start for ax in shown})
    return np.array(shown).reshape(n_rows, -1)


def _limits(ax):
    return ax.images[0].get_clim()


def _texts(ax):
    return [text.get_text() for text in ax.texts]


@pytest.mark.spec("CM-9.4")
def test_amplitude_and_phase_of_every_arm_stand_over_each_other(result, drawn):
    plot_comparison(result, "x.png")
    rows = _image_axes(drawn[0])
    assert rows.shape == (2, 4)
    headings = [_texts(ax)[0] for ax in rows[0]]
    assert headings == ["PtychoPINN", "Baseline", "ePIE", "Ground truth"]
    assert [row[0].get_ylabel() for row in rows] == ["Amplitude", "Phase"]


@pytest.mark.spec("CM-9.4")
@pytest.mark.spec("CM-9.5")
def test_every_row_has_the_colour_scale_of_the_truth(result, drawn):
    plot_comparison(result, "x.png", options=PlotOptions(p_min=20, p_max=70))
    amplitudes, phases = ([_limits(ax) for ax in row] for row in _image_axes(drawn[0]))
    assert len(set(amplitudes)) == len(set(phases)) == 1
    np.testing.assert_allclose(amplitudes[0], np.percentile(np.abs(result.truth), (20, 70)), rtol=1e-5)
    assert phases[0][0] == -phases[0][1]


def test_a_reconstruction_shows_amplitude_phase_and_coverage(drawn):
    arm = made.collapsed_arm("constant", metrics=None)
    plot_reconstruction(made.comparison(arm, truth=False), "x.png", options=PlotOptions(p_min=5, p_max=80))
    ((amplitude, phase, coverage),) = _image_axes(drawn[0])
    assert [_texts(ax)[-1] for ax in (phase, coverage)] == ["Phase", "Coverage"]
    assert {"Amplitude", "collapsed"} <= set(_texts(amplitude))
    values = np.abs(arm.aligned.values[arm.aligned.covered])
    np.testing.assert_allclose(_limits(amplitude), np.percentile(values, (5, 80)), rtol=1e-5)
    assert coverage.images[0].get_array().max() == 4
    assert "PtychoPINN: 100 frames, crops of 20 px" in drawn[0].get_supxlabel()


def test_a_reconstruction_is_drawn_of_one_arm_only(result):
    with pytest.raises(DataError, match="3 arms to draw but this plot shows one"):
        plot_reconstruction(result, "x.png")


def test_without_a_truth_the_scale_is_that_of_all_arms(drawn):
    arms = [made.model_arm(label, metrics=None, seed=seed) for label, seed in (("a", 4), ("b", 5))]
    plot_comparison(made.comparison(*arms, truth=False), "x.png", options=PlotOptions(p_min=0, p_max=100))
    rows = _image_axes(drawn[0])
    assert rows.shape == (2, 2)
    values = np.concatenate([np.abs(arm.aligned.values[arm.aligned.covered]) for arm in arms])
    np.testing.assert_allclose(_limits(rows[0][1]), (values.min(), values.max()), rtol=1e-5)


@pytest.mark.spec("CM-9.5")
def test_fixed_phase_limits_hold_for_one_arm_and_are_written_on_it(result, drawn):
    plot_comparison(result, "x.png", options=PlotOptions(phase_limits={"Baseline": (-0.25, 1.5)}))
    first, second, *others = _image_axes(drawn[0])[1]
    assert _limits(second) == (-0.25, 1.5)
    assert "-0.25 … 1.5 rad" in _texts(second)
    assert {_limits(ax) for ax in others} == {_limits(first)}
    assert not any("rad" in text for text in _texts(first))


def test_fixed_phase_limits_hold_for_a_reconstruction_s_phase_alone(drawn):
    arm = made.model_arm("Baseline", metrics=None)
    options = PlotOptions(phase_limits={"Baseline": (-0.25, 1.5)})
    plot_reconstruction(made.comparison(arm, truth=False), "x.png", options=options)
    ((amplitude, phase, _),) = _image_axes(drawn[0])
    assert _limits(phase) == (-0.25, 1.5)
    assert _limits(amplitude) != (-0.25, 1.5)


def test_uncovered_pixels_are_transparent_over_hatching(result, drawn):
    plot_comparison(result, "x.png")
    ax = _image_axes(drawn[0])[1][0]
    np.testing.assert_array_equal(np.ma.getmaskarray(ax.images[0].get_array()), ~made.covered())
    assert ax.images[0].cmap.get_bad()[3] == 0
    assert ax.patch.get_hatch()


def test_figures_of_merit_are_the_titles_of_their_own_row(result, drawn):
    plot_comparison(result, "x.png")
    rows = _image_axes(drawn[0])
    assert rows[0][0].get_title() == "SSIM 3.125 · MAE 0.12 · FRC50 5.125"
    assert rows[1][2].get_title().startswith("SSIM 203.000")
    assert rows[0][3].get_title() == ""


@pytest.mark.spec("CM-9.4")
def test_a_scale_bar_stands_in_the_first_panel_in_pixels(result, drawn):
    plot_comparison(result, "x.png")
    ax = _image_axes(drawn[0])[0][0]
    assert "10 px" in _texts(ax)
    left, right = ax.lines[0].get_xdata()
    assert (right - left) * 56 == pytest.approx(10)


@pytest.mark.spec("CM-9.4")
def test_lengths_are_in_nanometres_where_the_pixel_is_known(result):
    known = replace(result, object_pixel_m=6.25e-9)
    figure = plot_comparison(known)
    ax = _image_axes(figure)[0][0]
    assert "50 nm" in _texts(ax)
    left, right = ax.lines[0].get_xdata()
    assert (right - left) * 56 == pytest.approx(50 / 6.25)
    assert "40×56 px (250 nm × 350 nm)" in figure.get_supxlabel().replace("\n", " ")
    assert {ax.get_xlabel() for ax in plot_frc(known).axes} >= {"half period (nm)"}


@pytest.mark.spec("CM-9.5")
def test_what_lies_beyond_the_colours_is_said_as_a_share_of_the_pixels(result):
    words = " ".join(plot_comparison(result).get_supxlabel().split())
    low, high = np.percentile(np.abs(result.truth), (10, 90))
    beyond = np.mean((np.abs(result.truth) < low) | (np.abs(result.truth) > high))
    assert f"of the ground truth: {beyond:.0%} of the amplitudes and " in words
    phases = panels_of(result, 1200)[-1].phase
    limit = _limits(_image_axes(plot_comparison(result))[1][0])[1]
    assert f"{np.mean(np.abs(phases) > limit):.0%} of the phases lie beyond" in words


def test_every_figure_takes_the_place_of_axes_and_is_given_back(result):
    one = made.comparison(made.model_arm())
    draw = {
        "comparison": lambda ax: plot_comparison(result, ax=ax),
        "reconstruction": lambda ax: plot_reconstruction(one, ax=ax),
        "errors": lambda ax: plot_errors(result, ax=ax),
        "frc": lambda ax: plot_frc(result, ax=ax),
        "half sets": lambda ax: plot_half_sets(result, ax=ax),
        "loss": lambda ax: plot_loss_curve({"loss": [3.0, 2.0]}, ax=ax),
        "scan": lambda ax: plot_scan(SCAN, ax=ax),
        "image": lambda ax: plot_image(result, "ePIE", "amplitude", ax=ax),
    }
    for name, call in draw.items():
        figure = Figure(figsize=(6, 8), layout="constrained")
        axes = figure.subplots(2, 2)
        before = axes[1, 0].get_position().bounds
        assert call(axes[0, 1]) is figure, name
        assert axes[1, 0] in figure.axes
        inside = [ax for ax in figure.get_axes() if ax not in axes.flat] + list(axes[0, 1:])
        # The panels lie in the upper right quarter.
        for ax in (ax for ax in inside if ax.figure is not None):
            assert ax.get_position().x0 >= 0.45 or ax.figure is not figure, name
        assert axes[1, 0].get_position().bounds == before


def test_the_path_of_a_scan_is_in_micrometres_where_the_pixel_is_known():
    path = plot_scan(SCAN).axes[1]
    assert path.get_title() == "path (µm)"
    np.testing.assert_allclose(path.lines[0].get_xydata(), SCAN.positions_yx[:, ::-1] * 0.02)
    assert plot_scan(replace(SCAN, geometry=None)).axes[1].get_title() == "path (pixels)"


def test_axes_that_were_placed_by_hand_are_refused_with_a_way_out(result):
    with pytest.raises(DataError, match=r"lies by hand at .* make it with figure.subplots"):
        plot_errors(result, ax=Figure().add_axes((0.1, 0.2, 0.5, 0.6)))


def test_an_image_by_itself_has_the_scale_of_the_comparison(result):
    alone = _image_axes(plot_image(result, "Baseline", "amplitude"))[0][0]
    beside = _image_axes(plot_comparison(result))[0][1]
    assert _limits(alone) == _limits(beside)
    np.testing.assert_array_equal(alone.images[0].get_array(), beside.images[0].get_array())
    with pytest.raises(DataError, match=r"no image 'other' .* name one of \['PtychoPINN', 'Baseline'"):
        plot_image(result, "other")


@pytest.mark.spec("CM-9.13")
def test_a_figure_is_written_in_every_format_and_the_same_twice(tmp_path):
    options = PlotOptions(formats=("svg", "pdf", "png"), dpi=30)
    figure = Figure(figsize=(4, 3))
    figure.subplots().plot([1, 3, 2], label="a line")
    paths = save_figure(figure, tmp_path / "new" / "line.v2", options=options)
    assert [path.name for path in paths] == ["line.v2.svg", "line.v2.pdf", "line.v2.png"]
    assert [path.read_bytes()[:5] for path in paths] == [b"<?xml", b"%PDF-", b"\x89PNG\r"]
    assert matplotlib.image.imread(paths[2]).shape[:2] == (90, 120)
    assert b"/Type3" not in paths[1].read_bytes()
    before = [path.read_bytes() for path in paths]
    assert save_figure(figure, tmp_path / "new" / "line.v2", options=options) == paths
    assert [path.read_bytes() for path in paths] == before


def test_a_png_holds_the_bytes_of_savefig_though_it_is_drawn_once(result, tmp_path, monkeypatch):
    options = PlotOptions(dpi=50)
    figures = [
        draw(result, options=PlotOptions(dpi=40)) for draw in (plot_errors, plot_frc) for _ in range(2)
    ]
    drawn, draw_figure = [], Figure.draw
    for number, (ours, theirs) in enumerate(zip(figures[::2], figures[1::2], strict=True)):
        canvas = ours.canvas
        with monkeypatch.context() as patch:
            patch.setattr(
                Figure, "draw", lambda figure, renderer: drawn.append(figure) or draw_figure(figure, renderer)
            )
            (path,) = save_figure(ours, tmp_path / f"{number}", options=options)
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            theirs.savefig(tmp_path / "theirs.png", dpi=50, pil_kwargs={"compress_level": 3})
        assert path.read_bytes() == (tmp_path / "theirs.png").read_bytes()
        assert drawn == [ours]
        assert (ours.canvas, ours.dpi) == (canvas, 40)
        drawn.clear()


@pytest.mark.spec("CM-9.13")
def test_files_of_other_formats_go_when_plots_are_written_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(figure_files, "_write", lambda figure, file, form, dpi: None)
    result = made.comparison(failures=[Failure("a", "b")])
    write_plots(result, tmp_path, options=PlotOptions(formats=("pdf", "svg"), dpi=30))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["comparison_plot.pdf", "comparison_plot.svg"]
    write_plots(result, tmp_path, options=QUICK)
    assert [path.name for path in tmp_path.iterdir()] == ["comparison_plot.png"]


def test_a_suffix_that_is_no_picture_s_is_refused(result, tmp_path):
    with pytest.raises(DataError, match=r"ends in \.jpg but must be \.png, \.pdf or \.svg"):
        plot_frc(result, tmp_path / "x.jpg")
    assert not list(tmp_path.iterdir())


@pytest.mark.spec("CM-8.8")
def test_failed_and_collapsed_arms_are_named(drawn):
    arm = made.collapsed_arm("its amplitude is constant")
    plot_comparison(made.comparison(arm, failures=[Failure("Baseline", "does not fit")]), "x.png")
    assert "collapsed" in _texts(_image_axes(drawn[0])[0][0])
    assert "Baseline failed: does not fit" in drawn[0].get_supxlabel()


@pytest.mark.spec("CM-8.9")
def test_the_older_convention_is_named_below_the_images(drawn):
    arm = made.model_arm(metrics=made.metrics(amplitude=0.1, phase=1.0, convention="ptychopinn"))
    plot_comparison(made.comparison(arm, metric_convention="ptychopinn"), "x.png")
    assert "All by the ptychopinn convention" in drawn[0].get_supxlabel()


@pytest.mark.spec("CM-7.5")
def test_a_failed_registration_is_named_on_the_image(drawn):
    arm = made.finished_arm(registration=made.registration(failure="too far"))
    plot_comparison(made.comparison(arm), "x.png")
    assert "registration failed" in _texts(_image_axes(drawn[0])[0][0])


@pytest.mark.spec("CM-9.4")
def test_phases_that_fill_a_turn_get_a_cyclic_map(drawn):
    phase = np.repeat([-2.6, 0.0, 2.6], (12, 32, 12))
    turn = np.exp(1j * phase) * np.linspace(1, 2, 40)[:, None]
    arm = made.finished_arm(aligned=made.placed(turn.astype(np.complex64)), metrics=None)
    plot_comparison(made.comparison(arm, truth=False, phase_align="mean"), "x.png")
    image = _image_axes(drawn[0])[1][0].images[0]
    assert image.get_cmap().name == "twilight_shifted"
    assert image.get_clim() == (-np.pi, np.pi)


@pytest.mark.spec("CM-9.4")
def test_errors_share_a_scale_about_zero_and_coverage_is_below(result, drawn):
    plot_errors(result, "x.png")
    rows = _image_axes(drawn[0])
    assert rows.shape == (4, 3)
    for row in rows[:2]:
        assert len({_limits(ax) for ax in row}) == 1
        assert _limits(row[0])[0] == -_limits(row[0])[1] < 0
    np.testing.assert_array_equal(rows[2][0].images[0].get_array().filled(0), result.arms[0].image.coverage)
    assert _limits(rows[2][0]) == (0, 4)
    assert rows[2][0].get_title() == "94.8% of the window"


def test_the_scored_rectangle_is_outlined_on_the_errors(result, drawn):
    plot_errors(result, "x.png")
    (frame,) = _image_axes(drawn[0])[1][2].patches
    assert (frame.get_x(), frame.get_y(), frame.get_width(), frame.get_height()) == (-0.5, -0.5, 56, 31)


def test_decimated_images_keep_the_coordinates_of_the_window(result, drawn, monkeypatch):
    monkeypatch.setattr(report_options, "_MOST_INCHES", 1)
    plot_errors(result, "x.png", options=PlotOptions(dpi=20))
    for ax in _image_axes(drawn[0])[:, 0]:
        assert ax.images[0].get_array().shape == (14, 19)
        assert ax.images[0].get_extent() == [-0.5, 55.5, 39.5, -0.5]


def test_a_finished_image_has_no_coverage_of_its_own(result, drawn):
    plot_errors(result, "x.png")
    ax = _image_axes(drawn[0])[2][2]
    assert np.ma.getmaskarray(ax.images[0].get_array()).all()
    assert "not stitched" in _texts(ax)[0]


def test_without_a_truth_coverage_and_disagreement_are_left(drawn):
    arm = made.model_arm(metrics=None)
    plot_errors(made.comparison(arm, truth=False), "x.png")
    plot_errors(made.comparison(made.model_arm(metrics=None, consistency=None), truth=False), "x.png")
    rows = _image_axes(drawn[0])
    assert [ax.get_ylabel() for ax in rows[:, 0]] == ["Coverage", "Disagreement"]
    assert [ax.get_ylabel() for ax in _image_axes(drawn[1])[:, 0]] == ["Coverage"]


def test_the_disagreement_is_a_standard_deviation_where_two_patches_lie(result, drawn):
    plot_errors(result, "x.png")
    row = _image_axes(drawn[0])[3]
    consistency = result.arms[0].consistency
    shown = row[0].images[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(shown), np.isnan(consistency.overlap_variance))
    np.testing.assert_allclose(shown.filled(np.nan) ** 2, consistency.overlap_variance, rtol=1e-5, atol=1e-9)
    assert len({_limits(ax) for ax in row}) == 1
    assert _limits(row[0])[0] == 0
    assert row[0].get_title() == f"{consistency.overlap_disagreement:.1%} of the modulus"
    assert "no patches" in _texts(row[2])[0]


def test_half_sets_are_marked_where_they_cross_the_half_bit_curve(result, drawn):
    plot_half_sets(result, "x.png")
    left = next(ax for ax in drawn[0].axes if ax.get_legend())
    frc = result.arms[0].consistency.half_set_frc
    cutoff = frc.amplitude.cutoffs.half_bit
    assert not cutoff.beyond_last_ring
    label = left.get_legend().get_texts()[0].get_text()
    assert label == f"PtychoPINN: {cutoff.frequency:.3f}"
    dots = [line.get_xydata()[0] for line in left.lines if line.get_marker() == "o"]
    expected = cutoff.frequency, np.interp(cutoff.frequency, frc.frequency, frc.half_bit)
    np.testing.assert_allclose(dots[0], expected)


def test_debug_images_show_arm_and_truth_on_one_scale(result):
    seen = seen_images(result.arms[0].metrics, ms_ssim_sigma=1.0)
    panels = [ax for ax in plot_seen_images(seen, QUICK).axes if ax.images and ax.get_title()]
    titles = [ax.get_title() for ax in panels]
    assert titles[:4] == [f"MS-SSIM: {c}, {w}" for c in ("amplitude", "phase") for w in ("arm", "truth")]
    assert (
        _limits(panels[4])
        == _limits(panels[5])
        == (
            seen.frc["amplitude"][1].min(),
            seen.frc["amplitude"][1].max(),
        )
    )
    np.testing.assert_array_equal(panels[2].images[0].get_array(), seen.ms_ssim["phase"][0])


def test_frc_of_both_channels_share_an_axis_that_holds_the_lowest_value(result, drawn):
    plot_frc(result, "x.png")
    left, right = (ax for ax in drawn[0].axes if ax.get_legend())
    assert [left.get_title(), right.get_title()] == ["Amplitude", "Phase"]
    curves = [arm.metrics.frc for arm in result.arms]
    lowest = min(float(np.nanmin(c.correlation)) for frc in curves for c in (frc.amplitude, frc.phase))
    assert left.get_ylim() == right.get_ylim()
    assert left.get_ylim()[0] <= lowest


def test_nothing_to_draw_is_an_error_that_says_why(tmp_path):
    with pytest.raises(DataError, match="no arm to plot"):
        plot_comparison(made.comparison(truth=False), tmp_path / "x.png")
    with pytest.raises(DataError, match="no arm has a Fourier ring correlation"):
        plot_frc(made.comparison(made.model_arm(metrics=None)), tmp_path / "x.png")
    with pytest.raises(DataError, match="no arm has a half-set FRC"):
        plot_half_sets(made.comparison(made.finished_arm()), tmp_path / "x.png")
    with pytest.raises(DataError, match="at least one `loss`"):
        plot_loss_curve({"val_loss": [1.0]}, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_write_plots_draws_what_there_is_and_removes_what_is_old(result, tmp_path, monkeypatch):
    files = write_plots(result, tmp_path, options=QUICK)
    assert [file.name for file in files] == PLOT_FILES
    for file in files:
        pixels = matplotlib.image.imread(file)
        assert min(pixels.shape[:2]) > 100
        assert np.ptp(pixels) > 0.9
    monkeypatch.setattr(figure_files, "_write", lambda figure, file, form, dpi: None)
    blind = made.comparison(made.model_arm(metrics=None), truth=False)
    assert [file.name for file in write_plots(blind, tmp_path, options=QUICK)] == [
        "comparison_plot.png",
        "comparison_errors.png",
        "half_set_frc_curves.png",
    ]
    assert not (tmp_path / "frc_curves.png").exists()


def test_debug_images_are_a_picture_for_each_scored_arm(tmp_path, monkeypatch):
    arms = made.model_arm(consistency=None), made.finished_arm(), made.model_arm("Baseline", metrics=None)
    result = made.comparison(*arms)
    files = write_plots(result, tmp_path, options=PlotOptions(debug_images=True, dpi=40))
    assert [file.name for file in files[-2:]] == ["epie_debug_images.png", "pinn_debug_images.png"]
    monkeypatch.setattr(figure_files, "_write", lambda figure, file, form, dpi: None)
    write_plots(result, tmp_path)
    assert not list(tmp_path.glob("*_debug_images.png"))


def test_a_result_without_arms_still_shows_the_truth(tmp_path):
    files = write_plots(made.comparison(failures=[Failure("a", "b")]), tmp_path, options=QUICK)
    assert [file.name for file in files] == ["comparison_plot.png"]
    assert write_plots(made.comparison(truth=False), tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_any_label_can_be_drawn(tmp_path):
    labels = ["$x_1^", "_hidden", "50 % & <b>", "a" * 200]
    result = made.comparison(*(made.model_arm(label) for label in labels))
    plot_comparison(result, tmp_path / "a.png", options=QUICK)
    plot_frc(result, tmp_path / "b.svg", options=QUICK)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_picture_that_fails_leaves_the_old_one(result, tmp_path, monkeypatch):
    target = tmp_path / "frc.png"
    target.write_bytes(b"old")

    def fail_halfway(figure, file, form, dpi):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure_files, "_write", fail_halfway)
    with pytest.raises(OSError, match="No space"):
        plot_frc(result, target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_loss_curve_has_a_strip_for_the_learning_rate_if_there_is_one(drawn):
    plot_loss_curve({"loss": [3.0, 2.0], "val_loss": [3.1, 2.1]}, "x.png")
    plot_loss_curve({"loss": [3.0, 2.0], "learning_rate": [1e-3, 5e-4]}, "x.png")
    told = {"val_loss_floor": [1.0, 1.1], "val_chi2": [4.0, 2.0], "val_r_factor": [0.5, 0.4]}
    plot_loss_curve({"loss": [3.0, 2.0], "learning_rate": [1e-3, 5e-4], **told}, "x.png")
    assert [len(figure.axes) for figure in drawn] == [1, 2, 3]
    assert {figure.axes[-1].get_xlabel() for figure in drawn} == {"epoch"}
    assert drawn[1].axes[0].get_legend().get_texts()[0].get_text() == "training"
    assert [text.get_text() for text in drawn[2].axes[0].get_legend().get_texts()] == [
        "training",
        "what counting noise leaves",
    ]


def test_a_picture_of_held_out_frames_shows_the_object_beside_it_where_it_is_known(drawn):
    values = (0.5 + np.arange(600).reshape(20, 30) / 600).astype(np.complex64)
    image = PlacedImage(values, np.ones(values.shape, bool), (3.0, 4.0))
    for truth in (None, 2 * values):
        plot_held_out(HeldOutImage(epoch=5, scan=2, image=image, truth=truth), "x.png")
    # Two channels and their colour bars.
    assert [len(figure.axes) for figure in drawn] == [4, 6]
    shown = [ax.images[0].get_array() for ax in drawn[1].axes if ax.images]
    # The amplitude on the scale of the object's.
    np.testing.assert_allclose(shown[0], shown[1], rtol=1e-4)


def test_a_loss_curve_is_a_readable_picture(tmp_path):
    plot_loss_curve({"loss": [30.0, 2.0, float("nan")]}, tmp_path / "new" / "loss.png", options=QUICK)
    assert matplotlib.image.imread(tmp_path / "new" / "loss.png").ndim == 3


def test_matplotlib_is_loaded_only_to_draw_and_never_pyplot(tmp_path):
    script = (
        "import sys; from ptycho.report import plot_loss_curve; before = 'matplotlib' in sys.modules; "
        f"plot_loss_curve({{'loss': [2.0, 1.0]}}, {str(tmp_path / 'loss.png')!r}); "
        "print(before, 'matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert run.stdout.split() == ["False", "True", "False"]
