"""An S3 service on this machine: moto's server, in a process of its own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx

from jobs.bench import bucket
from jobs.bench.processes import server

ANY_KEY = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}


@dataclass(frozen=True)
class S3Server:
    """A service on ``url``, which takes every key until it is told to check permissions."""

    url: str

    @cached_property
    def client(self) -> Any:
        """A client of boto3, independent of what is tested."""
        return bucket.client(self.url)

    def reset(self) -> None:
        """Remove all buckets and users."""
        self._tell("reset")

    def environment(self, keys: dict[str, str] = ANY_KEY) -> dict[str, str]:
        """Environment variables that lead to this service with some keys."""
        return {**bucket.environment(self.url), "AWS_REGION": "us-east-1", **keys}

    def user(self, name: str, *actions: str) -> dict[str, str]:
        """Make a user who may do some actions on S3; returns the environment with its keys."""
        import boto3  # type: ignore[import-untyped]

        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
        iam = boto3.client("iam", endpoint_url=self.url, region_name="us-east-1", **keys)
        iam.create_user(UserName=name)
        allowed = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName=name, PolicyName="s3", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    @contextmanager
    def checking_permissions(self) -> Iterator[None]:
        """Let only users do what they are allowed to."""
        self._tell("reset-auth", b"0")
        try:
            yield
        finally:
            self._tell("reset-auth", b"inf")

    def _tell(self, command: str, content: bytes = b"") -> None:
        httpx.post(f"{self.url}/moto-api/{command}", content=content).raise_for_status()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Serve S3 on a free port."""
    with server(bucket.serve) as url:
        yield S3Server(url)
