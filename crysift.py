"""Start crysift, after checking that Python finds crysift's own packages and not somebody else's.

`engine`, `connectors`, `models` and `jobs` are plain names, and a folder `models/` on PYTHONPATH would win
over the installed package. This module bears the distribution's own name and imports nothing but the standard
library, so that it can still say what is wrong when `jobs` itself is the foreign one.
"""

import importlib.util
import sys
from pathlib import Path

PACKAGES = ("engine", "connectors", "models", "jobs")
HOME = Path(__file__).resolve().parent


class ForeignPackageError(ImportError):
    """A package of crysift is hidden by another one of the same name, or is missing."""


def found_package(name: str) -> Path | None:
    """Return the folder from which `import name` would take a top-level package; None if there is none."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    place = folders[0] if folders else spec.origin
    return Path(place).resolve() if place else None


def check_packages() -> None:
    """Raise `ForeignPackageError`, naming the culprit, unless all of crysift's packages are its own."""
    for name in PACKAGES:
        found = found_package(name)
        if found is None:
            raise ForeignPackageError(
                f"crysift's package '{name}' is missing: it belongs in {HOME / name}. "
                "Install crysift again: pip install --force-reinstall --no-deps crysift"
            )
        if found != HOME / name:
            raise ForeignPackageError(
                f"'{name}' is found in {found}, which hides crysift's own package in {HOME / name}. "
                f"Take {found.parent} off PYTHONPATH, start from another folder or rename '{found.name}', "
                "and run the same command again."
            )


def main() -> None:
    """Run the command line; exit with status 1 if a foreign package stands in the way."""
    try:
        check_packages()
    except ForeignPackageError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(1)
    from jobs.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
