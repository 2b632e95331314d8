"""What a frame of speech costs: the released forward pass against ours, time by steps, memory by length.

The released code of DiffAR (Benita, Elad, Keshet 2023, arXiv 2310.01381) convolves with three kernels in
every layer, computes what is told at every step, and stacks what the layers skip. Ours merges the
kernels into one (`DiffAR.merged`) and computes what is told once a frame (`DiffAR.given`); the weights are
the same, and so is the answer up to rounding, which is measured here. The targets count a two-hundredth
of that once-a-frame cost to each step, as in a frame of 200 steps. CPU seconds of this process on one
thread, in turn; the ratio is the median of neighbours.

The real-time factor is CPU seconds for a second of speech, with all that belongs to it: frames that
overlap, conditions, noise.

Memory is taken in a fresh process for each length (Linux): the peak of what Python and NumPy hold
while speech is made, and of all that the process holds, which its imports begin with. Beside it the
same network answers the whole utterance as one frame, once. Growth is the question, so the network is tiny
and there are two steps.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.timing import Report, Table, Target, cpu_seconds, median
from diffbook.framewise import Script, stream
from diffbook.nets.diffar import DiffAR
from diffbook.schedules import ddpm_chain

ROOT = Path(__file__).resolve().parents[1]
OWN = ROOT / "data" / "weights" / "diffar_main.safetensors"
STEPS, RATE, LENGTH = 200, 16_000, 8000
PHONE_S = 0.08


def released(
    net: DiffAR, x: Tensor, s: Tensor, context: Tensor, phones: Tensor, tracks: Tensor
) -> Tensor:
    """Equation of the layers as released: nothing is kept from step to step, skips are a stack."""
    angles = s[:, None] * net.frequencies
    emb = net.step(torch.cat([angles.sin(), angles.cos()], dim=1))
    rows = [phones[:, None] / net.phones, *tracks.split(1, dim=1)]
    h, skips = F.relu(net.enter(x[:, None])), []
    for i, (mix, known) in enumerate(zip(net.mix, net.context, strict=True)):
        u = mix(h + net.steps[i](emb)[:, :, None]) + known(context[:, None])
        for banks, row in zip(net.scalars, rows, strict=True):
            u = u + banks[i](row)
        gate, filtered = u.chunk(2, dim=1)
        r, skip = net.split[i](torch.sigmoid(gate) * torch.tanh(filtered)).chunk(2, dim=1)
        h = (h + r) / math.sqrt(2.0)
        skips.append(skip)
    total = torch.stack(skips).sum(0) / math.sqrt(len(skips))
    return net.leave(F.relu(net.last(total)))[:, 0]


def untrained(**sizes) -> DiffAR:
    """Network whose last convolution is not zero, as it is at first."""
    torch.manual_seed(0)
    net = DiffAR(**sizes).requires_grad_(False)
    torch.nn.init.normal_(net.leave.weight, std=0.1)
    return net


@torch.inference_mode()
def compare(channels: int, length: int, repeats: int) -> list[float]:
    """Milliseconds of both ways, times faster, and the relative difference of the answers."""
    net = untrained(channels=channels)
    fast, g = net.merged(), torch.Generator().manual_seed(1)
    x, context = torch.randn(2, 1, length, generator=g)
    context[:, length // 3 :] = 0.0
    phones = torch.randint(1, net.phones + 1, (1, length), generator=g)
    told, s = (context, phones, torch.rand(1, 1, length, generator=g)), torch.tensor([77.0])
    given = fast.given(*told)
    expected, found = released(net, x, s, *told), fast(x, s, given)
    works = (
        lambda: released(net, x, s, *told),
        lambda: fast(x, s, given),
        lambda: fast.given(*told),
    )
    times = [[cpu_seconds(work) for work in works] for _ in range(repeats)]
    return [
        *(1e3 * median(column) for column in zip(*times, strict=True)),
        median(theirs / ours for theirs, ours, _ in times),
        median(theirs / (ours + once / STEPS) for theirs, ours, once in times),
        float((found - expected).abs().max() / expected.abs().max()),
    ]


def script(net: DiffAR, seconds: float, rate: int) -> Script:
    """Text of phones of one length."""
    n = max(1, round(seconds / PHONE_S))
    ends = round(PHONE_S * rate) * np.arange(1, n + 1)
    intervals = np.stack([ends - ends[0], ends], axis=1)
    return Script(np.arange(n) % net.phones + 1, intervals, np.ones((net.tracks, n)))


def schedule(steps: int) -> np.ndarray:
    """Every so many-th level of training, the last one among them."""
    stride = STEPS // steps
    return np.r_[1.0, ddpm_chain(STEPS)[stride - 1 :: stride]]


def real_time(net: DiffAR, seconds: float, rate: int, steps: int) -> tuple[int, float, float]:
    """Frames, CPU seconds, and CPU seconds for a second of speech."""
    net, text, pieces = net.merged(), script(net, seconds, rate), []
    spent = cpu_seconds(lambda: pieces.extend(stream(net, text, schedule(steps), length=rate // 2)))
    return len(pieces), spent, spent / (text.total / rate)


def held(field: str) -> float:
    """Megabytes of this process: "VmRSS" now, "VmHWM" at its peak."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def peaks(way: str, seconds: float) -> tuple[float, float]:
    """Peak megabytes of Python and NumPy, and of this process, for an utterance made in a way."""
    torch.set_num_threads(1)
    net = untrained(channels=8, layers=4, cycle=4, kernels=(3,), c_emb=16)
    text = script(net, seconds, RATE)
    tracemalloc.start()
    if way == "stream":
        made = sum(len(piece) for piece in stream(net, text, schedule(2), length=LENGTH))
        assert made == text.total
    else:
        with torch.inference_mode():
            phones, tracks = (torch.from_numpy(a)[None] for a in text.within(0, text.total))
            x = torch.randn(1, text.total)
            net(x, torch.tensor([77.0]), net.given(torch.zeros_like(x), phones, tracks.float()))
    return tracemalloc.get_traced_memory()[1] / 2**20, held("VmHWM")


def apart(way: str, seconds: float) -> list[float]:
    """Peaks of a fresh process."""
    code = f"from benchmarks.bench_frames import peaks; print(*peaks({way!r}, {seconds}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return [float(number) for number in done.stdout.split()]


def run(quick: bool = False) -> Report:
    """Both ways at four widths; steps for one of them and for the book's own network; memory."""
    forward = Table(
        "One step of one frame, the released network with C channels, one thread, CPU time",
        ["C", "samples", "released ms", "ours ms", "once a frame ms", "times faster, a step",
         "times faster", "difference"],
    )  # fmt: skip
    by_steps = Table(
        "Time by the number of steps, one thread, CPU time",
        ["network", "samples a second", "steps", "frames", "s", "real-time factor"],
    )
    memory = Table(
        "Peak memory by the length of the utterance, a fresh process each",
        ["way", "s of speech", "Python and NumPy MB", "process MB"],
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        length = 1000 if quick else LENGTH
        for channels in (16, 32) if quick else (16, 32, 64, 128):
            row = compare(channels, length, repeats=3 if quick else 7)
            forward.add(channels, length, *row)
        nets = [("released, C = 32", untrained(channels=32), RATE, 0.2 if quick else 1.0)]
        if OWN.exists():
            from chapters.diffar.training import network

            nets.append(("the book's own", network(OWN)[0], RATE // 2, 0.2 if quick else 4.0))
        for name, net, rate, seconds in nets:
            for steps in (10, 5) if quick else (200, 50, 20, 10):
                by_steps.add(name, rate, steps, *real_time(net, seconds, rate, steps))
    finally:
        torch.set_num_threads(threads)
    spans = {"stream": (1, 10, 60, 300), "one frame": (1, 10, 60)}
    for way, lengths in spans.items():
        for seconds in (1, 2) if quick else lengths:
            memory.add(way, seconds, *apart(way, seconds))
    streams = [row[2:] for row in memory.rows if row[0] == "stream"]
    growth = [last / before for before, last in zip(*streams[-2:], strict=True)]
    span = " over ".join(
        f"{row[1]} s" for row in memory.rows[len(streams) - 2 : len(streams)][::-1]
    )
    return Report(
        [forward, by_steps, memory],
        [
            Target("merged and computed once, times faster than released, worst C",
                   min(forward.column("times faster")), 1.5, at_least=True),
            Target("difference of the answers", max(forward.column("difference")), 1e-5),
            Target(f"Python's and NumPy's memory of a stream, {span}", growth[0], 1.1),
            Target(f"memory of the process, {span}", growth[1], 1.1),
        ],
    )  # fmt: skip
