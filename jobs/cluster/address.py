"""Where the cluster's dashboard is, and whether it may be spoken to."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from engine.errors import CrysiftError

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
TOKEN, TOKEN_FILE, MODE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"
TUNNEL = "`ssh -N -L 8265:127.0.0.1:8265 HEAD` makes it http://127.0.0.1:8265"


@dataclass(frozen=True)
class Address:
    """The URL of a cluster's dashboard, which takes jobs, and whether our token goes with each request."""

    url: str
    authentication: Literal["token", "disabled"]


def find_address(given: str | None, *, unauthenticated: bool, unencrypted: bool) -> Address:
    """Return the cluster that is meant: the one given, that of the environment, or the one on this machine.

    Raises:
        CrysiftError: it is no address of a dashboard, holds a password, or is elsewhere and takes jobs from
            everybody or would be sent the token in clear, and that was not agreed to.
    """
    url = _parsed(given or _from_environment(os.environ) or DEFAULT_ADDRESS)
    mode: Literal["token", "disabled"] = (
        "token" if not unauthenticated and _has_token(os.environ) else "disabled"
    )
    if not _is_this_machine(url.hostname or ""):
        if mode == "disabled" and not unauthenticated:
            raise CrysiftError(
                f"there is no token for {url.geturl()}: a cluster without authentication runs whatever "
                f"anybody sends who reaches it. Set {TOKEN} or {TOKEN_FILE} to the cluster's token, or say "
                "--unauthenticated where only trusted people reach the cluster"
            )
        if mode == "token" and url.scheme == "http" and not unencrypted:
            raise CrysiftError(
                f"{url.geturl()} is not encrypted: the token could be read on its way. Use https:// or "
                f"a tunnel ({TUNNEL}), or say --unencrypted where the network between is trusted"
            )
    return Address(url.geturl(), mode)


def _from_environment(environment: Mapping[str, str]) -> str | None:
    """Read Ray's own variables; RAY_ADDRESS only where it is a URL, for it may be the cluster's HOST:PORT."""
    named = environment.get("RAY_API_SERVER_ADDRESS")
    general = environment.get("RAY_ADDRESS", "")
    return named or (general if general.startswith(("http://", "https://")) else None)


def _parsed(text: str) -> SplitResult:
    url = urlsplit((text if "://" in text else f"http://{text}").rstrip("/"))
    if "@" in url.netloc:
        raise CrysiftError(
            "the address holds a user name or a password, which every list of processes and every log would "
            f"show: leave them out, and set {TOKEN} to the cluster's token"
        )
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
        raise CrysiftError(
            f"{text!r} is not the address of a Ray dashboard, such as {DEFAULT_ADDRESS} or https://HOST"
        )
    return url


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _has_token(environment: Mapping[str, str]) -> bool:
    """Whether requests carry a token: where RAY_AUTH_MODE says so, else where there is one.

    Raises CrysiftError for a token that is asked for and missing.
    """
    mode = environment.get(MODE, "").lower()
    file = Path(environment.get(TOKEN_FILE) or Path.home() / ".ray" / "auth_token")
    found = bool(environment.get(TOKEN)) or file.is_file()
    if not found and (mode == "token" or environment.get(TOKEN_FILE)):
        raise CrysiftError(f"there is no token: {TOKEN} is not set, and there is no file {file}")
    return found and mode != "disabled"
