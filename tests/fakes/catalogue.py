from collections.abc import Mapping

from fakes.trouble import Trouble
from steadyrag.domain.ports import DocumentRecord


class InMemoryCatalogue(Trouble):
    """What has been ingested, for as long as the test runs."""

    def __init__(self) -> None:
        super().__init__()
        self._namespaces: dict[str, dict[str, DocumentRecord]] = {}

    async def records(self, namespace: str) -> Mapping[str, DocumentRecord]:
        await self._called("records")
        return dict(self._namespaces.get(namespace, {}))

    async def put(self, namespace: str, record: DocumentRecord) -> None:
        await self._called("put")
        self._namespaces.setdefault(namespace, {})[record.document_id] = record

    async def remove(self, namespace: str, document_id: str) -> None:
        await self._called("remove")
        self._namespaces.get(namespace, {}).pop(document_id, None)
