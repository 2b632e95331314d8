"""Parameters of a chapter, from its parameters cell and its profiles.

The truth about parameters is the chapter's ``parameters`` cell: names, types and values (those of
the ``laptop`` profile) are read from it by papermill, and each comment begins with the range or the
choices::

    profile = "laptop"  # name of the profile
    seed = 0  # [0, 2147483647] random seed
    steps = [5, 10, 20]  # [1, 1000] numbers of steps

    model = ""  # "path/to/file.py:function" that returns a foreign model

A list holds at least one whole number, each in the range and above the one before. A text whose
comment begins with that form names a function, or is empty. Everything here refuses a bad request
with `ValueError` before anything is computed.
"""

import ast
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from press import documents, paths
from press.documents import nearest, read_notebook, read_yaml

FUNCTION = '"path/to/file.py:function"'


@dataclass(frozen=True)
class Parameter:
    """One parameter of a chapter: its type is that of the default, the value in the cell.

    `low` and `high` close the range of a number, or of each number in a list; `choices` are the
    allowed texts, empty for any; `help` is the rest of the comment. `base` is the folder that the file
    of a function lies in unless its path is absolute; None for other parameters.
    """

    name: str
    default: Any
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    help: str = ""
    base: Path | None = None

    @property
    def allowed(self) -> str:
        """Type and range in words."""
        kind = type(self.default).__name__
        if self.base:
            return f"nothing, {FUNCTION} of a file that is there, or 'package.module:function'"
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.low is None:
            return kind
        kind = "increasing whole numbers, at least one, each" if kind == "list" else kind
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
    import papermill

    found = {}
    path = paths.notebook(known_chapter(chapter))
    notebook = read_notebook(path)
    source = "\n".join(
        c.source for c in notebook.cells if "parameters" in c.metadata.get("tags", [])
    )
    try:
        stored = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    except SyntaxError as error:
        raise ValueError(f"{path.name}: parameters cell: {error}") from error
    for name, entry in papermill.inspect_notebook(notebook).items():
        try:
            default = ast.literal_eval(entry["default"])
            low, high, choices, text = parse_comment(entry["help"])
        except (ValueError, SyntaxError, AttributeError) as error:
            raise ValueError(f"{path.name}: parameter {name!r}: {error}") from error
        if type(default) not in (bool, int, float, str, list):
            raise ValueError(f"{path.name}: parameter {name!r}: default must be a plain literal")
        base = path.parent if text.startswith(FUNCTION) else None
        found[name] = Parameter(name, default, low, high, choices, text, base)
    # Papermill skips a line it cannot read (say, with '=' in the comment); refuse that.
    names = {node.id for node in stored if isinstance(node.ctx, ast.Store)}
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
        fits = fits and value == sorted(set(value))
    if fits and parameter.low is not None:
        numbers = value if kind is list else [value]
        fits = all(parameter.low <= number <= parameter.high for number in numbers)
    if not fits or (parameter.base and value and source_file(parameter, value) is None):
        raise ValueError(message)
    if parameter.choices and value not in parameter.choices:
        raise ValueError(f"{message}; {nearest(value, parameter.choices)}")
    return value


def source_file(parameter: Parameter, value: str) -> Path | None:
    """File of the function that a parameter names, found without running any code; None if there is none."""
    place, _, name = value.rpartition(":")
    parts = place.split(".")
    if parameter.base is None or not name.isidentifier():
        return None
    if place.endswith(".py"):
        path = parameter.base / place
        return path if path.is_file() else None
    package = find_spec(parts[0]) if all(part.isidentifier() for part in parts) else None
    if package is None or not package.has_location:
        return None
    module = Path(package.origin)
    if len(parts) > 1:
        module = module.parent.joinpath(*parts[1:])
        module = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    return module if module.is_file() else None


def companions(source: Path) -> list[Path]:
    """Files that a file of code says it reads, ``FILES = ["weights.safetensors"]``, without running it.

    ValueError if the file is no Python, the list is no list of texts, or a file is not there.
    """
    try:
        lines = ast.parse(documents.read_text(source)).body
    except SyntaxError as error:
        raise ValueError(f"{source.name}: no Python: {error}") from error
    for line in lines:
        if isinstance(line, ast.Assign) and "FILES" in map(ast.unparse, line.targets):
            try:
                names = ast.literal_eval(line.value)
            except (ValueError, TypeError):
                names = None
            if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
                raise ValueError(f"{source.name}: FILES: expected a list of file names")
            for name in names:
                if not (source.parent / name).is_file():
                    raise ValueError(f"{source.name}: FILES: there is no file {name}")
            return [source.parent / name for name in names]
    return []


def parse_value(parameter: Parameter, text: Any) -> Any:
    """Value of a parameter, also from the text of a command line; see `check_value`.

    There, the path of a function's file starts from the working directory.
    """
    kind = type(parameter.default)
    if parameter.base and isinstance(text, str) and Path(text.rpartition(":")[0]).is_file():
        text = str(Path(text.rpartition(":")[0]).resolve()) + ":" + text.rpartition(":")[2]
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
    """Content of a profile, by its name, or by the path of a file of one's own that ends in ``.yaml``.

    What such a file leaves out is as in `laptop`; its name is that of the file unless it says another.
    ValueError if there is none, it is no mapping, or it has a name that it must not have.
    """
    own, known = is_own(profile), profiles(chapter)
    if not own and profile not in known:
        hint = f"{nearest(profile, known)}, or the path of a file that ends in .yaml"
        raise ValueError(f"profile: got {profile!r}; {hint}")
    path = Path(profile) if own else paths.profile(chapter, profile)
    if own and not path.is_file():
        raise ValueError(f"profile: got {profile!r}, expected a file that is there")
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path.name}: expected lines 'name: value', got {values!r}")
    if own:
        values = {"profile": path.stem, **values}
        if values["profile"] in known or not re.fullmatch(
            "[a-z][a-z0-9_]*", str(values["profile"])
        ):
            raise ValueError(
                f"{path.name}: profile: got {values['profile']!r}, expected a name of its own in small "
                f"letters, digits and _, none of {', '.join(known)}"
            )
        return {**load_profile(chapter, "laptop"), **values}
    if values.get("profile") != profile:
        raise ValueError(f"{path.name}: expected the line 'profile: {profile}'")
    return values


def is_own(profile: str) -> bool:
    """Whether a profile is a file of one's own."""
    return profile.endswith(".yaml")
