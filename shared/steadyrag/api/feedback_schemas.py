"""The wire format of feedback."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from steadyrag.api import patterns
from steadyrag.api.schemas import MAX_TOP_K, whole
from steadyrag.domain.errors import InvalidInput
from steadyrag.domain.records import RatingValue
from steadyrag.domain.search_ids import LONGEST
from steadyrag.domain.text import clean_text

MAX_COMMENT_CHARS = 2000


def _rating(value: Any) -> Any:
    """Python takes true for 1, and pydantic follows it for what is one of a few values."""
    return "true or false" if isinstance(value, bool) else whole(value)


class FeedbackRequest(BaseModel):
    """What its caller thinks of an answer; at least one of rank, rating and comment."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "search_id": "01jdhm3q9kfa8v7w2c5x6y0ztr.k3v7q2m5n6c4x2z7",
                    "clicked_rank": 1,
                    "rating": 1,
                }
            ],
            "anyOf": [
                {"required": ["clicked_rank"], "properties": {"clicked_rank": {"type": "integer"}}},
                {"required": ["rating"], "properties": {"rating": {"type": "integer"}}},
                {"required": ["comment"], "properties": {"comment": {"type": "string"}}},
            ],
        },
    )

    search_id: Annotated[
        str,
        Field(
            description="As the answer gave it, to the same caller.",
            json_schema_extra=patterns.text(LONGEST),
        ),
    ]
    clicked_rank: Annotated[
        Annotated[int, Field(ge=1, le=MAX_TOP_K)] | None,
        Field(description="`rank` of a source that was opened."),
        BeforeValidator(whole),
    ] = None
    rating: Annotated[
        RatingValue | None,
        Field(description="1: good, -1: bad. A later one takes the place of an earlier one."),
        BeforeValidator(_rating),
    ] = None
    comment: Annotated[
        Annotated[str, Field(json_schema_extra=patterns.text(MAX_COMMENT_CHARS))] | None,
        Field(description="In the user's words. A later one takes the place of an earlier one."),
    ] = None

    def id(self) -> str:
        return clean_text(self.search_id, "search_id", longest=LONGEST)

    def cleaned_comment(self) -> str | None:
        """Raises `InvalidInput` where nothing at all is said."""
        if self.comment is not None:
            return clean_text(self.comment, "comment", longest=MAX_COMMENT_CHARS)
        if self.clicked_rank is None and self.rating is None:
            raise InvalidInput("rating", "send at least one of clicked_rank, rating and comment")
        return None


class FeedbackResponse(BaseModel):
    search_id: str
    status: Literal["accepted"]
