"""What the ledger's pages show, and that their markup is sound."""

import html.parser
import re

import pytest

from press import documents, paths
from press.judge import claims, manifests
from press.judge.rule import Metric
from press.ledger import Ledger
from press.show import pages, tables, verdicts

VOID = {"br", "hr", "img", "wbr"}


class Markup(html.parser.HTMLParser):
    """Collects tags with attributes, and checks that they nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def named(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def manifest(profile, chapter="demo", **metrics):
    return manifests.build(
        chapter,
        profile,
        {"seed": 3, "profile": profile},
        [Metric(name, value) for name, value in metrics.items()],
        device=f"device of {profile}",
        wall_s=12.34,
        artefacts={},
        found={},
    )


def save(book, document):
    documents.write_json(paths.run(document["chapter"], document["profile"]), document)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1.00"),
        (-0.1234567, "-0.123"),
        (9.999, "10.0"),
        (0.0099999, "0.0100"),
        (123.456, "123"),
        (98765.4, "98800"),
        (12345678.9, "1.23e7"),
        (1.2345e-5, "1.23e-5"),
        (112, "112"),
        (16000, "16000"),
    ],
)
def test_three_significant_digits(value, text):
    assert tables.digits(value) == text


def test_thresholds_keep_their_digits():
    assert [tables.digits(v, exact=True) for v in (1e-10, 0.1125, 300.0)] == [
        "1e-10",
        "0.1125",
        "300",
    ]


def test_powers_of_ten_are_typeset_and_text_is_escaped():
    assert tables.number_html("1e-10 <") == "10<sup>−10</sup> &lt;"
    assert tables.number_html("1.23e7") == "1.23 × 10<sup>7</sup>"
    assert tables.number_html("n1e5") == "n1e5"


def test_inline_markdown():
    found = tables.inline_html(r"**A** *b* `x<y` $\sigma_{s} < 1$ [c](https://d.e/f) <script>")
    assert "<strong>A</strong> <em>b</em> <code>x&lt;y</code>" in found
    assert r'<span class="math notranslate">\(\sigma_{s} &lt; 1\)</span>' in found
    assert '<a href="https://d.e/f">c</a> &lt;script&gt;' in found


def test_claim_line_says_everything(book):
    ledger = Ledger("demo")
    ledger.record("mean", 0.25, ci=(-0.5, 1.5), n=4)
    ledger.record("spread", 0.75)
    markup = Markup(ledger.check("demo-02").html)
    assert {"class": "db-claim", "id": "claim-demo-02"} in markup.named("div")
    assert {"class": "db-badge db-partly"} in markup.named("span")
    for part in (
        "partly",
        "demo-02",
        "small & finite",
        "0.250 [-0.500, 1.50] (n = 4)",
        "Few draws.",
    ):
        assert part in markup.text


def test_reason_is_hidden_once_the_claim_is_reproduced(book):
    ledger = Ledger("demo")
    ledger.record("mean", 0.25)
    ledger.record("spread", 0.75)
    assert ledger.verdict("demo-02") == "reproduced"
    assert "Few draws" not in ledger.check("demo-02").html + ledger.table().text


@pytest.mark.parametrize("kind", ["table", "glance"])
def test_tables_are_accessible(book, kind):
    ledger = Ledger("demo")
    ledger.record("forms", 1e-14)
    shown = verdicts.glance_table(ledger.document, ledger.metrics)
    shown = ledger.table() if kind == "table" else shown
    markup = Markup(shown.html)
    region = markup.named("div")[0]
    assert (region["class"].split()[0], region["role"]) == ("db-table", "region")
    assert region["tabindex"] == "0"
    assert region["aria-label"]
    assert len(markup.named("caption")) == 1
    assert {attrs["scope"] for attrs in markup.named("th")} == {"col", "row"}
    columns = [a for a in markup.named("th") if a["scope"] == "col"]
    rows = [a for a in markup.named("th") if a["scope"] == "row"]
    assert len(rows) == 2
    assert len(markup.named("td")) == len(rows) * (len(columns) - 1)
    # Ids would clash with those of the claims' own lines on the same page.
    assert not [attrs for _, attrs in markup.tags if "id" in attrs]
    assert {"href": "#claim-demo-01"} in markup.named("a")
    assert "style" not in {name for _, attrs in markup.tags for name in attrs}


def test_unknown_values_of_the_paper_are_named_as_such(book):
    document = claims.load("demo")
    text = verdicts.paper_table(document, {}, "smoke").text
    assert "demo-01 [not tried] paper: not available to us" in text
    assert "0.0 in <Table 1>" in text
    document["claims"][1]["reported"] = None
    assert "paper: beyond the paper" in verdicts.paper_table(document, {}, "smoke").text


def test_the_chapter_has_a_line_for_each_claim_and_the_scoreboard_the_rest(book):
    ledger = Ledger("demo")
    ledger.record("forms", 1e-14)
    ledger.record("mean", 5.0, n=10)
    ledger.record("extra", 4.0)
    shown = ledger.table()
    markup = Markup(shown.html)
    assert len(markup.named("tr")) == 3
    lines = shown.text.splitlines()
    assert lines == [
        "demo-01 [reproduced] paper: not available to us; measured: forms ~1e-14 rel. (≤ 1e-10 rel.)",
        "demo-02 [partly] paper: 0.0 in <Table 1>; measured: "
        "mean 5.00 (n = 10) (in [-1, 1]); spread – (> 0.5)",
    ]
    assert [m["name"] for m in shown.metadata["diffbook"]["metrics"]] == ["forms", "mean", "extra"]
    more = ("small & finite", "number; this book", "10 draws", "Few draws.")
    assert not [words for words in more if words in markup.text]
    save(book, manifest("laptop", forms=1e-14, mean=5.0))
    board = pages.scoreboard()
    board = Markup("".join(re.findall(r"```\{raw\} html\n(.*?)\n```", board, re.S))).text
    assert [words for words in more if words not in board] == []
    assert "laptop; 10 draws" in board


def test_a_value_that_depends_on_the_machine_is_shown_roughly(book):
    claim = {
        "kind": "number",
        "conditions": [{"metric": "speedup", "op": ">=", "value": 300, "show": "rough"}],
    }
    fast, near, slow = ({"speedup": Metric("speedup", v)} for v in (711.7, 349.0, 120.0))
    assert verdicts.measured_text(claim, fast, exact=False) == "speedup ~700"
    assert verdicts.measured_text(claim, near, exact=False) == "speedup ~300"
    assert verdicts.measured_text(claim, fast, exact=True) == "speedup 712"
    assert verdicts.measured_text(claim, slow, exact=False) == "speedup 120"


@pytest.mark.parametrize(
    ("value", "ci", "op", "bound", "text"),
    [
        (1685.94, None, "between", [1685.8, 1686.0], "m 1686"),
        (1685.94, None, ">", 100.0, "m 1690"),
        (0.99996, None, "<", 1.0, "m 0.99996"),
        (1.0, (0.98, 1.004), "<=", 1.0, "m 1.000 [0.9800, 1.004]"),
        (0.5, (0.25, 0.75), "<=", 1.0, "m 0.500 [0.250, 0.750]"),
    ],
)
def test_no_printed_number_tells_another_verdict_than_the_measured_one(value, ci, op, bound, text):
    claim = {"kind": "number", "conditions": [{"metric": "m", "op": op, "value": bound}]}
    metrics = {"m": Metric("m", value, ci)}
    assert verdicts.measured_text(claim, metrics, exact=False) == text
    assert verdicts.measured_text(claim, metrics, exact=True) == text


def test_scoreboard_lists_every_claim_of_every_chapter_and_run(book):
    book.add_chapter("more")
    save(book, {**manifest("laptop", forms=1e-15, mean=0.5, spread=0.75), "dirty": True})
    save(book, manifest("gpu", forms=1e-3))
    page = pages.scoreboard()
    assert [line for line in page.splitlines() if line.startswith("#")] == [
        *("# Scoreboard", "## Papers"),
        *("### A demonstration", "### A demonstration", "## Recorded runs"),
    ]
    markup = Markup("".join(re.findall(r"```\{raw\} html\n(.*?)\n```", page, re.S)))
    links = [attrs["href"] for attrs in markup.named("a")]
    assert links.count("../notebooks/core/demo.html#claim-demo-01") == 2
    assert links.count("../notebooks/core/demo.html#claim-demo-02") == 1
    assert links.count("../notebooks/core/more.html#claim-more-01") == 1
    for part in ("device of laptop", "device of gpu", "12 s", "not tried", "ours 1: 1 reproduced"):
        assert part in markup.text
    assert links.count("../data/demo/claims.yaml") == 3
    assert links.count("../data/demo/runs/laptop.json") == 2
    assert links.count("../data/more/runs/laptop.json") == 0
    words = re.sub(r"<[^>]+>", "", page).split()
    assert "demo-01" in words, "what strips the tags must not join words"
    labels = [attrs["aria-label"] for attrs in markup.named("div") if "aria-label" in attrs]
    assert len(labels) == 3
    assert page == pages.scoreboard()


def test_a_run_from_a_changed_tree_says_so(book):
    made = {**manifest("laptop", forms=1e-15), "commit": "a" * 40}
    for dirty, words in ((True, "aaaaaaa with changes"), (False, "aaaaaaa<")):
        save(book, {**made, "dirty": dirty})
        assert words in pages.scoreboard()
        assert ("with changes" in pages.scoreboard()) == dirty


def test_lists_are_written_between_their_markers_only(book):
    book.prose()
    index = book.root / "book" / "index.md"
    old = pages.MARKS.format("chapters", "\nold\n")
    index.write_text(f"Above\n{old}\nbelow\n", "utf-8")
    readme = book.root / "README.md"
    readme.write_text(f"{pages.MARKS.format('tally', '')}\n{readme.read_text('utf-8')}", "utf-8")
    assert {path.name for path in pages.write()} == {"README.md", "index.md", "scoreboard.md"}
    text = index.read_text("utf-8")
    assert text.startswith("Above\n")
    assert text.endswith("below\n")
    assert "{doc}`/notebooks/core/demo`\n: draws numbers and looks at them\n" in text
    assert "old" not in text
    assert "**2 claims** were examined: the papers' 1: 1 not tried; ours" in readme.read_text(
        "utf-8"
    )
    assert "| 1 | [A demonstration]" in readme.read_text("utf-8")
    assert pages.write() == []
