"""The Materials Project's bucket of open data: moto's S3 server with a Delta table that deltalake wrote."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from jobs.bench.bucket import BUCKET, PREFIX, environment, upload
from tests.servers.materials_project_documents import VERSION, Document, summary_table
from tests.servers.s3 import S3Server, s3_server

__all__ = ["Bucket", "environment", "materials_project_bucket", "write_summary", "write_table"]


def write_summary(folder: Path, documents: Sequence[Document], version: str = VERSION) -> None:
    """Add documents to the Delta table in ``folder`` as one file, with the partition that the bucket has."""
    write_table(folder, summary_table(documents), version)


def write_table(folder: Path, table: pa.Table, version: str = VERSION) -> None:
    """Add a file to the Delta table, which may get new columns."""
    rows = table.append_column("version", pa.array([version] * len(table), pa.string()))
    write_deltalake(folder, rows, partition_by=["version"], mode="append", schema_mode="merge")


@dataclass(frozen=True)
class Bucket:
    """The public bucket of a server."""

    server: S3Server

    @property
    def url(self) -> str:
        """Address of the server."""
        return self.server.url

    def empty(self) -> None:
        """Remove all that was put into it."""
        self.server.reset()
        self.server.client.create_bucket(Bucket=BUCKET, ACL="public-read")

    def put(self, folder: Path) -> None:
        """Copy all files of a table into the bucket."""
        upload(self.server.client, folder)

    def put_file(self, path: Path, name: str) -> None:
        """Copy a file to its place in the table."""
        public = {"ACL": "public-read"}
        self.server.client.upload_file(str(path), BUCKET, PREFIX + name, ExtraArgs=public)

    def remove(self, name: str) -> None:
        """Remove a file of the table."""
        self.server.client.delete_object(Bucket=BUCKET, Key=PREFIX + name)


@contextmanager
def materials_project_bucket() -> Iterator[Bucket]:
    """Serve an empty bucket."""
    with s3_server() as server:
        bucket = Bucket(server)
        bucket.empty()
        yield bucket
