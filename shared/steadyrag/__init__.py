"""Steadyrag: a RAG search service that keeps its promises on a bad day."""

__version__ = "0.1.0"
