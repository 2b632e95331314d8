"""A small recogniser of phones, to hear what generated speech says.

Log-mel energies of frames of 10 ms, a few dilated convolutions, and a best path through the phones in
which each lasts for 20 ms at least and follows another as often as in the training sentences. It learns
from aligned speech with noise added, and is frozen then: a measuring device, no model of hearing.

Sources: time-delay networks, Waibel, Hanazawa, Hinton, Shikano, Lang 1989; the path, Viterbi 1967.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from diffbook._checks import POSITIVE, choice, real, reals, whole
from diffbook.datasets.aligned import SILENCE, SYMBOLS, Clip, indices, spread
from diffbook.datasets.spectrograms import WINDOW, mel_filters
from diffbook.nets.store import fill, read_tensors, write_tensors
from diffbook.nets.training import SEEDS, State, learning_rate, load_checkpoint, save_checkpoint

#: Samples a second, and of a frame.
RATE, HOP = 8000, 80
#: Frames that a phone lasts at least, and weight of the logarithm of the chance that it follows another.
MINIMUM, WEIGHT = 2, 0.5
#: Phones that eSpeak NG's plain voice speaks alike, sample for sample: a fair score gives both one name.
MERGED = {"aa": "a", "o@": "O@", "A:": "0"}
#: In training, noise is softer than speech by so many dB, and loudness changes by so many at most.
SNR, GAIN = (5.0, 45.0), 6.0
_DILATIONS, _MELS, _FRAMES = (1, 2, 4, 1), 40, 160
_AGAIN = "write it with diffbook.nets.save_recogniser"


@dataclass(frozen=True)
class Hearing:
    """Channels of a recogniser, and its training as in :class:`diffbook.nets.training.Config`."""

    channels: int = 96
    steps: int = 1200
    batch: int = 32
    learning_rate: float = 3e-3
    warmup: int = 50

    def __post_init__(self) -> None:
        for name in ("channels", "steps", "batch", "warmup"):
            whole(getattr(self, name), name)
        real(self.learning_rate, "learning_rate", POSITIVE)


class PhoneRecogniser(nn.Module):
    """Chances of phones in frames of 10 ms: four convolutions of `channels` channels on log-mel energies.

    `symbols` is the alphabet; `prior` the logarithm of the chance of a phone (column) after another (row).
    """

    def __init__(self, symbols: Sequence[str] = SYMBOLS, channels: int = 96):
        super().__init__()
        self.symbols, c = tuple(symbols), whole(channels, "channels")
        k = len(indices(self.symbols, self.symbols))  # refuses what is no alphabet
        convs = [nn.Conv1d(c if i else _MELS, c, 5, 1, 2 * d, d) for i, d in enumerate(_DILATIONS)]
        self.convs = nn.ModuleList(convs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(c) for _ in _DILATIONS)
        self.leave = nn.Conv1d(c, k, 1)
        self.register_buffer("prior", torch.zeros(k, k))
        filters = torch.as_tensor(mel_filters(_MELS, RATE), dtype=torch.float32)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, sounds: Tensor) -> Tensor:
        """Map sounds (n, N) to logarithms of chances (n, symbols, N // HOP)."""
        count, margin = sounds.shape[1] // HOP, (WINDOW - HOP) // 2
        x = F.pad(sounds[:, : count * HOP], (margin, margin))
        z = torch.stft(x, WINDOW, HOP, window=self.window, center=False, return_complex=True)
        # What is 40 dB below speech is no news, and silence is no infinity.
        h = (self.filters @ z.abs().square() + 1e-4).log10() / 2 + 1
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            new = norm(conv(h)).relu()
            h = h + new if i else new
        return self.leave(h).log_softmax(1)


def frame_labels(clip: Clip, symbols: Sequence[str] = SYMBOLS) -> NDArray[np.int64]:
    """Return the place among the symbols, from 0, of the phone in the middle of each frame, (N // HOP,)."""
    choice(clip.sample_rate, "clip: sample_rate", (RATE,))
    label = spread(indices(clip.phones, symbols) - 1, clip.intervals)[HOP // 2 :: HOP]
    return label[: len(clip.samples) // HOP]


def train_recogniser(
    clips: Sequence[Clip], seed: int = 0, config: Hearing | None = None, *,
    symbols: Sequence[str] = SYMBOLS, checkpoint: Path | None = None, every: int = 200,
    progress: bool = True,
) -> tuple[PhoneRecogniser, list[dict]]:  # fmt: skip
    """Train a recogniser on clips of 8 kHz; the same clips, seed and config give the same weights.

    `checkpoint` is a file that keeps the state after each `every` steps, from which training goes on if
    it exists. Returns the network with the running average of its weights, in evaluation mode on the
    CPU, and a history of {step, loss}; `progress` shows a progress bar.
    """
    from accelerate import Accelerator
    from tqdm.auto import tqdm

    config, clips = config or Hearing(), list(clips)
    seed, every = whole(seed, "seed", 0, SEEDS), whole(every, "every")
    if not clips:
        raise ValueError("clips: got none, expected at least one")
    pool = [(clip.samples, frame_labels(clip, symbols)) for clip in clips]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = PhoneRecogniser(symbols, config.channels)
    pairs = np.full(net.prior.shape, 0.1)  # a tenth of each pair is always there
    for clip in clips:
        text = indices(clip.phones, symbols) - 1
        np.add.at(pairs, (text[:-1], text[1:]), 1.0)
    net.prior.copy_(torch.as_tensor(np.log(pairs / pairs.sum(1, keepdims=True))))
    average = {k: v.clone() for k, v in net.state_dict().items()}
    state, losses = State(net, average, torch.optim.AdamW(net.parameters())), []
    if checkpoint is not None and checkpoint.exists():
        load_checkpoint(checkpoint, state, config, seed)
    accelerator = Accelerator()
    model, optimiser = accelerator.prepare(net, state.optimiser)
    for step in tqdm(range(state.step, config.steps), disable=not progress, mininterval=5):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config, step)
        x, y = (part.to(accelerator.device) for part in _draw(pool, config.batch, seed, step))
        loss = F.nll_loss(model(x), y, ignore_index=-1)
        optimiser.zero_grad()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        for k, v in net.state_dict().items():
            mean = state.average[k] = state.average[k].to(v.device)
            far = max(0.01, 9 / (10 + step))
            mean.lerp_(v, far) if v.is_floating_point() else mean.copy_(v)
        state.step = step + 1
        if state.step % every == 0 or state.step == config.steps:
            state.history.append({"step": state.step, "loss": float(np.mean(losses))})
            losses = []
            if checkpoint is not None:
                save_checkpoint(checkpoint, state, config, seed)
    net.load_state_dict(state.average)
    return net.cpu().eval(), state.history


def _draw(pool: list[tuple], n: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """Noisy pieces of clips, and the phone of each frame; -1 behind the end of a clip."""
    rng = np.random.default_rng([seed, step])
    x, y = np.zeros((n, _FRAMES * HOP), np.float32), np.full((n, _FRAMES), -1)
    for sound, row in zip(x, y, strict=True):
        samples, label = pool[rng.integers(len(pool))]
        first = int(rng.integers(max(1, len(label) - _FRAMES + 1)))
        label = label[first : first + _FRAMES]
        row[: len(label)] = label
        sound[: len(label) * HOP] = samples[first * HOP : (first + len(label)) * HOP]
    return torch.as_tensor(_noisy(x, rng), dtype=torch.float32), torch.as_tensor(y)


def _noisy(x: NDArray, rng: np.random.Generator) -> NDArray:
    """Add noise to sounds (n, N), white or with the spectrum of another one, and change the loudness."""
    white, column = rng.standard_normal(x.shape), (len(x), 1)
    alike = np.fft.irfft(
        np.abs(np.fft.rfft(np.roll(x, 1, axis=0))) * np.fft.rfft(white), x.shape[1]
    )
    noise = np.where(rng.random(column) < 0.5, white, alike)
    ratio = np.sqrt((x**2).mean(1, keepdims=True) / ((noise**2).mean(1, keepdims=True) + 1e-12))
    snr, gain = rng.uniform(*SNR, column), rng.uniform(-GAIN, GAIN, column)
    return (x + ratio * 10 ** (-snr / 20) * noise) * 10 ** (gain / 20)


def best_path(scores: ArrayLike, follows: ArrayLike, minimum: int = MINIMUM) -> list[int]:
    """Return the sequence of phones, each of `minimum` frames at least, with the largest sum of scores.

    `scores` (T, K) are those of all frames; `follows` (K, K) is added for a phone (column) after another.
    """
    scores = reals(scores, "scores", ndim=2)
    count, k = scores.shape
    follows = reals(follows, "follows", shape=(k, k)).copy()
    np.fill_diagonal(follows, -np.inf)  # what is said twice and once sounds alike
    least = whole(minimum, "minimum", 1, count)
    # Largest sum up to frame t, if the phone there is k; and the phone before it, where it has just lasted.
    best, came = np.full((count + 1, k), -np.inf), np.full((count + 1, k), -1)
    sums = np.concatenate([np.zeros((1, k)), np.cumsum(scores, axis=0)])
    best[least] = sums[least]
    for t in range(least + 1, count + 1):
        ways, stay = best[t - least][:, None] + follows, best[t - 1] + scores[t - 1]
        enter = ways.max(axis=0) + sums[t] - sums[t - least]
        best[t], came[t] = np.maximum(stay, enter), np.where(enter > stay, ways.argmax(axis=0), -1)
    path, t = [int(best[count].argmax())], count
    while t > least:
        before = int(came[t, path[-1]])
        path, t = (path, t - 1) if before < 0 else ([*path, before], t - least)
    return path[::-1]


@torch.inference_mode()
def recognise(net: PhoneRecogniser, sounds: Sequence[ArrayLike]) -> list[list[str]]:
    """Return the phones of each sound (N,) at 8 kHz, full scale 1, without silences."""
    found = []
    for i, sound in enumerate(sounds):
        x = reals(sound, f"sounds[{i}]", ndim=1)
        whole(len(x), f"sounds[{i}]: samples", HOP * MINIMUM)
        scores = net(torch.as_tensor(x, dtype=torch.float32)[None])[0].T
        path = best_path(scores.numpy(), WEIGHT * net.prior.numpy())
        found.append([net.symbols[k] for k in path if net.symbols[k] != SILENCE])
    return found


def save_recogniser(path: Path, net: PhoneRecogniser, command: str) -> None:
    """Write a recogniser in float16, with what is needed to rebuild it and how it was made."""
    about = {"hears": net.symbols, "channels": net.leave.in_channels, "command": command}
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    write_tensors(path, tensors, {**about, "torch": torch.__version__})


def load_recogniser(path: Path) -> PhoneRecogniser:
    """Read a recogniser, in evaluation mode, float32, on the CPU."""
    tensors, about = read_tensors(path, _AGAIN)
    if "hears" not in about:
        raise ValueError(f"{path}: holds no recogniser; {_AGAIN}")
    net = PhoneRecogniser(about["hears"], about["channels"])
    fill(net, tensors, path, _AGAIN)
    return net.eval()
