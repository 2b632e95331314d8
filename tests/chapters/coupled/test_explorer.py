"""The interactive figure: the browser computes what Python computes, and anyone can use it."""

import re
from dataclasses import replace

import numpy as np
import pytest
from browser import INSERT_LATE, offline_pages

from chapters.coupled import worlds
from chapters.coupled.explorer import described, explorer, two_classes
from diffbook import coupled

SCHEDULE = coupled.vp_levels(20)


# --- without a browser ------------------------------------------------------------------------


def test_html_is_self_contained_small_and_deterministic():
    html = explorer()._repr_html_()
    assert html == explorer()._repr_html_() != explorer(noise=0.5).html
    assert len(html.encode()) < 30_000
    assert not re.search(r"""(src|href)=|url\(|@import|https?://(?!www\.w3\.org/2000/svg)""", html)
    assert html.count("</script>") == 1 and "<noscript>" in html
    assert explorer({"</script>": two_classes()}).html.count("</script>") == 1
    assert repr(explorer()).startswith("Explorer of couplings")


def test_a_world_that_the_script_cannot_compute_is_refused():
    with pytest.raises(ValueError, match="diagonal A"):
        explorer({"cross": worlds.cross(0.3)})
    with pytest.raises(ValueError, match="trust_signal"):
        explorer({"decoy": worlds.decoy(0.3, trust_signal=0.1)})


# --- in a browser -----------------------------------------------------------------------------


@pytest.fixture
def open_page(browser, tmp_path):
    with offline_pages(browser, tmp_path, ".dbc path.dbc-path") as opened:

        def make(width=1280, theme="light", script=True, **arguments):
            return opened(explorer(**arguments).html, width, theme, script)

        yield make


def call(page, expression, **values):
    """Evaluate an expression of the page's pure functions `m` and the given values."""
    return page.evaluate(
        "([e, v]) => new Function('m', ...Object.keys(v), 'return ' + e)"
        "(window.diffbookCoupled.math, ...Object.values(v))",
        [expression, values],
    )


@pytest.mark.browser
@pytest.mark.parametrize("world", [worlds.decoy(0.3), replace(two_classes(), noise=0.9)])
def test_networks_equal_those_of_python(open_page, world):
    page, rng = open_page(), np.random.default_rng(0)
    K, w = len(world.codes), described(world)
    for sigma in (0.05, 0.7, 40.0):
        u, x, v = rng.standard_normal((3, 1, 2))
        y, vy = rng.standard_normal((2, 1, K))
        net = world.coupling(u)
        one = {"u": u[0].tolist(), "x": x[0].tolist(), "y": y[0].tolist()}
        one |= {"v": v[0].tolist(), "vy": vy[0].tolist(), "w": w, "sigma": sigma}
        cases = {
            "m.signal(w, v, sigma, u, null)": net.signal(v, sigma, (u, None)),
            "m.signal(w, v, sigma, u, y)": net.signal(v, sigma, (u, y)),
            "m.logits(w, vy, sigma, u, null)": net.logits(vy, sigma, ((u,), None)),
            "m.logits(w, vy, sigma, u, x)": net.logits(vy, sigma, ((x,), None)),
            "m.posterior(w, u)": world.posterior(u),
        }
        for expression, expected in cases.items():
            found = call(page, expression, **one)
            np.testing.assert_allclose(found, expected[0], rtol=1e-9, atol=1e-12)
        p = np.array(call(page, "m.classify(w, x)", **one))
        np.testing.assert_allclose(p @ world.codes, world.classifier(x)[0], rtol=1e-9, atol=1e-12)


@pytest.mark.browser
@pytest.mark.parametrize("sampler", ["zero-variance", "ancestral", "ddim"])
def test_strategies_equal_the_library(open_page, sampler):
    page, world = open_page(), worlds.decoy(0.5)
    u, noise = np.array([[0.45, 0.3]]), coupled.batch_noise(4)
    net = world.coupling(u)
    switches = coupled.Switches(sampler=sampler, standardise=False)
    how = {"noise": noise, "switches": switches, "keep_trajectory": True}
    draws = {
        f"{branch} {round} {s}": noise(branch, round, s, np.empty((1, n)))[0].tolist()
        for branch, n in (("signal", 2), ("logits", 3))
        for round in range(6)
        for s in range(21)
    }
    outcomes = {
        "enhanced": coupled.enhance(net, u, SCHEDULE, **how),
        "parallel": coupled.parallel(net, u, SCHEDULE, **how),
        "alternating": coupled.alternating(net, u, SCHEDULE, **how),
        "nested": coupled.nested(net, u, SCHEDULE, **how),
        "card": coupled.diffuse_logits(net, (u,), SCHEDULE, **how),
    }
    for name, outcome in outcomes.items():
        found = call(
            page,
            "m.run(w, u, sigma, name, sampler, (branch, round, s) => draws[`${branch} ${round} ${s}`])",
            w=described(world),
            u=u[0].tolist(),
            sigma=SCHEDULE.tolist(),
            name=name,
            sampler=sampler,
            draws=draws,
        )
        for key, value in (("x", outcome.signal), ("y", outcome.logits)):
            if value is None:
                assert found[key] is None
            else:
                np.testing.assert_allclose(found[key], value[0], rtol=1e-7, atol=1e-9)
        walk = [at for at in outcome.trajectory if at["hat"] is not None]
        assert [(f["branch"], f["round"], f["s"]) for f in found["frames"]] == [
            (at["branch"], at["round"], at["s"] + 1) for at in walk
        ]
        for frame, at in zip(found["frames"], walk, strict=True):
            np.testing.assert_allclose(frame["hat"], at["hat"][0], rtol=1e-6, atol=1e-8)


@pytest.mark.browser
def test_random_numbers_are_normal_and_trials_follow_the_world(open_page):
    page, world = open_page(), worlds.decoy(0.4)
    z = np.array(call(page, "m.random(3).noise('signal', 0, 0, 20000)"))
    assert abs(z.mean()) < 0.03 and abs(z.std() - 1) < 0.02 and abs(np.mean(z**4) - 3) < 0.25
    hits = call(
        page,
        "Array.from({length: 3000}, (_, i) => m.trial(w, sigma, 'zero-variance', i))",
        w=described(world),
        sigma=coupled.vp_levels(5).tolist(),
    )
    draw = world.sample(200_000, 0)
    bayes = world.posterior(draw.u).max(1).mean()
    for key in ("bayes", "card"):
        assert np.mean([hit[key][0] for hit in hits]) == pytest.approx(bayes, abs=0.025)
    assert hits[0]["enhanced"][0] is None and hits[0]["card"][1] is None


def drawing(page):
    return page.eval_on_selector_all(".dbc path", "nodes => nodes.map(n => n.getAttribute('d'))")


@pytest.mark.browser
def test_every_control_changes_the_drawing_by_keyboard(open_page):
    page = open_page()
    seen = [drawing(page)]
    for name, key in (
        *(("noise", "ArrowRight"), ("across", "ArrowRight"), ("up", "ArrowRight")),
        *(("step", "ArrowLeft"), ("sampler", "ArrowDown"), ("coupling", "ArrowDown")),
        ("world", "ArrowDown"),
    ):
        page.locator(f"[id$='-{name}']").focus()
        page.keyboard.press(key)
        seen.append(drawing(page))
        assert seen[-1] != seen[-2], name
    assert all("NaN" not in d and "Infinity" not in d for paths in seen for d in paths)
    assert page.errors == []


@pytest.mark.browser
def test_u_follows_the_pointer(open_page):
    page = open_page()
    box = page.locator(".dbc-panel svg").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.up()
    # A quarter of the way across: 75 of 300, that is (75 - 150) / 148 of 2.3.
    assert float(page.locator("[id$='-across']").input_value()) == pytest.approx(-1.15, abs=0.03)
    assert float(page.locator("[id$='-up']").input_value()) == pytest.approx(0.0, abs=0.03)


@pytest.mark.browser
def test_words_say_what_python_says(open_page):
    page, world = open_page(), worlds.decoy(0.4)
    p = world.posterior(np.array([[0.4, 0.05]]))[0]
    status = page.locator("[role=status]")
    assert status.get_attribute("aria-live") == "polite"
    assert ", ".join(f"class {k} {v:.2f}" for k, v in enumerate(p)) in status.text_content()
    page.wait_for_selector(".dbc-table[aria-busy=false]")
    rows = page.eval_on_selector_all(
        ".dbc tbody tr", "rows => rows.map(r => [...r.cells].map(c => c.textContent))"
    )
    draw = world.sample(200_000, 0)
    bayes = 100 * world.posterior(draw.u).max(1).mean()
    assert [row[0] for row in rows][-2:] == ["Logits from u", "Bayes"]
    assert float(rows[-1][1].split(" ± ")[0]) == pytest.approx(bayes, abs=4)
    assert rows[0][3] == "0.0 ± 0.0"


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_fits_and_reads_in_both_themes(open_page, width, theme):
    page = open_page(width=width, theme=theme, coupling="alternating", sampler="ancestral")
    page.wait_for_selector(".dbc-table[aria-busy=false]")
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    background = page.eval_on_selector(".dbc", "e => getComputedStyle(e).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if theme == "light" else "rgb(20, 24, 30)")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
    found = axe.Axe().run(page, context=".dbc", options=rules).response["violations"]
    assert [rule["id"] for rule in found] == []
    assert page.errors == []


@pytest.mark.browser
def test_says_what_it_is_without_script(open_page):
    page = open_page(script=False)
    assert "needs JavaScript" in page.locator(".dbc").inner_text()


@pytest.mark.browser
def test_late_insertion(open_page):
    page = open_page()
    page.evaluate(INSERT_LATE, explorer(noise=0.8).html)
    page.wait_for_function("document.querySelectorAll('.dbc[data-ready]').length === 2")
    ids = page.eval_on_selector_all("[id]", "nodes => nodes.map(n => n.id)")
    assert len(ids) == len(set(ids))
