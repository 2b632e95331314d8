"""Speech frame by frame: each frame is diffused given its text and the end of the frame before.

The frame's own version of the known overlap is thrown away, so that old samples win and frames are
joined without a fade. The overlap is told to the network and never imposed on the state.

Source: Benita, Elad, Keshet 2023 (arXiv 2310.01381) and its released code, whose sampler is `ddpm` on
``[1, *ddpm_chain(200)]``; any sampler and any schedule within the levels of training will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffbook._checks import choice, reals, whole
from diffbook._optional import need
from diffbook.framewise._run import Run, Utterance, advance
from diffbook.framewise.denoiser import _steps, _training_grid
from diffbook.framewise.frames import Frame, plan, plan_fixed
from diffbook.framewise.scripts import Script
from diffbook.samplers.protocol import Result
from diffbook.samplers.unguided import ddpm
from diffbook.schedules.levels import validate_alpha_bar

CONTEXTS = ("overlap", "none")


# --- checks at the door ---------------------------------------------------------------------------


def _run(
    net: Any, schedule: ArrayLike, alpha_bar_train: ArrayLike | None, sampler: Any, context: str
) -> Run:
    levels = validate_alpha_bar(schedule, "schedule", allow_one=True)
    _steps(levels[1:], _training_grid(alpha_bar_train), "schedule")
    if not callable(sampler):
        raise ValueError(f"sampler: got {sampler!r}, expected a function of diffbook.samplers")
    return Run(
        net, levels, alpha_bar_train, sampler, choice(context, "context", CONTEXTS) == "overlap"
    )


def _check_script(net: Any, script: Any, name: str) -> None:
    if not isinstance(script, Script):
        raise ValueError(f"{name}: got {type(script).__name__}, expected a Script")
    if script.phones.max() > net.phones:
        raise ValueError(
            f"{name}: got phone {script.phones.max()}, expected at most {net.phones} as the network has"
        )
    if script.speaker not in (range(net.speakers) if net.speakers else (None,)):
        raise ValueError(
            f"{name}: got speaker {script.speaker}, the network has {net.speakers or 'none'}"
        )
    if len(script.tracks) != net.tracks:
        raise ValueError(
            f"{name}: got {len(script.tracks)} tracks, expected {net.tracks} as the network has"
        )


def _frames(
    script: Script, frames: Iterable[Frame] | None, length: Any, limit: Any, told: bool, name: str
) -> Iterator[Frame]:
    """Frames as given or planned, each checked as it comes."""
    if frames is None:
        if length is None:
            raise ValueError("length: got None, expected the samples of a frame (or give frames)")
        return _follow(plan(script.intervals, length, limit if told else 0), script.total, name)
    if length is not None or limit is not None:
        raise ValueError("frames: got frames and a length or limit, expected one of the two")
    return _follow(frames, script.total, name)


def _follow(frames: Iterable[Frame], total: int, name: str) -> Iterator[Frame]:
    """Refuse frames that do not follow each other from 0 to `total`."""
    size = stop = 0
    for i, frame in enumerate(frames):
        if not isinstance(frame, Frame):
            raise ValueError(f"{name}[{i}]: got {frame!r}, expected a Frame")
        if frame.start != stop - frame.overlap or frame.overlap > size or frame.stop > total:
            raise ValueError(
                f"{name}[{i}]: got {frame}, expected one with an overlap of at most {size}, that begins "
                f"as many samples before {stop} and ends by {total}"
            )
        size, stop = frame.stop - frame.start, frame.stop
        yield frame
    if stop != total:
        raise ValueError(f"{name}: they end at {stop}, expected the end of the script, {total}")


# --- generation -----------------------------------------------------------------------------------


def stream(
    net: Any, script: Script, schedule: ArrayLike, *, length: int | None = None,
    limit: int | None = None, alpha_bar_train: ArrayLike | None = None,
    sampler: Callable[..., Result] = ddpm, seed: int = 0, context: str = "overlap",
    frames: Iterable[Frame] | None = None,
) -> Iterator[NDArray]:  # fmt: skip
    """Generate an utterance and hand on the new samples of each frame as soon as it is made.

    Memory does not grow with the length of the utterance: the last frame and the one being made are
    held, and conditions are spread over the samples of a frame at a time.

    Parameters
    ----------
    net : nn.Module
        Network of the noise with the interface of :class:`diffbook.nets.diffar.DiffAR`, on any device. It
        is used as it is: ``net.merged()`` is the faster one.
    script : Script
        What is said.
    schedule : array_like, shape (S + 1,)
        alpha_bar, clean end first; ``[1, *ddpm_chain(200)]`` is the paper's. All but the clean end
        must lie within the levels of training.
    length, limit : int
        Wanted length of a frame and longest overlap in samples; see `diffbook.framewise.plan`.
    alpha_bar_train : array_like, shape (S,), optional
        Levels of training; see `noise_level_denoiser`.
    sampler : callable
        ``sampler(denoiser, x_T, schedule, noise=noise) -> Result``, one of `diffbook.samplers`.
    seed : int
        Each pair of frame and step has its own stream of noise, the same on every device.
    context : {"overlap", "none"}
        With "none" every frame is generated on its own: it knows zeros. Planned frames do not overlap
        then, whatever `limit` says; given ones may, and what they overlap is thrown away as ever.
    frames : iterable of Frame, optional
        Another plan, instead of `length` and `limit`; it is read as it is needed. A frame may overlap all
        of the one before, and the last ends with the script.

    Yields
    ------
    ndarray, shape (frame.new,)
        In the precision of the network.

    Raises
    ------
    ValueError
        Naming the argument at fault, before anything is computed; faults of `frames` as they are read.
    """
    run = _run(net, schedule, alpha_bar_train, sampler, context)
    _check_script(net, script, "script")
    follow = _frames(script, frames, length, limit, run.told, "frames")
    one = Utterance(script, whole(seed, "seed", 0))
    return (advance(run, [(one, frame)])[0] for frame in follow)


def generate(
    net: Any, scripts: Sequence[Script], schedule: ArrayLike, *, seeds: Iterable[int],
    length: int | None = None, limit: int | None = None, alpha_bar_train: ArrayLike | None = None,
    sampler: Callable[..., Result] = ddpm, context: str = "overlap",
    frames: Sequence[Iterable[Frame]] | None = None,
    history: Sequence[ArrayLike] | None = None, progress: bool = False,
) -> list[NDArray]:  # fmt: skip
    """Generate several utterances as one batch, frame by frame.

    Each is what `stream` makes of it alone with its seed, up to rounding. Frames of different lengths are
    filled up for the network; an utterance that has ended leaves the batch.

    Parameters
    ----------
    net, schedule, length, limit, alpha_bar_train, sampler, context
        As in `stream`.
    scripts : sequence of Script
        What is said in each utterance.
    seeds : iterable of int
        One for each utterance.
    frames : sequence of iterables of Frame, optional
        A plan for each utterance, instead of `length` and `limit`.
    history : sequence of array_like, optional
        A recording of each utterance, as long as its script. What a frame knows is taken from the
        recording then, and not from what was generated (teacher forcing, as in training).
    progress : bool
        Whether a bar counts the frames of the longest utterance.

    Returns
    -------
    list of ndarray
        One signal for each script, as long as its script.
    """
    run = _run(net, schedule, alpha_bar_train, sampler, context)
    scripts, seeds = list(scripts), [whole(seed, "seeds", 0) for seed in seeds]
    if not scripts:
        raise ValueError("scripts: got none, expected at least one")
    for name, given in (("seeds", seeds), ("frames", frames), ("history", history)):
        if given is not None and len(given) != len(scripts):
            raise ValueError(
                f"{name}: got {len(given)}, expected one for each of {len(scripts)} scripts"
            )
    if history is not None and not run.told:
        raise ValueError("history: got recordings, expected None where context is 'none'")
    group, plans = [], []
    for i, script in enumerate(scripts):
        _check_script(net, script, f"scripts[{i}]")
        own = None if frames is None else frames[i]
        plans.append(list(_frames(script, own, length, limit, run.told, f"frames[{i}]")))
        past = None
        if history is not None:
            past = reals(history[i], f"history[{i}]", shape=(script.total,))
        group.append(Utterance(script, seeds[i], past))
    pieces = [[] for _ in scripts]
    for turn in _counted(max(map(len, plans)), progress):
        going = [i for i, own in enumerate(plans) if turn < len(own)]
        found = advance(run, [(group[i], plans[i][turn]) for i in going])
        for i, new in zip(going, found, strict=True):
            pieces[i].append(new)
    return [np.concatenate(own) for own in pieces]


def _counted(turns: int, progress: bool) -> Iterable[int]:
    if not progress:
        return range(turns)
    need("tqdm", "torch", "framewise.generate with progress")
    from tqdm import trange

    return trange(turns, unit="frame")


def unconditional(
    net: Any, total: int, length: int, overlap: int, schedule: ArrayLike, *, seeds: Iterable[int],
    alpha_bar_train: ArrayLike | None = None, sampler: Callable[..., Result] = ddpm,
    context: str = "overlap", speaker: int | None = None, progress: bool = False,
) -> NDArray:  # fmt: skip
    """Generate signals without a text, in frames of one length: phones and tracks are 0.

    Parameters
    ----------
    total, length, overlap : int
        Samples of a signal, of a frame and of its overlap; see `diffbook.framewise.plan_fixed`.
    net, schedule, seeds, alpha_bar_train, sampler, context, progress
        As in `generate`.
    speaker : int, optional
        Index of the voice, for a network of several.

    Returns
    -------
    ndarray, shape (n, total)
        One signal for each seed.
    """
    seeds = list(seeds)
    plans = [plan_fixed(total, length, overlap) for _ in seeds]
    if not seeds:
        raise ValueError("seeds: got none, expected one for each signal")
    script = Script(np.zeros(1, np.int64), [[0, total]], np.zeros((net.tracks, 1)), speaker)
    return np.stack(
        generate(
            net, [script] * len(seeds), schedule, seeds=seeds, frames=plans,
            alpha_bar_train=alpha_bar_train, sampler=sampler, context=context, progress=progress,
        )
    )  # fmt: skip
