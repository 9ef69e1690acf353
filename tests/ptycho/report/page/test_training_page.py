"""The page of a training says how it went, from what the bundle records, and trusts nothing in it."""

import json
import re

import pytest
import saved_runs

from ptycho.cli.report import main
from ptycho.errors import DataError
from ptycho.report import write_training_page


def _text(folder):
    page = write_training_page(folder)
    assert page.name == "training_report.html"
    content = page.read_text(encoding="utf-8")
    body = re.sub(r"<(script|style)\b.*?</\1>", "", content[content.index("<body>") :], flags=re.DOTALL)
    return content, " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_best_epoch_end_floor_and_rise_are_told(tmp_path):
    content, text = _text(saved_runs.training(tmp_path))
    assert "4,000 frames of 20 scans for 4 epochs: all 4 epochs are done." in text
    assert "those after epoch 3, where the loss of held-out frames was least: 0.006" in text
    assert (
        "Counting noise alone would leave 0.0025 of a perfect prediction: the loss is 2.4 times the least possible"
        in text
    )
    assert "have a χ² of 2: it leaves 2 times what counting noise would" in text
    assert "After epoch 3 the loss of held-out frames rose by 25% to the end" in text
    assert "50% above that of learnt ones" in text
    assert "Held out were whole scans." in text
    data = json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', content).group(1)
    )
    assert [chart["id"] for chart in data["charts"]] == ["losses", "chi2", "rate"]
    assert [line["label"] for line in data["charts"][0]["lines"]] == ["learnt", "held out", "noise alone"]
    assert data["charts"][1]["lines"][0]["y"] == [9.0, 4.0, 2.0, None]


def test_what_is_well_explained_or_not_known_is_told_otherwise(tmp_path):
    history = {"loss": [2.0, 1.0], "val_loss": [2.0, 1.01], "val_chi2": [3.0, 1.2]}
    _, text = _text(saved_runs.training(tmp_path, history, held_out="random", collapsed="all is constant"))
    assert "as well as counting noise allows" in text
    assert "Counting noise alone" not in text
    assert "The last epoch was the best" in text
    assert "Held-out frames overlap with learnt ones" in text
    assert "The network has collapsed: all is constant." in text


def test_a_page_without_a_number_in_any_epoch_is_made_all_the_same(tmp_path):
    _, text = _text(saved_runs.training(tmp_path, {"loss": [None], "val_loss": [None]}))
    assert "No epoch gave a loss that is a number." in text


def test_the_picture_is_in_the_page_and_only_a_picture_is(tmp_path):
    saved_runs.training(tmp_path)
    (tmp_path / "held_out.png").write_bytes(b"\x89PNG and so on")
    assert 'src="data:image/png;base64,iVBORyBhbmQgc28gb24="' in _text(tmp_path)[0]
    (tmp_path / "held_out.png").write_bytes(b"<svg>")
    assert "<img" not in _text(tmp_path)[0]


def test_text_of_a_record_is_shown_and_never_run(tmp_path):
    hostile = "</script><script>alert(1)</script>"
    content, text = _text(
        saved_runs.training(tmp_path, ended=hostile, command=hostile, settings={hostile: hostile})
    )
    assert "<script>alert" not in content
    assert "&lt;script&gt;alert(1)" in content
    assert "alert(1)" in text


@pytest.mark.parametrize(
    "history", [{}, {"loss": [1.0]}, {"loss": [1.0], "val_loss": [1.0, 2.0]}, [], None, {"val_loss": 3}]
)
def test_a_record_without_losses_is_one_sentence(tmp_path, history):
    with pytest.raises(DataError, match=r"records no losses, so there is no training to report"):
        write_training_page(saved_runs.training(tmp_path, history))


def test_the_report_command_makes_the_page_of_a_training(tmp_path, capsys):
    assert main([str(saved_runs.training(tmp_path))]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'training_report.html'}\n"
