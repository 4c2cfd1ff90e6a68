"""sqlite-utils, on first use."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def sqlite_utils() -> Any:
    """The library, imported without pandas.

    It imports pandas where that is installed, only to know the types of values that are
    never given to it here; that would cost 0.4 s while somebody waits for a first save.
    """
    absent = "pandas" not in sys.modules
    if absent:
        sys.modules["pandas"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("sqlite_utils")
    finally:
        if absent and sys.modules.get("pandas", absent) is None:
            del sys.modules["pandas"]
