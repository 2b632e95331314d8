"""What a chapter shows of its claims: one line per claim, and tables of them.

Pure functions from claims and metrics to a `Display` (HTML and plain text). The look is the
business of the book's style sheet; here are only classes. Tables have a caption, header cells with
a scope, and sit in a scrollable region, so a phone shows them without a page that is too wide.
"""

import html
from collections.abc import Mapping
from typing import Any

from press.judge import rule
from press.judge.rule import REPRODUCED, Metric
from press.show.tables import DASH, Cell, Display, digits, inline_html, number_html, table

SIGNS = {"<=": "≤", "<": "<", ">=": "≥", ">": ">", "==": "="}


def badge(verdict: str) -> str:
    """HTML of a verdict; it says the verdict in words, the colour is decoration."""
    return f'<span class="db-badge db-{verdict.replace(" ", "-")}">{verdict}</span>'


def bound_text(condition: Mapping[str, Any]) -> str:
    """Threshold of a condition, for example ``"≤ 1e-10 rel."``."""
    value, unit = condition["value"], condition.get("unit")
    if condition["op"] == "between":
        text = f"in [{digits(value[0], exact=True)}, {digits(value[1], exact=True)}]"
    else:
        text = f"{SIGNS[condition['op']]} {digits(value, exact=True)}"
    return f"{text} {unit}" if unit else text


def is_rough(claim: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    """Whether a number depends on the machine: an error of roundoff size, a time."""
    default = claim["kind"] == "identity" and condition["op"] in ("<=", "<")
    return condition.get("show", "rough" if default else "value") == "rough"


def value_text(metric: Metric, condition: Mapping[str, Any]) -> str:
    """Value with its interval, unit and repetitions, rounded to three significant digits.

    More digits are shown where the rounded number would tell another verdict than the measured one.
    """
    op, bound, numbers = condition["op"], condition["value"], (metric.value, *(metric.ci or ()))

    def faithful(n: int) -> bool:
        rounded = [(v, float(f"{v:.{n - 1}e}")) for v in numbers]
        return all(rule.satisfies(v, op, bound) == rule.satisfies(r, op, bound) for v, r in rounded)

    count = next((n for n in range(3, 17) if faithful(n)), 17)
    text = digits(metric.value, count)
    if metric.ci is not None:
        text += f" [{digits(metric.ci[0], count)}, {digits(metric.ci[1], count)}]"
    unit = metric.unit or condition.get("unit")
    text += f" {unit}" if unit else ""
    text += f" (n = {metric.n})" if metric.n is not None else ""
    return text if metric.converged else f"{text} (not converged)"


def measured_text(claim: Mapping[str, Any], metrics: Mapping[str, Metric], exact: bool) -> str:
    """Say what was measured for a claim, one part per condition.

    Unless `exact`, an error of roundoff size (and anything whose condition says ``show: rough``) is
    shown as ``~3e-16``, with one digit, because it depends on the machine.
    """
    parts = []
    for condition in claim["conditions"]:
        metric = metrics.get(condition["metric"])
        if metric is None:
            parts.append(f"{condition['metric']} {DASH}")
            continue
        text = value_text(metric, condition)
        rough = float(f"{metric.value:.0e}")
        holds = rule.condition_verdict(condition, metric) == "holds"
        holds = holds and rule.satisfies(rough, condition["op"], condition["value"])
        if holds and not exact and is_rough(claim, condition):
            unit = metric.unit or condition.get("unit")
            text = f"~{digits(rough, 1)}" + (f" {unit}" if unit else "")
        parts.append(f"{condition['metric']} {text}")
    return "; ".join(parts)


def _named_html(text: str) -> str:
    """HTML of ``name value; name value`` with the names set as code."""
    parts = [part.partition(" ") for part in text.split("; ")]
    return "; ".join(
        f"<code>{html.escape(name)}</code> {number_html(rest)}" for name, _, rest in parts
    )


def reported(claim: Mapping[str, Any]) -> str:
    """Say what the paper reports for a claim."""
    if claim["reported"] is not None:
        return claim["reported"]
    return "not available to us" if claim["origin"] == "paper" else "beyond the paper"


def reason_of(claim: Mapping[str, Any], verdict: str) -> str:
    """Why a claim is not reproduced; nothing where it is."""
    return "" if verdict == REPRODUCED else claim.get("untried") or claim.get("reason", "")


def claim_line(claim: Mapping[str, Any], metrics: Mapping[str, Metric], metadata: dict) -> Display:
    """Build the line that `Ledger.check` shows: verdict, statement, measured, asked."""
    verdict = rule.claim_verdict(claim, metrics)
    measured = measured_text(claim, metrics, exact=False)
    asked = "; ".join(bound_text(condition) for condition in claim["conditions"])
    reason = reason_of(claim, verdict)
    markup = (
        f'<div class="db-claim" id="claim-{claim["id"]}">{badge(verdict)} '
        f'<strong class="db-id">{claim["id"]}</strong> '
        f'<span class="db-statement">{inline_html(claim["statement"])}</span> '
        f'<span class="db-measured">Measured: {_named_html(measured)} '
        f"(asked: {number_html(asked)})</span>"
    )
    if reason:
        markup += f' <span class="db-reason">{inline_html(reason)}</span>'
    text = (
        f"[{verdict}] {claim['id']}: {claim['statement']} | measured: {measured} | asked: {asked}"
    )
    return Display(markup + "</div>", text + (f" | why: {reason}" if reason else ""), metadata)


def _link(claim: Mapping[str, Any], page: str = "") -> str:
    return f'<a href="{page}#claim-{claim["id"]}">{claim["id"]}</a>'


def verdict_cell(claim: Mapping[str, Any], verdict: str, page: str = "") -> Cell:
    """Make the first cell of a claim: identifier, linked to its place on a page, and verdict."""
    return Cell(f"{_link(claim, page)} {badge(verdict)}", f"{claim['id']} [{verdict}]")


def measured_cell(claim: Mapping[str, Any], metrics: Mapping[str, Metric], exact: bool) -> Cell:
    """List what was measured for every condition, with the threshold it had to meet."""
    markup, text = [], []
    values = measured_text(claim, metrics, exact).split("; ")
    for value, bound in zip(values, map(bound_text, claim["conditions"]), strict=True):
        note = f'<span class="db-note">({number_html(bound)})</span>'
        markup.append(f'<span class="db-part">{_named_html(value)} {note}</span>')
        text.append(f"{value} ({bound})")
    return Cell(" ".join(markup), "; ".join(text))


def with_note(cell: Cell, note: str) -> Cell:
    """Put a note below what a cell holds."""
    markup = f'{cell.html} <div class="db-note">{inline_html(note)}</div>'
    return Cell(markup, f"{cell.text} | {note}")


def paper_table(
    document: Mapping[str, Any],
    metrics: Mapping[str, Metric],
    profile: str,
    metadata: dict[str, Any] | None = None,
) -> Display:
    """Paper beside reproduction, a line for each claim of a chapter; the scoreboard says more."""
    rows = []
    for claim in document["claims"]:
        first = verdict_cell(claim, rule.claim_verdict(claim, metrics))
        rows.append([first, Cell.of(reported(claim)), measured_cell(claim, metrics, exact=False)])
    head = ("Claim", "The paper reports", "Measured (asked)")
    shown = table(f"Paper beside reproduction, profile {profile}", head, rows, "db-brief")
    lines = [f"{row[0].text} paper: {row[1].text}; measured: {row[2].text}" for row in rows]
    return Display(shown.html, "\n".join(lines), metadata or {})


def glance_table(document: Mapping[str, Any], metrics: Mapping[str, Metric]) -> Display:
    """Short table of verdicts for the top of a chapter."""
    found = rule.verdicts(document, metrics)
    rows = []
    for claim in document["claims"]:
        name, verdict = claim["id"], found[claim["id"]]
        statement = Cell.of(claim["statement"])
        rows.append([Cell(_link(claim), name), statement, Cell(badge(verdict), verdict)])
    caption = f"{len(found)} claims, {rule.tally(document, metrics)}"
    return Display(table(caption, ("Claim", "Statement", "Verdict"), rows).html, caption)
