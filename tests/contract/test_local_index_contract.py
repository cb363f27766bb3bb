"""`LocalIndex` keeps the promises that every index keeps."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.index_contract import DIMENSION, IndexContract
from steadyrag.adapters.local.index import LocalIndex


class TestLocalIndex(IndexContract):
    @pytest.fixture
    async def index(self, tmp_path: Path) -> AsyncIterator[LocalIndex]:
        adapter = LocalIndex(
            tmp_path / "index.sqlite", embedder="by hand/4", dimension=DIMENSION, fresh_wait_s=5.0
        )
        yield adapter
        await adapter.aclose()
