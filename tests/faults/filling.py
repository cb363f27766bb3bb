"""Documents for the vendors' index."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping

from builders import chunk
from steadyrag.domain.models import EmbeddedChunk
from steadyrag.settings import Settings
from steadyrag.wiring import parts
from steadyrag.wiring.ingest import ensure_index

INDEX = "docs"


async def create_index(settings: Settings) -> None:
    """The index that `vendor_settings` names, empty."""
    await ensure_index(settings, name=INDEX, cloud="aws", region="us-east-1")


async def fill(settings: Settings, documents: Mapping[str, str], namespace: str) -> None:
    """One chunk for each document, by id, visible when this returns."""
    embedder = parts.embedder(settings)
    index = parts.index(settings, embedder)
    made = await embedder.embed_passages(list(documents.values()))
    await index.upsert(
        namespace,
        [
            EmbeddedChunk(chunk(text, id=name, document_id=name, title=name), vector)
            for (name, text), vector in zip(documents.items(), made.vectors, strict=True)
        ],
    )
    await index.aclose()
    await embedder.aclose()
    order(str(settings.pinecone_controller_host), "_settle", {})


def order(vendor: str, path: str, body: object) -> None:
    """Tells a vendor's server something: `_settle`, `_faults`, `_visibility`."""
    address = f"{vendor.removesuffix('/v1')}/{path}"
    request = urllib.request.Request(address, json.dumps(body).encode(), method="POST")  # noqa: S310
    with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
        response.read()
