"""A generator that quotes the start of the first block, and cites it."""

from collections.abc import Sequence

from fakes.trouble import Trouble
from steadyrag.domain.models import Block, Generation, Question

NOT_FOUND = {"ko": "자료에서 답을 찾지 못했습니다.", "en": "The sources do not hold the answer."}


class FakeGenerator(Trouble):
    """`asked` is every question with the blocks it came with. `says` replaces the quote."""

    def __init__(self, *, model: str = "fake-writer", says: str | None = None) -> None:
        super().__init__()
        self._model = model
        self.says = says
        self.asked: list[tuple[Question, Sequence[Block]]] = []

    @property
    def model(self) -> str:
        return self._model

    async def generate(
        self, question: Question, blocks: Sequence[Block], *, max_tokens: int
    ) -> Generation:
        await self._called("generate")
        self.asked.append((question, blocks))
        prompt_tokens = len(question.text.split()) + sum(block.tokens for block in blocks)
        if not blocks:
            text = NOT_FOUND[question.language]
            return Generation(text, self._model, prompt_tokens, len(text.split()), found=False)
        words = blocks[0].text.split()[:max_tokens]
        text = self.says if self.says is not None else f"{' '.join(words)} [{blocks[0].number}]"
        return Generation(text, self._model, prompt_tokens, len(text.split()))

    async def ping(self) -> None:
        await self._called("ping")
