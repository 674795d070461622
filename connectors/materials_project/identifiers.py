"""Identifiers of materials, which the Materials Project writes with numbers or with letters.

``mp-149`` and ``mp-aaaaaaft`` are one material: the letters are digits of base 26 (``emmet.core.mpid``).
"""

import re
from string import ascii_lowercase, digits

import pyarrow as pa
import pyarrow.compute as pc

LAST_NUMBERED = 3_347_529
"""The last material that has a number; later ones have letters only (``AlphaID._cut_point``)."""
LETTERS = 8
"""Letters to which identifiers are padded with ``a``, which is 0."""

_LETTERED = r"^[a-z]+-[a-z]{1,12}$"
_IDENTIFIER = re.compile(r"[a-z]+-(\d{1,12}|[a-z]{1,12})")
_BASE_26 = str.maketrans(ascii_lowercase, digits + ascii_lowercase[:16])


def is_identifier(text: str) -> bool:
    """Whether a text has the form of a material's identifier."""
    return _IDENTIFIER.fullmatch(text) is not None


def numbered(identifier: str) -> str:
    """Return the identifier with a number where it has one, else with padded letters."""
    prefix, _, letters = identifier.partition("-")
    if letters.isdigit():
        return identifier
    number = int(letters.translate(_BASE_26), 26)
    return f"{prefix}-{number if number <= LAST_NUMBERED else letters.rjust(LETTERS, 'a')}"


def all_numbered(identifiers: pa.Array) -> pa.Array:
    """Return the identifiers with numbers where they have them; what has another form stays as it is."""
    lettered = pc.fill_null(pc.match_substring_regex(identifiers, _LETTERED), False)
    if not pc.any(lettered).as_py():
        return identifiers
    texts = identifiers.filter(lettered).to_pylist()
    return pc.replace_with_mask(identifiers, lettered, pa.array(map(numbered, texts), pa.string()))
