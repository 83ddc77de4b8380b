"""What a fault does to a value: to tensors, to texts, and when."""

from __future__ import annotations

import pytest
import torch

from refute.engines.drill.change import Change
from refute.spec.experiments.drill import Fault, Kind

ROWS = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


def change(kind: Kind, begins: int = 0, ends: int = 1 << 30) -> Change:
    """A fault of `kind` at work."""
    return Change(Fault(target="m:f", carries="tensor", kind=kind, begins=begins, ends=ends), seed=1)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("drop", [[0, 0], [0, 0], [0, 0]]),
        ("scale", [[2, 4], [6, 8], [10, 12]]),
        ("swap", [[5, 6], [1, 2], [3, 4]]),
        ("starve", [[1, 2], [0, 0], [0, 0]]),
    ],
)
def test_a_tensor(kind: Kind, wanted: list[list[float]]) -> None:
    """Changed, and not in place: whoever gave it away still has it."""
    given = ROWS.clone()
    (found,) = change(kind).tensors([given])
    assert found.tolist() == wanted
    assert torch.equal(given, ROWS)


def test_an_invented_tensor_is_of_the_size_of_the_real_one() -> None:
    """Whole numbers stay those that were there: any other might be none that its reader knows."""
    (found,) = change("invent").tensors([ROWS])
    assert found.shape == ROWS.shape
    assert not torch.equal(found, ROWS)
    ids = torch.arange(50)
    (shuffled,) = change("invent").tensors([ids])
    assert sorted(shuffled.tolist()) == ids.tolist() != shuffled.tolist()


def test_a_changed_loss_can_be_differentiated() -> None:
    """Twice the loss has twice the gradient, and none has none."""
    for kind, slope in (("scale", 6.0), ("drop", 0.0), ("invent", 0.0)):
        weight = torch.tensor(3.0, requires_grad=True)
        (loss,) = change(kind).tensors([weight**2])  # type: ignore[arg-type]  # kinds, and mypy sees texts
        torch.autograd.backward(loss)
        assert weight.grad == pytest.approx(2 * slope if kind == "scale" else 0.0)


def test_delays_and_repetitions() -> None:
    """The one before, or the first; where another shape was there before, what is given."""
    given = [ROWS + number for number in range(3)]
    late, first = change("delay"), change("repeat")
    assert [late.tensors([each])[0][0, 0].item() for each in given] == [1.0, 1.0, 2.0]
    assert [first.tensors([each])[0][0, 0].item() for each in given] == [1.0, 1.0, 1.0]
    assert late.tensors([ROWS[:2]])[0].shape == (2, 2)


def test_many_tensors_starve_in_turn_and_a_number_every_other_time() -> None:
    """Half of it arrives, whatever it is."""
    weights = change("starve").tensors([ROWS] * 6)
    assert [bool(each.any()) for each in weights] == [False, True] * 3
    starved = change("starve")
    assert [starved.tensors([torch.tensor(1.0)])[0].item() for _ in range(4)] == [0.0, 1.0, 0.0, 1.0]


def test_texts() -> None:
    """As tensors, in their own way."""
    given = ["one", "three"]
    assert change("drop").texts(given) == ["", ""]
    assert change("swap").texts(given) == ["three", "one"]
    assert change("starve").texts(given) == ["o", "th"]
    assert change("leak").texts(given, ["solved", "too"]) == ["solved", "too"]
    assert change("invent").texts(given) != given


def test_a_fault_has_its_time() -> None:
    """Hand-overs before it and behind it are what they are."""
    brief = change("drop", begins=1, ends=3)
    assert [bool(brief.tensors([ROWS])[0].any()) for _ in range(5)] == [True, False, False, True, True]
