"""A topic whose subscriber is the test."""

from fakes.trouble import Trouble


class InMemoryTopic(Trouble):
    """`published` is all that ever came, subject and text, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[str, str]] = []

    async def publish(self, subject: str, text: str) -> None:
        await self._called("publish")
        self.published.append((subject, text))
