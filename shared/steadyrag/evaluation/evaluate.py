"""The run behind `steadyrag eval`: take the set in, ask every question, sum up."""

from __future__ import annotations

from dataclasses import dataclass

from steadyrag.evaluation.dataset import Dataset
from steadyrag.evaluation.quality import Quality, sum_up
from steadyrag.evaluation.questions import Outcome, ask
from steadyrag.evaluation.workbench import Workbench, take_in, visible_chunks
from steadyrag.progress import progress
from steadyrag.search import Service


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`chunks` is None where the index does not count; `failed` is documents left out."""

    quality: Quality
    chunks: int | None
    failed: tuple[tuple[str, str], ...]


async def evaluate(dataset: Dataset, bench: Workbench, *, answers: bool) -> Evaluation:
    """Asks one question after the other. `answers` asks for written answers too, of the
    questions that have a gold one."""
    summary = await take_in(dataset, bench, f"Taking in {dataset.name}")
    chunks = await visible_chunks(bench, summary)
    outcomes: list[Outcome] = []
    with progress("Asking") as advance:
        for question in dataset.questions:
            gold = [dataset.texts[key] for key in question.relevant if key in dataset.texts]
            outcomes.append(
                await ask(
                    question,
                    bench.service,
                    namespace=bench.namespace,
                    gold_texts=gold if answers and question.answers else None,
                )
            )
            advance(len(outcomes), len(dataset.questions))
    return Evaluation(sum_up(outcomes), chunks, tuple(summary.failed))


def configured_name(service: Service) -> str:
    """What the pipeline in use is called: its fusion, and whether it reranks."""
    fusion = service.options.fusion
    return f"{fusion}+rerank" if service.reranker is not None else f"{fusion}, in use"
