"""Which documents an s3:// address is about."""

import pytest

from steadyrag.domain.errors import ConfigError
from steadyrag.settings import Settings, load
from steadyrag.wiring.bulk import build_bulk


@pytest.fixture
def settings() -> Settings:
    return load(
        {
            "STEADYRAG_TABLE_PREFIX": "t-",
            "STEADYRAG_DOCUMENTS_BUCKET": "own-bucket",
            "STEADYRAG_INGEST_QUEUE_URL": "http://127.0.0.1:1/queue",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }
    )


@pytest.mark.parametrize(
    ("address", "namespace", "about"),
    [
        ("s3://own-bucket", None, None),
        ("s3://own-bucket/", None, None),
        ("s3://own-bucket/documents", None, None),
        ("s3://own-bucket/documents/", "hr", "hr"),
        ("s3://own-bucket/documents/hr", None, "hr"),
        ("s3://own-bucket/documents/hr/", "hr", "hr"),
    ],
)
def test_the_own_bucket_is_laid_out_by_namespace_and_its_workers_do_the_work(
    settings: Settings, address: str, namespace: str | None, about: str | None
) -> None:
    bulk = build_bulk(settings, address, namespace=namespace, here=False)
    assert bulk.namespace == about
    assert bulk.queue is not None
    assert bulk.parts.layout.namespace is None


def test_unless_it_is_to_be_done_here(settings: Settings) -> None:
    assert build_bulk(settings, "s3://own-bucket", namespace=None, here=True).queue is None


@pytest.mark.parametrize(
    ("address", "namespace"),
    [
        ("s3://own-bucket/documents/hr/2026/", None),
        ("s3://own-bucket/elsewhere/", None),
        ("s3://own-bucket/documents/not ours/", None),
        ("s3://own-bucket/documents/hr/", "legal"),
        ("s3:///documents", None),
    ],
)
def test_what_makes_no_sense_is_said(
    settings: Settings, address: str, namespace: str | None
) -> None:
    with pytest.raises(ConfigError):
        build_bulk(settings, address, namespace=namespace, here=False)


@pytest.mark.parametrize(
    ("address", "namespace", "prefix"),
    [
        ("s3://theirs", None, ""),
        ("s3://theirs/wiki", None, "wiki/"),
        ("s3://theirs/wiki/", "hr", "wiki/"),
    ],
)
def test_another_bucket_goes_into_one_namespace(
    settings: Settings, address: str, namespace: str | None, prefix: str
) -> None:
    bulk = build_bulk(settings, address, namespace=namespace, here=False)
    assert (bulk.parts.layout.prefix, bulk.parts.layout.namespace) == (
        prefix,
        namespace or "default",
    )
    assert bulk.queue is None
