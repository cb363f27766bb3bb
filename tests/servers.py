"""Real servers for tests, each started once a session when a test first asks for it.

Tests share them, so each takes a prefix or a table of its own from `unique`.
"""

import contextlib
import itertools
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steadyrag.adapters.dynamodb_table import create_table
from steadyrag.adapters.local.child_process import Service
from steadyrag.adapters.local.services import start_local_aws, start_valkey
from tcp_proxy import TcpProxy

ROOT = Path(__file__).parents[1]
LOCAL_AWS = ROOT / ".venv-cloud" / "bin" / "ministack"
REGION = "eu-west-1"

_numbers = itertools.count(1)


def unique(word: str) -> str:
    """A name nobody else uses, in this process or another."""
    return f"{word}-{os.getpid()}-{next(_numbers)}"


@contextlib.contextmanager
def running(service: Service) -> Iterator[Service]:
    try:
        yield service
    finally:
        service.stop()


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A single Valkey."""
    with running(start_valkey(tmp_path_factory.mktemp("valkey"))) as service:
        yield service


@pytest.fixture(scope="session")
def valkey_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A Valkey that speaks the cluster protocol and holds every slot."""
    directory = tmp_path_factory.mktemp("valkey-cluster")
    with running(start_valkey(directory, cluster=True)) as service:
        yield service


@pytest.fixture(scope="session")
def valkey_tls(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[str]:
    """The URL of a cluster that takes TLS connections only, as ElastiCache Serverless does.

    The server in the wheel was built without TLS, so a proxy in front of it speaks that, and
    the server tells clients to come to the proxy.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    with TcpProxy(ssl_context=context) as proxy:
        directory = tmp_path_factory.mktemp("valkey-tls")
        with running(start_valkey(directory, cluster=True, announce_port=proxy.port)) as service:
            proxy.target = service.port
            yield f"rediss://127.0.0.1:{proxy.port}?ssl_ca_certs={certificates / 'ca.pem'}"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A throw-away authority (`ca.pem`) and what it signed for 127.0.0.1 (`server.pem`,
    `server.key`)."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the program openssl is not installed")
    directory = tmp_path_factory.mktemp("certificates")
    (directory / "server.ext").write_text(
        "subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n"
    )
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for step in (
        f"req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=tests"
        " -addext keyUsage=critical,keyCertSign",
        f"req {key} -keyout server.key -out server.csr -subj /CN=server",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -out server.pem -extfile server.ext",
    ):
        subprocess.run([openssl, *step.split()], cwd=directory, check=True, capture_output=True)
    return directory


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A local AWS API; boto3 finds credentials for it in the environment."""
    if not LOCAL_AWS.exists():
        pytest.skip("the local AWS is not installed: make .venv-cloud/.ready")
    service = start_local_aws(tmp_path_factory.mktemp("aws"), executable=LOCAL_AWS)
    with running(service), pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "local")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield service


@pytest.fixture
def dynamo_table(local_aws: Service) -> dict[str, Any]:
    """A new, empty table, as arguments of `DynamoStore`."""
    where = {"table": unique("state"), "endpoint_url": local_aws.url, "region": REGION}
    create_table(**where)
    return where


@pytest.fixture(params=["valkey", "dynamodb"])
def shared_store(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Where several processes find an empty store: its kind, and the store's arguments."""
    if request.param == "dynamodb":
        return {"kind": "dynamodb", **request.getfixturevalue("dynamo_table")}
    cluster = request.getfixturevalue("valkey_cluster")
    return {"kind": "valkey", "url": cluster.url, "prefix": unique("sr") + ":"}
