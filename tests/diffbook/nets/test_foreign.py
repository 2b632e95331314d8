"""Foreign models behind the denoiser protocol: stand-ins whose answers are known exactly."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diffbook.nets import foreign
from diffbook.nets.foreign import from_eps_model, from_sigma_model, load_pretrained, rounded
from diffbook.priors.gaussian import GaussianPrior
from diffbook.samplers.unguided import ddim
from diffbook.schedules.families import cosine, ddpm_chain, ddpm_respaced

SHAPE = (3, 8, 8)
CHAIN = ddpm_chain()


def gaussian_prior():
    f = np.fft.fftfreq(8)
    lam = 0.3 / (0.02 + f[:, None] ** 2 + f[None, :] ** 2)
    return GaussianPrior.from_spectrum(lam / lam.mean(), 0.1)


class EpsModel(torch.nn.Module):
    """guided-diffusion's interface around the exact noise model of a Gaussian."""

    def __init__(self, learned_variance=True):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.learned_variance = learned_variance
        self.seen = []

    def forward(self, x, t):
        assert x.dtype == torch.float32
        assert t.dtype == torch.int64
        assert t.shape == (len(x),)
        self.seen.append((len(x), int(t[0])))
        ab = float(CHAIN[int(t[0])])
        # In float64 inside, so that the stand-in adds no rounding of its own.
        flat = x.double().reshape(-1, 8, 8)
        x0 = gaussian_prior().denoise(flat, ab).reshape(x.shape)
        eps = self.scale * ((x - ab**0.5 * x0) / (1 - ab) ** 0.5).float()
        return torch.cat([eps, torch.full_like(eps, 7.0)], 1) if self.learned_variance else eps


class SigmaModel(torch.nn.Module):
    """EDM's interface around the exact denoiser of the same Gaussian."""

    def forward(self, y, sigma):
        assert y.dtype == sigma.dtype == torch.float32
        flat = y.reshape(-1, 8, 8)
        return gaussian_prior().denoise_ve(flat, float(sigma[0])).reshape(y.shape)


def exact(x, ab):
    return gaussian_prior().denoise(x.reshape(-1, 8, 8), ab).reshape(x.shape)


def states(n=5, seed=0):
    return np.random.default_rng(seed).standard_normal((n, *SHAPE))


@pytest.mark.parametrize("learned_variance", [True, False])
@pytest.mark.parametrize("t", [0, 20, 500, 999])
def test_eps_model_gives_the_exact_denoiser(learned_variance, t):
    denoiser = from_eps_model(EpsModel(learned_variance), CHAIN, clip=None)
    x, ab = states(), CHAIN[t]
    # float32 noise, multiplied by sigma = sqrt((1 - ab) / ab)
    atol = 1e-6 * (1 + np.sqrt((1 - ab) / ab))
    np.testing.assert_allclose(denoiser(x, ab), exact(x, ab), atol=atol, rtol=0)


@pytest.mark.parametrize("ab", [0.9999, 0.5, 1e-4])
def test_sigma_model_gives_the_exact_denoiser(ab):
    denoiser = from_sigma_model(SigmaModel(), clip=None)
    np.testing.assert_allclose(denoiser(states(), ab), exact(states(), ab), atol=2e-5)


def test_clipping():
    denoiser = from_eps_model(EpsModel(), CHAIN, clip=(-0.2, 0.3))
    x, ab = states(), CHAIN[300]
    np.testing.assert_allclose(denoiser(x, ab), exact(x, ab).clip(-0.2, 0.3), atol=1e-5)


def test_kind_dtype_batches_and_graph():
    model = EpsModel()
    denoiser = from_eps_model(model, CHAIN, batch=2)
    x = torch.randn(5, *SHAPE)
    out = denoiser(x, CHAIN[100])
    assert out.dtype == torch.float32
    assert model.seen == [(2, 100), (2, 100), (1, 100)]
    assert not out.requires_grad  # the model's parameters are frozen
    assert isinstance(denoiser(x.numpy(), CHAIN[100]), np.ndarray)
    assert denoiser(x.double(), CHAIN[100]).dtype == torch.float64


def test_gradient_is_the_wiener_slope():
    """Without clamping the vector-Jacobian product is the symmetric Wiener filter itself."""
    denoiser = from_eps_model(EpsModel(), CHAIN, clip=None)
    ab, v = CHAIN[300], torch.as_tensor(states(2, 1))
    x = torch.as_tensor(states(2)).requires_grad_(True)
    (g,) = torch.autograd.grad((denoiser(x, ab) * v).sum(), x)
    slope = exact(v, ab) - exact(torch.zeros_like(v), ab)
    torch.testing.assert_close(g, slope, atol=1e-5, rtol=0)


def test_sampling_through_the_adapter_equals_the_exact_denoiser():
    schedule = rounded(cosine(8), CHAIN)
    x_T = states(4)
    model = from_eps_model(EpsModel(), CHAIN, clip=None)
    got = ddim(model, x_T, schedule).sample
    expected = ddim(lambda x, ab, cond=None: exact(x, ab), x_T, schedule).sample
    np.testing.assert_allclose(got, expected, atol=5e-4)


def test_rounded_schedules():
    used = rounded(cosine(20), CHAIN)
    assert set(used) <= set(CHAIN)
    assert np.all(np.diff(used) < 0)
    respaced = ddpm_respaced(10)
    np.testing.assert_array_equal(rounded(respaced, CHAIN), respaced)  # already on the chain
    np.testing.assert_array_equal(rounded(ddpm_respaced(1), CHAIN), ddpm_respaced(1))
    moved = respaced * np.r_[1.0, np.full(10, 1 - 1e-6)]
    np.testing.assert_array_equal(rounded(moved, CHAIN), respaced)


FACTORIES = """
import numpy as np
import torch

class Zero(torch.nn.Module):
    def forward(self, x, t):
        return torch.zeros_like(x)

def eps():
    return {"model": Zero(), "predicts": "eps", "shape": (3, 8, 8)}

def short():
    return eps() | {"alpha_bar": np.array([0.9, 0.5, 0.1])}

def edm():
    return {"model": lambda y, sigma: 0.5 * y, "predicts": "x0", "shape": [1, 4, 4]}

def typo():
    return {"model": Zero(), "predict": "eps", "shape": (3, 8, 8)}

def other():
    return eps() | {"predicts": "v"}

def bare():
    return Zero()

def wrong():
    return eps() | {"model": lambda x, t: x[:, :2]}

def fraction():
    return eps() | {"shape": (3, 8, 8.5)}

def none():
    return eps() | {"model": None}

def rising():
    return eps() | {"alpha_bar": np.array([0.1, 0.5, 0.9])}

constant = 3
"""


@pytest.fixture
def factories(tmp_path):
    path = tmp_path / "my_model.py"
    path.write_text(FACTORIES, "utf-8")
    return path


def test_load_from_a_file(factories):
    found = load_pretrained(f"{factories}:eps", clip=None)
    assert found.shape == SHAPE
    np.testing.assert_array_equal(found.alpha_bar, CHAIN)
    np.testing.assert_allclose(found.denoiser(states(), CHAIN[9]), states() / CHAIN[9] ** 0.5)
    np.testing.assert_array_equal(found.schedule(ddpm_respaced(10)), ddpm_respaced(10))
    assert load_pretrained(f"{factories}:short").schedule([1.0, 0.55, 0.11]).tolist() == [
        1.0, 0.5, 0.1,
    ]  # fmt: skip


def test_load_a_model_of_any_level_and_from_a_module(factories, monkeypatch):
    found = load_pretrained(f"{factories}:edm", clip=None)
    assert found.alpha_bar is None
    np.testing.assert_allclose(found.denoiser(np.ones((2, 1, 4, 4)), 0.25), 1.0)
    np.testing.assert_array_equal(found.schedule(cosine(5)), cosine(5))
    monkeypatch.syspath_prepend(str(factories.parent))
    assert load_pretrained("my_model:edm").shape == (1, 4, 4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("typo", r"lacks \['predicts'\] and has the unknown \['predict'\]"),
        ("other", "my_model.py:other: predicts: got 'v'"),
        ("fraction", "my_model.py:fraction: shape: got np.float64"),
        ("none", "my_model.py:none: model: got None"),
        ("rising", r"my_model.py:rising: alpha_bar"),
        ("bare", "returned Zero, expected a mapping"),
        ("constant", "has no function 'constant'"),
        ("absent", "has no function 'absent'"),
    ],
)
def test_bad_factories_are_refused(factories, name, message):
    with pytest.raises(ValueError, match=message):
        load_pretrained(f"{factories}:{name}")


def test_bad_names_and_arguments_are_refused(factories):
    for spec in ("model.py", "a:b:", ":f", "file.py:not a name"):
        with pytest.raises(ValueError, match="spec: got"):
            load_pretrained(spec)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_pretrained(str(factories.with_name("absent.py")) + ":eps")
    with pytest.raises(ModuleNotFoundError):
        load_pretrained("no_such_module_here:eps")
    with pytest.raises(ValueError, match=r"model <lambda> at t = 5: answered shape"):
        load_pretrained(f"{factories}:wrong").denoiser(states(), CHAIN[5])
    with pytest.raises(ValueError, match="is no training level"):
        load_pretrained(f"{factories}:short").denoiser(states(), 0.7)


def test_weights_come_from_safetensors_only(tmp_path):
    model = EpsModel()
    save_file({"scale": torch.tensor(2.0)}, tmp_path / "w.safetensors")
    assert foreign.load_safetensors(model, tmp_path / "w.safetensors").scale == 2.0
    with pytest.raises(ValueError, match=r"got 'w\.pt', expected a \.safetensors file"):
        foreign.load_safetensors(model, tmp_path / "w.pt")
    save_file({"scale": torch.ones(2)}, tmp_path / "v.safetensors")
    with pytest.raises(ValueError, match=r"v\.safetensors: names or shapes differ.*\['scale'\]"):
        foreign.load_safetensors(model, tmp_path / "v.safetensors")
    save_file({"shift": torch.ones(())}, tmp_path / "u.safetensors")
    with pytest.raises(ValueError, match=r"u\.safetensors: names or shapes differ"):
        foreign.load_safetensors(model, tmp_path / "u.safetensors")
    for bad in (np.nan, -np.inf, 1j):
        save_file({"scale": torch.tensor(bad)}, tmp_path / "t.safetensors")
        with pytest.raises(
            ValueError, match=r"t\.safetensors: values that are not finite and real"
        ):
            foreign.load_safetensors(model, tmp_path / "t.safetensors")
    whole = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(whole[:-2])
    with pytest.raises(ValueError, match=r"w\.safetensors: no whole .*; fetch or convert it again"):
        foreign.load_safetensors(model, tmp_path / "w.safetensors")
    with pytest.raises(FileNotFoundError, match="absent"):
        foreign.load_safetensors(model, tmp_path / "absent.safetensors")


class Trained(torch.nn.Module):
    """A model with parts that behave otherwise in training."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop = torch.nn.BatchNorm2d(3), torch.nn.Dropout(0.5)
        self.norm.running_mean += 0.3

    def forward(self, x, t):
        return self.drop(self.norm(x))


@pytest.mark.parametrize("adapt", [lambda m: from_eps_model(m, CHAIN), from_sigma_model])
def test_dropout_and_batch_norm_are_in_evaluation_mode(adapt):
    model = Trained().train()
    kept = {k: v.clone() for k, v in model.state_dict().items()}
    denoiser, x = adapt(model), states()
    first = denoiser(x, CHAIN[300])
    np.testing.assert_array_equal(denoiser(x, CHAIN[300]), first)
    np.testing.assert_array_equal(denoiser(x[:2], CHAIN[300]), first[:2])
    assert all(torch.equal(v, kept[k]) for k, v in model.state_dict().items())


def answering(change):
    """A model whose answer is changed at one level: sigma = 2, or t = 7 of a chain."""

    def bad_model(x, level):
        return change(x) if float(level[0]) in (2.0, 7.0) else torch.zeros_like(x)

    return bad_model


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: torch.full_like(x, torch.nan), "values that are not finite to states up to 2.5"),
        (lambda x: x / 0, "values that are not finite"),
        (
            lambda x: torch.zeros_like(x, dtype=torch.int64),
            "answered torch.int64, expected a tensor",
        ),
        (lambda x: x + 1j, "answered torch.complex64, expected a tensor"),
        (lambda x: x.numpy(), "answered float32, expected a tensor"),
        (lambda x: None, "answered NoneType, expected a tensor"),
        (lambda x: x[:, :2], "answered shape"),
        (lambda x: x[:1], "answered shape"),
        (lambda x: x.sum(), "answered shape"),
    ],
)
def test_what_is_no_answer_is_refused_with_model_and_level(change, words):
    x = np.full((2, *SHAPE), 2.5)
    by_sigma = from_sigma_model(answering(change))
    assert np.all(by_sigma(x, 0.5) == 0)
    with pytest.raises(
        ValueError, match=rf"model bad_model at sigma = 2: .*{words.split(' to ')[0]}"
    ):
        by_sigma(x, 0.2)
    by_step = from_eps_model(answering(change), CHAIN)
    assert np.all(np.isfinite(by_step(x, CHAIN[8])))
    with pytest.raises(ValueError, match=rf"model bad_model at t = 7: .*{words}"):
        by_step(x, CHAIN[7])


def test_a_diverging_state_is_no_fault_of_the_model():
    x = np.full((2, *SHAPE), np.inf)
    assert np.all(from_sigma_model(lambda y, sigma: 0.5 * y, clip=None)(x, 0.5) == np.inf)
    assert np.isnan(from_eps_model(lambda y, t: y - y, CHAIN)(x, CHAIN[9])).all()


def test_a_learned_variance_is_not_used_whatever_it_holds():
    def model(x, t):
        return torch.cat([torch.zeros_like(x), torch.full_like(x, torch.nan)], 1)

    assert np.all(np.isfinite(from_eps_model(model, CHAIN)(states(), CHAIN[9])))


def test_guided_restoration_with_a_pretrained_model():
    """DPS with a Gaussian's exact noise model behind the adapter is DPS with its Wiener denoiser."""
    from chapters.posterior.colour import deblur_colour
    from diffbook.nets.foreign import Pretrained
    from diffbook.priors.colour import ChannelPriors

    prior = gaussian_prior()
    priors = ChannelPriors(np.eye(3), (prior, prior, prior))
    x0 = priors.sample(6, np.random.default_rng(0))
    adapted = from_eps_model(EpsModel(), CHAIN, clip=None)
    found = deblur_colour(priors, x0, (10,), pretrained=Pretrained(adapted, SHAPE, CHAIN), std=1.0)
    exact = deblur_colour(priors, x0, (10,), std=1.0)
    found, exact = ([row for row in rows if row.metric == "PSNR"] for rows in (found, exact))
    assert [row.method for row in found] == [row.method for row in exact]
    for a, b in zip(found[1:], exact[1:], strict=True):  # the designs differ: one is regularised
        np.testing.assert_allclose(a.value, b.value, atol=0.02)
    assert found[0].mean > found[-1].mean
