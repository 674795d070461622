"""The databases of OPTIMADE's registered providers, by the list that the optimade package bundles."""

import json
from functools import partial
from importlib.resources import files
from typing import Any

from connectors.http import Patience
from connectors.optimade.paging import Place, Plan
from connectors.optimade.service import Service, normalized, service_at
from engine.errors import CrysiftError

WEB = ("http://", "https://")


def base_urls(text: str, patience: Patience) -> list[str]:
    """Return the addresses of the databases that an address, ``PROVIDER`` or ``PROVIDER/DATABASE`` names.

    A provider alone names all of its databases that are meant to be read together with others. They are
    looked up in the provider's index, a request or two; nothing is asked for an address.

    Raises:
        SourceInterruptedError: the index does not answer.
        CrysiftError: there is no such provider or database, or it has no address.
    """
    if text.startswith(WEB):
        return [normalized(text)]
    provider, _, database = text.strip("/").partition("/")
    links = _databases(service_at(_index_of(provider), patience))
    if not database:
        return _for_all(provider, links)
    if database not in links:
        raise CrysiftError(
            f"{provider} has no database {database!r}; it has {', '.join(links)}, or leave it out for all"
        )
    return [links[database]["base_url"]]


def providers() -> dict[str, str | None]:
    """Return the registered providers by id, with the address of the index of each that has one."""
    text = files("optimade").joinpath("server/data/providers.json").read_text(encoding="utf-8")
    entries = json.loads(text)["data"]
    return {entry["id"]: _address(entry["attributes"].get("base_url")) for entry in entries}


def _index_of(provider: str) -> str:
    known = providers()
    if provider not in known:
        served = sorted(name for name, address in known.items() if address)
        raise CrysiftError(
            f"there is no OPTIMADE provider {provider!r}; there are {', '.join(served)}; or name the address "
            "of a database: optimade:https://…"
        )
    address = known[provider]
    if address is None:
        raise CrysiftError(
            f"the OPTIMADE provider {provider!r} is registered without an address, so it serves no database "
            "at present; if it has one, name that: optimade:https://…"
        )
    return address


def _for_all(provider: str, links: dict[str, dict[str, Any]]) -> list[str]:
    """The databases that their provider wants to be read with others: not those for tests, and the like."""
    found = [link["base_url"] for link in links.values() if link.get("aggregate") in (None, "ok")]
    if not found:
        raise CrysiftError(
            f"{provider} marks none of its databases for use with others; name the one to read: "
            f"{', '.join(f'optimade:{provider}/{name}' for name in links)}"
        )
    return list(dict.fromkeys(found))


def _databases(index: Service) -> dict[str, dict[str, Any]]:
    """The databases that an index lists, by id: the attributes of each, with ``base_url`` in normal form.

    Raises:
        CrysiftError: it lists none with an address.
    """
    found: dict[str, dict[str, Any]] = {}
    plan, place = Plan(), Place(link=index.address("links"))
    while not place.done:
        address = place.address(index, plan)
        reply = index.ask(address, partial(place.fault, plan, address))
        for link in reply.document["data"]:
            attributes = link.get("attributes") if isinstance(link, dict) else None
            if isinstance(attributes, dict) and attributes.get("link_type") == "child":
                base_url = _address(attributes.get("base_url"))
                if base_url:
                    found[str(link.get("id"))] = attributes | {"base_url": normalized(base_url)}
        place = place.next(index, plan, reply)
    index.client.close()
    if not found:
        raise CrysiftError(
            f"the index {index.base_url} lists no database with an address; if there is one, name that: "
            "optimade:https://…"
        )
    return found


def _address(link: Any) -> str | None:
    """The address that a link gives, as a text or as an object."""
    link = link.get("href") if isinstance(link, dict) else link
    return link if isinstance(link, str) and link.startswith(WEB) else None
