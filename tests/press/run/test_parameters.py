"""Parameters: from the cell, from comments, from profiles and from the command line."""

import pytest

from press.run import parameters


def test_parameters_are_read_from_the_cell(book):
    found = parameters.parameters("demo")
    assert list(found) == ["seed", "profile", "n_draws", "scales", "wait", "broken"]
    assert (found["seed"].low, found["seed"].high) == (0, 2**31 - 1)
    assert found["profile"].choices == ()
    assert found["n_draws"].high == 1000
    assert found["n_draws"].help == "draws"
    assert [type(p.default) for p in found.values()] == [int, str, int, list, float, bool]


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("[0, 1] help", (0, 1, (), "help")),
        ("[-1.5, 1_000]", (-1.5, 1000, (), "")),
        ("{a, b-c} which", (None, None, ("a", "b-c"), "which")),
        ("no range", (None, None, (), "no range")),
    ],
)
def test_comments(comment, expected):
    assert parameters.parse_comment(comment) == expected


@pytest.mark.parametrize(
    "comment", ["[1, 0] x", "[a, b] x", "[0] x", "[0, 9**9**9] x", "[__import__('os'), 1]"]
)
def test_comment_that_is_no_range_is_refused(comment):
    with pytest.raises(ValueError, match=r"empty|malformed|unpack"):
        parameters.parse_comment(comment)


def test_line_that_papermill_would_drop_is_refused(book):
    book.edit_cell("demo", 1, "seed = 0  # [0, 9] seed\nn = 0  # [0, 9] n = 0 takes the default")
    with pytest.raises(ValueError, match="papermill cannot read the line of n"):
        parameters.parameters("demo")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seed", "7", 7),
        ("seed", "1_000", 1000),
        ("wait", "1", 1.0),
        ("wait", "2.5e-1", 0.25),
        ("broken", "true", True),
        ("broken", "False", False),
    ],
)
def test_values_are_read_in_the_type_of_the_parameter(book, name, text, value):
    found = parameters.parse_value(parameters.parameters("demo")[name], text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("seed", "1.5", r"seed: got 1.5, expected int in \[0, 2147483647\]"),
        ("seed", "x", "seed: got 'x', expected int"),
        ("seed", "-1", "seed: got -1"),
        ("seed", "true", "seed: got True"),
        ("n_draws", "1001", r"n_draws: got 1001, expected int in \[2, 1000\]"),
        ("wait", "nan", "wait: got 'nan', expected float"),
        ("broken", "1", "broken: got 1, expected bool"),
    ],
)
def test_bad_values_are_refused(book, name, text, message):
    with pytest.raises(ValueError, match=message):
        parameters.parse_value(parameters.parameters("demo")[name], text)


def test_a_text_is_one_of_its_choices():
    data = parameters.Parameter("data", "embedded", choices=("embedded", "real"))
    assert parameters.parse_value(data, "real") == "real"
    with pytest.raises(
        ValueError, match=r"data: got 'rael', expected one of .* did you mean 'real'"
    ):
        parameters.parse_value(data, "rael")


def test_a_list_holds_whole_numbers_in_the_range():
    steps = parameters.Parameter("steps", [5], 1, 1000)
    assert parameters.parse_value(steps, "5,10, 112") == [5, 10, 112]
    assert parameters.parse_value(steps, "[5]") == [5]
    assert parameters.check_value(steps, [1, 1000]) == [1, 1000]
    for text in ("", "5,,6", "0,5", "5,1001", "5.5", "abc", "True", "10,5", "5,5", "١٠"):
        with pytest.raises(
            ValueError, match=r"increasing whole numbers, at least one, each in \[1, 1000\]"
        ):
            parameters.parse_value(steps, text)


def test_a_parameters_cell_that_is_no_python_is_named(book):
    book.edit_cell("demo", 1, "seed = (")
    with pytest.raises(ValueError, match=r"demo\.ipynb: parameters cell: .*was never closed"):
        parameters.parameters("demo")
