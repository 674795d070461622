"""Connectors to the real servers of the Materials Project's software, on loopback."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import connectors.materials_project.rest
from connectors.http import Patience
from connectors.materials_project import MaterialsProjectDelta, MaterialsProjectRest, open_materials_project
from tests.servers.fault_proxy import FaultProxy, Upstream
from tests.servers.materials_project_api import KEY, ApiServer, materials_project_api
from tests.servers.materials_project_documents import VERSION, Document, summary_documents
from tests.servers.materials_project_s3 import Bucket, environment, materials_project_bucket, write_summary

PATIENCE = Patience(attempts=3, first_wait=0.001, longest_wait=0.01, connect=1.0, silence=2.0, answer=5.0)
COUNT = 40

Open = Callable[..., MaterialsProjectDelta | MaterialsProjectRest]


def made_documents() -> list[Document]:
    """40 materials, of which mp-3 and mp-17 are not for commercial use, and mp-5 and mp-17 deprecated."""
    documents = summary_documents(COUNT)
    for number in (3, 17):
        documents[number - 1]["builder_meta"]["license"] = "BY-NC"
    for number in (5, 17):
        documents[number - 1]["deprecated"] = True
    return documents


@pytest.fixture
def documents() -> list[Document]:
    """The same, to be changed by the test."""
    return made_documents()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open a source by the text behind ``mp:``, with little patience and a valid key."""
    monkeypatch.setenv("MP_API_KEY", KEY)
    monkeypatch.setattr(connectors.materials_project.rest, "REQUESTS_PER_SECOND", 1000.0)

    def open_source(
        text: str = "",
        entry_filter: str | None = None,
        *,
        include_nc: bool = False,
        include_deprecated: bool = False,
    ) -> MaterialsProjectDelta | MaterialsProjectRest:
        return open_materials_project(
            text,
            filter=entry_filter,
            include_nc=include_nc,
            include_deprecated=include_deprecated,
            patience=PATIENCE,
        )

    return open_source


@pytest.fixture(scope="session")
def running_api() -> Iterator[ApiServer]:
    """The API with the documents, for a user who has not accepted non-commercial terms."""
    with materials_project_api(made_documents()) as server:
        yield server


@pytest.fixture
def api(running_api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """The same, asked nothing yet."""
    monkeypatch.setenv("MP_API_ENDPOINT", running_api.url)
    running_api.requests.clear()
    yield running_api
    running_api.heartbeat["db_version"] = VERSION


@pytest.fixture(scope="session")
def running_bucket() -> Iterator[Bucket]:
    """The bucket of all tests."""
    with materials_project_bucket() as bucket:
        yield bucket


@pytest.fixture
def bucket(running_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """The same, empty."""
    for name, value in environment(running_bucket.url).items():
        monkeypatch.setenv(name, value)
    running_bucket.empty()
    return running_bucket


@pytest.fixture
def table(bucket: Bucket, documents: list[Document], tmp_path: Path) -> Path:
    """The folder whose Delta table, with the documents, is in the bucket."""
    folder = tmp_path / "summary"
    write_summary(folder, documents)
    bucket.put(folder)
    return folder


@pytest.fixture
def bucket_proxy(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy before the bucket."""
    with FaultProxy(Upstream(bucket.url)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy
