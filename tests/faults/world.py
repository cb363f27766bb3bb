"""The real parts that scenarios break, each started when it is first wanted."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from integration.vendored import DIMENSION, OPENAI_KEY, PINECONE_KEY
from servers import LOCAL_AWS, REGION
from steadyrag.adapters.dynamodb_table import create_table
from steadyrag.adapters.local.child_process import Service
from steadyrag.adapters.local.services import start_local_aws, start_valkey

TESTS = Path(__file__).parents[1]
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass
class World:
    """`pairs` is whether two faults at once are wanted, `events` how many changes of the
    bucket. Whatever is started here ends with
    the block of `world()`."""

    directory: Path
    pairs: bool
    events: int
    _ending: contextlib.ExitStack
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @cached_property
    def valkey(self) -> Service:
        """A Valkey cluster of one server."""
        return self._run(start_valkey(self.directory, cluster=True))

    @cached_property
    def local_aws(self) -> Service:
        if not LOCAL_AWS.exists():
            raise SystemExit("the local AWS is not installed: make .venv-cloud/.ready")
        return self._run(start_local_aws(self.directory, executable=LOCAL_AWS))

    def new_table(self) -> str:
        """An empty table; its prefix, as `STEADYRAG_TABLE_PREFIX` takes it."""
        prefix = f"w{os.getpid()}-{next(self._numbers)}-"
        create_table(table=f"{prefix}cache", endpoint_url=self.local_aws.url, region=REGION)
        return prefix

    def forget(self) -> None:
        """Empties the Valkey."""
        from redis import Redis

        with Redis(port=self.valkey.port) as valkey:
            valkey.flushall()

    def vendors(self, *, visible_after_s: float = 0.0) -> Mapping[str, str]:
        """Both vendors in a process of their own, with an empty index; the settings that lead
        there, `STEADYRAG_PINECONE_INDEX_HOST` and all. `/_faults` and `/_requests` of each
        say and tell the rest."""
        command = [sys.executable, "-m", "vendors", "--openai-key", OPENAI_KEY]
        command += ["--pinecone-key", PINECONE_KEY, "--visible-after-s", str(visible_after_s)]
        process = subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True)
        self._ending.callback(_end, process)
        assert process.stdout is not None
        addresses = json.loads(process.stdout.readline())
        return vendor_settings(addresses["openai"], addresses["pinecone"])

    def _run(self, service: Service) -> Service:
        self._ending.callback(service.stop)
        return service


def vendor_settings(openai: str, pinecone: str) -> dict[str, str]:
    """The production adapters, wired to these addresses."""
    return {
        "STEADYRAG_EMBEDDER": "openai",
        "STEADYRAG_INDEX": "pinecone",
        "STEADYRAG_RERANKER": "pinecone",
        "STEADYRAG_GENERATOR": "openai",
        "STEADYRAG_EMBEDDING_DIMENSION": str(DIMENSION),
        "OPENAI_API_KEY": OPENAI_KEY,
        "OPENAI_BASE_URL": openai,
        "PINECONE_API_KEY": PINECONE_KEY,
        "PINECONE_CONTROLLER_HOST": pinecone,
        "STEADYRAG_PINECONE_INDEX_HOST": f"{pinecone}/_index/docs",
    }


@contextlib.contextmanager
def world(*, pairs: bool = False, events: int = 2000) -> Iterator[World]:
    """Everything that runs under it has the local AWS's credentials in its environment."""
    os.environ.update(CREDENTIALS)
    with contextlib.ExitStack() as ending:
        directory = ending.enter_context(tempfile.TemporaryDirectory(prefix="faults-"))
        yield World(Path(directory), pairs, events, ending)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(10)
    if process.stdout is not None:
        process.stdout.close()
