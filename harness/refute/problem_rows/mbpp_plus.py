"""What EvalPlus's program knows of MBPP+ and its file does not say (evalplus/data/mbpp.py, evalplus/eval, v0.3.1).

JSON has no tuples, sets and complex numbers: which arguments are some goes by the number of the task. And some tasks
have several right answers, which a rule finds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

Change = Callable[[Any], Any]


def arguments(task: int, given: Sequence[Any]) -> list[Any]:
    """The arguments of one call of the task with this number. Raises ValueError where they are of another shape."""
    changes = next((changes for tasks, changes in _CHANGES if task in tasks), ())
    try:
        changed = [change(value) for change, value in zip(changes, given, strict=False)]
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"an input of Mbpp/{task} is of another shape than EvalPlus reads there: {error}") from error
    return [*changed, *given[len(changed) :]]


def _as_it_is(value: Any) -> Any:
    return value


def _list_of(change: Change) -> Change:
    return lambda value: [change(each) for each in value]


def _tuple_of(change: Change) -> Change:
    return lambda value: tuple(change(each) for each in value)


def _tuples_in(value: Any) -> Any:
    """All lists as tuples, however deep."""
    return tuple(_tuples_in(each) for each in value) if isinstance(value, list) else value


def _set_or_nothing(value: Any) -> Any:
    return set(value) if isinstance(value, list) and value else {}


def _tuple_if_list(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _values_as_tuples(value: Any) -> Any:
    return {key: tuple(each) for key, each in value.items()}


# No task has more arguments.
_MOST = 8
_EACH_TUPLE = (
    2,
    116,
    132,
    143,
    222,
    261,
    273,
    394,
    399,
    421,
    424,
    429,
    470,
    560,
    579,
    596,
    616,
    630,
    726,
    740,
    744,
    809,
)
_EACH_LIST_OF_TUPLES = (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780)
_CHANGES: tuple[tuple[Sequence[int], Sequence[Change]], ...] = (
    (_EACH_TUPLE, [tuple] * _MOST),
    (_EACH_LIST_OF_TUPLES, [_list_of(tuple)] * _MOST),
    ((75, 413, 444, 753), [_list_of(tuple)]),
    ((106, 750), [_as_it_is, tuple]),
    ((115,), [_list_of(_set_or_nothing)]),
    ((124,), [float, complex]),
    ((250, 307, 405, 446, 617, 720, 763, 808), [tuple]),
    ((252,), [complex]),
    ((259, 401, 445), [_tuple_of(tuple)] * _MOST),
    ((278,), [_tuple_of(_tuple_if_list)] * _MOST),
    ((580, 615, 791), [_tuples_in] * _MOST),
    ((722,), [_values_as_tuples]),
)

_SAME_MEMBERS = "return set(found) == set(expected)"
# Tasks whose answer counts as found, whatever it is, or as not found.
FOUND_OR_NOT = ("check_str", "text_match_three", "text_starta_endb")
_FOUND = "return (found if isinstance(found, bool) else found is not None) == (expected is not None)"
# By the function's name: statements that return whether `found` is right, None to compare as ever.
RULES: Mapping[str, str] = MappingProxyType(
    {
        # EvalPlus takes any answer here, for the task does not say what is equivalent.
        "are_equivalent": "return True",
        "sum_div": "return True if found == 0 else None",
        "surface_Area": (
            "edge, height = given\n"
            "area = round(edge**2 + 2 * edge * math.sqrt((edge / 2) ** 2 + height**2))\n"
            "return True if abs(found - area) <= _TOLERANCE else None"
        ),
        "digit_distance_nums": (
            "one, other = (str(each) for each in given)\n"
            "width = max(len(one), len(other))\n"
            "pairs = zip(one.zfill(width), other.zfill(width))\n"
            "return True if found == sum(abs(int(a) - int(b)) for a, b in pairs) else None"
        ),
        **dict.fromkeys(FOUND_OR_NOT, _FOUND),
        **dict.fromkeys(
            (
                "similar_elements",
                "find_char_long",
                "common_in_nested_lists",
                "extract_singly",
                "larg_nnum",
                "intersection_array",
                "find_dissimilar",
                "Diff",
            ),
            _SAME_MEMBERS,
        ),
    }
)
