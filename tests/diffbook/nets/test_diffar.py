"""DiffAR's network: its sizes, an independent forward pass, exact speed-ups, and what frames know."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from diffbook.nets.diffar import DiffAR, MultiKernel

torch.set_num_threads(1)

N, L = 3, 96
OPTIONS = [
    {"embedding": e, "fold": fold, "tracks": tracks, "speakers": 3 * (i % 3 > 0), "gain": i % 4 > 1}
    for i, (e, tracks, fold) in enumerate(itertools.product((0, 6), (0, 1, 2), (1, 8)))
]
every_option = pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda o: "-".join(map(str, o.values()))
)


def stirred(dtype=torch.float64, **options):
    """A small network; the last convolution starts at zero, which would hide mistakes."""
    torch.manual_seed(0)
    net = DiffAR(**{"phones": 9, "channels": 8, "layers": 4, "cycle": 3, "c_emb": 16, **options})
    torch.nn.init.normal_(net.leave.weight, std=0.2)
    return net.to(dtype).requires_grad_(False)


def frame(net, n=N, length=L, seed=1):
    """Noisy samples, steps, and what is told: as many tracks and speakers as the network has."""
    g = torch.Generator().manual_seed(seed)
    x, context = torch.randn(2, n, length, generator=g, dtype=net.leave.weight.dtype)
    context[:, length // 3 :] = 0.0
    tracks = torch.rand(n, net.tracks, length, generator=g, dtype=x.dtype)
    told = {
        "context": context,
        "phones": torch.randint(1, 10, (n, length), generator=g),
        "tracks": tracks if net.tracks else None,
        "speaker": torch.arange(n) % net.speakers if net.speakers else None,
    }
    return x, torch.arange(n) * 3 + 1, told


def answer(net, x, s, told):
    return net(x, s, net.given(**told))


def row(told, i, length=None):
    """What is told of one frame, cut to its length."""
    own = {k: None if v is None else v[i : i + 1] for k, v in told.items() if k != "lengths"}
    return {k: v if v is None or k == "speaker" else v[..., :length] for k, v in own.items()}


# --- sizes ----------------------------------------------------------------------------------------


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("channels", "weights"),
    [(256, 81_027_345), (128, 21_787_921), (64, 6_336_273), (32, 2_152_465), (16, 946_065)],
)
def test_the_released_sizes(channels, weights):
    """Counted on the released class; all that it learns of phones and of energy is 648 numbers each."""
    with torch.device("meta"):
        net = DiffAR(channels=channels)
    assert count(net) == weights
    assert [count(banks) for banks in net.scalars] == [648, 648]
    assert net.reach == 36_889
    if channels == 16:
        assert count(net.merged()) == 784_065
        assert net.merged().reach == 36_889


@pytest.mark.parametrize(
    ("options", "reach"),
    [
        ({}, 1 + 6 * (1 + 2 + 4 + 1)),
        ({"cycle": 2}, 1 + 6 * (1 + 2 + 1 + 2)),
        ({"kernels": (7, 3)}, 1 + 6 * 8),
        ({"kernels": (5,)}, 1 + 4 * 8),
        ({"fold": 4, "kernels": (3,)}, 4 * (1 + 2 * 8)),
    ],
)
def test_the_receptive_field_is_the_support_of_a_gradient(options, reach):
    net = stirred(**options)
    x, s, told = frame(net, n=1, length=240)
    inputs = x, told["context"], told["tracks"]
    for value in inputs:
        value.requires_grad_()
    answer(net, x, s, told)[0, 120].backward()
    assert net.reach == net.merged().reach == reach
    for value in inputs:
        seen = value.grad[..., 0, :].flatten().nonzero()
        first, last = int(seen[0]), int(seen[-1])
        middle = 120 // net.fold * net.fold + (net.fold - 1) / 2
        assert (last - first + 1, (first + last) / 2) == (reach, middle)


# --- the forward pass, again ----------------------------------------------------------------------


def convolved(net, name, x):
    """Mean of the parallel convolutions under a name, each with zeros around."""
    weights = net.state_dict()
    found, j = [], 0
    while f"{name}.convs.{j}.weight" in weights:
        w, b = weights[f"{name}.convs.{j}.weight"], weights[f"{name}.convs.{j}.bias"]
        d = net.get_submodule(f"{name}.convs.{j}").dilation[0]
        side = torch.zeros(*x.shape[:2], d * (w.shape[2] - 1) // 2, dtype=x.dtype)
        padded, size = torch.cat([side, x, side], dim=2), x.shape[2]
        taps = [padded[:, :, t * d : t * d + size] for t in range(w.shape[2])]
        found.append(
            sum(w[:, :, t] @ tap for t, tap in enumerate(taps)) + b[:, None],
        )
        j += 1
    return torch.stack(found).mean(0)


def written_out(net, x, s, context, phones, tracks, speaker):
    """Equation 7 as the released code has it: every condition at every step, a stack of skips."""
    weights = net.state_dict()
    n, layers = len(x), len(net.mix)

    def line(name, v):
        return v @ weights[f"{name}.weight"].flatten(1).T + weights[f"{name}.bias"]

    def pointwise(name, v):
        return line(name, v.transpose(1, 2)).transpose(1, 2)

    def trunk(name, v, first):
        return F.silu(line(f"{name}.{first + 2}", F.silu(line(f"{name}.{first}", v))))

    def columns(v):  # (n, L) -> (n, fold, L / fold)
        return v.reshape(n, -1, net.fold).transpose(1, 2)

    powers = 10.0 ** (4.0 * torch.arange(64, dtype=x.dtype) / 63)
    table = torch.cat([torch.sin(s[:, None] * powers), torch.cos(s[:, None] * powers)], dim=1)
    step = trunk("step", table, 0)
    if net.speakers:
        voice = trunk("voice", weights["voice.0.weight"][speaker], 1)
    levels = [columns(t).mean(1, keepdim=True) for t in tracks.unbind(1)] if net.tracks else []
    if "symbol.weight" in weights:
        vectors = weights["symbol.weight"][phones[:, :: net.fold]].transpose(1, 2)
        text = torch.cat([vectors, *levels], dim=1)
        for i in range(2):
            text = F.silu(convolved(net, f"encoder.{i}", text))
    h, skips = F.relu(pointwise("enter", columns(x))), []
    for i in range(layers):
        seen = h + line(f"steps.{i}", step)[:, :, None]
        if net.speakers:
            seen = seen + line(f"voices.{i}", voice)[:, :, None]
        u = convolved(net, f"mix.{i}", seen) + convolved(net, f"context.{i}", columns(context))
        if "symbol.weight" in weights:
            u = u + pointwise(f"told.{i}", text)
        else:
            number = columns(phones.to(x.dtype) / net.phones).mean(1, keepdim=True)
            for j, track in enumerate([number, *levels]):
                u = u + convolved(net, f"scalars.{j}.{i}", track)
        half = u.shape[1] // 2
        v = torch.sigmoid(u[:, :half]) * torch.tanh(u[:, half:])
        both = pointwise(f"split.{i}", v)
        h = (h + both[:, :half]) / math.sqrt(2)
        skips.append(both[:, half:])
    total = torch.stack(skips).sum(0) / math.sqrt(layers)
    found = pointwise("leave", F.relu(pointwise("last", total)))
    found = found.transpose(1, 2).reshape(n, -1)
    return found + line("gain", step) * x if net.gain is not None else found


@every_option
def test_the_network_is_equation_7(options):
    net = stirred(**options)
    exact = 10.0 ** (4.0 * torch.arange(64, dtype=torch.float64) / 63)
    torch.testing.assert_close(net.frequencies, exact, rtol=1e-6, atol=0)
    net.frequencies = exact  # the network has them in single precision
    x, s, told = frame(net)
    expected = written_out(net, x, s, **told)
    torch.testing.assert_close(answer(net, x, s, told), expected, rtol=1e-9, atol=1e-9)
    assert expected.std() > 0.02


def test_dilations_begin_again_after_each_cycle():
    net = stirred(layers=7, cycle=3)
    for banks in (net.mix, net.context, *net.scalars):
        assert [bank.convs[0].dilation[0] for bank in banks] == [1, 2, 4, 1, 2, 4, 1]
    encoder = stirred(embedding=6).encoder
    assert [bank.convs[0].dilation[0] for bank in encoder] == [1, 8]


@every_option
def test_an_untrained_network_answers_a_constant_beside_the_gain(options):
    net = DiffAR(phones=9, channels=8, layers=2, **options).double()
    x, s, told = frame(net)
    constant = net.leave.bias.repeat(L // net.fold).expand(N, L)
    found = answer(net, x, s, told) - constant
    if net.gain is not None:
        found = found / x
        assert found.std(0).max() > 1e-3  # the gain is one number a step
        found = found - found[:, :1]
    assert found.abs().max() < 1e-9


# --- exact speed-ups ------------------------------------------------------------------------------


@every_option
def test_merging_keeps_the_function(options):
    """For kernels in any order. A tap at a wrong place is no rounding error."""
    kernels = ((3, 5, 7), (7, 3), (5,))[options["tracks"]]
    for dtype, bound in ((torch.float32, 1e-5), (torch.float64, 1e-13)):
        net = stirred(dtype, kernels=kernels, **options)
        before = {k: v.clone() for k, v in net.state_dict().items()}
        merged = net.merged()
        banks = [m for m in merged.modules() if isinstance(m, MultiKernel)]
        assert {len(bank.convs) for bank in banks} == {1}
        expected, found = (answer(one, *frame(net)) for one in (net, merged))
        assert (found - expected).abs().max() / expected.abs().max() < bound
        for name, value in net.state_dict().items():
            torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_merging_draws_nothing_and_keeps_the_kind_of_the_weights():
    for net in (stirred(), stirred(torch.float32).requires_grad_()):
        state = torch.get_rng_state()
        merged = net.merged()
        assert torch.equal(torch.get_rng_state(), state)
        kinds = {(p.dtype, p.requires_grad, p.device) for p in net.parameters()}
        assert {(p.dtype, p.requires_grad, p.device) for p in merged.parameters()} == kinds


@every_option
def test_what_is_given_once_serves_all_steps(options):
    net = stirred(**options)
    x, _, told = frame(net)
    given = net.given(**told)
    for s in (7, 3, 0):
        step = torch.full((N,), s)
        found = net(x, step, given)
        torch.testing.assert_close(found, answer(net, x, step, told), rtol=0, atol=0)
        x = x - 0.5 * found


# --- frames ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("merged", [False, True])
@every_option
def test_a_frame_that_is_filled_up_answers_as_alone(options, merged):
    """Whatever fills it up, and with a last position that is full, or has one sample or some."""
    net = stirred(**options)
    net = net.merged() if merged else net
    lengths = torch.tensor([L, 61, 17, 9, 8, 1])
    x, s, told = frame(net, n=len(lengths))
    told["lengths"] = lengths
    found = answer(net, x, s, told)
    for i, size in enumerate(lengths.tolist()):
        alone = answer(net, x[i : i + 1, :size], s[i : i + 1], row(told, i, size))
        assert alone.shape == (1, size)
        torch.testing.assert_close(found[i : i + 1, :size], alone, rtol=1e-9, atol=1e-9)


@every_option
def test_frames_of_a_batch_do_not_mix(options):
    net = stirred(**options)
    x, s, told = frame(net)
    found = answer(net, x, s, told)
    for i in range(N):
        alone = answer(net, x[i : i + 1], s[i : i + 1], row(told, i))
        torch.testing.assert_close(found[i : i + 1], alone, rtol=1e-9, atol=1e-9)


@every_option
def test_all_that_is_told_matters(options):
    net = stirred(**options)
    x, s, told = frame(net)
    before = answer(net, x, s, told)

    def change(x=x, s=s, **more):
        return (answer(net, x, s, {**told, **more}) - before).abs().amax(1).min()

    assert change(x=x + 0.1) > 1e-3
    assert change(s=s + 1) > 1e-3
    assert change(context=told["context"] * 0.9) > 1e-4
    assert change(phones=10 - told["phones"]) > 1e-3
    for j in range(net.tracks):
        other = told["tracks"].clone()
        other[:, j] += 0.5
        assert change(tracks=other) > 1e-3
    if net.speakers:
        assert change(speaker=(told["speaker"] + 1) % net.speakers) > 1e-3


@every_option
def test_every_weight_learns(options):
    net = stirred(**options).requires_grad_()
    answer(net, *frame(net)).square().sum().backward()
    still = [k for k, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_a_step_may_be_any_real_number():
    """Whole ones in any type are the same; a change grows with the distance, as that of a smooth function."""
    net = stirred()
    x, whole, told = frame(net)
    given, s = net.given(**told), whole.double()
    before = net(x, s, given)
    torch.testing.assert_close(net(x, whole, given), before, rtol=0, atol=0)
    near, nearer = ((net(x, s + delta, given) - before).abs().max() for delta in (1e-7, 1e-8))
    assert 0 < nearer < near < 1e-2
    assert near / nearer == pytest.approx(10, rel=0.05)
    halfway = net(x, s + 0.5, given)
    for other in (before, net(x, s + 1, given)):
        assert (halfway - other).abs().max() > 1e-3


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("kernels", [(2,), (3, 4), (), 3, (0,), (3.0,)])
def test_kernels_are_odd(kernels):
    for make in (lambda: DiffAR(9, 8, 1, kernels=kernels), lambda: MultiKernel(1, 1, kernels)):
        with pytest.raises(ValueError, match="kernels: got"):
            make()


def spoiled(value, bad):
    value = value.clone()
    value.view(-1)[-1] = bad
    return value


BAD = {
    "context": [None, np.zeros((N, L), np.float32), lambda v: v[0], lambda v: v[:, :0], lambda v: v[:0],
                lambda v: v.double(), lambda v: v.long(), lambda v: spoiled(v, np.nan),
                lambda v: spoiled(v, np.inf)],
    "phones": [None, np.ones((N, L), np.int64), lambda v: v[:, 1:], lambda v: v[:1], lambda v: v.float(),
               lambda v: v > 0, lambda v: spoiled(v, 10), lambda v: spoiled(v, -1)],
    "tracks": [None, lambda v: v[:, :1], lambda v: torch.cat([v, v], dim=1), lambda v: v[:, 0],
               lambda v: v[..., 1:], lambda v: v[:1], lambda v: v.double(), lambda v: v.long(),
               lambda v: spoiled(v, np.nan)],
    "speaker": [None, 0, [0, 1, 2], lambda v: v[:1], lambda v: v[:, None], lambda v: v.float(),
                lambda v: spoiled(v, 3), lambda v: spoiled(v, -1)],
    "lengths": [L, [L] * N, lambda v: v[:1], lambda v: v.float(), lambda v: spoiled(v, 0),
                lambda v: spoiled(v, L + 1), lambda v: spoiled(v, -1)],
}  # fmt: skip


@pytest.mark.parametrize("embedding", [0, 6])
@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_refused_by_name(name, embedding):
    net = stirred(torch.float32, embedding=embedding, tracks=2, speakers=3, fold=8)
    told = {**frame(net)[2], "lengths": torch.tensor([L, 40, 1])}
    net.given(**told)
    for bad in BAD[name]:
        with pytest.raises(ValueError, match=rf"^{name}: got .* expected"):
            net.given(**{**told, name: bad(told[name]) if callable(bad) else bad})


def test_what_a_network_has_not_is_refused_and_no_phone_is_0():
    net = stirred(torch.float32, tracks=0)
    told = frame(net)[2]
    net.given(**{**told, "phones": 0 * told["phones"]})
    net.given(**{**told, "phones": told["phones"].int()})
    for name, value in (("tracks", torch.zeros(N, 1, L)), ("speaker", torch.zeros(N).long())):
        with pytest.raises(ValueError, match=f"{name}: got .*, expected None"):
            net.given(**{**told, name: value})
