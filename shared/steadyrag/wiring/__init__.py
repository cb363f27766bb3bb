"""The composition root: settings in, working parts out. The only importer of adapters.

    parts      which adapter does what
    stores     what environments share: Valkey, DynamoDB
    caches     answers and embeddings held, over the stores
    service    a search
    ingest     taking documents in
    readiness  asking every dependency how it is

Each is imported by whoever needs it, and adapters where they are chosen: a Lambda never loads
the embedded default, a laptop never a vendor's SDK, and readiness nothing of a search.
"""
