"""The exact network against conditional Gaussians by brute force; what is counted and merged."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from chapters.diffar import checks
from chapters.diffar.checks import FRAME, LEVELS, A, MarkovNet
from chapters.diffar.steps import ALPHA_BAR
from diffbook.datasets.aligned import Clip
from diffbook.nets.diffar import DiffAR, MultiKernel
from diffbook.priors import kl_gaussian

torch.set_num_threads(1)


def covariance(n):
    at = np.arange(n)
    return A ** np.abs(at[:, None] - at)


@pytest.mark.parametrize("known", [0, 1, 4, 15])
@pytest.mark.parametrize("s", [0, 40, 99])
def test_the_exact_network_is_the_conditional_mean(known, s):
    """Joint Gaussian of known samples, noisy frame and noise; condition on the first two."""
    rng, level = np.random.default_rng(known), LEVELS[s]
    source, eye = covariance(FRAME), np.eye(FRAME)
    # Rows: the known samples, x_s, eps, each as combinations of (x_0, eps).
    keep = np.block([[eye[:known], 0 * eye[:known]], [level**0.5 * eye, (1 - level) ** 0.5 * eye]])
    wanted = np.block([0 * eye, eye])
    joint = np.block([[source, 0 * eye], [0 * eye, eye]])
    seen, cross = keep @ joint @ keep.T, wanted @ joint @ keep.T
    draws = rng.standard_normal((3, 2 * FRAME)) @ np.linalg.cholesky(joint).T
    given = draws @ keep.T
    # Known samples enter x_s exactly: the solution with least norm of a system of full rank.
    expected = given @ np.linalg.solve(seen, cross.T)
    context = np.zeros((3, FRAME))
    context[:, :known] = given[:, :known]
    net = MarkovNet()
    told = net.given(torch.tensor(context))
    found = net(torch.tensor(given[:, known:]), torch.full((3,), float(s)), told)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("overlap", [1, 4])
def test_signals_of_the_exact_network_have_the_covariance_of_the_source(overlap):
    x = checks.markov_signals(600, 3, overlap)
    assert x.shape == (600, 3 * FRAME - 2 * overlap)
    assert np.abs(checks.covariance_z(x)).max() < 4.5
    alone = checks.markov_signals(600, 3 + overlap, 0, frames=2)
    assert alone.shape == (600, 2 * FRAME)
    joint = np.corrcoef(alone[:, FRAME - 1], alone[:, FRAME])[0, 1]
    assert abs(joint) < 0.16
    inside = np.corrcoef(alone[:, FRAME - 2], alone[:, FRAME - 1])[0, 1]
    assert inside == pytest.approx(A, abs=0.035)


def test_the_chain_lacks_the_information_of_the_far_past():
    source = covariance(20)
    chain, lost = checks.chain(source, 6, 1)
    np.testing.assert_allclose(
        chain, source, atol=1e-12
    )  # a source of first order is its own chain
    np.testing.assert_allclose(lost, 0.0, atol=1e-12)
    remembers = checks.recursion(1.6, -0.8, 17)
    chain, lost = checks.chain(remembers, 6, 1)
    joints = [6, 11, 16]  # the first new samples
    np.testing.assert_allclose(lost, -0.5 * np.log(1 - 0.8**2), rtol=1e-9)
    zero = np.zeros(len(chain))
    divergence = kl_gaussian(zero, remembers, zero, chain)
    assert divergence == pytest.approx(lost.sum(), rel=1e-6)
    rho = 1.6 / 1.8
    for j in joints:
        assert chain[j - 2, j] == pytest.approx(rho**2, rel=1e-9)  # as if of first order
        assert remembers[j - 2, j] == pytest.approx(1.6 * rho - 0.8)
    # Frames that share nothing are independent; two known samples are enough for two remembered.
    assert np.all(checks.chain(remembers, 6, 2)[1] < 1e-9)


def test_the_recursion_has_the_covariance_of_its_signal():
    rng, x = np.random.default_rng(1), np.zeros((4000, 60))
    e = rng.standard_normal(x.shape)
    for t in range(2, 60):
        x[:, t] = 1.6 * x[:, t - 1] - 0.8 * x[:, t - 2] + e[:, t]
    found = np.corrcoef(x[:, -8:].T)
    np.testing.assert_allclose(found, checks.recursion(1.6, -0.8, 8), atol=0.06)


def test_the_pitch_is_guessed_where_energy_betrays_it_and_only_there():
    def clip(f0, loud, seed):
        places = 100 * np.arange(4)[:, None] + np.array([0, 100])
        x = loud * np.random.default_rng(seed).standard_normal(400)
        return Clip(x.astype(np.float32), ("a", "b", "a", "b"), places, 8000, f0=f0)

    def clips(louds, start):
        return [clip(f0, loud, start + k) for k in range(10) for f0, loud in louds]

    told, hidden = ((125.0, 0.1), (250.0, 0.3)), ((125.0, 0.1), (250.0, 0.1))
    assert checks.pitch_guessed(clips(told, 0), clips(told, 100)) == 1.0
    assert (
        checks.pitch_guessed(clips(hidden, 0), clips(hidden, 100)) == 0.5
    )  # equal laws but for noise


def test_the_wiener_filter_s_error_is_that_of_samples():
    lam, rng = np.array([0.5, 0.01, 0.1]), np.random.default_rng(0)
    x0 = rng.standard_normal((20_000, 3)) * np.sqrt(lam)
    found = []
    for level in ALPHA_BAR:
        eps = rng.standard_normal(x0.shape)
        x = np.sqrt(level) * x0 + np.sqrt(1 - level) * eps
        error = eps - np.sqrt(1 - level) * x / (level * lam + 1 - level)
        # One sample of a stationary signal holds all modes alike.
        found.append(np.abs(error.sum(1) / np.sqrt(3)).mean())
    assert checks.wiener(lam) == pytest.approx(np.mean(found), rel=0.01)


def test_seeds_of_markov_signals_do_not_overlap():
    first, second = (checks.markov_signals(3, seed, 4, frames=1) for seed in (0, 1))
    both = checks.markov_signals(6, 0, 4, frames=1)
    np.testing.assert_allclose(np.concatenate([first, second]), both, atol=1e-9)


def test_deviations_of_true_samples_are_standard_normal():
    rng, z = np.random.default_rng(0), []
    root = np.linalg.cholesky(covariance(8))
    for _ in range(200):
        z.append(checks.covariance_z(rng.standard_normal((400, 8)) @ root.T))
    z = np.array(z)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=0.3)
    np.testing.assert_allclose(z.std(axis=0), 1.0, atol=0.2)
    wrong = checks.covariance_z(1.1 * rng.standard_normal((4000, 8)) @ root.T)
    assert np.diag(wrong).min() > 4.5


def test_the_released_network_has_its_size_and_no_memory():
    net = checks.released()
    assert sum(p.numel() for p in net.parameters()) == 81_027_345
    assert all(p.is_meta for p in net.parameters())


SIZES = {"phones": 9, "channels": 8, "layers": 4, "cycle": 3, "c_emb": 16}


@pytest.mark.parametrize("options", [{}, {"embedding": 6, "fold": 8, "tracks": 2, "gain": True}])
def test_a_merged_network_is_the_same_one_and_a_fault_shows(options, monkeypatch):
    torch.manual_seed(0)
    net = DiffAR(**SIZES, **options)
    before = torch.get_rng_state()
    found = checks.merge_error(net, 0)
    assert 0 < found < 1e-5
    assert checks.merge_error(net, 0) == found != checks.merge_error(net, 1)
    assert torch.equal(torch.get_rng_state(), before)
    merged = MultiKernel.merged

    def wrong(self):
        one = merged(self)
        one.convs[0].weight.data *= 1.01
        return one

    with monkeypatch.context() as patch:
        patch.setattr(MultiKernel, "merged", wrong)
        assert checks.merge_error(net, 0) > 1e-4

    def twice(self):
        one = deepcopy(self)
        for p in one.leave.parameters():
            p.data *= 2
        return one

    if net.gain is None:
        monkeypatch.setattr(DiffAR, "merged", twice)
        assert checks.merge_error(net, 0) == pytest.approx(1.0)
