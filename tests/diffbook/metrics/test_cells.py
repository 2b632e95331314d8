"""Values at (S, method, seed, metric): collected, summarised, compared in pairs."""

import numpy as np
import pytest

from diffbook.metrics import cells
from diffbook.metrics.intervals import crossed_ci, mean_ci, paired_ci

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(20, 3, (2, 2, 3, 7))  # S, method, seed, image


def made_up(group=""):
    return [
        cells.Cell(S, method, "PSNR", seed, IMAGES[i, j, seed], group)
        for i, S in enumerate((10, 5))
        for j, method in enumerate(("designed", "tuned"))
        for seed in (2, 0, 1)
    ]


def numbers():
    return [
        cells.Cell(S, method, "loss", seed, value * factor * (1 + 0.1 * seed))
        for S, value in ((5, 2.0), (10, 1.0))
        for method, factor in (("ours", 1.0), ("cosine", 1.1), ("sigmoid", 0.9 + S / 50))
        for seed in (0, 1, 2)
    ]


def test_values_are_arrays_over_seeds_in_order():
    table = cells.values(made_up(), "PSNR")
    np.testing.assert_array_equal(table[10, "tuned"], IMAGES[0, 1])
    assert cells.values(numbers(), "loss")[10, "cosine"] == pytest.approx([1.1, 1.21, 1.32])


def test_a_cell_has_the_mean_of_its_images():
    assert cells.Cell(5, "tuned", "PSNR", 0, np.array([1.0, 2.0, 6.0])).mean == 3.0
    assert cells.Cell(5, "tuned", "nfe", 0, 7).mean == 7.0


def test_summary_and_means_are_over_seeds_and_in_order_of_steps():
    found = cells.summary(made_up(), "PSNR")
    assert list(found) == ["designed", "tuned"]
    expected = [mean_ci([image.mean() for image in IMAGES[i, 1]]) for i in (1, 0)]
    np.testing.assert_array_equal(found["tuned"], expected)
    assert cells.means(made_up(), ["PSNR"])["tuned"] == [triple[0] for triple in expected]


def test_comparisons_are_paired_by_seed_and_image():
    five, ten = cells.compare(made_up(), "PSNR", "designed", "tuned")
    assert (five.S, ten.S, ten.other) == (5, 10, "tuned")
    a, b = IMAGES[0]
    assert ten.crossed == crossed_ci(a - b)
    assert ten.difference == paired_ci(a.mean(1), b.mean(1))
    assert ten.ratio == mean_ci(a.mean(1) / b.mean(1))


def test_the_best_rival_at_each_number_of_steps_is_taken():
    found = cells.compare(numbers(), "loss", "ours", ("cosine", "sigmoid"))
    assert [c.other for c in found] == ["sigmoid", "cosine"]
    assert found[0].ratio[0] == pytest.approx(1.0)
    assert found[1].ratio[0] == pytest.approx(1 / 1.1)
    assert cells.worst(found).S == 5


def test_groups_take_tables_apart_and_mixed_ones_are_refused():
    mixed = [*made_up("photos"), *made_up("digits")]
    assert list(cells.groups(mixed)) == ["photos", "digits"]
    assert len(cells.groups(mixed)["digits"]) == 12
    with pytest.raises(ValueError, match=r"cells: got two values of 'PSNR' for 'designed', S = 10"):
        cells.values(mixed, "PSNR")


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="metric: got 'SSIM', which no cell has"):
        cells.values(made_up(), "SSIM")
    with pytest.raises(ValueError, match=r"method: got 'disigned', .*did you mean 'designed'\?"):
        cells.compare(made_up(), "PSNR", "disigned", "tuned")
    one = [cell for cell in made_up() if cell.seed == 0]
    with pytest.raises(ValueError, match="at least two seeds"):
        cells.compare(one, "PSNR", "designed", "tuned")
    fewer = [cell for cell in made_up() if cell.method == "tuned" or cell.seed]
    with pytest.raises(ValueError, match="got 2 and 3 seeds"):
        cells.compare(fewer, "PSNR", "designed", "tuned")
