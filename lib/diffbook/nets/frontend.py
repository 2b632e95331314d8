"""From phones to what a model of speech is told of them: durations, energies, pitch.

Each is read off the names of the phones by a small convolutional network that learns in less than a
minute; an interrupted training is simply begun again. `timing` makes places of durations.

Source: Benita, Elad, Keshet 2023 (arXiv 2310.01381), with sizes, targets and rounding of the released
code; the networks are those of FastSpeech 2, Ren et al. 2020 (arXiv 2006.04558). The paper predicts no
pitch: that network is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from diffbook._checks import POSITIVE, choice, real, reals, whole
from diffbook.datasets.aligned import SYMBOLS, Clip, energy, indices
from diffbook.nets.store import fill, read_tensors, write_tensors
from diffbook.nets.training import SEEDS

#: Kernel sizes of the convolutions in the blocks of each predictor.
KINDS = {"duration": ((5,),), "energy": ((7, 5), (7, 5)), "pitch": ((5,),)}
_AGAIN = "write it with diffbook.nets.save_predictors"


class PhonePredictor(nn.Module):
    """One real number for each phone of a text: blocks of convolutions, dropout behind each block.

    Parameters
    ----------
    kind : {"duration", "energy", "pitch"}
        One block of one convolution for duration and pitch, two blocks of two for energy.
    symbols
        The alphabet. The released table has 74 rows: 72 phones, padding, and one that is never used.
    embedding, width, dropout
        Channels of the phones' vectors and of the blocks; share of them dropped in training.
    """

    def __init__(
        self, kind: str, symbols: Sequence[str] = SYMBOLS, embedding: int = 128, width: int = 256,
        dropout: float = 0.5,
    ):  # fmt: skip
        super().__init__()
        self.kind, self.symbols = choice(kind, "kind", KINDS), tuple(symbols)
        indices(self.symbols, self.symbols)  # refuses what is no alphabet
        c, width = whole(embedding, "embedding"), whole(width, "width")
        self.embed = nn.Embedding(len(self.symbols) + 1, c, padding_idx=0)
        self.blocks, self.norms = nn.ModuleList(), nn.ModuleList()
        for *before, last in KINDS[kind]:
            convs = [nn.Conv1d(c, c, k, padding=k // 2) for k in before]
            convs.append(nn.Conv1d(c, width, last, padding=last // 2))
            self.blocks.append(nn.ModuleList(convs))
            self.norms.append(nn.LayerNorm(width))
            c = width
        self.dropout, self.leave = nn.Dropout(real(dropout, "dropout", "[0, 1)")), nn.Linear(c, 1)

    def forward(self, phones: Tensor) -> Tensor:
        """Map indices (n, p), 0 behind the end of a text, to values (n, p), 0 there as well.

        Each text is answered as if it were alone; the released code lets its padding be seen.
        """
        inside = (phones > 0)[:, None]
        h = self.embed(phones).transpose(1, 2)
        for block, norm in zip(self.blocks, self.norms, strict=True):
            for conv in block:
                h = conv(h * inside)
            h = self.dropout(norm(h.relu().transpose(1, 2))).transpose(1, 2)
        return self.leave(h.transpose(1, 2))[..., 0] * inside[:, 0]


def targets(kind: str, clip: Clip) -> NDArray[np.float64]:
    """Return what a predictor learns of a clip, a number for each phone, shape (p,).

    `log(1 + int(100 seconds))`, `log(1 + int(100 energy))`, `log2(hertz / 100)` of the clip's pitch. The
    paper cuts what is beyond hundredths: durations are learned 5 ms too short, on average.
    """
    if choice(kind, "kind", KINDS) == "duration":
        return np.log1p(100 * np.diff(clip.intervals)[:, 0] // clip.sample_rate)
    if kind == "energy":
        return np.log1p(np.floor(100 * energy(clip.samples, clip.intervals)))
    if clip.f0 is None:
        raise ValueError("clip: got one without f0, expected one of known pitch")
    return np.full(len(clip.phones), np.log2(clip.f0 / 100))


def decoded(kind: str, y: ArrayLike) -> NDArray[np.float64]:
    """Return seconds, energies or hertz of what a predictor says: `targets` undone, any shape."""
    y = reals(y, "y")
    return 100 * 2.0**y if choice(kind, "kind", KINDS) == "pitch" else np.expm1(y) / 100


def train_predictor(
    kind: str, clips: Sequence[Clip], seed: int = 0, *, symbols: Sequence[str] = SYMBOLS,
    embedding: int = 48, width: int = 96, dropout: float = 0.5, epochs: int = 60, batch: int = 32,
    learning_rate: float = 1e-3, zero_grad: bool = True, progress: bool = True,
) -> tuple[PhonePredictor, list[dict]]:  # fmt: skip
    """Train one predictor: Adam on squared errors, averaged over all places of a padded batch.

    Parameters
    ----------
    kind, symbols, embedding, width, dropout
        As in :class:`PhonePredictor`.
    clips, seed
        Speech with its phones; seed of weights, order and dropout.
    epochs, batch, learning_rate
        Passes over all clips, clips of a step, constant rate (1e-4 in the paper).
    zero_grad, progress
        False leaves out what the released code forgets: each step then goes along the sum of its
        gradient and of all before, scaled to a norm of at most 1. Whether to show a progress bar.

    Returns
    -------
    net, history
        In evaluation mode on the CPU; {epoch, loss} of each epoch.
    """
    from accelerate import Accelerator
    from tqdm.auto import tqdm

    clips, seed = list(clips), whole(seed, "seed", 0, SEEDS)
    epochs, batch = whole(epochs, "epochs"), whole(batch, "batch")
    learning_rate = real(learning_rate, "learning_rate", POSITIVE)
    if not clips:
        raise ValueError("clips: got none, expected at least one")
    texts = [indices(clip.phones, symbols) for clip in clips]
    aims = [targets(kind, clip) for clip in clips]
    accelerator, rng, history = Accelerator(), np.random.default_rng(seed), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = PhonePredictor(kind, symbols, embedding, width, dropout)
        optimiser = torch.optim.Adam(net.parameters(), learning_rate, (0.9, 0.98), 1e-9)
        model, optimiser = accelerator.prepare(net, optimiser)
        for epoch in tqdm(range(epochs), disable=not progress, desc=kind, mininterval=5):
            order, losses = rng.permutation(len(clips)), []
            for some in np.split(order, range(batch, len(order), batch)):
                x, y = (_padded([rows[i] for i in some]) for rows in (texts, aims))
                x, y = x.to(accelerator.device), y.float().to(accelerator.device)
                loss = (model(x) - y).square().mean()  # both are 0 behind the end of a text
                if zero_grad:
                    optimiser.zero_grad()
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                losses.append(float(loss.detach()))
            history.append({"epoch": epoch + 1, "loss": float(np.mean(losses))})
    return net.cpu().eval(), history


def _padded(rows: list[NDArray]) -> Tensor:
    return nn.utils.rnn.pad_sequence([torch.as_tensor(row) for row in rows], batch_first=True)


@torch.inference_mode()
def predict(net: PhonePredictor, phones: Sequence[Sequence[str]]) -> list[NDArray[np.float64]]:
    """Return seconds, energies or hertz for the p names of each text, shapes (p,)."""
    found = [torch.as_tensor(indices(text, net.symbols)) for text in phones]
    return [decoded(net.kind, net(x[None])[0].numpy()) for x in found]


def means(kind: str, clips: Sequence[Clip], symbols: Sequence[str] = SYMBOLS) -> NDArray:
    """Return the mean value (see `decoded`) of each phone in these clips, a baseline to compare with.

    Shape (symbols + 1,), float64; at index 0, and for a phone that does not occur, the mean of all.
    """
    values = decoded(kind, np.concatenate([targets(kind, clip) for clip in clips]))
    places = np.concatenate([indices(clip.phones, symbols) for clip in clips])
    sums, counts = (np.bincount(places, w, len(symbols) + 1) for w in (values, None))
    return np.where(counts > 0, sums / np.maximum(counts, 1), values.mean())


def accuracy(found: ArrayLike, true: ArrayLike) -> dict[str, float]:
    """Compare durations in seconds, of one shape: `within_0` to `within_3`, `error_ms`, `bias_ms`.

    The first four, as in the released code, are shares that differ by so many units of 10 ms at most
    after rounding; then come the mean absolute error and the mean error.
    """
    true = reals(true, "true")
    found = reals(found, "found", shape=true.shape)
    units, error = np.abs(np.rint(100 * found) - np.rint(100 * true)), 1000.0 * (found - true)
    shares = {f"within_{k}": float((units <= k).mean()) for k in range(4)}
    return {**shares, "error_ms": float(np.abs(error).mean()), "bias_ms": float(error.mean())}


def timing(durations: ArrayLike, sample_rate: int) -> NDArray[np.int64]:
    """Place phones behind 0.25 s of silence, their durations rounded to 10 ms, of 40 ms at least.

    Parameters
    ----------
    durations
        Seconds (p,), without the silence that begins the text; a predictor may say a bit less than 0.
    sample_rate
        Samples a second, a multiple of 100.

    Returns
    -------
    ndarray, shape (p + 1, 2), int64
        First sample of each phone and the one after its last; the first is the silence.
    """
    durations = reals(durations, "durations", "[-0.01, inf)", ndim=1)
    if whole(sample_rate, "sample_rate", 100) % 100:
        raise ValueError(f"sample_rate: got {sample_rate}, expected a multiple of 100")
    units = np.concatenate([[0, 25], np.maximum(np.rint(100 * durations), 4)])
    ends = np.cumsum(units).astype(np.int64) * (sample_rate // 100)
    return np.stack([ends[:-1], ends[1:]], axis=1)


def save_predictors(path: Path, nets: Sequence[PhonePredictor], command: str) -> None:
    """Write predictors, at most one of a kind, in float16 to one file, and how they were made."""
    if not nets or len({net.kind for net in nets}) != len(nets):
        raise ValueError(f"nets: got {[net.kind for net in nets]}, expected each kind at most once")
    how = {n.kind: [n.symbols, n.embed.embedding_dim, len(n.norms[0].weight)] for n in nets}
    tensors = {f"{n.kind}.{k}": v.half() for n in nets for k, v in n.state_dict().items()}
    write_tensors(path, tensors, {"how": how, "command": command, "torch": torch.__version__})


def load_predictors(path: Path) -> dict[str, PhonePredictor]:
    """Read predictors by their kind, in evaluation mode, float32, on the CPU."""
    tensors, about = read_tensors(path, _AGAIN)
    if "how" not in about:
        raise ValueError(f"{path}: holds no predictors; {_AGAIN}")
    found = {kind: PhonePredictor(kind, *how) for kind, how in about["how"].items()}
    for kind, net in found.items():
        own = {k.partition(".")[2]: v for k, v in tensors.items() if k.startswith(f"{kind}.")}
        fill(net.eval(), own, path, _AGAIN)
    return found
