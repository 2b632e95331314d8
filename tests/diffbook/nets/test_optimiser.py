"""Muon and AdamW as one optimiser: each against torch's own, what is kept, and whose memory moves."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from diffbook.nets.diffar import DiffAR
from diffbook.nets.optimiser import MuonAdamW, hidden_and_rest
from diffbook.nets.store import fill, read_tensors, write_tensors

torch.set_num_threads(1)

ENDS = ("enter", "symbol", "leave", "gain")
LR, HIDDEN_LR, DECAY = 3e-3, 2e-2, 0.1


def network(seed=0, **how):
    """A small network of speech, with all of its options."""
    sizes = {"channels": 4, "layers": 2, "cycle": 2, "embedding": 3, "fold": 2, "c_emb": 8}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = DiffAR(5, tracks=2, gain=True, **{**sizes, **how})
        nn.init.normal_(net.leave.weight)
    return net


def optimiser(net, decay=DECAY):
    return MuonAdamW(*hidden_and_rest(net, ENDS), LR, HIDDEN_LR, decay)


def pull(net, step, dtype=torch.float32):
    """Give all parameters gradients that depend on the step alone."""
    g = torch.Generator().manual_seed(100 + step)
    for p in net.parameters():
        p.grad = torch.randn(p.shape, generator=g).to(dtype)


def walk(net, opt, steps):
    for step in steps:
        opt.scale(1.0 / (1 + step))
        pull(net, step)
        opt.step()


def weights(net):
    return {k: v.detach().clone() for k, v in net.state_dict().items()}


# --- whose step is whose -------------------------------------------------------------------------


def test_hidden_are_the_kernels_and_matrices_between_the_ends():
    net = network()
    hidden, rest = hidden_and_rest(net, ENDS)
    names = {id(p): name for name, p in net.named_parameters()}
    inside, outside = ({names[id(p)] for p in of} for of in (hidden, rest))
    assert len(hidden) + len(rest) == len(names)
    assert inside | outside == set(names.values())
    assert {n for n in outside if not n.endswith("bias")} == {
        "enter.weight", "symbol.weight", "leave.weight", "gain.weight"
    }  # fmt: skip
    assert not any(name.endswith("bias") for name in inside)
    assert {"mix.0.convs.0.weight", "step.0.weight", "steps.1.weight", "last.weight"} <= inside


def test_names_of_modules_are_whole_and_need_not_exist():
    net = network()
    for ends, odd in ((("step",), "step."), (("none",), "-"), ((), "-")):
        _, rest = hidden_and_rest(net, ends)
        names = {id(p): name for name, p in net.named_parameters()}
        matrices = {names[id(p)] for p in rest if p.ndim > 1}
        assert matrices == {n for n in names.values() if n.startswith(odd) and "weight" in n}
    with pytest.raises(ValueError, match="ends: got 'enter', expected several"):
        hidden_and_rest(net, "enter")


def test_steps_are_those_of_torch_on_flat_matrices_and_on_the_rest():
    net, other = network(), network()
    opt = optimiser(net)
    hidden, rest = hidden_and_rest(other, ENDS)
    flat = [nn.Parameter(p.detach().flatten(1).clone()) for p in hidden]
    muon = torch.optim.Muon(flat, lr=HIDDEN_LR, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(rest, lr=LR, weight_decay=DECAY, fused=False, foreach=False)
    for step in range(3):
        pull(net, step)
        pull(other, step)
        for p, matrix in zip(hidden, flat, strict=True):
            matrix.grad = p.grad.flatten(1)
        for one in (opt, muon, adam):
            one.step()
    moved, own = hidden_and_rest(net, ENDS)
    for p, matrix in zip(moved, flat, strict=True):
        torch.testing.assert_close(p.detach().flatten(1), matrix.detach(), rtol=0, atol=0)
    for p, q in zip(own, rest, strict=True):
        torch.testing.assert_close(p, q)


def test_a_kernel_moves_in_all_directions_alike():
    """Singular values of a step: near one of size, whatever those of the gradient are."""
    net = network(channels=16)
    before, opt = weights(net), optimiser(net, decay=0.0)
    pull(net, 0)
    kernel = net.mix[0].convs[0].weight  # (32, 16, 3)
    kernel.grad *= torch.logspace(0, -1, 32)[:, None, None]
    opt.step()
    step = (kernel - before["mix.0.convs.0.weight"]).detach().flatten(1)
    found = torch.linalg.svdvals(step / (0.2 * 48**0.5 * HIDDEN_LR))
    assert 0.6 < float(found.min()) and float(found.max()) < 1.3
    assert torch.linalg.cond(kernel.grad.flatten(1)) > 10
    signs = (net.leave.weight - before["leave.weight"]).detach() / -LR
    torch.testing.assert_close(signs, net.leave.weight.grad.sign(), rtol=1e-3, atol=1e-3)


# --- whose memory moves --------------------------------------------------------------------------


def test_the_network_moves_also_after_it_was_filled_again():
    net, other = network(0), network(1)
    opt = optimiser(net)
    net.load_state_dict(other.state_dict())
    before = weights(net)
    for one, o in ((net, opt), (other, optimiser(other))):
        pull(one, 0)
        o.step()
    after = weights(net)
    for name, value in before.items():
        assert not torch.equal(value, after[name]), name
        assert torch.equal(after[name], weights(other)[name]), name


def test_the_network_moves_also_after_its_memory_is_another_one():
    """As `net.to(device)` does, here by way of another precision."""
    net, other = network(), network()
    opt, same = optimiser(net), optimiser(other)
    before = net.mix[0].convs[0].weight.data_ptr()
    net.double()
    assert net.mix[0].convs[0].weight.data_ptr() != before
    for step in range(2):
        pull(net, step, torch.float64)
        opt.step()
        pull(other, step)
        same.step()
    for name, value in weights(other).items():
        # Muon computes its direction in half precision.
        torch.testing.assert_close(weights(net)[name].float(), value, rtol=1e-3, atol=1e-4)
    state = deepcopy(opt.state_dict())
    again = network().float()
    late = optimiser(again)
    again.double()
    late.load_state_dict(state)
    moments = [v for entry in late.state_dict()["state"].values() for v in entry.values()]
    assert {v.dtype for v in moments if v.ndim} == {torch.float64}


def test_parameters_without_a_gradient_stay():
    net = network()
    opt, before = optimiser(net), weights(net)
    pull(net, 0)
    net.last.weight.grad = net.enter.bias.grad = None
    opt.step()
    still = {name for name, v in weights(net).items() if torch.equal(v, before[name])}
    assert still == {"last.weight", "enter.bias"}
    opt.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    before = weights(net)
    opt.step()
    assert all(torch.equal(v, before[name]) for name, v in weights(net).items())


# --- rates, and what is kept ---------------------------------------------------------------------


def test_the_scale_is_of_both_rates_as_they_began():
    start, found = weights(network()), []
    for factors in ((), (1.0,), (0.5,), (3.0, 0.5), (0.0,)):
        net = network()
        opt = optimiser(net, decay=0.0)
        for factor in factors:
            opt.scale(factor)
        pull(net, 0)
        opt.step()
        found.append({k: v - start[k] for k, v in weights(net).items()})
    for name, whole in found[0].items():
        assert torch.equal(found[1][name], whole)
        for half in found[2:4]:
            torch.testing.assert_close(2 * half[name], whole, rtol=1e-3, atol=1e-6)
        assert not found[4][name].any()


def test_a_resumed_optimiser_goes_on_bit_by_bit(tmp_path):
    whole = network()
    walk(whole, optimiser(whole), range(6))
    net = network()
    opt = optimiser(net)
    walk(net, opt, range(3))
    state = opt.state_dict()["state"]
    assert sorted(state) == list(range(len(list(net.parameters()))))
    tensors = {f"{i}.{k}": v for i, entry in state.items() for k, v in entry.items()}
    write_tensors(tmp_path / "moments", tensors, {})
    write_tensors(tmp_path / "weights", net.state_dict(), {})
    # In another process, so to say.
    net = network(5)
    opt, read = optimiser(net), {}
    for name, value in read_tensors(tmp_path / "moments")[0].items():
        i, key = name.split(".")
        read.setdefault(int(i), {})[key] = value
    opt.load_state_dict({"state": read, "param_groups": []})
    fill(net, read_tensors(tmp_path / "weights")[0], tmp_path)
    walk(net, opt, range(3, 6))
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(net)[name]), name
    # Without its moments it would end elsewhere.
    net = network(5)
    fill(net, read_tensors(tmp_path / "weights")[0], tmp_path)
    walk(net, optimiser(net), range(3, 6))
    assert not torch.equal(whole.last.weight, net.last.weight)
    assert not torch.equal(whole.last.bias, net.last.bias)


# --- at the door ---------------------------------------------------------------------------------

MATRIX, VECTOR = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
GOOD = {"hidden": [MATRIX], "rest": [VECTOR], "lr": 1e-3, "hidden_lr": 1e-3, "weight_decay": 0.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden": []}, "hidden: got none, expected parameters"),
        ({"rest": []}, "rest: got none, expected parameters"),
        ({"hidden": [torch.ones(2, 2)]}, r"hidden: got \['Tensor'\], expected parameters"),
        ({"rest": ["bias"]}, r"rest: got \['str'\], expected parameters"),
        ({"hidden": [MATRIX, VECTOR]}, r"hidden: got shapes \[\(2,\)\], expected at least two"),
        ({"lr": 0.0}, r"lr: got 0\.0, expected a number in \(0, inf\)"),
        ({"hidden_lr": -1.0}, r"hidden_lr: got -1\.0, expected a number in \(0, inf\)"),
        ({"lr": "fast"}, "lr: got 'fast'"),
        ({"weight_decay": -0.1}, r"weight_decay: got -0\.1, expected a number in \[0, inf\)"),
    ],
)
def test_what_is_no_optimiser_is_refused_by_name(change, words):
    MuonAdamW(**GOOD)
    with pytest.raises(ValueError, match=words):
        MuonAdamW(**{**GOOD, **change})


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf"), "half"])
def test_a_scale_is_no_nonsense(bad):
    with pytest.raises(ValueError, match=r"factor: got .*expected a number in \[0, inf\)"):
        MuonAdamW(**GOOD).scale(bad)
