"""The appendix of a chapter: a page with a run and claims of its own, in the room of its chapter."""

import re

import pytest
import yaml
from click.testing import CliRunner

from press import cli, documents, paths
from press.judge import claims, manifests
from press.run import plans
from press.show import pages

SLUG = "demo_appendix"


@pytest.fixture
def twins(book):
    """The demo book with an appendix of its chapter, and a chapter behind it."""
    book.add_chapter(SLUG)
    book.add_chapter("more")
    return book


def call(*arguments, status=0):
    done = CliRunner().invoke(cli.main, list(arguments))
    assert done.exit_code == status, done.output
    return done.output


def recorded(slug, **metrics):
    """Put a run under version control that measured these numbers."""
    entry = {"ci": None, "n": None, "unit": None, "note": None}
    manifest = manifests.build(
        slug, "laptop", {}, [], device="cpu", wall_s=1, artefacts={}, found={}
    )
    manifest["metrics"] = [{"name": name, "value": v, **entry} for name, v in metrics.items()]
    documents.write_json(paths.run(slug, "laptop"), manifest)


# --- its place ----------------------------------------------------------------------------------


def test_it_comes_after_its_chapter_and_belongs_to_it(twins):
    assert paths.chapters() == ["demo", SLUG, "more"]
    assert paths.contents() == {"Papers": ["demo", SLUG, "more"]}
    assert [paths.chapter_of(slug) for slug in paths.chapters()] == ["demo", "demo", "more"]
    assert paths.pages_of("demo") == ["demo", SLUG]
    assert paths.pages_of(SLUG) == [SLUG]
    assert paths.pages_of("more") == ["more"]


def test_elsewhere_in_the_contents_it_is_refused(twins):
    contents = yaml.safe_load((twins.root / "_toc.yml").read_text("utf-8"))
    entries = contents["parts"][0]["chapters"]
    entries += entries[0].pop("sections")
    twins.write_yaml("_toc.yml", contents)
    assert "_toc.yml: demo_appendix must be a section of demo" in call("list", status=2)


def test_it_shares_studies_and_reference_values_with_its_chapter_and_nothing_else(twins):
    def inputs():
        return {slug: plans.plan(slug, "smoke").inputs for slug in paths.chapters()}

    def changed(change):
        before = inputs()
        change()
        return {
            (slug, name)
            for slug, found in inputs().items()
            for name in found
            if found[name] != before[slug][name]
        }

    def study():
        documents.write_json(paths.study("demo", "long"), {"a": 1})

    assert changed(study) == {("demo", "studies"), (SLUG, "studies")}
    for slug in ("demo", SLUG):
        edit = {"summary": "another"}
        own = changed(lambda name=slug, to=edit: twins.edit_yaml(f"data/{name}/claims.yaml", **to))
        assert own == {(slug, "claims")}


# --- its claims ---------------------------------------------------------------------------------


def test_its_claims_carry_the_name_of_the_chapter_and_the_facts_of_its_paper(twins):
    document = claims.load(SLUG)
    assert [claim["id"] for claim in document["claims"]] == ["demo-11", "demo-12"]
    assert document["paper"] == claims.load("demo")["paper"]
    assert list(claims.load_book()) == paths.chapters()


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (SLUG, {"appendix_of": "dem"}, "appendix_of is 'dem', expected 'demo'"),
        (SLUG, {"appendix_of": "more"}, "appendix_of is 'more', expected 'demo'"),
        (SLUG, {"appendix_of": SLUG}, "appendix_of is 'demo_appendix', expected 'demo'"),
        (SLUG, {"appendix_of": 1}, "appendix_of: 1 is not of type 'string'"),
        (SLUG, {"paper": {}}, "paper: "),
        ("more", {"appendix_of": "demo"}, "appendix_of is 'demo', expected None for 'more'"),
        ("demo", {"appendix_of": "demo"}, "appendix_of is 'demo', expected None for 'demo'"),
    ],
)
def test_what_it_says_of_its_chapter_must_be_so(twins, name, change, words):
    twins.edit_yaml(f"data/{name}/claims.yaml", **change)
    text = call("claims", status=2)
    assert f"data/{name}/claims.yaml: {words}" in text


def test_it_must_say_of_which_chapter_it_is(twins):
    path = paths.claims(SLUG)
    paper = yaml.safe_dump({"paper": claims.load("demo")["paper"]})
    path.write_text(path.read_text("utf-8").replace("appendix_of: demo\n", paper), "utf-8")
    assert "appendix_of is None, expected 'demo' for 'demo_appendix'" in call("claims", status=2)


def test_it_has_no_paper_of_its_own(twins):
    paper = claims.load("demo")["paper"]
    twins.edit_yaml(f"data/{SLUG}/claims.yaml", paper=paper)
    assert "paper: its facts stand in data/demo/claims.yaml alone" in call("claims", status=2)


def test_an_appendix_without_a_chapter_is_refused(twins):
    paths.claims("demo").unlink()
    assert "'demo' has no claims file" in call("claims", SLUG, status=2)


def test_a_claim_stands_on_one_of_the_two_pages(twins):
    text = paths.claims(SLUG).read_text("utf-8")
    paths.claims(SLUG).write_text(text.replace("demo-11", "demo-01"), "utf-8")
    assert "demo-01 stands in demo and in demo_appendix" in call("claims", status=2)


# --- what is shown ------------------------------------------------------------------------------

BOTH = "the paper's 2: 1 reproduced, 1 not tried; ours 2: 1 partly, 1 not tried"


def test_the_claims_of_a_chapter_are_shown_with_those_of_its_appendix_and_counted_together(twins):
    recorded("demo", forms=0.0)
    recorded(SLUG, mean=5.0)  # the metrics of one page are not those of the other
    text = call("claims", "demo")
    names = ["demo-01", "demo-02", "demo-11", "demo-12"]
    assert re.findall(r"^    (\S+)", text, re.M) == names
    assert "demo (laptop, cpu" in text
    assert "demo_appendix (laptop, cpu" in text
    assert f"demo and demo_appendix (recorded runs): {BOTH}" in text
    assert call("claims").count(BOTH) == 1
    own = re.findall(r"^    (\S+)", call("claims", SLUG, "--check"), re.M)
    assert own == names[2:]


def test_the_pages_show_it_under_its_chapter(twins):
    twins.prose()
    index = twins.root / "book" / "index.md"
    index.write_text(pages.MARKS.format("chapters", "\n"), "utf-8")
    recorded("demo", forms=0.0)
    recorded(SLUG, mean=5.0)
    pages.write()
    board = (twins.root / "book" / "scoreboard.md").read_text("utf-8")
    heads = [line for line in board.splitlines() if line.startswith("###")]
    more = "### A demonstration"
    assert heads == ["### A demonstration", "#### A demonstration: appendix", more]
    assert board.count(f"The chapter with its appendix: {BOTH}.") == 1
    assert '"../notebooks/core/demo_appendix.html#claim-demo-11"' in board
    landing = index.read_text("utf-8")
    assert f"*{BOTH}.*\n  With {{doc}}`/notebooks/core/demo_appendix`." in landing
    assert landing.count("\n: ") == 2
    readme = (twins.root / "README.md").read_text("utf-8")
    link = "[A demonstration](notebooks/core/demo.ipynb)"
    assert f"| 1 | {link}, [appendix](notebooks/core/demo_appendix.ipynb) |" in readme
    assert "| 2 | [A demonstration](notebooks/core/more.ipynb) |" in readme


# --- running it ---------------------------------------------------------------------------------


def test_it_runs_is_recorded_and_reproduced_like_a_chapter(twins):
    twins.prose()
    assert [line for line in call("list").splitlines() if line[0] != " "] == paths.chapters()
    done = twins.cli("run", SLUG, "--profile", "laptop", "--record")
    for name in (f"data/{SLUG}/runs/laptop.json", f"notebooks/core/{SLUG}.ipynb"):
        assert f"recorded {name}" in done.stdout
    done = twins.cli("reproduce", "--no-book", "--jobs", "2")
    assert f"{SLUG} (laptop): finished earlier" in done.stdout
    for slug in paths.chapters():
        assert f"claims of {slug}:" in done.stdout
        assert f"{slug}/laptop/manifest.json" in twins.results()
