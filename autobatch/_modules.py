"""Which frameworks the program has imported, without importing any."""

from __future__ import annotations

import logging
import sys
from typing import Any

_logger = logging.getLogger(__name__)


def whole_module(name: str, *attributes: str) -> Any | None:
    """Return a module if the program has imported it completely and it has these attributes, else None.

    A module is listed before its code has run: another thread may be importing it, an import may have failed on
    the way, and a folder of that name is a module too.
    """
    module = sys.modules.get(name)
    if module is None:
        return None
    try:
        if getattr(getattr(module, "__spec__", None), "_initializing", False):
            return None
        return module if all(hasattr(module, attribute) for attribute in attributes) else None
    except Exception as error:  # noqa: BLE001 - lazily loaded attributes raise what their import raises
        _logger.debug("%s is imported but not whole: %s", name, error)
        return None
