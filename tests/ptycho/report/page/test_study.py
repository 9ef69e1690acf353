"""A study: which runs are of one condition, their means and deviations, the tidy table, the page."""

import csv
import io
import json
import shutil
import statistics

import browser
import made_results as made
import pytest
import saved_runs

from ptycho.cli.main import main
from ptycho.errors import DataError
from ptycho.report import InputFile, write_study
from ptycho.report.page._conditions import axes, panels
from ptycho.report.page._study import read_study, study_table
from ptycho.report.page._study_page import in_brief, leads, study_page, troubled

DOSES = (1000.0, 1e5)


def _run(folder, *, dose, seed, value, **settings):
    """A run in which the model's SSIM of the amplitude is 3 more than `value`, the other's one less."""
    result = made.comparison(
        made.model_arm(metrics=made.metrics(amplitude=value, phase=2 * value)),
        made.finished_arm(metrics=made.metrics(amplitude=value - 1, phase=2 * value - 1)),
        seed=seed,
        **settings,
    )
    files = (
        InputFile("test_data", f"/data/{dose}-{seed}.npz", 1, None, f"{seed}{dose}".ljust(64, "0")),
        InputFile("pinn_dir", "/models/a", 1, None, "ab" * 32),
        InputFile("arm ePIE", "/models/b", 1, None, "cd" * 32),
    )
    return saved_runs.write(folder, result, intensity_per_frame=dose * (1 + 0.01 * seed), inputs=files)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    parent = tmp_path_factory.mktemp("study")
    return [
        _run(parent / f"{dose:g}-{seed}", dose=dose, seed=seed, value=0.25 * seed + 10 * number)
        for number, dose in enumerate(DOSES)
        for seed in (1, 2, 4)
    ]


@pytest.fixture(scope="module")
def study(folders):
    return read_study(folders)


def _panel(study, factor, name, channel):
    (found,) = [each for each in panels(study, factor) if (each.term.name, each.channel) == (name, channel)]
    return found


def test_doses_of_scans_that_were_taken_alike_are_one_level(study):
    assert axes(study) == ("intensity_per_frame",)
    points = _panel(study, "intensity_per_frame", "ssim", "amplitude").series[0].points
    assert [point.x for point in points] == [1020.0, 102000.0]


def test_means_and_deviations_are_over_the_seeds_of_one_dose(study):
    first, second = _panel(study, "intensity_per_frame", "ssim", "amplitude").series
    assert (first.label, second.label) == ("PtychoPINN", "ePIE")
    values = [3 + 0.25 * seed for seed in (1, 2, 4)]
    assert first.points[0].values == pytest.approx(values)
    assert first.points[0].mean == pytest.approx(statistics.mean(values))
    assert first.points[0].deviation == pytest.approx(statistics.stdev(values))
    assert second.points[1].mean == pytest.approx(12 + statistics.mean([0.25, 0.5, 1.0]))


def test_another_setting_makes_a_series_of_its_own_and_memory_does_not(tmp_path):
    folders = [
        _run(
            tmp_path / f"{crop}-{batch}-{dose}",
            dose=dose,
            seed=1,
            value=crop,
            crop_size=crop,
            stitch_batch_size=batch,
        )
        for crop, batch in ((16, 1), (16, 2), (20, 1))
        for dose in DOSES
    ]
    study = read_study(folders)
    assert set(axes(study)) == {"intensity_per_frame", "crop_size", "stitch_batch_size"}
    series = _panel(study, "intensity_per_frame", "ssim", "phase").series
    assert [each.label for each in series][:2] == ["PtychoPINN, crop_size 16", "ePIE, crop_size 16"]
    assert len(series) == 4
    assert [len(point.values) for point in series[0].points] == [2, 2]


def test_a_study_of_one_run_has_a_table_and_no_axis(folders):
    study = read_study(folders[:1])
    assert (axes(study), study.varied) == ((), ())
    assert "differ in nothing" in study_page(study)


def test_seeds_alone_are_an_axis_of_their_own(folders):
    assert axes(read_study(folders[:3])) == ("seed",)


def test_the_table_has_a_line_a_figure_and_a_column_for_what_differs(study):
    rows = list(csv.DictReader(io.StringIO(study_table(study))))
    found = [
        row for row in rows if (row["metric"], row["channel"], row["model"]) == ("ssim", "phase", "ePIE")
    ]
    assert [row["run"] for row in found] == ["1000-1", "1000-2", "1000-4", "100000-1", "100000-2", "100000-4"]
    assert [float(row["value"]) for row in found] == [
        2 + 2 * (0.25 * s + 10 * d) for d in (0, 1) for s in (1, 2, 4)
    ]
    assert [row["seed"] for row in found[:3]] == ["1", "2", "4"]
    assert float(found[0]["intensity_per_frame"]) == pytest.approx(1010)
    assert {len(row["scan"]) for row in rows} == {12}
    assert len({row["scan"] for row in rows}) == 6
    assert len({(row["model"], row["model_fingerprint"]) for row in rows}) == 2
    assert list(rows[0])[-3:] == ["metric", "channel", "value"]


def test_no_text_of_the_table_is_a_formula(tmp_path):
    folder = saved_runs.write(tmp_path / "=1+1", made.comparison(saved_runs.scored(made.model_arm("=cmd()"))))
    rows = list(csv.DictReader(io.StringIO(study_table(read_study([folder])))))
    assert {(row["run"], row["model"]) for row in rows} == {("'=1+1", "'=cmd()")}
    assert {row["value"][0] for row in rows if float(row["value"]) < 0} <= {"-"}


def test_the_verdict_counts_runs(study):
    conditions, found = leads(study)
    assert conditions == ("1020", "102,000")
    assert [lead.text for lead in found["SSIM, amplitude"]] == ["PtychoPINN 3 of 3"] * 2
    assert in_brief(conditions, found) == (
        "1020: PtychoPINN in 8, ePIE in 4 of 12 figures.",
        "102,000: PtychoPINN in 8, ePIE in 4 of 12 figures.",
    )
    # The made errors are higher for the model, and lower is better.
    assert [lead.text for lead in found["Mean absolute error, phase"]] == ["ePIE 3 of 3"] * 2


def test_small_values_come_first_and_runs_with_a_failure_are_counted(folders, tmp_path):
    study = read_study([*reversed(folders)])
    assert leads(study)[0] == ("1020", "102,000")
    assert troubled(study) == ()
    for folder in folders[:2]:
        shutil.copytree(folder, tmp_path / folder.name)
        saved_runs.edit_report(
            tmp_path / folder.name,
            lambda values: values.update(failures=[{"label": "B", "kind": "failed", "reason": "memory"}]),
        )
    study = read_study([tmp_path / folders[0].name, tmp_path / folders[1].name, *folders[2:]])
    assert troubled(study) == ("2 of 3", "0 of 3")
    assert "Runs in which something failed" in study_page(study)


def test_an_order_that_changes_from_run_to_run_is_told_so(tmp_path):
    better, worse = ({"amplitude": 1 + sign, "phase": 1} for sign in (0.5, -0.5))
    folders = [
        saved_runs.write(
            tmp_path / str(number),
            made.comparison(
                made.model_arm(metrics=made.metrics(**first)),
                made.finished_arm(metrics=made.metrics(**second)),
            ),
        )
        for number, (first, second) in enumerate([(better, worse), (better, worse), (worse, better)])
    ]
    conditions, found = leads(read_study(folders))
    assert conditions == ("all runs",)
    assert found["PSNR, amplitude"][0].text == "PtychoPINN 2, ePIE 1"
    assert not found["PSNR, amplitude"][0].is_unanimous
    assert "PSNR, phase" not in found


def test_a_run_named_twice_is_refused(folders):
    with pytest.raises(DataError, match="is named more than once"):
        read_study([folders[0], folders[1], str(folders[0])])


def test_runs_of_one_name_are_told_apart_by_their_parents(tmp_path):
    folders = [_run(tmp_path / name / "out", dose=1e3, seed=1, value=1) for name in ("a", "b")]
    assert [run.name for run in read_study(folders).runs] == ["a/out", "b/out"]


def test_the_command_writes_a_study_and_protects_an_earlier_one(folders, tmp_path, capsys):
    words = ["report", *map(str, folders[:2]), "--output_dir", str(tmp_path / "study")]
    assert main(words) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "study" / name) for name in ("study.html", "study.csv")
    ]
    assert main(words) == 2
    assert "pass --overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--quiet"]) == 0


def test_the_command_makes_the_page_of_a_run_again(folders, capsys):
    page = folders[0] / "comparison_report.html"
    page.unlink(missing_ok=True)
    assert main(["report", str(folders[0])]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    assert page.exists()
    assert main(["report", str(folders[0] / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_hostile_words_are_text_in_a_study_too(tmp_path, folders):
    folder = saved_runs.write(tmp_path / "a<b>&", saved_runs.hostile())
    text = study_page(read_study([folder, folders[0]]))
    assert "<script>document" not in text
    assert "a&lt;b&gt;&amp;" in text


def test_the_page_opens_in_a_browser_without_a_message(folders, tmp_path):
    page, _ = write_study(folders, tmp_path)
    with browser.chromium() as chromium:
        visit = browser.Visit(chromium, page)
        charts = visit.page.locator(".chart canvas").count()
        pictures = visit.page.locator(".multiples img").count()
        found, messages, requests = browser.serious_violations(visit.page), visit.messages, visit.requests
        visit.close()
    data = json.loads(page.read_text(encoding="utf-8").split('id="data">')[1].split("</script>")[0])
    assert charts == len(data["charts"]) > 10
    assert pictures == 12
    assert (found, messages) == ({}, [])
    assert [url for url in requests if not url.startswith("data:")] == [page.as_uri()]
