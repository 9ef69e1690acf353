"""What a page says first: sentences on data, failures and care, and which values are marked."""

import made_results as made
import pytest
import saved_runs

from ptycho.comparison import Failure
from ptycho.models import Familiarity
from ptycho.report.page._findings import findings, judgements
from ptycho.report.page._rows import figure_text, metric_sections
from ptycho.report.page._saved import read_run


def _run(folder, *arms, **changes):
    return read_run(saved_runs.write(folder, made.comparison(*arms, **changes)))


def _line(run, name, channel):
    lines = [line for section in metric_sections(run) for line in section.lines]
    (found,) = [line for line in lines if (line.term.name, line.channel) == (name, channel)]
    return found


def test_the_better_value_is_the_higher_or_the_lower_as_the_figure_has_it(tmp_path):
    run = _run(
        tmp_path,
        made.model_arm(metrics=made.metrics(amplitude=1, phase=9)),
        made.finished_arm(metrics=made.metrics(amplitude=2, phase=9)),
    )
    best = {name: [cell.is_best for cell in _line(run, name, "amplitude").cells] for name in ("ssim", "mae")}
    assert best == {"ssim": [False, True], "mae": [True, False]}
    # Equal values are nobody's.
    assert not any(cell.is_best for cell in _line(run, "ssim", "phase").cells)


def test_a_scan_unlike_those_of_the_training_is_a_warning_and_an_unknown_one_a_note(tmp_path):
    strange = Familiarity(light_distance=1.0, differences=("light",))
    run = _run(
        tmp_path, made.model_arm(familiarity=strange), made.model_arm("Other", familiarity=Familiarity())
    )
    warning, note = (
        finding
        for finding in findings(run)
        if "training's frames" in finding.text or "of its training" in finding.text
    )
    assert (warning.kind, note.kind) == ("warning", "note")
    assert "a typical ring differs by a factor of 2.7" in warning.text
    assert note.text.startswith("Other: The model's file says nothing")


def test_what_does_not_rank_arms_marks_none(tmp_path):
    model, second = made.model_arm(), made.model_arm(label="Second", seconds={"reconstruct": 1.0})
    run = _run(tmp_path, model, second)
    assert not any(cell.is_best for cell in _line(run, "computation_time_s", "").cells)


def test_an_infinite_value_is_the_best_psnr(tmp_path):
    run = _run(
        tmp_path, made.model_arm(), saved_runs.scored(made.finished_arm(aligned=made.placed(made.image())))
    )
    cells = _line(run, "psnr", "amplitude").cells
    assert (cells[1].text, cells[1].is_best) == ("∞", True)


def test_failures_come_first_and_the_kind_has_its_word(tmp_path):
    failures = [
        Failure("A", "no memory"),
        Failure.stopped("the plots"),
        Failure.not_scored("B"),
        Failure("scan.npz", "changed while it was used", "unreliable"),
    ]
    arm = made.collapsed_arm("its output is constant", registration=made.registration(failure="no peak"))
    found = findings(_run(tmp_path, arm, failures=failures))
    told = [finding.text for finding in found if finding.kind == "failure"]
    assert told == [
        "A failed: no memory",
        "the plots was stopped: stopped by Ctrl-C",
        "B was not scored: not scored: stopped by Ctrl-C",
        "scan.npz: changed while it was used",
        "PtychoPINN: its output is constant",
        "PtychoPINN could not be registered: no peak",
    ]
    kinds = [finding.kind for finding in found]
    assert kinds == sorted(kinds, key=("failure", "warning", "note").index)
    assert "note" in kinds


def test_what_the_frames_say_is_a_table_an_arm(tmp_path):
    (judgement,) = judgements(_run(tmp_path, made.model_arm()))
    assert judgement.figures == (
        ("the image", "9.8", "0.1", "0.08"),
        ("the patches", "1.85", "0.1", "0.08"),
        ("a constant object", "21.9", "0.225", "0.08"),
    )
    assert (judgement.cause, judgement.judged[:4]) == ("positions", "80 %")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.0, "0"),
        (0.123456, "0.1235"),
        (3.56467e-4, "0.000356"),
        (1234.56, "1235"),
        (99999.6, "100,000"),
        (2.5e9, "2.5e+09"),
        (float("inf"), "∞"),
    ],
)
def test_numbers_are_short(value, text):
    assert figure_text(value) == text
