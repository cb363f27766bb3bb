"""Answers from an OpenAI chat model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from steadyrag.adapters.openai_client import OpenAIClient
from steadyrag.adapters.vendor_http import ApiKey
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.messages import message
from steadyrag.domain.models import Block, Generation, Question
from steadyrag.domain.prompt import INSTRUCTIONS, question_prompt, says_no_answer
from steadyrag.domain.text import mended

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletion

_DEPENDENCY = "llm"

type Effort = Literal["none", "minimal", "low", "medium", "high"]


class OpenAIGenerator:
    """A `Generator`.

    `reasoning_tokens` is added to the cap on the answer, because a model that reasons
    spends the same allowance on thought; `reasoning_effort` is sent where it is set. A model
    that does not reason wants 0 and None.
    """

    def __init__(
        self,
        *,
        api_key: ApiKey,
        model: str,
        reasoning_tokens: int = 0,
        reasoning_effort: Effort | None = None,
        base_url: str | None = None,
        timeout_s: float = 25.0,
        max_connections: int = 100,
    ) -> None:
        self._model = model
        self._reasoning_tokens = reasoning_tokens
        self._reasoning_effort = reasoning_effort
        self._client = OpenAIClient(
            dependency=_DEPENDENCY,
            touch=lambda client: (client.chat.completions, client.models),
            api_key=api_key,
            base_url=base_url,
            timeout_s=timeout_s,
            max_connections=max_connections,
        )

    @property
    def model(self) -> str:
        return self._model

    async def generate(
        self, question: Question, blocks: Sequence[Block], *, max_tokens: int
    ) -> Generation:
        """Raises `Unavailable` for an answer without a word in it: that is a failure, and
        most often the sign that the model spent the whole allowance on reasoning."""
        if not blocks:
            text = message("not_found", question.language)
            return Generation(text, self._model, found=False)

        async def ask(client: AsyncOpenAI) -> Generation:
            from openai import omit

            answer = await client.chat.completions.create(
                model=self._model,
                messages=[
                    {"role": "system", "content": INSTRUCTIONS},
                    {"role": "user", "content": question_prompt(question, blocks)},
                ],
                max_completion_tokens=max_tokens + self._reasoning_tokens,
                reasoning_effort=self._reasoning_effort or omit,
            )
            return self._read(answer, question)

        return await self._client.call(ask)

    def _read(self, answer: ChatCompletion, question: Question) -> Generation:
        choice = answer.choices[0]
        text = mended(choice.message.content or "").strip()
        declined = bool(choice.message.refusal) or choice.finish_reason == "content_filter"
        if not text and not declined:
            reason = choice.finish_reason
            raise Unavailable(_DEPENDENCY, f"gave an empty answer (finish_reason {reason})")
        found = not declined and not says_no_answer(text)
        usage = answer.usage
        return Generation(
            text=text if found else message("not_found", question.language),
            model=self._model,
            prompt_tokens=usage.prompt_tokens if usage else 0,
            completion_tokens=usage.completion_tokens if usage else 0,
            found=found,
        )

    async def ping(self) -> None:
        """Looks the model up, which costs nothing."""

        async def ask(client: AsyncOpenAI) -> None:
            await client.models.retrieve(self._model)

        await self._client.call(ask)

    async def aclose(self) -> None:
        await self._client.aclose()
