"""Packages that only some sources need, and that are installed as an extra."""

from importlib.util import find_spec

from engine.errors import CrysiftError


def require(package: str, extra: str, purpose: str) -> None:
    """Check that an optional package is installed.

    Raises:
        CrysiftError: it is not.
    """
    if find_spec(package) is None:
        raise CrysiftError(
            f"{purpose} needs the package {package}, which is not installed: pip install 'crysift[{extra}]'"
        )
