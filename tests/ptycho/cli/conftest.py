"""What the commands of these tests share: models that are opened once, and pictures that nobody looks at."""

from __future__ import annotations

import pytest
from known_models import models_once
from matplotlib.figure import Figure

from ptycho.report import figure_files

# A grey pixel.
_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000"
    "000a49444154789c636800000082008177cd72b60000000049454e44ae426082"
)


@pytest.fixture(autouse=True)
def _models_once(monkeypatch):
    models_once(monkeypatch)


@pytest.fixture(autouse=True)
def _import_name_unchecked(monkeypatch):
    """Spare each command a look at all that is installed; test_import_name.py has its own folders."""
    monkeypatch.setattr("ptycho.cli._import_name.check_import_name", lambda: None)


@pytest.fixture
def pictures():
    """Ask for this to have the pictures drawn, coarsely; other tests get a pixel in each file."""


@pytest.fixture(autouse=True)
def _pictures_as_asked(request, monkeypatch):
    if "pictures" in request.fixturenames:
        write = figure_files._write
        monkeypatch.setattr(
            figure_files, "_write", lambda figure, file, form, dpi: write(figure, file, form, 40)
        )
    else:
        monkeypatch.setattr(Figure, "draw_without_rendering", lambda figure: None)
        monkeypatch.setattr(figure_files, "_write", lambda figure, file, form, dpi: file.write(_PNG))
        monkeypatch.setattr("ptycho.report.write_page", lambda folder: folder / "comparison_report.html")
