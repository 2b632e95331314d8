"""Functions of the library behind a claim are found by reading the notebook."""

import nbformat

from press.show import sources

IMPORTS = "from diffbook import schedules\nfrom diffbook.schedules import design\nfrom diffbook import draw"


def notebook(book, *cells):
    new = {"c": nbformat.v4.new_code_cell, "t": nbformat.v4.new_markdown_cell}
    book.write_notebook("demo", [new[kind](text) for kind, text in (("c", IMPORTS), *cells)])


def test_functions_are_named_with_the_module_that_defines_them(book):
    cell = "best = design.design_schedule(lam, 5)\nschedules.cosine(5)\ndraw.lines(x, y)\nlen(best)"
    notebook(book, ("t", "text"), ("c", cell), ("c", 'ledger.check("demo-01")'))
    assert sources.functions("demo") == {
        "demo-01": [
            "diffbook.schedules.design.design_schedule",
            "diffbook.schedules.families.cosine",
        ]
    }
    name, place = sources.link("diffbook.schedules.families.cosine")
    assert name == "families.cosine"
    assert place == "reference/schedules.html#diffbook.schedules.families.cosine"


def test_what_stands_above_a_text_belongs_to_another_claim(book):
    check = 'ledger.record("m", x)\nledger.check("demo-0{}")'
    notebook(
        book,
        ("c", "a = schedules.cosine(5)"),
        ("t", "text"),
        ("c", "x = schedules.sigmoid(5)"),
        ("c", check.format(1)),
        ("t", "text"),
        ("c", check.format(2)),
        ("t", "text"),
        ("c", "x = 1"),
        ("c", check.format(3)),
    )
    sigmoid = ["diffbook.schedules.families.sigmoid"]
    assert sources.functions("demo") == {"demo-01": sigmoid, "demo-02": sigmoid, "demo-03": []}
