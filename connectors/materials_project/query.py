"""What is asked of the Materials Project's API: the key, and the parameters that a user may give."""

import os
from collections.abc import Mapping
from urllib.parse import unquote

from connectors.materials_project.identifiers import is_identifier, numbered
from engine.errors import CrysiftError

KEY = "MP_API_KEY"
KEY_LENGTH = 32
WHERE_TO_GET_ONE = "get one at https://next-gen.materialsproject.org/api"
ENDPOINT = "MP_API_ENDPOINT"
PUBLIC_ENDPOINT = "https://api.materialsproject.org/"
OURS: Mapping[str, str] = {
    "license": "--include-nc takes materials whose licence excludes commercial use",
    "deprecated": "--include-deprecated takes deprecated materials",
    "id_format": "identifiers are kept with numbers where they have them",
}
"""Parameters that follow from other settings; so do those of the page, which begin with an underscore."""


def api_key() -> str:
    """Return the key from the environment variable MP_API_KEY, the only place that it is read from.

    Raises:
        CrysiftError: it is not set, or cannot be a key; what it is set to is not told.
    """
    key = os.environ.get(KEY, "")
    if not key:
        raise CrysiftError(
            f"the Materials Project's API needs a key in the environment variable {KEY}: {WHERE_TO_GET_ONE}; "
            "the bulk route (mp: without a filter) needs none"
        )
    if len(key) != KEY_LENGTH or not (key.isascii() and key.isalnum()):
        raise CrysiftError(
            f"{KEY} holds {len(key)} characters; a key is {KEY_LENGTH} letters and digits: {WHERE_TO_GET_ONE}"
        )
    return key


def endpoint() -> str:
    """Address of the API, from the environment variable that mp-api reads too, or the public one."""
    return (os.environ.get(ENDPOINT) or PUBLIC_ENDPOINT).rstrip("/") + "/"


def parse_filter(text: str) -> dict[str, str]:
    """Return the parameters in ``name=value&name=value``; the server checks their names and values.

    Raises:
        CrysiftError: the text has another form, or sets a parameter that other settings determine.
    """
    parameters: dict[str, str] = {}
    for part in text.split("&"):
        name, separator, value = (unquote(piece.strip()) for piece in part.partition("="))
        if not name or not separator or not value:
            raise CrysiftError(
                f"the filter {text!r} holds {part!r}; it must be name=value&name=value, parameters of the "
                "API, as in elements=Li,O&nelements_max=3&energy_above_hull_max=0.1"
            )
        if name in parameters:
            raise CrysiftError(f"the filter {text!r} sets {name} twice; set it once")
        if name in OURS or name.startswith("_"):
            reason = OURS.get(name, "pages and fields are chosen by crysift")
            raise CrysiftError(f"the filter {text!r} sets {name}: leave it out; {reason}")
        parameters[name] = value
    return parameters


def parse_identifiers(text: str) -> tuple[str, ...]:
    """Return the identifiers in a list with commas, each once, with numbers where they have them.

    Raises:
        CrysiftError: one has not the form of an identifier.
    """
    identifiers = [part.strip() for part in text.split(",")]
    for identifier in identifiers:
        if not is_identifier(identifier):
            raise CrysiftError(
                f"{identifier!r} is no identifier of a material; they are like mp-149 or mp-aaaaaaft, "
                "separated by commas"
            )
    return tuple(dict.fromkeys(map(numbered, identifiers)))
