"""What every model of an evidence file is: closed, strict, and written key by key."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from refute.spec.fields import Closed

Item = TypeVar("Item")
# JSON has lists only. What is in them is as strict as everything else.
Several = Annotated[tuple[Item, ...], Field(strict=False)]


class EvidenceModel(Closed):
    """One JSON object of an evidence file."""

    def as_json(self) -> dict[str, Any]:
        """What is written: the keys in the order of the fields."""
        return self.model_dump()


class SparseModel(EvidenceModel):
    """One in which a key without a value is not written."""

    @model_serializer(mode="wrap")
    def _without_none(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in dump(self).items() if value is not None}
