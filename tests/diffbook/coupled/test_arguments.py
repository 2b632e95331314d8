"""Nonsense for every argument of the public functions of `diffbook.coupled`."""

import numpy as np
import torch
from nonsense import case, table_tests

from diffbook import coupled
from diffbook.coupled import chains, levels, protocol, strategies

U = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 3))
NET = coupled.Coupling(lambda v, s, c: v, lambda v, s, c: v, lambda x: x)
FROZEN = coupled.Frozen(torch.nn.Linear(3, 3))
SIGNED = ("negative", "signals and logits have any sign")
RUN = {"coupling": NET, "u": U, "schedule": levels.vp_levels(9), "noise": coupled.batch_noise(0)}
BOTH = {**RUN, "logits_schedule": levels.vp_levels(9)}
OUVE = {"theta": 2.0, "sigma_min": 0.1, "sigma_max": 1.0}

CASES = [
    case(levels.vp_levels, S=3, T=10),
    case(levels.ouve_levels, S=3, t_min=0.1, **OUVE),
    case(
        protocol.Switches,
        sampler="ddim", logits_sampler="ancestral", order="logits first", gate_signal=0.5,
        gate_logits=0.5, view="both", start="zero",
    ),
    case(protocol.standardise, {"logits": SIGNED}, logits=U, spread=0.8),
    case(protocol.sample_noise, seeds=[1, 2]),
    case(protocol.batch_noise, seed=1),
    case(chains.enhance, {"u": SIGNED, "y_hat": SIGNED}, y_hat=U, round=1, **RUN),
    case(
        chains.diffuse_logits, {"views": SIGNED},
        coupling=NET, views=(U, U), schedule=RUN["schedule"], noise=RUN["noise"], round=1,
    ),
    case(strategies.parallel, {"u": SIGNED}, **BOTH),
    case(strategies.alternating, {"u": SIGNED}, rounds=2, **BOTH),
    case(strategies.nested, {"u": SIGNED}, refreshes=2, window=0.5, **BOTH),
    case(
        coupled.Frozen,
        {"low": SIGNED, "mean": SIGNED},
        module=torch.nn.Linear(3, 3), low=-1.0, high=1.0, mean=np.full(3, 0.5), std=np.full(3, 0.5),
        batch=2,
    ),
    case(FROZEN.to_input, z=U),
    case(FROZEN.from_input, {"x": SIGNED}, x=U),
]  # fmt: skip
EXEMPT = {
    "Coupling": "three functions",
    "Calls": "a record that couplings make",
    "Outcome": "a record that couplings make",
    "standardised": "takes what a chain holds, which may diverge",
}


test_nonsense_is_refused_by_name, test_valid_calls_succeed, test_no_name_is_missing = table_tests(
    "diffbook.coupled", CASES, EXEMPT
)
