"""What a teacher of another width, or of another language, may not do to its student."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refute.check.contracts.rewrite import Rewrite
from refute.errors import ExperimentError
from refute_contracts.kd_loss import Case, cases, engine
from refute_contracts.refusing import refuses

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from refute.check.contracts.tolerance import Tolerance

_LETTERS = "abcdefgh"
_MERGES = (("a", "b"), ("c", "d"), ("e", "f"), ("g", "h"))
_TOKENS = (*_LETTERS, *(left + right for left, right in _MERGES), "<end>", "<pad>")
_REFUSE = "refute.engines.model.vocabulary:refuse_other_vocabulary"


def tokenizer(
    tokens: Sequence[str] = _TOKENS, merges: Sequence[tuple[str, str]] = _MERGES, end: str = "<end>"
) -> PreTrainedTokenizerFast:
    """A tokenizer in which `tokens` have the ids 0, 1, …"""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    model = models.BPE({token: index for index, token in enumerate(tokens)}, list(merges))
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), eos_token=end)


@given(rows=st.integers(14, 40), more=st.integers(0, 9))
def one_language_is_accepted(rows: int, more: int) -> None:
    """The same tokens, merges and end of text, padded to more rows in the teacher; never to fewer."""
    from refute.engines.model.vocabulary import refuse_other_vocabulary

    refuse_other_vocabulary(rows, tokenizer(), rows + more, tokenizer())
    assert refuses(ExperimentError, lambda: refuse_other_vocabulary(rows + 1 + more, tokenizer(), rows, tokenizer()))


@given(places=st.sets(st.integers(0, len(_LETTERS) - 1), min_size=2, max_size=2))
def swapped_tokens_are_refused(places: set[int]) -> None:
    """Equal sets of tokens, of which two have changed places."""
    from refute.engines.model.vocabulary import refuse_other_vocabulary

    one, other = places
    tokens = list(_TOKENS)
    tokens[one], tokens[other] = tokens[other], tokens[one]
    assert refuses(ExperimentError, lambda: refuse_other_vocabulary(14, tokenizer(), 14, tokenizer(tokens)))


@given(end=st.sampled_from(["<pad>", *_LETTERS]))
def another_end_of_text_is_refused(end: str) -> None:
    """Equal tokens under equal ids, of which another one ends a text."""
    from refute.engines.model.vocabulary import refuse_other_vocabulary

    assert refuses(ExperimentError, lambda: refuse_other_vocabulary(14, tokenizer(), 14, tokenizer(end=end)))


@given(merges=st.permutations(_MERGES).filter(lambda merges: tuple(merges) != _MERGES))
def another_order_of_merges_is_refused(merges: list[tuple[str, str]]) -> None:
    """Equal tokens under equal ids, put together by other rules."""
    from refute.engines.model.vocabulary import refuse_other_vocabulary

    assert refuses(ExperimentError, lambda: refuse_other_vocabulary(14, tokenizer(), 14, tokenizer(merges=merges)))


@given(case=cases(st.just(0.3)), more=st.integers(1, 5), level=st.sampled_from([-np.inf, 0.0, 30.0]))
def padding_never_matters(case: Case, more: int, level: float, within: Tolerance) -> None:
    """A teacher with entries beyond the student's, likely or not, teaches what it teaches without them."""
    import torch

    narrow = engine(case)
    wide = dataclasses.replace(case, teacher=np.pad(case.teacher, ((0, 0), (0, more)), constant_values=level))
    found = engine(wide)
    hidden, head = (
        np.eye(len(case.teacher)),
        np.pad(case.teacher.T, ((0, more), (0, 0)), constant_values=max(level, 0.0)),
    )
    of_states = engine(case, teacher_hidden=torch.from_numpy(hidden), teacher_head_weight=torch.from_numpy(head))
    for each in (found, of_states):
        assert within.admits([each[0].total.item(), *each[1].ravel()], [narrow[0].total.item(), *narrow[1].ravel()])


@given(
    logits=st.lists(st.floats(-9, 9, width=32), min_size=2, max_size=12).flatmap(
        lambda row: st.tuples(st.just(row), st.integers(1, len(row)))
    )
)
def dropped_mass_is_the_probability_cut_off(logits: tuple[list[float], int], within: Tolerance) -> None:
    """The sum of the teacher's softmax beyond the width, in percent."""
    import torch

    from refute.engines.model.vocabulary import dropped_mass

    row, width = logits
    share = np.exp(np.array(row) - max(row))
    expected = share[width:].sum() / share.sum()
    assert within.admits(100 * dropped_mass(torch.tensor([row]), width).item(), 100 * float(expected))


narrow_teacher = Rewrite(_REFUSE, {"if student_rows > teacher_rows": "if False"})
ids_not_compared = Rewrite(_REFUSE, {"if known.get(number) != token": "if token not in known.values()"})
ends_not_compared = Rewrite(_REFUSE, {"student.eos_token_id != teacher.eos_token_id": "False"})
merges_as_a_set = Rewrite(
    _REFUSE, {"_merges(student) != _merges(teacher)": "len(_merges(student)) != len(_merges(teacher))"}
)
last_entries_kept = Rewrite(
    "refute.engines.distill.loss.teacher_forms:LogitTiles.tile",
    {"self.logits[rows, : self.width]": "self.logits[rows, -self.width :]"},
)
last_rows_of_the_head_kept = Rewrite(
    "refute.engines.distill.loss.inputs:teacher_tiles", {"head[:width]": "head[-width:]"}
)
one_entry_more = Rewrite(
    "refute.engines.model.vocabulary:dropped_mass", {"numbers[..., width:]": "numbers[..., width + 1 :]"}
)
