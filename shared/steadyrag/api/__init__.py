"""HTTP: routes, request and response schema, errors as problem documents."""

from steadyrag.api.app import create_app

__all__ = ["create_app"]
