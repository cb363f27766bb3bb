"""Signing in to Valkey with a token of AWS credentials, as ElastiCache has it."""

import asyncio
import datetime
import hashlib
import hmac
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from urllib.parse import parse_qs, quote

import pytest
import redis

from servers import unique
from steadyrag.adapters.local.child_process import Service
from steadyrag.adapters.valkey import ValkeyStore
from steadyrag.adapters.valkey_iam import KEEP_S, VALID_S, IamCredentials
from steadyrag.domain.errors import Refused
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.settings import load
from steadyrag.wiring.stores import shared_stores
from tcp_proxy import TcpProxy

KEY_ID, SECRET, SESSION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "to/ken+=="
REGION = "ap-northeast-2"
PATIENT = {"timeout_s": 1.0, "connect_timeout_s": 5.0}


class Clock:
    def __init__(self) -> None:
        self.time_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time_s


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time for us and for the signature."""
    clock = Clock()
    monkeypatch.setattr(
        "botocore.auth.get_current_datetime",
        lambda: datetime.datetime.fromtimestamp(clock(), datetime.UTC),
    )
    return clock


@pytest.fixture
def admin(valkey_server: Service) -> Iterator[redis.Redis]:
    with redis.Redis(port=valkey_server.port) as client:
        yield client


class Member:
    """An ACL user, whose password is whatever token was accepted last."""

    def __init__(self, admin: redis.Redis) -> None:
        self.name = unique("steadyrag-search")
        self._admin = admin

    def accepts(self, token: str) -> None:
        self._admin.execute_command(
            "ACL", "SETUSER", self.name, "reset", "on", f">{token}", "~sr:*", "+@all"
        )

    def connections(self) -> list[str]:
        return [c["id"] for c in self._admin.client_list() if c["user"] == self.name]

    def disconnect(self) -> None:
        self._admin.execute_command("CLIENT", "KILL", "USER", self.name)


@pytest.fixture
def member(admin: redis.Redis) -> Iterator[Member]:
    member = Member(admin)
    yield member
    admin.execute_command("ACL", "DELUSER", member.name)


def store_of(service: Service | TcpProxy, credentials: IamCredentials) -> ValkeyStore:
    url = f"redis://127.0.0.1:{service.port}"
    return ValkeyStore(url=url, credentials=credentials, **PATIENT)


def signature_of(token: str) -> str:
    """By AWS's description of Signature Version 4 for presigned requests."""
    host, _, query = token.partition("/?")
    pairs = {name: values[0] for name, values in parse_qs(query).items()}
    del pairs["X-Amz-Signature"]
    canonical_query = "&".join(
        f"{quote(name, safe='-_.~')}={quote(pairs[name], safe='-_.~')}" for name in sorted(pairs)
    )
    empty = hashlib.sha256(b"").hexdigest()
    request = f"GET\n/\n{canonical_query}\nhost:{host}\n\nhost\n{empty}"
    date = pairs["X-Amz-Date"]
    scope = f"{date[:8]}/{REGION}/elasticache/aws4_request"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}"
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


def test_the_token_is_a_presigned_request_without_its_scheme(clock):
    user, token = IamCredentials("search-user", "Docs-Cache", clock=clock).get_credentials()
    host, _, query = token.partition("/?")
    assert (user, host) == ("search-user", "docs-cache")
    assert {name: value for name, [value] in parse_qs(query).items()} == {
        "Action": "connect",
        "User": "search-user",
        "ResourceType": "ServerlessCache",
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{KEY_ID}/20270115/{REGION}/elasticache/aws4_request",
        "X-Amz-Date": "20270115T080000Z",
        "X-Amz-Expires": str(VALID_S),
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Security-Token": SESSION,
        "X-Amz-Signature": signature_of(token),
    }


def test_a_token_is_used_for_ten_minutes_and_then_made_anew(clock):
    credentials = IamCredentials("user", "cache", clock=clock)
    first = credentials.get_credentials()
    clock.time_s += KEEP_S - 1
    assert credentials.get_credentials() == first
    clock.time_s += 1
    assert credentials.get_credentials() != first


def test_a_clock_set_back_brings_a_new_token(clock):
    credentials = IamCredentials("user", "cache", clock=clock)
    first = credentials.get_credentials()
    clock.time_s -= 3600
    assert credentials.get_credentials() != first


async def test_many_connections_at_once_sign_one_token(clock, monkeypatch):
    credentials = IamCredentials("user", "cache", clock=clock)
    signed = []
    sign = credentials._sign
    monkeypatch.setattr(credentials, "_sign", lambda: signed.append(1) or sign())
    tokens = await asyncio.gather(*(credentials.get_credentials_async() for _ in range(20)))
    assert len(set(tokens)) == len(signed) == 1


async def test_the_cache_is_used_as_the_user_that_the_token_is_for(valkey_server, member, clock):
    credentials = IamCredentials(member.name, "cache", clock=clock)
    member.accepts(credentials.get_credentials()[1])
    store = store_of(valkey_server, credentials)
    await store.write({"mine": b"1"}, ttl_s=60)
    assert await store.read(["mine"]) == ({"mine": b"1"}, {})
    assert len(member.connections()) == 1
    await store.aclose()


async def test_a_cluster_behind_tls_is_used_as_that_user_too(valkey_tls, clock):
    address, _, query = valkey_tls.partition("?")
    with redis.Redis.from_url(address, ssl_ca_certs=query.partition("=")[2]) as admin:
        member = Member(admin)
        credentials = IamCredentials(member.name, "cache", clock=clock)
        member.accepts(credentials.get_credentials()[1])
        settings = load(
            {
                "STEADYRAG_CACHE_URL": valkey_tls,
                "STEADYRAG_CACHE_USER": member.name,
                "STEADYRAG_CACHE_NAME": "cache",
            }
        )
        [store] = shared_stores(settings, timeout_s=5.0, clock=clock)
        assert await store.update("sr:m", add={"n": 1}, ttl_s=60) == {"n": b"1"}
        assert len(member.connections()) == 1
        await store.aclose()
        admin.execute_command("ACL", "DELUSER", member.name)


async def test_a_connection_closed_for_its_age_costs_no_call(valkey_server, member, clock):
    credentials = IamCredentials(member.name, "cache", clock=clock)
    member.accepts(credentials.get_credentials()[1])
    store = store_of(valkey_server, credentials)
    await store.write({"mine": b"1"}, ttl_s=100_000)
    [first] = member.connections()
    clock.time_s += KEEP_S
    member.accepts(credentials.get_credentials()[1])
    member.disconnect()
    assert await store.read(["mine"]) == ({"mine": b"1"}, {})
    assert member.connections() not in ([], [first])
    await store.aclose()


async def test_a_snapshot_goes_on_with_a_token_of_its_own(valkey_server, member, clock):
    credentials = IamCredentials(member.name, "cache", clock=clock)
    store = store_of(valkey_server, credentials)
    await store.warm()
    _, of_the_snapshot = credentials.get_credentials()
    clock.time_s += 60  # the token is still one that ElastiCache would take
    await store.aclose()
    await store.warm()
    _, of_the_restored = credentials.get_credentials()
    assert of_the_restored != of_the_snapshot
    member.accepts(of_the_restored)
    assert await store.read(["nothing"]) == ({}, {})
    await store.aclose()


async def test_a_token_that_is_not_accepted_is_refused_without_being_shown(
    valkey_server, member, clock
):
    member.accepts("another")
    credentials = IamCredentials(member.name, "cache", clock=clock)
    store = store_of(valkey_server, credentials)
    _, token = credentials.get_credentials()
    with pytest.raises(Refused, match="user or password") as caught:
        await store.read(["mine"])
    told = "".join(traceback.format_exception(caught.value))
    assert token not in told
    assert SECRET not in told
    await store.aclose()


async def test_after_a_refusal_the_next_call_brings_another_token(valkey_server, member, clock):
    credentials = IamCredentials(member.name, "cache", clock=clock)
    store = store_of(valkey_server, credentials)
    member.accepts("another")
    with pytest.raises(Refused):
        await store.read(["mine"])
    clock.time_s += 5
    member.accepts(credentials.get_credentials()[1])
    assert await store.read(["nothing"]) == ({}, {})
    await store.aclose()


async def test_without_aws_credentials_the_cache_is_refused_and_says_why(
    valkey_server, monkeypatch, tmp_path
):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    store = store_of(valkey_server, IamCredentials("user", "cache"))
    with pytest.raises(Refused, match="AWS credentials"):
        await store.read(["mine"])
    await GuardedStore(store).warm()  # the start of an environment does not fail for it
    await store.aclose()


async def test_without_a_region_the_cache_is_refused_and_says_why(
    valkey_server, monkeypatch, tmp_path
):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    store = store_of(valkey_server, IamCredentials("user", "cache"))
    with pytest.raises(Refused, match="AWS_DEFAULT_REGION"):
        await store.read(["mine"])
    await store.aclose()


async def test_a_call_given_up_while_signing_in_leaves_no_stranger_behind(
    valkey_server, member, clock, monkeypatch
):
    credentials = IamCredentials(member.name, "cache", clock=clock)
    member.accepts(credentials.get_credentials()[1])
    credentials.expire()
    gate, sign = threading.Event(), credentials._sign
    monkeypatch.setattr(credentials, "_sign", lambda: gate.wait(5) and sign())
    store = store_of(valkey_server, credentials)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.read(["mine"]), 0.2)
    gate.set()
    await asyncio.sleep(0.1)
    assert await store.read(["nothing"]) == ({}, {})
    assert len(member.connections()) == 1
    await store.aclose()


def test_botocore_is_imported_while_warming_up_and_not_before():
    code = (
        "import asyncio, sys;"
        "from steadyrag.settings import load; from steadyrag.wiring.stores import guarded_stores;"
        "[store] = guarded_stores(load());"
        "before = 'botocore' in sys.modules; asyncio.run(store.warm());"
        "print(before, 'botocore.auth' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "STEADYRAG_CACHE_URL": "rediss://127.0.0.1:6379",
            "STEADYRAG_CACHE_USER": "user",
            "STEADYRAG_CACHE_NAME": "cache",
        },
    )
    assert done.stdout.split() == ["False", "True"]
