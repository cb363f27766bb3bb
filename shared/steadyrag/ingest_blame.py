"""Whether a vendor refuses one document, or all of them.

Documents share requests, and a refused request does not say which of them it is about. One is
to blame once it is refused by itself and others are not; where nothing at all is taken, it is
the vendor or how we ask it, and documents wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from steadyrag.domain.errors import DependencyError, Refused, Rejected
from steadyrag.ingest_ledger import Job
from steadyrag.resilience.together import together

_ALONE_AT_ONCE = 4


def nobodys_fault(error: DependencyError) -> DependencyError:
    """The error without the blame that it lays on what was sent."""
    if not isinstance(error, Rejected):
        return error
    return Refused(error.dependency, error.problem, retry_after_s=error.retry_after_s)


async def each_alone(
    jobs: Sequence[Job], put: Callable[[Job], Awaitable[None]], refusal: Rejected
) -> dict[str, DependencyError]:
    """Does for each document what was refused for `jobs` together; returns what went wrong,
    by document."""
    if len(jobs) == 1:
        return {jobs[0].document_id: refusal}
    errors: dict[str, DependencyError] = {}
    slots = asyncio.Semaphore(_ALONE_AT_ONCE)

    async def put_alone(job: Job) -> None:
        async with slots:
            try:
                await put(job)
            except DependencyError as error:
                errors[job.document_id] = error

    await together(map(put_alone, jobs))
    if len(errors) < len(jobs):
        return errors
    return {document_id: nobodys_fault(error) for document_id, error in errors.items()}
