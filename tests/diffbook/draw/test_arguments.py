"""Every argument of the drawing kit refuses nonsense by its name."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from nonsense import case, table_tests

from diffbook.draw import curves, images, parts, style

X = np.array([1.0, 2.0, 4.0])
CURVE = {"a": X}
TEXT = ("text", "any text is a name")
TEXTS = {"xlabel": TEXT, "ylabel": TEXT, "title": TEXT}
FIGURE, AXES = plt.subplots(1, 2, squeeze=False)
AX = AXES[0, 0]
AX.plot(X, label="a")
LOG = AXES[0, 1]
LOG.set(xscale="log", xlim=(1, 8))
plt.close(FIGURE)

CASES = [
    case(curves.lines, TEXTS | {"x": ("negative", "an abscissa has any sign"),
         "ticks": ("negative", "an abscissa has any sign"), "xlim": ("negative", "any end"),
         "ylim": ("negative", "any end")}, x=X, curves=CURVE, xlabel="x", ylabel="y", log="",
         reference="a", floor=0.1, ticks=X, xlim=(0.5, 5.0), ylim=(0.5, 5.0), title="t"),
    case(curves.lines, TEXTS, x=X, curves=CURVE, xlabel="x", ylabel="y", log="xy", floor=0.1,
         ticks=X, xlim=(0.5, 5.0), ylim=(0.5, None)),
    case(curves.over_steps, {"ylabel": TEXT}, steps=X, curves=CURVE, ylabel="y"),
    case(curves.panels, TEXTS, x=X, groups={"g": CURVE}, xlabel="x", log="xy", linear=("g",),
         columns=1, title="t"),
    case(curves.dots, TEXTS | {"note": TEXT, "ends": TEXT, "line": ("negative", "any number")},
         rows={"r": {"a": 1.0}}, xlabel="x", line=0.5, ends=("end",), note="n", title="t"),
    case(curves.step_ticks, {"ticks": ("negative", "the axis is linear")}, ax=AX, ticks=X),
    case(curves.step_ticks, ax=LOG, ticks=X),
    case(images.grid, {"title": TEXT, "low": ("negative", "any number")},
         rows={"a": np.ones((2, 4, 4))}, low=0.0, high=1.0, title="t"),
    case(parts.distinct, arrays=CURVE),
    case(parts.room, {"labels": TEXT}, labels=("a", "b"), width=7.2),
    case(parts.lowest, {"xlabel": TEXT}, axes=AXES, count=2, xlabel="x"),
    case(parts.fixed_ticks, {"ticks": ("negative", "any number")}, axis=AX.xaxis, ticks=X),
    case(parts.narrow_log_ticks, axis=LOG.xaxis),
    case(parts.plain_log_ticks, axis=LOG.xaxis),
    case(parts.filled, mapping=CURVE),
    case(parts.vector, {"name": TEXT, "value": ("nan negative", "a gap; any sign")},
         name="value", value=X, size=3),
    case(parts.positive, {"name": TEXT}, name="value", value=X),
    case(parts.panels, rows=2, columns=1, size=(7.2, 3.0), heights=(1.0, 2.0)),
    case(parts.sparse, size=30, count=9),
    case(parts.log_sparse, x=X, count=2),
    case(parts.thin, steps=X),
    case(parts.legend_below, fig=FIGURE, ax=AX, count=1),
    case(parts.done, {"title": TEXT}, fig=FIGURE, title="t"),
    case(style.use_style),
    case(style.show_crisp, fig=FIGURE),
    case(style.crisp_png, fig=FIGURE, colours=64),
    case(style.style, {"name": TEXT}, name="cosine", position=0),
    case(style.looks, arrays=CURVE),
    case(style.label, {"key": TEXT}, key="cosine"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def book_style():
    with mpl.rc_context():
        style.use_style()
        yield
        plt.close("all")


test_nonsense_is_refused_by_name, test_valid_calls_succeed, test_no_name_is_missing = table_tests(
    "diffbook.draw", CASES, {}
)
