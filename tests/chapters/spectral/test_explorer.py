"""The interactive figure: the browser computes what Python computes, and anyone can use it."""

import json
import re
import warnings

import numpy as np
import pytest
from browser import INSERT_LATE, offline_pages

from chapters.spectral.explorer import MAX_BYTES, explorer
from diffbook import schedules
from diffbook.priors.distances import kl_spectral, w2_spectral
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.transfer import ddim_gain, transfer
from diffbook.schedules import design

PHOTO = np.sort(30 * np.arange(1, 301.0) ** -1.4)[::-1]
SPECTRA = {"photo patches": PHOTO, "digits": np.exp(-np.arange(60) / 12)}


# -- without a browser -----------------------------------------------------------------------------


def test_html_is_self_contained_small_and_deterministic():
    figure = explorer(SPECTRA, S=20)
    html = figure._repr_html_()
    assert html == explorer(SPECTRA, S=20)._repr_html_()
    assert len(html.encode()) < MAX_BYTES
    assert not re.search(r"""(src|href)=|url\(|@import|https?://(?!www\.w3\.org/2000/svg)""", html)
    assert "<noscript>" in html
    assert repr(figure).startswith("Schedule explorer")
    assert "photo patches" in repr(figure)
    assert explorer(S=10).html != html


def test_ids_differ_between_figures_and_text_cannot_end_the_script():
    ids = {re.search(r'id="(dbx-\w+)"', explorer(S=S).html)[1] for S in (5, 10, 20)}
    assert len(ids) == 3
    html = explorer({"</script><b>": [1.0]}).html
    assert html.count("</script>") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"spectra": {"a": [1.0, -1.0]}}, r"spectra\['a'\] must be positive.*index 1"),
        ({"spectra": {"a": [[1.0]]}}, r"1-D with 1 to 2048"),
        ({"spectra": {"": [1.0]}}, "needs a name"),
        ({"spectrum": "pink"}, "spectrum must be one of"),
        ({"S": 1}, "S must be an integer number of steps from 2 to 112"),
        ({"S": 2.5}, "S must be an integer"),
        ({"loss": "fid"}, "loss must be 'w2' or 'kl'"),
        ({"spectra": {str(k): np.geomspace(1, 1.7, 2000) for k in range(5)}}, "more than 60000"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        explorer(**arguments)


# -- in a browser ----------------------------------------------------------------------------------


@pytest.fixture
def open_page(browser, tmp_path):
    with offline_pages(browser, tmp_path, ".dbx g path") as opened:

        def make(width=1280, theme="light", script=True, **arguments):
            return opened(explorer(SPECTRA, **arguments).html, width, theme, script)

        yield make


def call(page, expression):
    """Evaluate an expression of the page's pure functions `m`; typed arrays come back as lists."""
    return page.evaluate(
        "(e) => JSON.parse(JSON.stringify(new Function('m', 'return ' + e)"
        "(window.diffbookExplorer.math), (k, v) => ArrayBuffer.isView(v) ? Array.from(v) : v))",
        expression,
    )


@pytest.mark.browser
@pytest.mark.parametrize("S", [2, 7, 20, 112])
def test_heuristics_equal_the_library(open_page, S):
    page = open_page()
    low, high = schedules.sigma_range()
    expected = {
        "linearBeta": schedules.alpha_bar_to_sigma(schedules.linear_beta(S)),
        "cosine": schedules.alpha_bar_to_sigma(schedules.cosine(S)),
        "edm": schedules.edm(S, low, high),
        "logLinear": schedules.log_linear(S, low, high),
    }
    for name, sigma in expected.items():
        np.testing.assert_allclose(call(page, f"m.{name}({S})"), sigma, rtol=1e-9, err_msg=name)


@pytest.mark.browser
def test_spectra_equal_the_library(open_page):
    page = open_page()
    ramp = np.sort(GaussianPrior.ramp(d=50, l=0.1).lam)
    np.testing.assert_allclose(np.sort(call(page, "m.ramp()")), ramp, rtol=1e-10)
    np.testing.assert_allclose(
        call(page, "m.powerLaw(1.5)"), (np.arange(1, 257) / 16) ** -1.5, rtol=1e-12
    )


@pytest.mark.browser
@pytest.mark.parametrize("loss", ["w2", "kl"])
@pytest.mark.parametrize("spectrum", ["ramp", "photo"])
def test_fixed_point_solves_its_equation_and_equals_the_library(open_page, spectrum, loss):
    lam = GaussianPrior.ramp(d=50, l=0.1).lam if spectrum == "ramp" else PHOTO
    page = open_page()
    text = json.dumps(list(lam))
    found = call(page, f'm.limitDensity({text}, "{loss}")')
    x, p = np.array(found["x"]), np.array(found["p"])
    assert found["iterations"] < 500

    # p(x) ~ sqrt(sum_i w_i k_i(x)), k = 1 / (8 cosh^2(x - log(lam) / 2)), written independently.
    k = 1 / (8 * np.cosh(x - 0.5 * np.log(lam)[:, None]) ** 2)
    E = np.trapezoid(k / p, x, axis=1)
    speed = np.sqrt(((lam if loss == "w2" else 1) * E) @ k)
    np.testing.assert_allclose(p, speed / np.trapezoid(speed, x), rtol=1e-6)

    limit = design.limit_density(design.make_problem(lam, loss=loss), *schedules.sigma_range())
    np.testing.assert_allclose(p, limit.density, rtol=1e-6)
    for S in (2, 20, 112):
        sigma = call(page, f'm.followDensity({S}, m.limitDensity({text}, "{loss}"))')
        np.testing.assert_allclose(sigma, design.limit_schedule(limit, S), rtol=1e-6)


@pytest.mark.browser
@pytest.mark.parametrize("loss", ["w2", "kl"])
@pytest.mark.parametrize("spectrum", ["ramp", "photo"])
def test_own_weights_equal_the_library(open_page, spectrum, loss):
    lam = GaussianPrior.ramp(d=50, l=0.1).lam if spectrum == "ramp" else PHOTO
    page, problem = open_page(), design.make_problem(lam, loss=loss)
    text = json.dumps(list(lam))
    for S in (2, 5, 20, 112):
        expected = design.step_density(problem, *schedules.sigma_range(), S)
        found = call(page, f'm.limitDensity({text}, "{loss}").own({S})')
        np.testing.assert_allclose(found["p"], expected.density, rtol=1e-6, err_msg=f"S = {S}")
        sigma = call(page, f'm.followDensity({S}, m.limitDensity({text}, "{loss}").own({S}))')
        np.testing.assert_allclose(sigma, design.limit_schedule(expected, S), rtol=1e-6)


@pytest.mark.browser
def test_table_shows_the_fixed_point_of_these_steps(open_page):
    page = open_page(S=5)
    problem = design.make_problem(GaussianPrior.ramp(d=50, l=0.1).lam)
    density = design.step_density(problem, *schedules.sigma_range(), 5)
    value = np.sqrt(design.objective(problem, design.limit_schedule(density, 5)))
    best = np.sqrt(design.design_schedule(GaussianPrior.ramp(d=50, l=0.1).lam, 5).objective)
    rows = page.eval_on_selector_all(
        ".dbx tbody tr", "rows => rows.map(r => [...r.cells].map(c => c.textContent))"
    )
    (row,) = [row for row in rows if row[0].startswith("fixed")]
    assert row[1:3] == [f"{value:.2f}", f"×{value / best:.2f}"]


@pytest.mark.browser
@pytest.mark.parametrize("S", [2, 10, 50])
def test_gain_and_distances_equal_the_library(open_page, S):
    lam = GaussianPrior.ramp(d=50, l=0.1).lam
    alpha_bar = schedules.cosine(S)
    page = open_page()
    d1 = np.array(call(page, f"m.gain({json.dumps(list(lam))}, m.cosine({S}))"))
    np.testing.assert_allclose(d1, transfer(lam, alpha_bar).D1, rtol=1e-9)
    np.testing.assert_allclose(d1, ddim_gain(lam, alpha_bar), rtol=1e-9)
    arguments = f"{json.dumps(list(lam))}, {json.dumps(list(d1))}"
    assert call(page, f"m.w2({arguments})") == pytest.approx(w2_spectral(lam, d1), rel=1e-10)
    assert call(page, f"m.kl({arguments})") == pytest.approx(kl_spectral(lam, d1), rel=1e-10)


@pytest.mark.browser
def test_numbers_are_shown_with_three_digits_and_their_power(open_page):
    page = open_page()
    for value, text in (
        *((0, "0"), (0.00123456, "0.00123"), (2.5, "2.50"), (712.4, "712"), (2186, "2190")),
        *((9996, "10000"), (12345, "1.23·10⁴"), (1.5e-4, "1.50·10⁻⁴"), (-4167, "-4170")),
    ):
        assert call(page, f"m.show({value!r})") == text


@pytest.mark.browser
@pytest.mark.parametrize("loss", ["w2", "kl"])
@pytest.mark.parametrize("S", [2, 5, 20, 112])
@pytest.mark.parametrize("spectrum", ["ramp", "photo"])
def test_optimum_equals_the_library(open_page, spectrum, S, loss):
    lam = GaussianPrior.ramp(d=50, l=0.1).lam if spectrum == "ramp" else PHOTO
    page = open_page()
    text = json.dumps(list(lam))
    sigma = np.array(
        call(page, f'm.design({text}, {S}, "{loss}", m.limitDensity({text}, "{loss}"))')
    )
    schedules.validate_sigma(sigma)
    found = design.objective(design.make_problem(lam, loss=loss), sigma)
    best = design.design_schedule(lam, S, loss=loss).objective
    assert found == pytest.approx(best, rel=1e-6)


@pytest.mark.browser
@pytest.mark.parametrize(
    ("spectrum", "loss", "key"),
    [("ramp", "w2", ""), ("power", "kl", "alpha"), ("white", "w2", "variance"),
     ("data:photo patches", "w2", ""), ("data:digits", "kl", "")],
)  # fmt: skip
def test_copied_python_makes_the_schedule_of_the_figure(open_page, spectrum, loss, key):
    # A page from a file is no secure context, as far as a browser can be told here: no clipboard.
    page = open_page(S=7)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.locator("[id$='-spectrum']").select_option(spectrum)
    page.locator("[id$='-loss']").select_option(loss)
    if key:
        page.locator(f"[id$='-{key}']").press("ArrowLeft")
    page.locator("[id$='-left']").select_option("snr")
    page.locator("[id$='-copy']").press("Enter")
    code = page.locator("[id$='-code']")
    code.wait_for()
    assert code.evaluate("e => document.activeElement === e && e.selectionEnd === e.value.length")
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # faint modes of the digits
        exec(code.input_value(), names)
    lam = call(page, f"m.design({json.dumps(list(names['lam']))}, 7, '{loss}', "
               f"m.limitDensity({json.dumps(list(names['lam']))}, '{loss}').own(7))")  # fmt: skip
    np.testing.assert_allclose(names["best"].sigma, lam, rtol=1e-3)
    # The curve that is drawn: ordinates run from -10.6 to 10 in log SNR, so only its shape is read.
    path = page.locator(".dbx g.dbx-spectral path").first.get_attribute("d")
    y = np.array([float(p.split(",")[1]) for p in path[1:].split("L")])
    shown = (y - y[0]) / (y[-1] - y[0])
    x = np.log(names["best"].sigma)
    np.testing.assert_allclose(shown, (x - x[0]) / (x[-1] - x[0]), atol=2e-3)


@pytest.mark.browser
def test_python_goes_to_the_clipboard_where_there_is_one(open_page):
    page = open_page(S=7)
    page.evaluate(
        "Object.defineProperty(navigator, 'clipboard',"
        " {value: {writeText: async t => { window.copied = t; }}})"
    )
    page.locator("[id$='-copy']").press("Space")
    page.wait_for_function("window.copied")
    assert "design_schedule(lam, 7" in page.evaluate("window.copied")
    assert page.locator("[id$='-code']").is_hidden()
    assert page.locator(".dbx-said").text_content() == "Copied."
    assert page.errors == []


@pytest.mark.browser
def test_slope_equals_central_differences(open_page):
    lam = GaussianPrior.ramp(d=50, l=0.1).lam
    page = open_page()
    x = np.log(schedules.alpha_bar_to_sigma(schedules.cosine(6)))
    modes = f"m.distinct({json.dumps(list(lam))})"
    for loss in ("w2", "kl"):

        def value(y, loss=loss):
            return call(page, f'm.logLoss({modes}, "{loss}", {json.dumps(list(np.exp(y)))})')

        slope, h = value(x)["slope"], 1e-5
        for s in range(1, 6):
            e = np.eye(7)[s] * h
            central = (value(x + e)["value"] - value(x - e)["value"]) / (2 * h)
            assert slope[s] == pytest.approx(central, rel=1e-6, abs=1e-9)


def drawing(page):
    return page.eval_on_selector_all(".dbx g path", "nodes => nodes.map(n => n.getAttribute('d'))")


@pytest.mark.browser
def test_every_control_changes_the_drawing_by_keyboard(open_page):
    page = open_page()
    seen = [drawing(page)]

    def changed():
        seen.append(drawing(page))
        return seen[-1] != seen[-2]

    for name in ("spectrum", "loss", "left", "right"):
        page.locator(f"[id$='-{name}']").focus()
        page.keyboard.press("ArrowDown")
        assert changed(), name
    assert page.locator("[id$='-alpha']").is_visible()
    for name in ("steps", "alpha"):
        page.locator(f"[id$='-{name}']").focus()
        page.keyboard.press("ArrowRight")
        assert changed(), name
    count = len(seen[-1])
    page.locator("[id$='-show-cosine']").focus()
    page.keyboard.press("Space")
    assert len(drawing(page)) == count - 2
    assert all("NaN" not in d and "Infinity" not in d for paths in seen for d in paths)
    assert page.errors == []


@pytest.mark.browser
def test_summary_and_table_say_what_the_library_says(open_page):
    page = open_page(S=10)
    lam = GaussianPrior.ramp(d=50, l=0.1).lam
    best = np.sqrt(design.design_schedule(lam, 10).objective)
    worst = w2_spectral(lam, ddim_gain(lam, schedules.cosine(10))) / best
    rows = page.eval_on_selector_all(
        ".dbx tbody tr", "rows => rows.map(r => [...r.cells].map(c => c.textContent))"
    )
    table = {row[0].replace("\u00a0", " "): row[1:] for row in rows}
    assert table["spectral optimum"][:2] == [f"{best:.2f}", "×1.00"]
    assert table["cosine"][1] == f"×{worst:.2f}"
    status = page.locator("[role=status]")
    assert status.get_attribute("aria-live") == "polite"
    assert f"W2 = {best:.2f}" in status.text_content()
    assert "10 steps" in status.text_content()
    page.locator("[id$='-steps']").press("ArrowRight")
    assert "11 steps" in status.text_content()


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_fits_and_reads_in_both_themes(open_page, width, theme):
    page = open_page(width=width, theme=theme)
    for spectrum in ("white", "power", "data:digits"):
        page.locator("[id$='-spectrum']").select_option(spectrum)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    background = page.eval_on_selector(".dbx", "e => getComputedStyle(e).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if theme == "light" else "rgb(20, 24, 30)")
    spread = page.evaluate(
        """() => [...document.querySelectorAll('.dbx-panel svg')].every(svg => {
            const box = svg.getBoundingClientRect();
            return [...svg.querySelectorAll('text')].every(t => {
                const b = t.getBoundingClientRect();
                return b.left >= box.left - 1 && b.right <= box.right + 1 && b.bottom <= box.bottom + 1;
            });
        })"""
    )
    assert spread, "a label of the drawing leaves its frame"
    assert page.errors == []


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessibility(open_page, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = open_page(width=390, theme=theme)
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
    found = axe.Axe().run(page, context=".dbx", options=rules).response["violations"]
    assert [rule["id"] for rule in found] == []


@pytest.mark.browser
def test_says_what_it_is_without_script(open_page):
    page = open_page(script=False)
    assert "needs JavaScript" in page.locator(".dbx").inner_text()


@pytest.mark.browser
def test_two_on_one_page_and_late_insertion(open_page):
    page = open_page(S=10)
    html = explorer(S=40, loss="kl").html
    page.evaluate(INSERT_LATE, html)
    page.wait_for_function("document.querySelectorAll('.dbx[data-ready]').length === 2")
    ids = page.eval_on_selector_all("[id]", "nodes => nodes.map(n => n.id)")
    assert len(ids) == len(set(ids))
    assert "40 steps" in page.locator("[role=status]").nth(1).text_content()
    assert "10 steps" in page.locator("[role=status]").nth(0).text_content()
