"""`training_report.html`: how a training went, from what its bundle records."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptycho._io.atomic import replacing
from ptycho._io.regular import open_regular
from ptycho.errors import DataError
from ptycho.report.names import HELD_OUT_PLOT, TRAINING_PAGE
from ptycho.report.page._findings import Finding
from ptycho.report.page._record import Record, read_record
from ptycho.report.page._render import rendered
from ptycho.report.page._rows import figure_text

_SCRIPTS = ("vendor/uPlot.iife.min.js", "assets/charts.js", "assets/training.js")
_STYLES = ("vendor/uPlot.min.css", "assets/page.css")
_BUNDLE = "bundle.json"
_MOST_PICTURE_BYTES = 16 << 20
# The loss of held-out frames after the best epoch, and against that of learnt ones, beyond which a sentence says so.
_WORSE_BY = 1.05
# χ² up to which held-out frames count as explained: that of the verdict.
_NOISE_BELOW = 1.3
_HELD_OUT = {
    "scans": "whole scans",
    "blocks": "a block of every scan, with a margin of a patch that is not learnt",
    "random": "frames drawn at random, which overlap with those that are learnt",
}


@dataclass(frozen=True, eq=False)
class SavedTraining:
    """What a bundle records of its training, a value per epoch (None for no number) in each of `history`.

    Attributes
    ----------
    folder : Path
    architecture, record : Record
    history : dict of str to tuple
    best : int
        The epoch, from 0, whose weights were kept.
    """

    folder: Path
    architecture: Record
    record: Record
    history: dict[str, tuple[float | None, ...]]
    best: int

    def at_best(self, name: str) -> float | None:
        """Return a value of the best epoch, None where there is none."""
        values = self.history.get(name, ())
        return values[self.best] if self.best < len(values) else None


def is_training(folder: Path) -> bool:
    """Return whether `folder` holds what `ptycho-train` leaves."""
    return (folder / _BUNDLE).is_file()


def write_training_page(folder: str | os.PathLike[str]) -> Path:
    """Write `training_report.html` into the folder of a finished training, from what is saved there.

    Parameters
    ----------
    folder : path
        With `bundle.json`; the picture of held-out frames is shown if `held_out.png` is there.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    FileNotFoundError
        There is no such folder, or no bundle in it.
    DataError
        The bundle is damaged, or its record has no losses.
    OSError
        The page cannot be written; an older one is untouched.
    """
    training = _read_training(Path(folder))
    page = Path(folder) / TRAINING_PAGE
    content = rendered(
        "training.html",
        scripts=_SCRIPTS,
        styles=_STYLES,
        training=training,
        brief=tuple(_in_brief(training)),
        findings=tuple(_findings(training)),
        held_out=_HELD_OUT.get(training.record.text("held_out"), ""),
        rows=tuple(_rows(training)),
        columns=tuple(training.history),
        picture=_picture(Path(folder) / HELD_OUT_PLOT),
        command=training.record.text("command"),
        settings=training.record.scalars("settings"),
        versions=training.record.scalars("versions"),
        data={"charts": _charts(training)},
    )
    with replacing(page) as file:
        file.write(content.encode())
    return page


def _read_training(folder: Path) -> SavedTraining:
    path = folder / _BUNDLE
    bundle = read_record(path)
    record = bundle.record("training")
    history = {name: record.numbers("history", name) for name in record.record("history").names()}
    losses = history.get("val_loss", ())
    if not losses or any(len(values) != len(losses) for values in history.values()):
        raise DataError(
            f"{path} records no losses, so there is no training to report; train with this version, or look at "
            "loss_curve.png."
        )
    best = min(range(len(losses)), key=lambda epoch: _or_infinite(losses[epoch]))
    return SavedTraining(folder, bundle.record("architecture"), record, history, best)


def _or_infinite(value: float | None) -> float:
    return float("inf") if value is None else value


def _in_brief(training: SavedTraining) -> Iterator[str]:
    record, best = training.record, training.at_best("val_loss")
    n_epochs = len(training.history["val_loss"])
    ended = record.text("ended")
    yield (
        f"Trained on {record.whole('n_frames') or 0:,} frames of {_count(record.whole('n_scans') or 0, 'scan')} for "
        f"{_count(n_epochs, 'epoch')}{': ' + ended if ended else ''}."
    )
    if best is None:
        yield "No epoch gave a loss that is a number."
        return
    yield (
        f"The weights are those after epoch {training.best + 1}, where the loss of held-out frames was least: "
        f"{figure_text(best)}."
    )
    floor = training.at_best("val_loss_floor")
    if floor is not None and floor > 0:
        yield (
            f"Counting noise alone would leave {figure_text(floor)} of a perfect prediction: the loss is "
            f"{best / floor:.3g} times the least possible."
        )
    yield from _of_chi2(training)


def _of_chi2(training: SavedTraining) -> Iterator[str]:
    chi2 = training.at_best("val_chi2")
    if chi2 is None:
        return
    word = (
        "explains them as well as counting noise allows"
        if chi2 < _NOISE_BELOW
        else f"leaves {chi2:.3g} times what counting noise would"
    )
    yield f"Held-out frames, recomputed from what the network makes of each, have a χ² of {chi2:.3g}: it {word}."


def _findings(training: SavedTraining) -> Iterator[Finding]:
    record, losses, best = training.record, training.history["val_loss"], training.at_best("val_loss")
    collapsed = record.text("collapsed")
    if collapsed:
        yield Finding("failure", f"The network has collapsed: {collapsed}.")
    last, learnt = losses[-1], training.at_best("loss")
    if best is not None and best > 0:
        if last is not None and last > _WORSE_BY * best:
            yield Finding(
                "warning",
                f"After epoch {training.best + 1} the loss of held-out frames rose by {last / best - 1:.0%} to the "
                "end: the network began to learn its frames by heart. More scans help, or a smaller network.",
            )
        if learnt is not None and best > _WORSE_BY * learnt:
            yield Finding(
                "note",
                f"Held-out frames have a loss {best / learnt - 1:.0%} above that of learnt ones.",
            )
        if (
            training.best == len(losses) - 1
            and len(losses) > 1
            and record.text("settings", "schedule") != "cosine"
        ):
            yield Finding("note", "The last epoch was the best: a longer training may well do better.")
    if record.text("held_out") == "random":
        yield Finding("warning", "Held-out frames overlap with learnt ones, so that their loss flatters.")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _rows(training: SavedTraining) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Give the number of each epoch and its values as texts."""
    for number, values in enumerate(zip(*training.history.values(), strict=True), start=1):
        yield number, tuple("–" if value is None else figure_text(value) for value in values)


def _charts(training: SavedTraining) -> list[dict[str, Any]]:
    epochs = list(range(1, len(training.history["val_loss"]) + 1))
    wanted = (
        ("losses", ("loss", "val_loss", "val_loss_floor"), ("learnt", "held out", "noise alone"), "loss"),
        ("chi2", ("val_chi2",), ("held out",), "χ²"),
        ("rate", ("learning_rate",), ("learning rate",), "learning rate"),
    )
    charts = []
    for name, columns, labels, axis in wanted:
        known = [
            {"label": label, "y": training.history[column]}
            for column, label in zip(columns, labels, strict=True)
            if column in training.history
        ]
        if known:
            charts.append({"id": name, "kind": "epochs", "x": epochs, "lines": known, "axis": axis})
    return charts


def _picture(path: Path) -> str:
    """Return a PNG as an address that holds it, "" where there is none."""
    if not path.is_file():
        return ""
    with open_regular(path) as file:
        content = file.read(_MOST_PICTURE_BYTES + 1)
    if len(content) > _MOST_PICTURE_BYTES or not content.startswith(b"\x89PNG"):
        return ""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
