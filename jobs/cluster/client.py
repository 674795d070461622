"""What is asked of the cluster: Ray's Jobs API, and its errors in words for users."""

from __future__ import annotations

import logging
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from engine.errors import CrysiftError
from jobs.cluster.address import MODE, TOKEN, TOKEN_FILE, TUNNEL, Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ray.job_submission import JobDetails, JobSubmissionClient

STOP_SECONDS = 60
"""How long a stopped command may take to end in order, before Ray kills it."""
_ANSWER_SECONDS = 60.0
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class UnreachableError(CrysiftError):
    """The cluster does not answer: maybe for the moment."""


class Jobs:
    """The jobs of one cluster. Every method raises CrysiftError, UnreachableError where nobody answers."""

    def __init__(self, address: Address) -> None:
        self.address = address
        _set_environment(address)
        with self._explained():
            self._client = _connect(address)

    def submit(self, identifier: str, entrypoint: str, runtime_env: dict[str, Any]) -> None:
        """Start a job under a new identifier."""
        with self._explained(identifier):
            self._client.submit_job(entrypoint=entrypoint, submission_id=identifier, runtime_env=runtime_env)

    def details(self, identifier: str) -> JobDetails:
        """Return the state of a job."""
        with self._explained(identifier):
            return self._client.get_job_info(identifier)

    def submitted(self) -> list[JobDetails]:
        """Return all jobs that were submitted, the newest first."""
        with self._explained():
            jobs = [job for job in self._client.list_jobs() if job.submission_id]
        return sorted(jobs, key=lambda job: job.start_time or 0, reverse=True)

    def log(self, identifier: str) -> str:
        """Return all that a job has written so far."""
        with self._explained(identifier):
            return self._client.get_job_logs(identifier)

    def tail(self, identifier: str) -> AsyncIterator[str]:
        """Return pieces of a job's log as they are written, from its beginning; errors are Ray's own."""
        return self._client.tail_job_logs(identifier)

    def stop(self, identifier: str) -> None:
        """Ask a job to end: its command gets SIGTERM, and SIGKILL after STOP_SECONDS."""
        with self._explained(identifier):
            self._client.stop_job(identifier)

    @contextmanager
    def _explained(self, identifier: str | None = None) -> Iterator[None]:
        """Turn what Ray and its HTTP library raise into errors that say what to do."""
        from ray.exceptions import AuthenticationError
        from requests.exceptions import HTTPError, JSONDecodeError, RequestException, SSLError

        if identifier is not None:
            _check_identifier(identifier)
        url = self.address.url
        try:
            yield
        except AuthenticationError as error:
            sent = self.address.authentication == "token"
            raise CrysiftError(
                f"the cluster at {url} {'does not accept the token' if sent else 'asks for a token'}: set "
                f"{TOKEN} or {TOKEN_FILE} to the one that it was started with"
            ) from error
        except (JSONDecodeError, KeyError, HTTPError) as error:
            raise CrysiftError(f"what answers at {url} is no Ray dashboard: check the address") from error
        except (ConnectionError, RequestException) as error:
            if SSLError in (type(error), type(error.__context__)):
                raise CrysiftError(
                    f"the certificate of {url} is not accepted: let SSL_CERT_FILE name the certificate of "
                    "the authority that signed it, and check that it is made out for this host"
                ) from error
            raise UnreachableError(
                f"no Ray dashboard answers at {url}: check that the cluster runs and that the address is "
                f"that of its dashboard (port 8265, usually); where only the head reaches it, {TUNNEL}"
            ) from error
        except RuntimeError as error:
            raise _in_our_words(str(error), identifier) from error


def _set_environment(address: Address) -> None:
    """Tell Ray what it reads from the environment, before anything else, when it is imported."""
    os.environ["RAY_API_SERVER_ADDRESS"] = address.url
    os.environ[MODE] = address.authentication
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # else `uv run` uploads the working directory
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


def _connect(address: Address) -> JobSubmissionClient:
    """Make Ray's client."""
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):
        """Waits for an answer, but not for ever, as Ray's own client does."""

        def _do_request(self, method: str, endpoint: str, **arguments: Any) -> Any:
            return super()._do_request(method, endpoint, timeout=_ANSWER_SECONDS, **arguments)

    for name in ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return Client(address.url, verify=os.environ.get("SSL_CERT_FILE") or True)


def _check_identifier(identifier: str) -> None:
    if not _IDENTIFIER.fullmatch(identifier):
        raise CrysiftError(
            f"{identifier!r} cannot name a job: up to 100 letters, digits, dots, hyphens and underscores can"
        )


def _in_our_words(message: str, identifier: str | None) -> CrysiftError:
    if "already exists" in message:
        return CrysiftError(
            f"the cluster has a job {identifier} already: `crysift logs {identifier}` shows what became of "
            "it; choose another --id"
        )
    if "does not exist" in message:
        return CrysiftError(
            f"the cluster knows no job {identifier}: `crysift jobs` lists them; a restarted cluster has none"
        )
    last_line = message.strip().splitlines()[-1]
    kind = UnreachableError if "status code 5" in message else CrysiftError
    return kind(f"the cluster refused: {last_line}")
