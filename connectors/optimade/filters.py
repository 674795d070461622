"""Filters in OPTIMADE's language: the user's, checked by the grammar, and the conditions added to it."""

from engine.errors import CrysiftError


def checked(text: str | None) -> str | None:
    """Return a filter that is in the grammar, None where it is blank.

    Raises:
        CrysiftError: it is not; the message shows where.
    """
    if text is None or not text.strip():
        return None
    from lark.exceptions import UnexpectedInput
    from optimade.exceptions import BadRequest
    from optimade.filterparser import LarkParser

    try:
        LarkParser().parse(text)
    except BadRequest as error:
        cause = error.__cause__
        place = cause.pos_in_stream if isinstance(cause, UnexpectedInput) else None
        raise CrysiftError(
            f"the filter is not in OPTIMADE's language{_where(text, place)}; it looks like "
            '\'elements HAS ALL "Si", "O" AND nelements = 2\', with keywords in capitals and double quotes'
        ) from error
    return text.strip()


def _where(text: str, place: int | None) -> str:
    if place is None:
        return f": {text}"
    if place < 0:
        return f", it ends too early: {text} ⟵ here"
    return f" from character {place + 1} on: {text[:place]} ⟶ {text[place:]}"


def conjunction(*conditions: str | None) -> str | None:
    """Return the filter that all conditions make together, None where there are none."""
    given = [condition for condition in conditions if condition]
    return " AND ".join(f"({condition})" for condition in given) if len(given) > 1 else "".join(given) or None


def literal(text: str) -> str:
    """Quote a string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
