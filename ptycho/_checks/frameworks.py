"""What other packages of this process have done; asking must never load or start one."""

from __future__ import annotations

import sys
from types import ModuleType


def loaded_tensorflow() -> ModuleType | None:
    """Return TensorFlow if this process has imported it to the end, else None.

    While it is being imported, and after an import that failed, its name is in `sys.modules` without its parts.
    """
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow if hasattr(tensorflow, "config") and hasattr(tensorflow, "errors") else None
