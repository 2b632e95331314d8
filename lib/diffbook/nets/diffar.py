"""DiffAR's network: the noise in one frame of speech, given the end of the frame before and its text.

A stack of dilated, gated convolutions that sees a frame as a whole: the noisy samples, the known overlap
`H x`, and one value a sample for the phone and for each prosodic track. What does not depend on the
noise is computed once a frame (`given`), what depends on it once a step (`forward`).

Source: Benita, Elad, Keshet 2023 (arXiv 2310.01381), with the sizes of its released code; the gated stack
is that of DiffWave, Kong, Ping, Huang, Zhao, Catanzaro 2020 (arXiv 2009.09761).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffbook._checks import whole

#: Phones are told to the paper's network as `index / 72`.
SYMBOLS = 72
_WHOLE = (torch.int64, torch.int32)  # indices and lengths


class MultiKernel(nn.Module):
    """Mean of parallel convolutions of several odd kernel sizes, all with one dilation (MRB)."""

    def __init__(self, c_in: int, c_out: int, kernels: Sequence[int], dilation: int = 1):
        super().__init__()
        c_in, c_out = whole(c_in, "c_in"), whole(c_out, "c_out")
        kernels, dilation = _odd(kernels), whole(dilation, "dilation")
        self.convs = nn.ModuleList(
            nn.Conv1d(c_in, c_out, k, dilation=dilation, padding=dilation * (k // 2))
            for k in kernels
        )
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c_in, N) to (n, c_out, N)."""
        return sum(conv(x) for conv in self.convs) / len(self.convs)

    @torch.no_grad()
    def merged(self) -> MultiKernel:
        """Return the one convolution that is this mean: shorter kernels padded with zeros to the longest."""
        first, longest = self.convs[0], max(conv.kernel_size[0] for conv in self.convs)
        with torch.device("meta"):  # no random weights are drawn that would be overwritten
            one = MultiKernel(first.in_channels, first.out_channels, (longest,), first.dilation[0])
        one.to(first.weight.dtype).to_empty(device=first.weight.device)
        one.requires_grad_(first.weight.requires_grad)
        gaps = [(longest - conv.kernel_size[0]) // 2 for conv in self.convs]
        padded = [F.pad(c.weight, (gap, gap)) for c, gap in zip(self.convs, gaps, strict=True)]
        one.convs[0].weight.copy_(torch.stack(padded).mean(0))
        one.convs[0].bias.copy_(torch.stack([conv.bias for conv in self.convs]).mean(0))
        return one


class Given(NamedTuple):
    """What a network knows of a frame before any step: see :meth:`DiffAR.given`."""

    added: list[Tensor]  # for each layer (n, 2 C, N)
    shift: Tensor | None  # of the speaker: (n, layers, C)
    inside: Tensor | None  # (n, L), one inside the frame, zero in what fills it up


class DiffAR(nn.Module):
    """Network of the noise, `net(x, s, given) -> eps_hat`.

    The defaults are the released model, of 81 million weights. What deviates from the paper is an option:
    `embedding`, `fold` and `gain`; the pitch is one more track, the speaker as in the paper's second
    model. Frames may have any length.

    Parameters
    ----------
    phones
        Number of phones; they are told as indices 1 to `phones`, 0 stands for none.
    channels, layers
        C channels of the features, N residual layers.
    kernels
        Odd kernel sizes of the parallel convolutions, of which the mean is taken.
    cycle
        Layer i has dilation `2 ** (i % cycle)`.
    tracks
        Number of tracks with one real value a sample: energy, pitch.
    embedding
        0 tells a phone as the number `index / phones`, added to all channels alike, as the paper does.
        Otherwise the width of an encoder, run once a frame: phone vectors and tracks, two convolutions.
    speakers
        Number of speakers, 0 for one voice.
    fold
        Samples that become one position with as many channels; all dilations count positions.
    gain
        Whether `g(s) x`, with a learned number g of the step, is added to the answer: most of the noise
        passes by the features then.
    c_emb
        Width of the embeddings of step and speaker.
    """

    def __init__(
        self, phones: int = SYMBOLS, channels: int = 256, layers: int = 36, *,
        kernels: Sequence[int] = (3, 5, 7), cycle: int = 11, tracks: int = 1, embedding: int = 0,
        speakers: int = 0, fold: int = 1, gain: bool = False, c_emb: int = 512,
    ):  # fmt: skip
        super().__init__()
        self.phones, self.tracks = whole(phones, "phones"), whole(tracks, "tracks", 0)
        self.fold, self.speakers = whole(fold, "fold"), whole(speakers, "speakers", 0)
        c, n = whole(channels, "channels"), whole(layers, "layers")
        c_emb = whole(c_emb, "c_emb")
        e, cycle, kernels = whole(embedding, "embedding", 0), whole(cycle, "cycle"), _odd(kernels)
        dilations = [2 ** (i % cycle) for i in range(n)]

        def convs(c_in: int, c_out: int) -> nn.ModuleList:
            return nn.ModuleList(MultiKernel(c_in, c_out, kernels, d) for d in dilations)

        def lines(c_in: int, c_out: int) -> nn.ModuleList:
            return nn.ModuleList(nn.Linear(c_in, c_out) for _ in dilations)

        self.enter = _pointwise(self.fold, c)
        self.step, self.steps = _trunk(c_emb), lines(c_emb, c)
        self.mix, self.context = convs(c, 2 * c), convs(self.fold, 2 * c)
        if e:
            self.symbol = nn.Embedding(self.phones + 1, e)
            sizes = ((e + self.tracks, 1), (e, 8))
            self.encoder = nn.ModuleList(MultiKernel(c_in, e, kernels, d) for c_in, d in sizes)
            self.told = nn.ModuleList(_pointwise(e, 2 * c) for _ in dilations)
        else:
            self.scalars = nn.ModuleList(convs(1, 1) for _ in range(1 + self.tracks))
        if self.speakers:
            self.voice = nn.Sequential(nn.Embedding(self.speakers, 128), *_trunk(c_emb))
            self.voices = lines(c_emb, c)
        self.split = nn.ModuleList(_pointwise(c, 2 * c) for _ in dilations)
        self.last, self.leave = _pointwise(c, c), _pointwise(c, self.fold)
        nn.init.zeros_(self.leave.weight)
        self.gain = nn.Linear(c_emb, 1) if gain else None
        # Fixed frequencies 1 to 10^4 in 64 steps; s itself is their argument, in [0, 1000).
        self.register_buffer("frequencies", 10.0 ** (4.0 * torch.arange(64) / 63), persistent=False)

    @property
    def reach(self) -> int:
        """Receptive field in samples: how long a piece of x and of the context an answer depends on."""
        wide = (max((c.kernel_size[0] - 1) * c.dilation[0] for c in m.convs) for m in self.mix)
        return self.fold * (1 + sum(wide))

    def given(
        self, context: Tensor, phones: Tensor, tracks: Tensor | None = None,
        speaker: Tensor | None = None, lengths: Tensor | None = None,
    ) -> Given:  # fmt: skip
        """Compute what all steps of a frame share.

        Parameters
        ----------
        context
            The known overlap at the front, zeros behind it (H x of the frame before); (n, L), in the
            precision of the network.
        phones
            Indices (n, L), integers from 0 (none) to `phones`.
        tracks
            Values (n, tracks, L), as `context`; None if the network has none.
        speaker
            Indices (n,), integers from 0; None for a network of one voice.
        lengths
            Samples (n,) of each frame, integers from 1 to L, where shorter ones were filled up to L: each
            frame is then answered as if it were alone. None if all have L.

        Raises
        ------
        ValueError
            Naming the argument whose form, type or values do not fit, before anything is computed.
        """
        self._check(context, phones, tracks, speaker, lengths)
        inside = None
        if lengths is not None:
            places = torch.arange(context.shape[1], device=context.device)
            inside = (places < lengths[:, None]).to(context.dtype)
            context, phones = context * inside, phones * inside.to(phones.dtype)
            tracks = None if tracks is None else tracks * inside[:, None]
        positions = self._positions(inside)
        context = self._folded(context)
        if self.tracks:
            tracks = torch.stack([self._folded(t).mean(1) for t in tracks.unbind(1)], dim=1)
        if hasattr(self, "symbol"):
            # The phone of a position is that of its first sample.
            h = self.symbol(_filled(phones, self.fold)[:, :: self.fold]).transpose(1, 2)
            h = torch.cat([h, tracks], dim=1) if self.tracks else h
            for conv in self.encoder:
                h = F.silu(conv(h * positions))
            said = [line(h) for line in self.told]
        else:
            phones = self._folded(phones.to(context.dtype) / self.phones).mean(1, keepdim=True)
            rows = [phones, *(tracks.split(1, dim=1) if self.tracks else [])]
            said = [
                sum(convs[i](row) for convs, row in zip(self.scalars, rows, strict=True))
                for i in range(len(self.mix))
            ]
        added = [conv(context) + y for conv, y in zip(self.context, said, strict=True)]
        shift = None
        if self.speakers:
            voice = self.voice(speaker)
            shift = torch.stack([line(voice) for line in self.voices], dim=1)
        return Given(added, shift, inside)

    def forward(self, x: Tensor, s: Tensor, given: Given) -> Tensor:
        """Estimate the noise in x (n, L) at steps s (n,).

        Between whole steps the answer is continuous, but the step's features turn by up to 10^4 rad from
        one to the next: a trained network knows the steps of its training alone.
        """
        angles = s.to(x.dtype)[:, None] * self.frequencies
        emb = self.step(torch.cat([angles.sin(), angles.cos()], dim=1))
        positions = self._positions(given.inside)
        h = x if given.inside is None else x * given.inside
        h, total = F.relu(self.enter(self._folded(h))), 0.0
        for i, added in enumerate(given.added):
            shift = self.steps[i](emb)
            if given.shift is not None:
                shift = shift + given.shift[:, i]
            seen = (h + shift[:, :, None]) * positions
            gate, filtered = (self.mix[i](seen) + added).chunk(2, dim=1)
            r, skip = self.split[i](torch.sigmoid(gate) * torch.tanh(filtered)).chunk(2, dim=1)
            h, total = (h + r) / math.sqrt(2.0), total + skip
        found = self.leave(F.relu(self.last(total / math.sqrt(len(given.added)))))
        found = found.transpose(1, 2).flatten(1)[:, : x.shape[1]]
        return found if self.gain is None else found + self.gain(emb) * x

    @torch.no_grad()
    def merged(self) -> DiffAR:
        """Return the same function with each bank of parallel kernels as one convolution."""
        net = deepcopy(self)
        for holder in net.modules():
            for name, child in list(holder.named_children()):
                if isinstance(child, MultiKernel):
                    setattr(holder, name, child.merged())
        return net

    def _check(self, context: Any, phones: Any, tracks: Any, speaker: Any, lengths: Any) -> None:
        """Refuse what does not fit the network, or the frame that `context` is."""
        form = tuple(getattr(context, "shape", ()))
        if len(form) != 2 or 0 in form:
            raise ValueError(f"context: got {_form(context)}, expected a tensor of shape (n, L)")
        (n, length), floats = form, (self.leave.weight.dtype,)
        _fits(context, "context", floats, form)
        _fits(phones, "phones", _WHOLE, form, (0, self.phones))
        _fits(tracks, "tracks", floats, (n, self.tracks, length) if self.tracks else None)
        _fits(speaker, "speaker", _WHOLE, (n,) if self.speakers else None, (0, self.speakers - 1))
        if lengths is not None:
            _fits(lengths, "lengths", _WHOLE, (n,), (1, length))

    def _folded(self, x: Tensor) -> Tensor:
        """Turn samples (n, L) into positions (n, fold, ceil(L / fold)), zeros behind the last."""
        return _filled(x, self.fold).unflatten(1, (-1, self.fold)).transpose(1, 2)

    def _positions(self, inside: Tensor | None) -> Tensor | float:
        """Return one at positions inside the frame (n, 1, N), zero where the frame was filled up."""
        return 1.0 if inside is None else self._folded(inside).amax(1, keepdim=True)


def _odd(kernels: Any) -> tuple[int, ...]:
    sizes = tuple(kernels) if isinstance(kernels, Iterable) else ()
    sizes = tuple(whole(k, "kernels") for k in sizes)
    if not sizes or any(k % 2 == 0 for k in sizes):
        raise ValueError(f"kernels: got {kernels!r}, expected at least one size, each odd")
    return sizes


def _form(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return "None" if value is None else type(value).__name__


def _fits(
    value: Any, name: str, dtypes: tuple[torch.dtype, ...], shape: tuple[int, ...] | None,
    ends: tuple[int, int] | None = None,
) -> None:  # fmt: skip
    """Refuse what is no tensor of this type and shape, finite and within the ends; no shape: no tensor."""
    wanted = "None" if shape is None else f"{' or '.join(map(str, dtypes))} of shape {shape}"
    right = isinstance(value, Tensor) and value.dtype in dtypes and tuple(value.shape) == shape
    if not (value is None if shape is None else right):
        raise ValueError(f"{name}: got {_form(value)}, expected {wanted}")
    if shape is not None and ends is None and not value.isfinite().all():
        raise ValueError(f"{name}: got numbers that are not finite, expected finite ones")
    if shape is not None and ends is not None:
        low, high = map(int, value.aminmax())
        if low < ends[0] or high > ends[1]:
            raise ValueError(f"{name}: got {low} to {high}, expected from {ends[0]} to {ends[1]}")


def _filled(x: Tensor, fold: int) -> Tensor:
    return F.pad(x, (0, -x.shape[1] % fold))


def _trunk(c_emb: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(128, c_emb), nn.SiLU(), nn.Linear(c_emb, c_emb), nn.SiLU())


def _pointwise(c_in: int, c_out: int) -> nn.Conv1d:
    conv = nn.Conv1d(c_in, c_out, 1)
    nn.init.kaiming_normal_(conv.weight)
    return conv
