"""The notebooks run from top to bottom, are kept without outputs, and objects show themselves in them."""

import json

import matplotlib
import notebooks
import numpy as np
import pytest

from ptycho.data import Reconstruction, SimulationSettings, simulate, write_reconstruction


@pytest.fixture
def finished_images(tmp_path, monkeypatch):
    """Images of the object in place of the shipped networks, which take seconds to trace; README.md runs networks."""
    scan = simulate(SimulationSettings(object_shape_yx=(120, 150), step_px=7.0, n_lines=20, seed=7))
    for name, seed in (("pinn", 1), ("baseline", 2)):
        noise = np.random.default_rng(seed).normal(0, 0.05 * seed, scan.object_guess.shape)
        image = Reconstruction(
            label=name,
            object=scan.object_guess * np.exp(1j * noise),
            probe=scan.probe,
            positions_yx=scan.positions_yx,
        )
        write_reconstruction(tmp_path / f"{name}.npz", image)
    monkeypatch.setattr("ptycho.demo.model_folder", lambda kind: tmp_path / f"{kind}.npz")


@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda path: path.name)
def test_a_notebook_is_kept_without_outputs(path):
    found = json.loads(path.read_text(encoding="utf-8"))
    assert [(cell["outputs"], cell["execution_count"]) for cell in found["cells"] if "outputs" in cell] == [
        ([], None)
    ] * len(notebooks.cells(path, "code"))
    assert notebooks.cells(path, "markdown")[0].startswith("# ")


def test_from_a_file_to_a_judged_image(finished_images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    shown = notebooks.executed(notebooks.FOLDER / "file-to-judged-image.ipynb")
    scan, result, metrics = (html for html in shown if html and html.startswith("<div>"))
    assert "frames of 64×64 px" in scan
    assert result.count("<img") == 6
    assert "true phase" in metrics
    assert "<Figure size" in shown[8]
    assert (tmp_path / "figure-1.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "judged" / "comparison_report.html").stat().st_size > 100_000


def test_batches_that_fit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shown = notebooks.executed(notebooks.FOLDER / "batches-that-fit.ipynb")
    _, whole, halved, stopped, resumed = (html for html in shown if html)
    assert "500 of 500 items" in whole
    assert "batches of 100 → 50, 1 out of memory" in halved
    assert "200 of 500 items" in stopped
    assert "resume() goes on" in stopped
    assert "500 of 500 items" in resumed
    assert "stopped by: invalid literal" in capsys.readouterr().out
