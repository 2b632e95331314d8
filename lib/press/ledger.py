"""What a chapter measures while it runs, and the verdicts it gives."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from press.documents import nearest
from press.judge import rule
from press.judge.claims import load
from press.judge.rule import Metric
from press.show import verdicts
from press.show.tables import Display

METADATA_KEY = "diffbook"


def _device() -> str:
    # PyTorch is looked up, not imported: a chapter of closed forms must not load it.
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "cpu"


class Ledger:
    """The metrics of one chapter while it runs, and the verdicts they give.

    `device` says in words what computed the numbers and goes to the manifest; default: the GPU that
    PyTorch uses, if the chapter has loaded it and there is one. `parameters` are the run's values of
    those parameters that the claims name; ValueError for one that is missing or unknown.

    >>> ledger = Ledger("spectral", profile="laptop", n_starts=30)  # doctest: +SKIP
    >>> ledger.record("denoiser_forms", 3e-15, unit="rel.")  # doctest: +SKIP
    >>> ledger.check("spectral-01")  # doctest: +SKIP
    """

    def __init__(
        self,
        chapter: str,
        profile: str = "laptop",
        device: str | None = None,
        **parameters: Any,
    ):
        self.document = load(chapter, parameters)
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
        converged: bool = True,
    ) -> None:
        """Record one metric; recording a name again replaces it. See `Metric`."""
        more = {"unit": unit, "note": note, "converged": converged}
        self.metrics[name] = rule.make_metric(name, value, ci, n, **more)

    def claim(self, identifier: str) -> dict[str, Any]:
        """Return the claim called `identifier`; ValueError naming the nearest if there is none."""
        known = {claim["id"]: claim for claim in self.document["claims"]}
        if identifier not in known:
            raise ValueError(f"claim: got {identifier!r}; {nearest(identifier, known)}")
        return known[identifier]

    def verdict(self, identifier: str) -> str:
        """Verdict of one claim on the metrics recorded so far."""
        return rule.claim_verdict(self.claim(identifier), self.metrics)

    def verdicts(self) -> dict[str, str]:
        """Verdicts of all claims on the metrics recorded so far."""
        return rule.verdicts(self.document, self.metrics)

    def _metadata(self, names: Iterable[str]) -> dict[str, Any]:
        found = [self.metrics[name].as_dict() for name in names if name in self.metrics]
        return {METADATA_KEY: {"metrics": found, "device": self.device or _device()}}

    def check(self, identifier: str) -> Display:
        """One line with the verdict of a claim; make it the last expression of its cell.

        The HTML carries ``id="claim-<identifier>"`` for links from other pages, and the output's
        metadata the claim's metrics at full precision.
        """
        claim = self.claim(identifier)
        names = dict.fromkeys(condition["metric"] for condition in claim["conditions"])
        return verdicts.claim_line(claim, self.metrics, self._metadata(names))

    def table(self) -> Display:
        """Paper beside reproduction: all claims with what this run measured.

        The output's metadata holds every metric of the run, also those that no claim uses.
        """
        metadata = self._metadata(self.metrics)
        return verdicts.paper_table(self.document, self.metrics, self.profile, metadata)

    def glance(self, name: str = "claims_glance") -> None:
        """Store the short table of verdicts, and their count as ``claims_tally``, for `glue`.

        Nothing is shown here. Without ``myst_nb`` (a bare Jupyter) the page has no ``{glue}``
        either, and the call does nothing.
        """
        try:
            from myst_nb import glue
        except ImportError:
            return
        glue(name, verdicts.glance_table(self.document, self.metrics), display=False)
        glue("claims_tally", rule.tally(self.document, self.metrics), display=False)


def collect_metrics(notebook: Mapping[str, Any]) -> list[Metric]:
    """All metrics that an executed notebook's ledger left in its outputs, by first appearance."""
    found: dict[str, Metric] = {}
    for entry in _ledger_entries(notebook):
        for metric in entry["metrics"]:
            found[metric["name"]] = Metric.from_dict(metric)
    return list(found.values())


def collect_device(notebook: Mapping[str, Any]) -> str:
    """Device that the notebook's ledger named last; ``"cpu"`` if it named none."""
    devices = [entry["device"] for entry in _ledger_entries(notebook)]
    return devices[-1] if devices else "cpu"


def _ledger_entries(notebook: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        output["metadata"][METADATA_KEY]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if METADATA_KEY in output.get("metadata", {})
    ]
