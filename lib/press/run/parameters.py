"""Parameters of a chapter, from its parameters cell and its profiles.

The truth about parameters is the chapter's ``parameters`` cell: names, types and values (those of
the ``laptop`` profile) are read from it by papermill, and each comment begins with the range or the
choices::

    profile = "laptop"  # {smoke, laptop, gpu} name of the profile
    seed = 0  # [0, 2147483647] random seed
    steps = [5, 10, 20]  # [1, 1000] numbers of steps

A list holds at least one whole number, each in the range. Everything here refuses a bad request
with `ValueError` before anything is computed.
"""

import ast
from dataclasses import dataclass
from typing import Any

from press import paths
from press.documents import nearest, read_yaml


@dataclass(frozen=True)
class Parameter:
    """One parameter of a chapter: its type is that of the default, the value in the cell.

    `low` and `high` close the range of a number, or of each number in a list; `choices` are the
    allowed texts, empty for any; `help` is the rest of the comment.
    """

    name: str
    default: Any
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    help: str = ""

    @property
    def allowed(self) -> str:
        """Type and range in words."""
        kind = type(self.default).__name__
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.low is None:
            return kind
        kind = "whole numbers, at least one, each" if kind == "list" else kind
        return f"{kind} in [{self.low}, {self.high}]"


def parse_comment(comment: str) -> tuple[float | None, float | None, tuple[str, ...], str]:
    """Split a parameter's comment into lowest and highest value, choices, and help."""
    text = comment.strip()
    if text.startswith("{") and "}" in text:
        inside, _, rest = text[1:].partition("}")
        return None, None, tuple(word.strip() for word in inside.split(",")), rest.strip()
    if text.startswith("[") and "]" in text:
        inside, _, rest = text[1:].partition("]")
        low, high = ast.literal_eval(f"[{inside}]")
        if not low <= high:
            raise ValueError(f"range [{inside}] is empty")
        return low, high, (), rest.strip()
    return None, None, (), text


def known_chapter(chapter: str) -> str:
    """Return `chapter` if there is such a chapter; ValueError naming the nearest otherwise."""
    if chapter not in paths.chapters():
        raise ValueError(f"chapter: got {chapter!r}; {nearest(chapter, paths.chapters())}")
    return chapter


def parameters(chapter: str) -> dict[str, Parameter]:
    """Parameters of a chapter; ValueError if a line of the cell is not ``name = literal  # comment``."""
    import nbformat
    import papermill

    found = {}
    path = paths.notebook(known_chapter(chapter))
    for name, entry in papermill.inspect_notebook(str(path)).items():
        try:
            default = ast.literal_eval(entry["default"])
            low, high, choices, text = parse_comment(entry["help"])
        except (ValueError, SyntaxError, AttributeError) as error:
            raise ValueError(f"{path.name}: parameter {name!r}: {error}") from error
        if type(default) not in (bool, int, float, str, list):
            raise ValueError(f"{path.name}: parameter {name!r}: default must be a plain literal")
        found[name] = Parameter(name, default, low, high, choices, text)
    # Papermill skips a line it cannot read (say, with '=' in the comment); refuse that.
    cells = nbformat.read(path, as_version=4).cells
    source = "\n".join(c.source for c in cells if "parameters" in c.metadata.get("tags", []))
    names = {
        node.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    if names != set(found):
        odd = ", ".join(sorted(names ^ set(found)))
        raise ValueError(f"{path.name}: parameters cell: papermill cannot read the line of {odd}")
    return found


def check_value(parameter: Parameter, value: Any) -> Any:
    """Return `value` in the parameter's type; ValueError naming what it got and what is allowed."""
    kind = type(parameter.default)
    message = f"parameter {parameter.name}: got {value!r}, expected {parameter.allowed}"
    if kind is float and type(value) is int:
        value = float(value)
    fits = type(value) is kind
    if fits and kind is list:
        fits = bool(value) and all(type(number) is int for number in value)
    if fits and parameter.low is not None:
        numbers = value if kind is list else [value]
        fits = all(parameter.low <= number <= parameter.high for number in numbers)
    if not fits:
        raise ValueError(message)
    if parameter.choices and value not in parameter.choices:
        raise ValueError(f"{message}; {nearest(value, parameter.choices)}")
    return value


def parse_value(parameter: Parameter, text: Any) -> Any:
    """Value of a parameter, also from the text of a command line; see `check_value`."""
    kind = type(parameter.default)
    if not isinstance(text, str) or kind is str:
        return check_value(parameter, text)
    try:
        value = {"true": True, "false": False}.get(text.lower())
        if value is None:
            value = ast.literal_eval(f"[{text.strip('[]')}]" if kind is list else text)
    except (ValueError, SyntaxError):
        value = text
    return check_value(parameter, value)


def profiles(chapter: str) -> list[str]:
    """Names of the profiles of a chapter, from small to large as far as the name tells."""
    order = {"smoke": 0, "laptop": 1, "gpu": 2}
    found = [path.stem for path in paths.room(chapter).glob("*.yaml") if path.stem != "claims"]
    return sorted(found, key=lambda name: (order.get(name, 3), name))


def load_profile(chapter: str, profile: str) -> dict[str, Any]:
    """Content of a profile; ValueError if there is none, it is no mapping, or it names another profile."""
    if profile not in profiles(chapter):
        raise ValueError(f"profile: got {profile!r}; {nearest(profile, profiles(chapter))}")
    path = paths.profile(chapter, profile)
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path.name}: expected lines 'name: value', got {values!r}")
    if values.get("profile") != profile:
        raise ValueError(f"{path.name}: expected the line 'profile: {profile}'")
    return values
