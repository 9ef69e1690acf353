"""What is printed at the end of a comparison: what makes a figure worthless, or a bound, stands beside it."""

from dataclasses import replace

import made_results as made
import numpy as np
import pytest

from ptycho.cli._summary import print_summary
from ptycho.evaluation.frc import compute_frc
from ptycho.models import Familiarity


def said(capsys, *arms):
    print_summary(made.comparison(*arms), [])
    return capsys.readouterr().out


def arm_with_images(side, *, noise):
    """An arm whose amplitude is the truth's and whose phase carries noise, on `side`² pixels."""
    rng = np.random.default_rng(7)
    truth = rng.random((side, side))
    frc = compute_frc(
        (truth, truth), (truth + noise * rng.standard_normal(truth.shape), truth), frc_sigma=0.0
    )
    half, _ = frc.cutoffs("half")
    arm = made.model_arm()
    scores = made.ChannelPair(half.frequency, arm.metrics.frc50.phase)
    return replace(arm, consistency=None, metrics=replace(arm.metrics, frc=frc, frc50=scores))


@pytest.mark.spec("CM-8.8")
def test_a_collapsed_arm_is_named_in_the_table_and_below_it(capsys):
    text = said(capsys, made.collapsed_arm("patches are nearly constant"), made.finished_arm())
    assert "PtychoPINN (collapsed)" in text
    assert "PtychoPINN has COLLAPSED: patches are nearly constant." in text
    assert "ePIE (collapsed)" not in text
    assert "collapsed" not in said(capsys, made.model_arm(), made.finished_arm()).lower()


def test_a_curve_that_stays_above_one_half_gives_a_bound_and_no_cut_off(capsys):
    rows = said(capsys, arm_with_images(64, noise=3.0)).splitlines()
    amplitude, phase = (
        next(row for row in rows if f" {channel} " in row) for channel in ("amplitude", "phase")
    )
    assert "≥ 0.5" in amplitude
    assert "≥" not in phase


def test_halves_that_agree_in_every_ring_give_a_bound_too(capsys):
    arm = arm_with_images(64, noise=3.0)
    consistency = replace(made.model_arm().consistency, half_set_frc=arm.metrics.frc)
    rows = said(capsys, replace(arm, metrics=None, consistency=consistency)).splitlines()
    (row,) = (row for row in rows if "%" in row)
    assert row.count("≥") == 1


@pytest.mark.spec("CM-8.12")
def test_the_verdict_stands_between_a_constant_and_the_noise_and_is_said_in_words(capsys):
    judged = made.model_arm(verdict=made.verdict())
    finished = made.finished_arm(verdict=made.verdict(patches=None, cause="explained", diagnosis="It does."))
    text = said(capsys, judged, finished)
    start = text.index("verdict of the frames")
    rows = {line.strip()[:10]: line.split() for line in text[start:].splitlines()[2:6]}
    assert rows["PtychoPINN"][1:3] == ["9.8", "1.85"]
    assert rows["PtychoPINN"][-1] == "positions"
    assert "(0.080 noise)" in " ".join(rows["PtychoPINN"])
    assert [word for word in rows[" ePIE"[1:] + " " * 6] if word == "-"] == ["-"] * 3
    assert rows["(a constan"][3] == "21.9"
    assert rows["(counting "][3] == "1"
    assert "PtychoPINN: Each patch explains its frame but the stitched image does not." in text
    assert "PtychoPINN, ePIE: The last hundredth is a guess." in text
    assert "verdict" not in said(capsys, made.model_arm(verdict=None))


KNOWN = Familiarity(dose_ratio=0.1, light_distance=0.123, probe_overlap=0.5, differences=("probe", "dose"))


def test_a_scan_unlike_those_of_the_training_is_told_with_word_and_figures(capsys):
    text = " ".join(said(capsys, made.model_arm(familiarity=KNOWN), made.finished_arm()).split())
    assert "PtychoPINN x 0.1 0.12 0.500 other probe, other dose" in text
    assert "PtychoPINN may be wrong here: it was trained with another probe" in text
    assert "1/10 of the photons of its training's" in text
    assert "training's" not in said(capsys, made.finished_arm())


def test_where_nothing_is_known_of_the_training_it_is_said(capsys):
    text = " ".join(said(capsys, made.model_arm(familiarity=Familiarity())).split())
    assert "PtychoPINN - - - unknown" in text
    assert "PtychoPINN: The model's file says nothing of the frames" in text
    assert "may be wrong" not in text


@pytest.mark.parametrize(("side", "coarse"), [(32, True), (64, False)])
def test_a_curve_of_few_rings_is_called_coarse(capsys, side, coarse):
    assert ("rings only" in said(capsys, arm_with_images(side, noise=1.0))) == coarse


def test_no_label_steers_the_terminal(capsys):
    text = said(capsys, made.model_arm("a\x1b[31m\nb"), made.collapsed_arm("flat\x07", label="c\x9b"))
    assert r"a\x1b[31m\nb" in text
    assert r"c\x9b has COLLAPSED: flat\x07." in text
    assert "\x1b" not in text


@pytest.mark.spec("CM-6.8")
def test_how_far_the_frames_distrusted_an_image_is_said(capsys):
    text = said(capsys, made.model_arm(), made.refined_arm())
    (row,) = [line.split() for line in text.splitlines() if "6.2%" in line]
    assert row == ["PtychoPINN", "+", "1", "sweep", "6.2%", "6.2%", "0.1250", "0.1250", "1.50"]
    assert "refinement" not in said(capsys, made.model_arm(), made.finished_arm())


def test_what_holds_for_several_arms_is_said_once_with_their_labels(capsys):
    alike = replace(
        made.model_arm(verdict=made.verdict()), metrics=replace(made.model_arm().metrics, notes=("Small.",))
    )
    other = replace(alike, label="two", metrics=replace(alike.metrics, notes=("Small.", "Its own.")))
    text = said(capsys, alike, other)
    assert text.count("Small.") == 1
    assert f"{alike.label}, two: Small." in text
    assert "two: Its own." in text
