"""What a user starts: the command line and, in Python, `from jobs import screen`."""

from importlib import import_module
from typing import TYPE_CHECKING

from crysift import check_packages

if TYPE_CHECKING:
    from jobs.screening import ScreenResult, screen
    from jobs.settings import ExecutionSettings, ScreenSettings

__all__ = ["ExecutionSettings", "ScreenResult", "ScreenSettings", "screen"]

_MODULES = {
    "ExecutionSettings": "jobs.settings",
    "ScreenResult": "jobs.screening",
    "ScreenSettings": "jobs.settings",
    "screen": "jobs.screening",
}


def __getattr__(name: str) -> object:
    """Load the Python interface when it is first asked for, if nothing foreign hides a package of ours."""
    if name not in _MODULES:
        raise AttributeError(f"module 'jobs' has no attribute '{name}': it offers {', '.join(__all__)}")
    check_packages()
    return getattr(import_module(_MODULES[name]), name)
