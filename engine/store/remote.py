"""Object stores: how their clients are opened, and what the client's errors mean to the user."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import fsspec

from engine.errors import CrysiftError

REQUESTS_AT_ONCE = 32
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": {"max_pool_connections": REQUESTS_AT_ONCE}},
}
_WITHOUT_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "SSOError")


def open_filesystem(url: str) -> tuple[Any, str]:
    """Return the file system of a URL or path, from fsspec's own cache of instances, and the path in it.

    Raises CrysiftError for a protocol that no installed package serves.
    """
    protocol = url.partition("://")[0]
    protocol = "s3" if protocol == "s3a" else protocol
    try:
        filesystem, path = fsspec.core.url_to_fs(url, **_OPTIONS.get(protocol, {}))
    except (ImportError, ValueError) as error:
        lacks_s3fs = protocol == "s3" and isinstance(error, ImportError)
        way_out = ": pip install 'crysift[cluster]'" if lacks_s3fs else ""
        raise CrysiftError(f"cannot open {url}: {error}{way_out}") from error
    return filesystem, path


def refuse_credentials_in(url: str) -> None:
    """Raise CrysiftError, without repeating it, for a URL with a password: URLs are shown and recorded."""
    credentials, at, _ = urlsplit(url).netloc.rpartition("@")
    if at and ":" in credentials:
        raise CrysiftError(
            "the address of a store must hold no key, as it is shown and recorded: put the keys into the "
            "environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or into ~/.aws/credentials"
        )


@contextmanager
def trouble_explained(url: str) -> Iterator[None]:
    """Turn what the client of an object store raises into CrysiftError; an absent object stays what it is."""
    try:
        yield
    except PermissionError as error:
        raise CrysiftError(
            f"access to {url} is denied ({error}): use keys or a role that may list the bucket, and get, put "
            "and delete its objects"
        ) from error
    except ValueError as error:  # such as an endpoint that is no URL
        raise CrysiftError(f"cannot open {url}: {error}") from error
    except Exception as error:
        if not (kind := type(error)).__module__.startswith("botocore."):
            raise
        if kind.__name__ in _WITHOUT_CREDENTIALS:
            raise CrysiftError(
                f"there are no credentials for {url} ({error}): set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role gives access"
            ) from error
        raise CrysiftError(
            f"the service that holds {url} does not answer ({error}): check AWS_ENDPOINT_URL and the "
            "network, and run the same command again, it goes on where it stopped"
        ) from error
