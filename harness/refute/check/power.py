"""What a bar on a share can decide at its number of observations, before anything is measured. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from refute import stats
from refute.outcome import Interval, Measurement, Outcome
from refute.spec.bars.threshold import Threshold, decide
from refute.spec.criteria import FalsifierUse, Spec, attacks

# The interval of so many successes of n, by falsifier and measurement: of those whose data are single passes.
INTERVALS: Mapping[tuple[str, str], Callable[[int, int], Interval]] = MappingProxyType(
    {
        ("humaneval-pass-at-1", "pass_at_1"): stats.wilson_interval,
        ("benchmark-share", "share"): stats.exact_interval,
    }
)
# As usual in planning: a true value is called decidable where four of five runs decide it.
POWER = 0.8
_GRID = 1000
# Where a problem is asked several times: so often, and so alike are its samples (their correlation) that what they buy
# is neither all nor nothing.
SAMPLES = (1, 4, 8, 16)
ALIKE = 0.5


@dataclass(frozen=True, slots=True)
class Reach:
    """What one bar decides of `n`: so many successes corroborate it, and so many falsify it.

    `shown_at` and `refuted_at` are true shares, in percent, at which the power is `POWER`; None where none is.
    """

    use: str
    measurement: str
    bar: str
    n: int
    corroborated: tuple[int, ...]
    falsified: tuple[int, ...]
    shown_at: float | None
    refuted_at: float | None

    def sentence(self) -> str:
        """In words."""
        parts = [_span(self.corroborated, "corroborated by"), _span(self.falsified, "falsified by")]
        shown = "no true value shows it" if self.shown_at is None else f"a true {self.shown_at:.1f} % shows it"
        refuted = "none refutes it" if self.refuted_at is None else f"a true {self.refuted_at:.1f} % refutes it"
        chances = f"in {POWER:.0%} of runs {shown}, {refuted}"
        return f"{self.use} {self.measurement} {self.bar}: of {self.n}, {', '.join(parts)}, open between; {chances}"


@dataclass(frozen=True, slots=True)
class SampledReach:
    """What a bar on pass@1 decides of `n` problems by how many samples each has, where those are `ALIKE`.

    By that number, the true share, in percent, at which the power is `POWER`; None where none is.
    """

    use: str
    measurement: str
    bar: str
    n: int
    shown_at: Mapping[int, float | None]
    refuted_at: Mapping[int, float | None]

    def sentence(self) -> str:
        """In words."""
        each = (
            f"{samples} a problem: {_percent(self.shown_at[samples])} shows it, "
            f"{_percent(self.refuted_at[samples])} refutes it"
            for samples in self.shown_at
        )
        return (
            f"{self.use} {self.measurement} {self.bar}: of {self.n} problems, in {POWER:.0%} of runs, where samples of "
            f"one correlate by {ALIKE:g}: {'; '.join(each)}"
        )


def reach_of(use: FalsifierUse, n: int | None = None) -> Iterator[Reach | SampledReach]:
    """What each bar of `use` can decide at `n`, or at the `min_n` that it states; nothing for other intervals."""
    for name, threshold in use.parsed_thresholds().items():
        interval = INTERVALS.get((use.uses or "", name))
        asked = n or max(use.thresholds[name].min_n.values(), default=0)
        if interval is not None and asked:
            yield _reach(use.id, name, threshold, asked, interval)
        if (use.uses, name) == ("humaneval-pass-at-k", "pass_at_k") and use.parameters.get("k", 1) == 1 and asked:
            yield _sampled_reach(use.id, name, threshold, asked)


def reaches(specs: Sequence[Spec], n: int | None = None) -> Iterator[Reach | SampledReach]:
    """Those of all uses, in the order of the specs."""
    for _, _, use in attacks(specs):
        yield from reach_of(use, n)


def _reach(use: str, name: str, threshold: Threshold, n: int, interval: Callable[[int, int], Interval]) -> Reach:
    unit = threshold.holds_if.unit
    outcomes = [
        decide(Measurement(name, 100 * k / n, unit, n=n, interval=interval(k, n)), threshold)[0] for k in range(n + 1)
    ]
    shown, refuted = (
        tuple(k for k, found in enumerate(outcomes) if found is wanted)
        for wanted in (Outcome.CORROBORATED, Outcome.FALSIFIED)
    )
    bar = threshold.holds_if.value
    return Reach(use, name, str(threshold.holds_if), n, shown, refuted, _at(shown, n, bar), _at(refuted, n, bar))


def _sampled_reach(use: str, name: str, threshold: Threshold, n: int) -> SampledReach:
    bar = threshold.holds_if.value
    found = {
        wanted: {samples: _sampled_at(threshold, wanted, n, samples) for samples in SAMPLES}
        for wanted in (Outcome.CORROBORATED, Outcome.FALSIFIED)
    }
    nearest = {
        wanted: {samples: min(at, key=lambda each: abs(each - bar), default=None) for samples, at in by_samples.items()}
        for wanted, by_samples in found.items()
    }
    return SampledReach(
        use, name, str(threshold.holds_if), n, nearest[Outcome.CORROBORATED], nearest[Outcome.FALSIFIED]
    )


def _sampled_at(threshold: Threshold, wanted: Outcome, n: int, samples: int) -> list[float]:
    """True shares, in percent, at which means of `n` problems give the outcome with the power: they are near normal."""
    varying, unit = ALIKE + (1 - ALIKE) / samples, threshold.holds_if.unit
    means = [mean for mean in range(n + 1) if _decided(threshold, unit, mean, n, varying) is wanted]
    if not means:
        return []
    low, high = ((end - half) / n for end, half in ((means[0], 0.5), (means[-1], -0.5)))
    found = []
    for share in (step / _GRID for step in range(1, _GRID)):
        normal = statistics.NormalDist(share, math.sqrt(varying * share * (1 - share) / n))
        if normal.cdf(high) - normal.cdf(low) >= POWER:
            found.append(100 * share)
    return found


def _decided(threshold: Threshold, unit: str, mean: int, n: int, varying: float) -> Outcome:
    """Of a mean of `mean` / `n`: a share `varying` of the problems is solved always or never, the rest alike often."""
    whole, none = round(varying * mean), round(varying * (n - mean))
    alike = n - whole - none
    value, interval = stats.mean_share([1.0] * whole + [0.0] * none + [(mean - whole) / max(alike, 1)] * alike)
    return decide(Measurement("pass_at_k", value, unit, n=n, interval=interval), threshold)[0]


def _percent(share: float | None) -> str:
    return "no true value" if share is None else f"a true {share:.1f} %"


def _at(counts: tuple[int, ...], n: int, bar: float) -> float | None:
    """The true share nearest to the bar, in percent, at which one of `counts` comes with the power."""
    if not counts:
        return None
    from scipy.special import bdtr

    low, high = counts[0], counts[-1]
    shares = [step / _GRID for step in range(_GRID + 1)]
    powerful = [
        share
        for share in shares
        if float(bdtr(high, n, share)) - (float(bdtr(low - 1, n, share)) if low else 0.0) >= POWER
    ]
    return min((100 * share for share in powerful), key=lambda share: abs(share - bar), default=None)


def _span(counts: tuple[int, ...], verb: str) -> str:
    if not counts:
        return f"{verb} none"
    first, last = counts[0], counts[-1]
    return f"{verb} {first}" if first == last else f"{verb} {first} to {last}"
