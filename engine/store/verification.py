"""Reading a whole store to find what is damaged, and what no longer fits what it was derived from."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO

from engine.store.damage import DERIVED, SUFFIX, DamagedPartError, damage_explained
from engine.store.encoding import decode_part, verify_part
from engine.store.folder import Folder
from engine.store.footer import PartFooter
from engine.store.parallel import in_parallel
from engine.store.store import Store
from engine.store.table import parts_in

_PARTS_AT_ONCE = 8


@dataclass(frozen=True)
class Verdict:
    """What was found of a part; ``fault`` is empty where it is sound, and only then is ``rows`` known."""

    folder: Folder
    part: str
    rows: int
    fault: str = ""
    was_read: bool = True
    """False where the disk or network did not give the bytes, which says nothing of the part."""

    @property
    def can_be_made_again(self) -> bool:
        """Whether the next run makes the part again, from another part of the store, once it is gone."""
        return self.was_read and DERIVED.match(self.folder.name) is not None

    @property
    def path(self) -> str:
        """Path or URL of the part."""
        return self.folder.path(self.part + SUFFIX)

    def repair(self) -> None:
        """Take the part away."""
        self.folder.remove(self.part + SUFFIX)


def stored_parts(store: Store) -> dict[Folder, list[str]]:
    """Names of all parts by the folder of their table; of structures and rejects first, then by name."""
    names = [name for name in store.folder.names() if DERIVED.match(name)]
    folders = (store.folder.child(name) for name in ("structures", "rejects", *names))
    return {folder: parts for folder in folders if (parts := parts_in(folder))}


def verify_parts(parts: dict[Folder, list[str]]) -> Iterator[Verdict]:
    """Read parts whole, every byte and every page; then see which derived ones do not fit their source.

    Yields a verdict on every part, and a second one on those that do not fit.
    """
    sound: dict[tuple[str, str], PartFooter] = {}
    for folder, names in parts.items():
        for part, found in in_parallel(partial(_examined, folder), names, _PARTS_AT_ONCE):
            if isinstance(found, OSError):
                yield Verdict(folder, part, 0, f"it cannot be read: {found}", was_read=False)
            elif isinstance(found, str):
                yield Verdict(folder, part, 0, found)
            else:
                sound[folder.name, part] = replace(found, cursor=None)
                yield Verdict(folder, part, found.rows_out)
    for folder, names in parts.items():
        for part in names:
            fault = _misfit(sound, folder.name, part)
            if fault:
                yield Verdict(folder, part, 0, fault)


def _examined(folder: Folder, part: str) -> PartFooter | str | OSError:
    """Return the footer of a sound part, or what is wrong with it, or why it cannot be read."""
    try:
        with damage_explained(folder.url, part), folder.open(part + SUFFIX) as file:
            data = file.read()
            footer = verify_part(data)
            decode_part(BytesIO(data), None)
    except DamagedPartError as damage:
        return damage.reason
    except OSError as error:
        return error
    belongs_to = footer.fingerprint.folder_name
    return footer if belongs_to == folder.name else f"it belongs to {belongs_to}"


def _misfit(sound: dict[tuple[str, str], PartFooter], table: str, part: str) -> str:
    """Say how a derived part does not fit its source; nothing where either is unknown."""
    footer = sound.get((table, part))
    source = footer and sound.get((footer.fingerprint.source_table or "", part))
    if footer is None or source is None:
        return ""
    if footer.source_hash != source.content_hash:
        return f"its part of {source.fingerprint.table} has since been replaced"
    if footer.rows_in != source.rows_out:
        table = source.fingerprint.table
        return f"it was made from {footer.rows_in} rows, its part of {table} has {source.rows_out}"
    return ""
