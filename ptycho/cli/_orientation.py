"""``--check-orientation``: are positions or frames of an imported scan swapped or flipped; said and reported."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho.cli import _import_flags

if TYPE_CHECKING:
    from ptycho.cli._runs import RunStart
    from ptycho.comparison import Arm
    from ptycho.data import ScanData
    from ptycho.models import PatchPredictor
    from ptycho.reconstruction import InferenceSettings

logger = logging.getLogger(__name__)


def add_flag(group: argparse._ActionsContainer) -> None:
    """Add ``--check-orientation``, which `is_wanted` reads."""
    group.add_argument(
        "--check-orientation",
        action=argparse.BooleanOptionalAction,
        help="try all turns of the positions on up to 160 frames, seconds of work (default: where the scan is not this "
        "project's own NPZ, or was read with flags)",
    )


def is_wanted(arguments: argparse.Namespace, path: Path | None) -> bool:
    """Whether the scan at `path`, None for one that is no file, is to be checked: by the flag, or as it is imported."""
    if arguments.check_orientation is not None:
        return arguments.check_orientation
    if path is None:
        return False
    from ptycho.data import detect_format
    from ptycho.errors import DataError

    if _import_flags.settings_of(arguments).given:
        return True
    try:
        return detect_format(path) != "npz"
    except DataError:
        return True


def with_orientation(
    start: RunStart,
    arguments: argparse.Namespace,
    scan: ScanData,
    arms: Sequence[Arm] = (),
    settings: InferenceSettings | None = None,
) -> RunStart:
    """Return `start` with what the check found, which is logged; by the first model of single frames among the arms."""
    if not is_wanted(arguments, arguments.test_data):
        return start
    from ptycho._error_wording import expected_errors, in_words
    from ptycho.orientation import check_orientation

    model, inference = _model_of(arms, settings)
    try:
        found = check_orientation(
            scan, importing=_import_flags.settings_of(arguments), model=model, inference=inference
        )
    except expected_errors() as error:
        logger.warning("the orientation of positions and frames was not checked: %s", in_words(error))
        return start
    logger.log(logging.WARNING if found.verdict == "turned" else logging.INFO, "%s", found.in_words())
    return replace(start, orientation=found)


def _model_of(
    arms: Sequence[Arm], settings: InferenceSettings | None
) -> tuple[PatchPredictor | None, InferenceSettings | None]:
    """Return the first model of single frames, and how it is to predict."""
    from ptycho.comparison import ModelArm
    from ptycho.reconstruction import InferenceSettings

    models = (arm for arm in arms if isinstance(arm, ModelArm) and arm.model.gridsize == 1)
    first, settings = next(models, None), settings or InferenceSettings()
    if first is None:
        return None, None
    inference = InferenceSettings(
        device=settings.device,
        predict_batch_size=first.predict_batch_size or settings.predict_batch_size,
        max_predict_batch_size=first.max_predict_batch_size or settings.max_predict_batch_size,
    )
    return first.model, inference
