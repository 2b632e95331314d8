"""From measured numbers to a verdict."""

import numbers
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from operator import eq, ge, gt, le, lt
from typing import Any

VERDICTS = ("reproduced", "partly", "not reproduced", "not tried")
REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_TRIED = VERDICTS
_COMPARE = {"<=": le, "<": lt, ">=": ge, ">": gt, "==": eq}
_METRIC_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.]*")


@dataclass(frozen=True)
class Metric:
    """One measured number.

    The value is finite; it may have a confidence interval (95 % unless `note` says otherwise), the
    number `n` of independent repetitions behind it, a unit, and a note for the reader. What comes
    from an optimisation that has not `converged` refutes nothing.
    """

    name: str
    value: float
    ci: tuple[float, float] | None = None
    n: int | None = None
    unit: str | None = None
    note: str | None = None
    converged: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionary, ready for JSON; `converged` stands there where it is false."""
        found = {**asdict(self), "ci": None if self.ci is None else list(self.ci)}
        return {k: v for k, v in found.items() if k != "converged" or not v}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Metric":
        """Inverse of `as_dict`."""
        return cls(**{**data, "ci": None if data["ci"] is None else tuple(data["ci"])})


def satisfies(value: float, op: str, bound: Any) -> bool:
    """Whether ``value op bound`` holds; ``between`` includes both ends."""
    if op == "between":
        return bool(bound[0] <= value <= bound[1])
    return bool(_COMPARE[op](value, bound))


def condition_verdict(condition: Mapping[str, Any], metric: Metric | None) -> str:
    """Verdict of one condition: ``holds``, ``partly``, ``fails`` or ``missing``.

    It holds if the value satisfies it and, where the metric has a confidence interval, both ends
    do; partly if only the value does, or the looser threshold ``partly`` is met. A value that has not
    converged can fail nothing: it counts as missing.
    """
    if metric is None:
        return "missing"
    op, bound = condition["op"], condition["value"]
    if satisfies(metric.value, op, bound):
        return "holds" if all(satisfies(end, op, bound) for end in metric.ci or ()) else "partly"
    if "partly" in condition and satisfies(metric.value, op, condition["partly"]):
        return "partly"
    return "fails" if metric.converged else "missing"


def claim_verdict(claim: Mapping[str, Any], metrics: Mapping[str, Metric]) -> str:
    """Verdict of a claim from its conditions, one of `VERDICTS`; not tried where the run is too small."""
    if claim.get("untried"):
        return NOT_TRIED
    found = [condition_verdict(c, metrics.get(c["metric"])) for c in claim["conditions"]]
    if all(verdict == "holds" for verdict in found):
        return REPRODUCED
    if all(verdict == "missing" for verdict in found):
        return NOT_TRIED
    if all(verdict in ("fails", "missing") for verdict in found):
        return NOT_REPRODUCED
    return PARTLY


def verdicts(document: Mapping[str, Any], metrics: Mapping[str, Metric]) -> dict[str, str]:
    """Verdict of every claim of a chapter, by claim id."""
    return {claim["id"]: claim_verdict(claim, metrics) for claim in document["claims"]}


def worse(recorded: Mapping[str, str], fresh: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Claims whose fresh verdict is worse than the recorded one: ``{id: (recorded, fresh)}``.

    A claim that was tried before and is not tried any more counts as worse.
    """
    rank = {verdict: place for place, verdict in enumerate(VERDICTS)}
    return {
        name: (recorded[name], verdict)
        for name, verdict in fresh.items()
        if name in recorded and rank[verdict] > rank[recorded[name]]
    }


def tally(document: Mapping[str, Any], metrics: Mapping[str, Metric]) -> str:
    """One line that counts the verdicts, those of the paper's claims and those of ours apart."""
    return total([(document, metrics)])


def total(pages: Iterable[tuple[Mapping[str, Any], Mapping[str, Metric]]]) -> str:
    """`tally` over several pages: documents of claims, each with the metrics of its own run."""
    claims = [(claim, metrics) for document, metrics in pages for claim in document["claims"]]
    parts = []
    for origin, words in (("paper", "the paper's"), ("beyond", "ours")):
        group = [claim_verdict(c, metrics) for c, metrics in claims if c["origin"] == origin]
        counts = [f"{group.count(v)} {v}" for v in VERDICTS if v in group]
        if group:
            parts.append(f"{words} {len(group)}: {', '.join(counts)}")
    return "; ".join(parts)


def _number(name: str, value: Any) -> float | int:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return int(value)
    # A whole number beyond the largest float is not finite for whoever reads it.
    if not isinstance(value, numbers.Real) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{name}: got {value!r:.40}, expected one finite number")
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def make_metric(
    name: str,
    value: Any,
    ci: Any = None,
    n: int | None = None,
    converged: bool = True,
    **more: Any,
) -> Metric:
    """Build a `Metric` from numbers, 0-d arrays or tensors.

    ValueError if one is not finite, the name is no identifier, the interval does not hold the value,
    `n` is below 1, or the unit or the note is no text.
    """
    if not _METRIC_NAME.fullmatch(name):
        raise ValueError(f"name: got {name!r}, expected letters, digits, '_' and '.' only")
    value = _number(f"{name}: value", value)
    if ci is not None:
        ci = low, high = tuple(_number(f"{name}: ci", end) for end in ci)
        if not low <= value <= high:
            raise ValueError(f"{name}: ci [{low}, {high}] does not hold the value {value}")
    if n is not None:
        given, n = n, _number(f"{name}: n", n)
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"{name}: n: got {given!r}, expected a whole number of at least 1")
    for field, text in more.items():
        if not isinstance(text, str | None):
            raise ValueError(f"{name}: {field}: got {text!r}, expected text")
    return Metric(name, value, ci, n, converged=bool(converged), **more)
