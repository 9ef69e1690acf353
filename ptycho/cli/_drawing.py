"""Pictures come last: nothing that is finished is lost when one cannot be drawn."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ptycho._error_wording import reason_of
from ptycho.cli._showing import telling_missing_glyphs_once

if TYPE_CHECKING:
    from ptycho.comparison import Failure

logger = logging.getLogger(__name__)


def drawn_or_failed(
    draw: Callable[[], list[Path]], what: str = "the plots"
) -> tuple[list[Path], Failure | None]:
    """Call `draw`, which makes `what`, and return its files; after an error or Ctrl-C none, and what to tell of it."""
    from ptycho.comparison import Failure

    try:
        with telling_missing_glyphs_once(logger):
            return draw(), None
    except KeyboardInterrupt:
        return [], Failure.stopped(what)
    except Exception as error:  # Matplotlib and what it calls raise errors of any class
        logger.debug("where %s failed", what, exc_info=True)
        return [], Failure(what, reason_of(error))
