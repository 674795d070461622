"""The Materials Project's bucket of open data: moto's S3 server with a Delta table that deltalake wrote."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
from deltalake import write_deltalake

from tests.servers.materials_project_documents import VERSION, Document, summary_table

BUCKET = "materialsproject-build"
PREFIX = "collections/summary/"


def write_summary(folder: Path, documents: Sequence[Document], version: str = VERSION) -> None:
    """Add documents to the Delta table in ``folder`` as one file, with the partition that the bucket has."""
    write_table(folder, summary_table(documents), version)


def write_table(folder: Path, table: pa.Table, version: str = VERSION) -> None:
    """Add a file to the Delta table, which may get new columns."""
    rows = table.append_column("version", pa.array([version] * len(table), pa.string()))
    write_deltalake(folder, rows, partition_by=["version"], mode="append", schema_mode="merge")


@dataclass
class Bucket:
    """A public bucket on ``url``."""

    url: str
    _client: Any

    def empty(self) -> None:
        """Remove all that was put into it."""
        httpx.post(f"{self.url}/moto-api/reset").raise_for_status()
        self._client.create_bucket(Bucket=BUCKET, ACL="public-read")

    def put(self, folder: Path) -> None:
        """Copy all files of a table into the bucket."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.put_file(path, path.relative_to(folder).as_posix())

    def put_file(self, path: Path, name: str) -> None:
        """Copy a file to its place in the table."""
        public = {"ACL": "public-read"}
        self._client.upload_file(str(path), BUCKET, PREFIX + name, ExtraArgs=public)

    def remove(self, name: str) -> None:
        """Remove a file of the table."""
        self._client.delete_object(Bucket=BUCKET, Key=PREFIX + name)


@contextmanager
def materials_project_bucket() -> Iterator[Bucket]:
    """Serve an empty bucket; servers of one process share what they hold."""
    import boto3  # type: ignore[import-untyped]
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 -- of no service
        )
        bucket = Bucket(url, client)
        bucket.empty()
        yield bucket
    finally:
        server.stop()


def environment(url: str) -> dict[str, str]:
    """Environment variables that lead to the bucket instead of to Amazon."""
    return {"AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true", "AWS_EC2_METADATA_DISABLED": "true"}
