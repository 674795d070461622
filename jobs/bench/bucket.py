"""The Materials Project's bucket of open data on this machine: a Delta table behind moto's S3 server."""

from __future__ import annotations

import threading
import warnings
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobs.bench.service import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.bench.database import Database
    from jobs.bench.processes import Tell

BUCKET = "materialsproject-build"
PREFIX = "collections/summary/"
ROWS_AT_A_TIME = 1000
ROW_GROUP = 5000


def serve(tell: Tell) -> None:
    """Serve S3 on a free port of this machine."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    tell("http://{}:{}".format(*server.get_host_and_port()))
    threading.Event().wait()


def environment(address: str) -> dict[str, str]:
    """Environment variables that lead to the bucket at an address instead of to Amazon."""
    return {"AWS_ENDPOINT_URL": address, "AWS_ALLOW_HTTP": "true", "AWS_EC2_METADATA_DISABLED": "true"}


def client(address: str) -> Any:
    """Return a client of the server, which takes any key."""
    import boto3  # type: ignore[import-untyped]

    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",  # noqa: S106 -- the server asks for none
    )


def upload(s3: Any, folder: Path) -> None:
    """Copy all files of a Delta table to its place in the bucket, for everybody to read."""
    for path in filter(Path.is_file, folder.rglob("*")):
        name = PREFIX + path.relative_to(folder).as_posix()
        s3.upload_file(str(path), BUCKET, name, ExtraArgs={"ACL": "public-read"})


def fill(address: str, database: Database) -> None:
    """Put the documents of a database into the bucket, with the columns that the Materials Project has."""
    from deltalake import WriterProperties, write_deltalake

    s3 = client(address)
    s3.create_bucket(Bucket=BUCKET, ACL="public-read")
    with TemporaryDirectory() as folder:
        table = pa.RecordBatchReader.from_batches(_schema(), _batches(database))
        properties = WriterProperties(compression="ZSTD", max_row_group_size=ROW_GROUP)
        write_deltalake(folder, table, partition_by=["version"], writer_properties=properties)
        upload(s3, Path(folder))


def _schema() -> pa.Schema:
    with warnings.catch_warnings(action="ignore"):
        from emmet.core.arrow import arrowize
        from emmet.core.summary import SummaryDoc

    return pa.schema(arrowize(SummaryDoc)).append(pa.field("version", pa.string()))


def _batches(database: Database) -> Iterator[pa.RecordBatch]:
    schema = _schema()
    for start in range(0, database.count, ROWS_AT_A_TIME):
        numbers = range(start, min(start + ROWS_AT_A_TIME, database.count))
        documents = [database.document(number) | {"version": VERSION} for number in numbers]
        for document in documents:
            document["last_updated"] = datetime.fromisoformat(document["last_updated"])
        yield pa.RecordBatch.from_pylist(documents, schema)
