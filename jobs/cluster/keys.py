"""Keys stay where they are: none travels with a job, where everybody on the cluster could read it."""

import os
import re
from collections.abc import Sequence

from engine.errors import CrysiftError

_NEEDED_BY = {
    "MP_API_KEY": re.compile(r"^mp:"),
    "NOMAD_TOKEN": re.compile(r"^nomad:"),
    "AWS_ACCESS_KEY_ID": re.compile(r"s3a?://"),
    "AWS_SECRET_ACCESS_KEY": re.compile(r"s3a?://"),
    "AWS_SESSION_TOKEN": re.compile(r"s3a?://"),
}
SECRETS = (*_NEEDED_BY, "RAY_AUTH_TOKEN")
_PASSWORD_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/@:\s]*:[^/@\s]*@", re.IGNORECASE)
_SHORTEST = 8
"""A shorter value is no key, and would be found in innocent words."""


def refuse_keys(arguments: Sequence[str]) -> None:
    """Raise CrysiftError where a command line holds a key of this environment or a URL with a password."""
    for name in SECRETS:
        value = os.environ.get(name, "").strip()
        if len(value) >= _SHORTEST and any(value in argument for argument in arguments):
            raise CrysiftError(
                f"the command line holds the value of {name}, which everybody on the cluster could read: "
                "leave it out, and set the variable in the environment in which the cluster was started"
            )
    if any(_PASSWORD_IN_URL.search(argument) for argument in arguments):
        raise CrysiftError(
            "the command line holds a URL with a password, which everybody on the cluster could "
            "read: leave it out, and give the cluster's own environment what it needs"
        )


def keys_left_behind(arguments: Sequence[str]) -> list[str]:
    """Return the keys that are set here and that the command's sources or store would use on the cluster."""
    return [
        name
        for name, needed in _NEEDED_BY.items()
        if os.environ.get(name) and any(needed.search(argument) for argument in arguments)
    ]
