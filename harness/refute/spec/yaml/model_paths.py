"""What a pydantic model has at a key path: the type-level twin of looking a value up in parsed data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel


def has_path(model: type[BaseModel], path: Sequence[str | int]) -> bool:
    """Whether some instance of `model` may hold a value at `path` (keys as written in the file)."""
    return bool(_annotations_at(model, path, None))


def keys_at(model: type[BaseModel], path: Sequence[str | int], data: object) -> list[str]:
    """The keys that a mapping at `path` may have, sorted.

    `data` is the whole parsed file; its literal tags (`format: gguf`) pick among the members of a union.
    """
    annotations = _annotations_at(model, path, data)
    return sorted({key for each in annotations if _is_model(each) for key in _fields(each)})


def _annotations_at(model: type[BaseModel], path: Sequence[str | int], data: object) -> list[object]:
    found: list[object] = [model]
    for key in path:
        data = _child(data, key)
        below = [member for annotation in found for child in _children(annotation, key) for member in _members(child)]
        found = [each for each in below if _fits(each, data)] or below
    return found


def _members(annotation: object) -> Iterator[object]:
    """`annotation` with `Annotated` and unions opened."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin is Union or origin is UnionType:
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _children(annotation: object, key: str | int) -> Iterator[object]:
    if _is_model(annotation):
        yield from (child for name, child in _fields(annotation).items() if name == key)
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict and isinstance(key, str):
        yield arguments[1]
    elif origin in (tuple, list) and isinstance(key, int):
        yield arguments[0]


def _is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _fields(model: type[BaseModel]) -> dict[str, object]:
    """Annotations by key as written in a file, that is by alias where there is one."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _fits(annotation: object, data: object) -> bool:
    """Whether the literal tags in `data` allow it to be an `annotation`; without tags they do."""
    if not _is_model(annotation) or not isinstance(data, dict):
        return True
    return all(
        data.get(key) in get_args(literal)
        for key, literal in _fields(annotation).items()
        if get_origin(literal) is Literal and key in data
    )


def _child(data: object, key: str | int) -> object:
    if isinstance(data, dict):
        return data.get(key)
    if isinstance(data, list) and isinstance(key, int) and 0 <= key < len(data):
        return data[key]
    return None
