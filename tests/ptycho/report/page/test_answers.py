"""What a page answers to who has it alone, and the place at which an image is wrong."""

import dataclasses

import made_results as made
import numpy as np
import pytest
import saved_runs

from ptycho.report.page._answers import answers
from ptycho.report.page._rows import metric_sections
from ptycho.report.page._saved import read_run
from ptycho.report.page._worst import WorstTile, worst_tiles


def answered(folder, *arms, edit=lambda values: None, **changes):
    """The answers by the first word or two of their questions."""
    saved_runs.write(folder, made.comparison(*arms, **changes.pop("settings", {})), **changes)
    saved_runs.edit_report(folder, edit)
    run = read_run(folder)
    found = answers(run, metric_sections(run), worst_tiles(run))
    return {
        answer.question.split()[0] + " " + answer.question.split()[1]: answer.sentences for answer in found
    }


def model(label, value, **changes):
    return made.model_arm(label, metrics=made.metrics(amplitude=value, phase=-value), **changes)


def test_the_better_arm_is_told_for_each_channel_and_among_the_networks_alone(tmp_path):
    refined = made.refined_arm("A + 1 sweep", metrics=made.metrics(amplitude=0.0, phase=-9.0))
    trust = answered(tmp_path, model("A", 2.0), refined, model("B", 3.0))["Which image"]
    # Of six figures four are better the higher, two (errors) the lower.
    assert trust[0] == "Amplitude: B is best in 4 of 6 figures against the truth, A + 1 sweep in 2."
    assert trust[1] == "Phase: A is best in 4 of 6 figures against the truth, A + 1 sweep in 2."
    assert "A + 1 sweep is no network but a network's image after sweeps over the measured frames" in trust[2]
    assert trust[3] == "Of the networks alone A is best in 6 of 12 figures against the truth."


def test_frames_and_truth_that_disagree_are_told(tmp_path):
    def judge(values):
        for arm, chi2 in zip(values["arms"], (1.2, 1.5), strict=True):
            arm["verdict"] = {"image": {"chi2": chi2}}

    arms = [
        model("PtychoPINN", 1.0),
        made.model_arm(label="Baseline", metrics=made.metrics(amplitude=2, phase=2)),
    ]
    said = " ".join(answered(tmp_path, *arms, edit=judge)["Which image"])
    assert "By the measured frames PtychoPINN is nearest to what noise allows" in said
    assert "PtychoPINN 1.2, Baseline 1.5" in said
    assert "trust Baseline for likeness to this truth" in said


def test_what_cannot_be_trusted_is_named(tmp_path):
    arms = [
        dataclasses.replace(model("A", 1.0), registration=made.registration(failure="too far")),
        made.collapsed_arm("constant", label="B"),
    ]
    found = answered(tmp_path, *arms)
    assert "A is not to be trusted: its place could not be found" in " ".join(found["Which image"])
    assert "B is not to be trusted: its network has collapsed." in found["Which image"]
    assert "B: train again, with another seed, more scans or a defocused probe." in found["What next?"]


@pytest.mark.parametrize(("pixel_m", "unit", "factor"), [(None, "px", 1.0), (6.25e-9, "nm", 6.25)])
def test_the_detail_is_a_length_where_the_pixel_is_known(tmp_path, pixel_m, unit, factor):
    arm = saved_runs.scored(made.model_arm())
    first = answered(tmp_path, arm, object_pixel_m=pixel_m)["How fine"][0]
    amplitude, phase = (cutoff.half_period_px * factor for cutoff in arm.metrics.frc.cutoffs("half"))
    assert first == (
        f"Amplitude and phase agree with the truth down to, in {unit}: PtychoPINN {amplitude:.3g} and {phase:.3g} "
        "(half periods at FRC 0.5)."
    )


def test_what_made_the_images_and_what_light_is_told(tmp_path):
    made_of = answered(tmp_path, model("A", 1.0), made.finished_arm(), intensity_per_frame=2.5e4)["How was"]
    assert made_of[0] == "From 100 frames with 25,000 photons each on average."
    assert (
        "A: a network, run over the frames; the middle 20 × 20 px of its patches are averaged where they lie."
        in made_of
    )
    assert "ePIE: a finished reconstruction, read from a file." in made_of


def test_the_next_step_follows_from_what_is_to_blame(tmp_path):
    def blame(values):
        for arm, cause in zip(values["arms"], ("network", "explained"), strict=True):
            arm["verdict"]["cause"] = cause
            arm["verdict"]["image"]["chi2"] = 1.3

    steps = answered(tmp_path, model("A", 1.0), model("B", 1.0), edit=blame)["What next?"]
    assert steps[0].startswith("A: let the frames improve its image (compare-models --refine 1)")
    assert steps[1].startswith("B: the frames tell more than the image holds (χ² above 1.1)")
    assert "This is one scan" in steps[-1]


def test_bad_frames_are_to_be_left_out_by_the_flag_that_does_it(tmp_path):
    def blame(values):
        values["arms"][0]["verdict"]["cause"] = "frames"

    steps = answered(tmp_path, model("A", 1.0), edit=blame)["What next?"]
    assert steps[0] == "A: look at the frames that are named, and leave them out: --skip with their numbers."


def test_without_a_truth_the_page_says_where_to_look_instead(tmp_path):
    found = answered(tmp_path, made.model_arm(metrics=None), settings={"truth": False})
    assert found["Which image"][0].startswith("There is no truth")
    assert "Misfit of frames under Images" in found["Where is"][0]


def test_the_place_of_the_largest_error_is_found(tmp_path):
    truth = made.image()
    error = np.full(truth.shape, 0.05)
    # The scored rectangle has 31 rows: tiles of 3 or 4 x 7 pixels.
    error[8:11, 43:48] = 0.8
    image = (truth * np.exp(1j * error)).astype(np.complex64)
    arm = saved_runs.scored(made.model_arm(aligned=made.placed(image, made.covered())))
    saved_runs.write(tmp_path, made.comparison(arm))
    tile = worst_tiles(read_run(tmp_path))["PtychoPINN"]
    row, column = made.WINDOW.row_start + 9, made.WINDOW.column_start + 45
    assert abs(tile.centre_yx[0] - row) <= 2
    assert abs(tile.centre_yx[1] - column) <= 4
    assert tile.error > 5 * tile.mean_error


def test_an_even_error_has_no_place(tmp_path):
    saved_runs.write(tmp_path, made.comparison(saved_runs.scored(made.model_arm())))
    run = read_run(tmp_path)
    even = WorstTile((20, 30), (4, 7), 0.11, 0.1)
    (where,) = [
        a.sentences for a in answers(run, metric_sections(run), {"A": even}) if a.question.startswith("Where")
    ]
    assert where[0] == "A: the phase is off by 0.1 rad on average, much alike everywhere."
