"""Claims of the papers, the metrics a chapter measures for them, and the verdicts.

A paper's claims stand in ``data/paper/<chapter>.yaml`` with conditions on named metrics; the
thresholds are therefore fixed before a run. A chapter records metrics in a `Ledger`; verdicts are
pure functions of the two. What a chapter recorded travels in the *metadata* of its cells' outputs
at full precision, while the text on the page is rounded, so that the page reads the same on every
machine and nothing is lost.
"""

from __future__ import annotations

import difflib
import json
import math
import numbers
import re
import sys
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from press import paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from press.show.pages import Display

REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_TRIED = VERDICTS = (
    "reproduced",
    "partly",
    "not reproduced",
    "not tried",
)
METADATA_KEY = "diffbook"

_METRIC_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.]*")


@dataclass(frozen=True)
class Metric:
    """One measured number.

    Parameters
    ----------
    name : str
        Name used by the conditions of the claims, for example ``"denoiser_forms"``.
    value : float or int
        Finite value.
    ci : tuple of float, optional
        Both ends of a confidence interval (95 % unless `note` says otherwise), ``ci[0] <= ci[1]``.
    n : int, optional
        Number of independent repetitions (seeds, draws) behind the interval.
    unit : str, optional
        Unit, for example ``"s"`` or ``"rel."``.
    note : str, optional
        Anything the reader of the table has to know.
    """

    name: str
    value: float
    ci: tuple[float, float] | None = None
    n: int | None = None
    unit: str | None = None
    note: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionary, ready for JSON."""
        return {**asdict(self), "ci": None if self.ci is None else list(self.ci)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Metric:
        """Inverse of `as_dict`."""
        return cls(**{**data, "ci": None if data["ci"] is None else tuple(data["ci"])})


def nearest(name: str, valid: Iterable[str]) -> str:
    """End of an error message: the nearest valid name, and all of them."""
    valid = list(valid)
    if not valid:
        return "there is none"
    best = difflib.get_close_matches(str(name), valid, n=1, cutoff=0.0)[0]
    return f"did you mean {best!r}? Valid: {', '.join(valid)}"


@cache
def _schema(name: str) -> dict[str, Any]:
    text = resources.files("press").joinpath("schema", f"{name}.schema.json").read_text("utf-8")
    return json.loads(text)


def validate(document: Any, schema: str, where: str) -> None:
    """Check `document` against a schema that ships with the package.

    Parameters
    ----------
    document : dict
        Parsed YAML or JSON.
    schema : {"claims", "manifest"}
        Name of the schema.
    where : str
        File name for the message.

    Raises
    ------
    ValueError
        With the place in the document and what is wrong there.
    """
    import jsonschema

    validator = jsonschema.Draft202012Validator(_schema(schema))
    error = jsonschema.exceptions.best_match(validator.iter_errors(document))
    if error is None:
        return
    place = "/".join(str(part) for part in error.absolute_path) or "top level"
    message = f"{where}: {place}: {error.message}"
    if isinstance(error.instance, str) and re.fullmatch(r"[\d.]+[eE][-+]?\d+", error.instance):
        message += f" (YAML reads {error.instance} as text: write 1.0e-10, not 1e-10)"
    raise ValueError(message)


def _as_range(value: Any) -> tuple[float, float]:
    return (value, value) if isinstance(value, numbers.Real) else (value[0], value[1])


def _check_conditions(claim: Mapping[str, Any], where: str) -> None:
    for condition in claim["conditions"]:
        for field in ("value", "partly"):
            if field not in condition:
                continue
            low, high = _as_range(condition[field])
            if not low <= high:
                raise ValueError(f"{where}: claim {claim['id']}: {field} [{low}, {high}] is empty")
        if "partly" in condition and not _is_looser(condition):
            raise ValueError(
                f"{where}: claim {claim['id']}: 'partly' {condition['partly']} must be looser "
                f"than {condition['op']} {condition['value']}"
            )


def _is_looser(condition: Mapping[str, Any]) -> bool:
    strict, loose = condition["value"], condition["partly"]
    if condition["op"] == "between":
        return loose[0] <= strict[0] and loose[1] >= strict[1] and loose != strict
    if condition["op"] == "==":
        return False
    return loose > strict if condition["op"] in ("<=", "<") else loose < strict


def read_yaml(path: Path) -> Any:
    """Content of a YAML file.

    Raises
    ------
    ValueError
        Naming the file and the place, if it is no YAML.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{paths.relative(path)}: not YAML: {error}") from error


def load_file(path: Path) -> dict[str, Any]:
    """Read and check one file of claims; see `load`."""
    where = paths.relative(path)
    document = read_yaml(path)
    validate(document, "claims", where)
    if document["chapter"] != path.stem:
        raise ValueError(f"{where}: chapter is {document['chapter']!r}, expected {path.stem!r}")
    seen: set[str] = set()
    for claim in document["claims"]:
        if claim["id"] in seen:
            raise ValueError(f"{where}: claim id {claim['id']} is used twice")
        seen.add(claim["id"])
        _check_conditions(claim, where)
    return document


def load(chapter: str) -> dict[str, Any]:
    """Facts and claims of one chapter's paper, checked.

    Raises
    ------
    ValueError
        If the chapter has no file of claims, or the file breaks the schema.
    """
    path = paths.paper() / f"{chapter}.yaml"
    if not path.is_file():
        known = sorted(found.stem for found in paths.paper().glob("*.yaml"))
        raise ValueError(f"chapter: {chapter!r} has no claims file; {nearest(chapter, known)}")
    return load_file(path)


def load_book() -> dict[str, dict[str, Any]]:
    """Claims of all chapters, in the book's order; claim ids are unique over the book."""
    book: dict[str, dict[str, Any]] = {}
    owner: dict[str, str] = {}
    for path in sorted(paths.paper().glob("*.yaml")):
        book[path.stem] = load_file(path)
        for claim in book[path.stem]["claims"]:
            other = owner.setdefault(claim["id"], path.stem)
            if other != path.stem:
                raise ValueError(f"claim id {claim['id']} stands in {other} and in {path.stem}")
    return book


def satisfies(value: float, op: str, bound: Any) -> bool:
    """Whether ``value op bound`` holds; ``between`` includes both ends."""
    if op == "between":
        return bool(bound[0] <= value <= bound[1])
    return bool(
        {
            "<=": value <= bound,
            "<": value < bound,
            ">=": value >= bound,
            ">": value > bound,
            "==": value == bound,
        }[op]
    )


def condition_verdict(condition: Mapping[str, Any], metric: Metric | None) -> str:
    """Verdict of one condition: ``holds``, ``partly``, ``fails`` or ``missing``.

    It holds if the value satisfies it and, where the metric has a confidence interval, both ends
    do; partly if only the value does, or the looser threshold ``partly`` is met.
    """
    if metric is None:
        return "missing"
    op, bound = condition["op"], condition["value"]
    if satisfies(metric.value, op, bound):
        ends = metric.ci or ()
        return "holds" if all(satisfies(end, op, bound) for end in ends) else "partly"
    if "partly" in condition and satisfies(metric.value, op, condition["partly"]):
        return "partly"
    return "fails"


def claim_verdict(claim: Mapping[str, Any], metrics: Mapping[str, Metric]) -> str:
    """Verdict of a claim from its conditions, one of `VERDICTS`."""
    found = [condition_verdict(c, metrics.get(c["metric"])) for c in claim["conditions"]]
    if all(verdict == "holds" for verdict in found):
        return REPRODUCED
    if all(verdict == "missing" for verdict in found):
        return NOT_TRIED
    if all(verdict in ("fails", "missing") for verdict in found):
        return NOT_REPRODUCED
    return PARTLY


def verdicts(chapter: str, metrics: Mapping[str, Metric]) -> dict[str, str]:
    """Verdict of every claim of `chapter`, by claim id."""
    return {claim["id"]: claim_verdict(claim, metrics) for claim in load(chapter)["claims"]}


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


def tally(found: Iterable[str]) -> str:
    """One line that counts the verdicts, for example ``"3 reproduced, 1 partly, ..."``."""
    found = list(found)
    return ", ".join(f"{found.count(verdict)} {verdict}" for verdict in VERDICTS)


def _number(name: str, value: Any) -> float | int:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"{name}: got {value!r}, expected one finite number")
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def make_metric(name: str, value: Any, ci: Any = None, n: int | None = None, **more: Any) -> Metric:
    """Build a `Metric` from numbers, 0-d arrays or tensors, and check it.

    Raises
    ------
    ValueError
        If the name is no identifier, a number is not finite, the interval is upside down or does
        not hold the value, or `n` is below 1.
    """
    if not _METRIC_NAME.fullmatch(name):
        raise ValueError(f"name: got {name!r}, expected letters, digits, '_' and '.' only")
    metric = Metric(name, _number(f"{name}: value", value), **more)
    if ci is not None:
        low, high = (_number(f"{name}: ci", end) for end in ci)
        if not low <= metric.value <= high:
            raise ValueError(f"{name}: ci [{low}, {high}] does not hold the value {metric.value}")
        metric = replace(metric, ci=(low, high))
    if n is not None:
        count = _number(f"{name}: n", n)
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name}: n: got {n!r}, expected a whole number of at least 1")
        metric = replace(metric, n=count)
    return metric


def _device() -> str:
    # PyTorch is looked up, not imported: a chapter of closed forms must not load it.
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "cpu"


class Ledger:
    """The metrics of one chapter while it runs, and the verdicts they give.

    Parameters
    ----------
    chapter : str
        Name of the chapter, for example ``"01_spectral"``.
    profile : str
        Name of the profile that is running.
    device : str, optional
        What computed the numbers, in words (``"cpu"``, ``"NVIDIA H200"``); goes to the manifest.
        Default: the GPU that PyTorch uses if the chapter has loaded it and there is one.

    Examples
    --------
    >>> ledger = Ledger("01_spectral", profile="laptop")  # doctest: +SKIP
    >>> ledger.record("denoiser_forms", 3e-15, unit="rel.")  # doctest: +SKIP
    >>> ledger.check("S01")  # doctest: +SKIP
    """

    def __init__(self, chapter: str, profile: str = "laptop", device: str | None = None):
        self.document = load(chapter)
        self.chapter, self.profile, self.device = chapter, profile, device
        self.metrics: dict[str, Metric] = {}

    def record(
        self,
        name: str,
        value: Any,
        *,
        ci: tuple[Any, Any] | None = None,
        n: int | None = None,
        unit: str | None = None,
        note: str | None = None,
    ) -> None:
        """Record one metric; recording a name again replaces it. See `Metric`."""
        self.metrics[name] = make_metric(name, value, ci, n, unit=unit, note=note)

    def claim(self, identifier: str) -> dict[str, Any]:
        """Return the claim called `identifier`.

        Raises
        ------
        ValueError
            If the chapter has no such claim; the message names the nearest.
        """
        known = {claim["id"]: claim for claim in self.document["claims"]}
        if identifier not in known:
            raise ValueError(f"claim: got {identifier!r}; {nearest(identifier, known)}")
        return known[identifier]

    def verdict(self, identifier: str) -> str:
        """Verdict of one claim on the metrics recorded so far."""
        return claim_verdict(self.claim(identifier), self.metrics)

    def verdicts(self) -> dict[str, str]:
        """Verdicts of all claims on the metrics recorded so far."""
        return {c["id"]: claim_verdict(c, self.metrics) for c in self.document["claims"]}

    def _metadata(self, names: Iterable[str]) -> dict[str, Any]:
        found = [self.metrics[name].as_dict() for name in names if name in self.metrics]
        return {METADATA_KEY: {"metrics": found, "device": self.device or _device()}}

    def check(self, identifier: str) -> Display:
        """One line with the verdict of a claim; make it the last expression of its cell.

        The HTML carries ``id="claim-<identifier>"`` for links from other pages, and the output's
        metadata the claim's metrics at full precision.
        """
        from press.show import pages as report

        claim = self.claim(identifier)
        names = dict.fromkeys(condition["metric"] for condition in claim["conditions"])
        return report.claim_line(claim, self.metrics, self._metadata(names))

    def table(self) -> Display:
        """Paper beside reproduction: all claims with what this run measured.

        Runs recorded at other profiles are shown below this run's values. The output's metadata
        holds every metric of the run, also those that no claim uses.
        """
        from press.judge import manifests
        from press.show import pages as report

        others = [m for m in manifests.of_chapter(self.chapter) if m["profile"] != self.profile]
        metadata = self._metadata(self.metrics)
        return report.paper_table(self.document, self.metrics, self.profile, others, metadata)

    def glance(self, name: str = "claims_glance") -> None:
        """Store the short table of verdicts, and their count as ``claims_tally``, for `glue`.

        Nothing is shown here. Without ``myst_nb`` (a bare Jupyter) the page has no ``{glue}``
        either, and the call does nothing.
        """
        from press.show import pages as report

        try:
            from myst_nb import glue
        except ImportError:
            return
        glue(name, report.glance_table(self.document, self.metrics), display=False)
        glue("claims_tally", tally(self.verdicts().values()), display=False)
