"""Bars as people write them: a comparison, what decides nothing, a sequential rule, the least observations."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from refute.outcome import RunClass
from refute.spec.bars.sequential import Design, Spending, every
from refute.spec.bars.threshold import BAR_PATTERN, Threshold, parse_bar
from refute.spec.fields import Closed, Positive
from refute.spec.yaml.document import located

BarText = Annotated[
    str,
    Field(
        description="Operator (< <= > >= ==), number, space, unit. Quote it: a bare `>` is YAML syntax.",
        json_schema_extra={"pattern": BAR_PATTERN, "examples": ["<= 1e-3 logit", ">= 15 %", "== 0 tensors"]},
    ),
]


class SequentialText(Closed):
    """How a share may be decided against its bar before every problem was answered."""

    error_rate: Annotated[
        float, Field(gt=0, lt=0.5, description="Chance, at most, of a decision where the share lies at the bar.")
    ]
    spending: Spending = Field(description="How the error is spent over the looks (Lan & DeMets 1983).")
    problems: Annotated[int, Field(gt=0, description="All problems there are: where the run ends at the latest.")]
    look_every: Annotated[int, Field(gt=0)] | None = Field(default=None, description="A look after every so many.")
    looks: tuple[Annotated[int, Field(gt=0)], ...] | None = Field(
        default=None, description="Or after exactly these numbers of problems; the last is `problems`."
    )
    seed: int = Field(default=17, description="Of the random order in which the problems are put.")

    @model_validator(mode="after")
    def _one_plan(self) -> Self:
        if (self.look_every is None) == (self.looks is None):
            raise ValueError("name either `look_every` or `looks`, not both and not neither")
        if self.looks is not None and self.looks[-1:] != (self.problems,):
            raise ValueError(f"the last of `looks` must be `problems`, {self.problems}")
        return self

    def __str__(self) -> str:
        looks = f"every {self.look_every}" if self.looks is None else f"after {', '.join(map(str, self.looks))}"
        return (
            f"sequential (error {self.error_rate}, {self.spending}, looks {looks} of {self.problems}, seed {self.seed})"
        )

    def design(self, bar: float) -> Design:
        """The test against `bar` percent. Raises ValueError where it has no sense."""
        looks = every(self.look_every, self.problems) if self.look_every is not None else self.looks or ()
        return Design(bar, self.error_rate, self.spending, looks, self.seed)


class ThresholdText(Closed):
    """The bar of one measurement, as text."""

    holds_if: BarText
    inconclusive_if: BarText | None = Field(
        default=None, description="Values that decide nothing, whatever `holds_if` says."
    )
    sequential: SequentialText | None = Field(
        default=None, description="Allows a run to stop once the bar is decided, and says what its interval must be."
    )
    min_n: dict[RunClass, Positive] = Field(
        default={}, description="Observations without which a run of this class, or of a larger one, decides nothing."
    )

    def __str__(self) -> str:
        threshold = self.parsed()
        doubt = f", inconclusive {threshold.inconclusive_if}" if threshold.inconclusive_if is not None else ""
        rule = f", {self.sequential}" if self.sequential is not None else ""
        return f"{threshold.holds_if}{doubt}{rule}{self.floors()}"

    def floors(self) -> str:
        """The least observations in words, such as `, n >= 24 in a run of class embedded`; empty without any."""
        return "".join(f", n >= {self.min_n[each]} in a run of class {each}" for each in RunClass if each in self.min_n)

    def least_n(self, run_class: RunClass) -> int:
        """How many observations a run of `run_class` needs: the most that any class which it reaches asks for."""
        return max((n for each, n in self.min_n.items() if run_class.reaches(each)), default=1)

    @field_validator("holds_if", "inconclusive_if")
    @classmethod
    def _is_bar(cls, text: str | None) -> str | None:
        if text is not None:
            parse_bar(text)
        return text

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        threshold = self.parsed()
        doubt = threshold.inconclusive_if
        if doubt is not None and doubt.unit != threshold.holds_if.unit:
            message = f"unit {doubt.unit!r} differs from {threshold.holds_if.unit!r} of `holds_if`"
            raise located([(("inconclusive_if",), message)])
        return self

    @model_validator(mode="after")
    def _sequential_bar(self) -> Self:
        bar = self.parsed().holds_if
        if self.sequential is not None and (bar.unit != "%" or bar.operator == "=="):
            raise located([(("sequential",), f"a share in % is tested against an ordering, not against `{bar}`")])
        self.design()
        return self

    def parsed(self) -> Threshold:
        """The same as comparisons."""
        doubt = self.inconclusive_if
        return Threshold(parse_bar(self.holds_if), None if doubt is None else parse_bar(doubt))

    def design(self) -> Design | None:
        """The sequential test that the bar is decided by, where one is declared."""
        return None if self.sequential is None else self.sequential.design(parse_bar(self.holds_if).value)
