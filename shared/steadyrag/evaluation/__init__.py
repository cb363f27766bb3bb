"""Measures the service from outside: retrieval and answer quality, latency, ingest time.

Only the command line imports this package; nothing on the request path does.
"""
