"""What other packages of this process have done; asking must never load or start one."""

from __future__ import annotations

import sys
from types import ModuleType


def loaded_tensorflow() -> ModuleType | None:
    """Return TensorFlow if this process has imported it to the end, else None.

    While it is being imported, and after an import that failed, its name is in `sys.modules` without its parts.
    """
    tensorflow = sys.modules.get("tensorflow")
    try:
        beginning = getattr(getattr(tensorflow, "__spec__", None), "_initializing", False)
        is_whole = hasattr(tensorflow, "config") and hasattr(tensorflow, "errors")
    except ImportError:
        # Its parts are loaded when they are asked for, and one of them is broken.
        return None
    return tensorflow if is_whole and not beginning else None
