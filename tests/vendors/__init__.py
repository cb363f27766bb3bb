"""Local servers that speak the wire formats of OpenAI, Pinecone and AWS's key stores, for tests.

They behave as the vendors do, refuse what the vendors refuse, keep a record of what they
were asked, and misbehave on demand:

    with serving(OpenAIVendor()) as openai:
        openai.faults.add("embeddings", Fault("status", status=503), times=1)
        openai.faults.latency_ms["chat"] = 2000
        ...
        assert openai.requests[-1].json["encoding_format"] == "base64"

`python -m vendors --openai-port N --pinecone-port M` (with `tests/` on the path) serves both
from a process of their own; the `/_faults` endpoint of each does the rest. Nothing is kept
when they stop.
"""

from vendors.faults import Fault, Faults
from vendors.keys import KeyStore
from vendors.openai import OpenAIVendor
from vendors.pinecone import PineconeVendor
from vendors.server import serving

__all__ = ["Fault", "Faults", "KeyStore", "OpenAIVendor", "PineconeVendor", "serving"]
