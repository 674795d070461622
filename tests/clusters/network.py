"""Hosts of a test: this machine, or network namespaces with their own addresses, joined by a bridge."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

SUBNET = "10.77.0"
"""Addresses within the namespaces, which no other network sees."""


@dataclass(frozen=True)
class Host:
    """A place to start processes: an address, and the namespace that has it."""

    address: str = "127.0.0.1"
    namespace: str | None = None

    def command(self, *words: str) -> list[str]:
        """The command that runs ``words`` on this host."""
        return ["ip", "netns", "exec", self.namespace, *words] if self.namespace else list(words)


@dataclass(frozen=True)
class Network:
    """Hosts whose links meet in a bridge, which has a namespace of its own: cables into a switch."""

    switch: str
    hosts: Sequence[Host]

    def cut(self, host: Host) -> None:
        """Pull the host's cable: what is under way is lost, and nobody is told."""
        self._set_link(host, "down")

    def heal(self, host: Host) -> None:
        """Put the cable back."""
        self._set_link(host, "up")

    def _set_link(self, host: Host, state: str) -> None:
        _ip("-n", self.switch, "link", "set", f"port{self.hosts.index(host)}", state)


@contextmanager
def network(hosts: int) -> Iterator[Network]:
    """Make hosts with addresses 10.77.0.1, .2, …; skips the test where namespaces cannot be made."""
    require_namespaces()
    prefix = f"crysift-{os.getpid()}"
    switch = f"{prefix}-switch"
    made = [Host(f"{SUBNET}.{index + 1}", f"{prefix}-host{index}") for index in range(hosts)]
    namespaces = [switch, *(host.command()[3] for host in made)]
    try:
        for namespace in namespaces:
            _ip("netns", "add", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("-n", switch, "link", "add", "bridge0", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge0", "up")
        for index, host in enumerate(made):
            _connect(switch, f"port{index}", host)
        yield Network(switch, made)
    finally:
        for namespace in namespaces:
            _ip("netns", "delete", namespace, check=False)


def require_namespaces() -> None:
    """Skip the test where network namespaces cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip` to make network namespaces")
    name = f"crysift-{os.getpid()}-probe"
    made = _ip("netns", "add", name, check=False)
    if made.returncode != 0:
        pytest.skip(f"network namespaces cannot be made: {made.stderr.strip()}")
    _ip("netns", "delete", name)


def _connect(switch: str, port: str, host: Host) -> None:
    namespace = host.command()[3]
    _ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
    _ip("-n", switch, "link", "set", port, "master", "bridge0", "up")
    _ip("-n", namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
    _ip("-n", namespace, "link", "set", "eth0", "up")


def _ip(*words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["ip", *words],  # noqa: S607 -- wherever the system has it
        check=check,
        capture_output=True,
        text=True,
    )
