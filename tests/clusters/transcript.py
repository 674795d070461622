"""Writes docs/cluster.md: `python -m tests.clusters.transcript docs/cluster.md`, as root on Linux."""

import os
import re
import secrets
import subprocess
import sys
import tempfile
import textwrap
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tests.clusters.network import Host, network
from tests.clusters.ray_nodes import RayCluster, ray_cluster, wait_until
from tests.clusters.structures import write_structures

STRUCTURES = 2000
BIN = Path(sys.executable).parent
SHARED = "/shared"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
WIDTH = 105

TEXT = """# A run on a cluster that loses a node

<!-- Written by `python -m tests.clusters.transcript docs/cluster.md`: commands and output are real. -->

Four hosts, each with an address of its own (network namespaces joined by a bridge): the head of a Ray
cluster, which does no work itself; two nodes with one core each; and the laptop from which a screening is
submitted. `{shared}` is a folder that all of them see. Every host has the cluster's token in
`RAY_AUTH_TOKEN`, and `RAY_AUTH_MODE=token`: who has not cannot run anything there. The laptop says
`--unencrypted` because there is no TLS between it and the head, and `--package installed` because all hosts
have the same crysift: otherwise it would be sent along.

## The cluster

```console
{start}
```

## The screening

{structures:,} crystals. Half-way through the predictions node 2 is switched off: all of its processes are
killed at once, and it does not come back.

```console
{job}
```

## What became of it

The store tells what happened, on any machine that sees it:

```console
{record}
```

The same screening in one process on the laptop gives the same structures, the same vectors, and
predictions that are the same to the byte:

```console
{comparison}
```
"""


@dataclass
class Terminal:
    """Commands on hosts with what they print, without this machine's own paths."""

    folder: Path
    environment: dict[str, str]
    lines: list[str] = field(default_factory=list)

    def run(self, name: str, host: Host, line: str) -> None:
        """Run a line of shell and write down what it prints, while it does."""
        self.note(f"{name}$ {line}")
        process = self.begin(host, line)
        self.follow(process)
        if process.wait() != 0:
            raise SystemExit("\n".join(self.lines))

    def begin(self, host: Host, line: str) -> "subprocess.Popen[str]":
        """Start a line of shell."""
        return subprocess.Popen(
            host.command("bash", "-o", "pipefail", "-c", line.replace(SHARED, str(self.folder))),
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def follow(self, process: "subprocess.Popen[str]") -> None:
        """Write down what a process prints."""
        assert process.stdout is not None
        for line in process.stdout:
            self.note(line)

    def note(self, line: str) -> None:
        """Write down a line."""
        line = COLOURS.sub("", line).replace(f"{BIN}/", "").replace(str(self.folder), SHARED)
        self.lines.append(line.rstrip())

    def page(self) -> str:
        """What was written down since the last page."""
        page, self.lines = "\n".join(self.lines), []
        return page


def main(target: Path) -> None:
    """Start the cluster, let a node die, compare, and write the page."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    path = {"PATH": f"{BIN}:{os.environ['PATH']}"}
    with (
        network(4) as net,
        tempfile.TemporaryDirectory(prefix="shared") as shared,
        ray_cluster(net.hosts[:3], token | path, dashboard=True) as cluster,
    ):
        write_structures(Path(shared) / "crystals.parquet", STRUCTURES)
        terminal = Terminal(Path(shared), cluster.environment)
        pages = {
            "start": starting(terminal, cluster),
            "job": submitting(terminal, cluster, net.hosts[3]),
            "record": recording(terminal, net.hosts[3]),
            "comparison": comparing(terminal, net.hosts[3]),
        }
    target.write_text(TEXT.format(shared=SHARED, structures=STRUCTURES, **pages))


def starting(terminal: Terminal, cluster: RayCluster) -> str:
    """The commands that started the nodes, and what Ray says of them."""
    for name, node in zip(("head", "node1", "node2"), cluster.nodes, strict=True):
        words = ["/var/ray" if word == str(node.folder) else word for word in node.command]
        terminal.note(_folded(f"{name}$ {' '.join(words)} &"))
    terminal.run("head", cluster.head.host, f"ray status --address {cluster.address}")
    return terminal.page()


def _folded(line: str) -> str:
    """A command over several lines, each option together with its value."""
    glued = re.sub(r"(--\S+) (?!-)", "\\1\N{NO-BREAK SPACE}", line)
    lines = textwrap.wrap(glued, WIDTH, break_on_hyphens=False, subsequent_indent="    ")
    return " \\\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def submitting(terminal: Terminal, cluster: RayCluster, laptop: Host) -> str:
    """A job, during which a node is lost."""
    line = (
        f"crysift submit --address {cluster.dashboard} --unencrypted --package installed -- "
        f"screen {SHARED}/crystals.parquet --store {SHARED}/store --top 5"
    )
    terminal.note(f"laptop$ {line}")
    process = terminal.begin(laptop, line)
    reader = threading.Thread(target=terminal.follow, args=(process,))
    reader.start()
    wait_until(
        lambda: parts(terminal.folder, "predictions") >= parts(terminal.folder, "structures") / 2 > 0, "parts"
    )
    cluster.workers[-1].kill()
    terminal.note("# now node 2 is switched off")
    reader.join()
    terminal.note(f"laptop$ echo $?\n{process.wait()}")
    terminal.run("laptop", laptop, f"crysift jobs --address {cluster.dashboard} --unencrypted")
    return terminal.page()


def recording(terminal: Terminal, laptop: Host) -> str:
    """What the store tells of the run."""
    terminal.run("laptop", laptop, f"crysift status --store {SHARED}/store")
    events = f"{SHARED}/store/runs/*/events.jsonl"
    terminal.run("laptop", laptop, f"grep -hE '\"(WorkerLost|WorkersChanged)\"' {events} | cut -c1-150")
    return terminal.page()


def comparing(terminal: Terminal, laptop: Host) -> str:
    """The same screening without a cluster, and the differences of their tables."""
    terminal.run(
        "laptop",
        laptop,
        f"crysift screen {SHARED}/crystals.parquet --store {SHARED}/local --executor inline --quiet --top 0",
    )
    for table, columns in (("structures", "structure_id, content_hash"), ("features_soap", "*")):
        other = f"'{SHARED}/local/{table}*/part-*.parquet'"
        both = [f"SELECT {columns} FROM {rows}" for rows in (table, other)]  # noqa: S608 -- our own names
        query = f"SELECT count(*) AS differing FROM ({' EXCEPT '.join(both)})"  # noqa: S608
        terminal.run("laptop", laptop, f'crysift query "{query}" --store {SHARED}/store')
    tables = " ".join(f"{SHARED}/{store}/predictions_arise-*" for store in ("store", "local"))
    terminal.run("laptop", laptop, f"diff -r {tables} && echo no difference")
    return terminal.page()


def parts(folder: Path, table: str) -> int:
    """Parts of a table of the store."""
    return sum(1 for _ in (folder / "store").glob(f"{table}*/part-*.parquet"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
