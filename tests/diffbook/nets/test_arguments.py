"""Every argument of networks, training, files and foreign models refuses nonsense by its name."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from nonsense import case, table_tests

from diffbook.datasets.aligned import Clip
from diffbook.nets import (
    conditional,
    diffar,
    foreign,
    frontend,
    optimiser,
    recogniser,
    store,
    training,
    unet,
)
from diffbook.schedules.families import ddpm_chain, ddpm_respaced

FOLDER = TemporaryDirectory()
WEIGHTS, CHECKPOINT, OUT, MODEL, FRONT, EARS = (
    Path(FOLDER.name) / name
    for name in ("w.safetensors", "w.checkpoint", "out.safetensors", "model.py", "f", "e")
)
TINY = training.Config("digits", channels=(8, 16), fold=1, steps=2, batch=4, warmup=1)
IMAGES = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
STATE = training.start(TINY, IMAGES, 0)
NET, LEVELS = STATE.model, torch.full((8,), 0.5)
SIGNAL_NET, LOGITS_NET = conditional.SignalNet(1, 3, 8), conditional.LogitsNet(1, 3, 8, hidden=8)
CLASSIFIER, LOGITS = conditional.Classifier(1, 3, 8), torch.zeros(8, 3)
TEXT = {"command": ("text", "any text"), "advice": ("text", "any text")}
ANY_CLIP = {"clip": ("negative", "an end of a range has any sign")}
WHERE = {"device": "cpu", "batch": 2, "clip": (-1.0, 1.0)}
CLIP = Clip(np.zeros(800, np.float32), ("a", "b"), np.array([[0, 300], [300, 800]]), 8000, f0=90.0)
PREDICTOR = frontend.PhonePredictor("duration", ("a", "b"), 4, 4)
HEARS = recogniser.PhoneRecogniser(("a", "b"), 4)
MATRIX, VECTOR = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
OPTIMISER = optimiser.MuonAdamW([MATRIX], [VECTOR], 1e-3, 1e-3)
FEW = recogniser.Hearing(channels=4, steps=1, batch=2)
NAMES = {"symbols": ("text", "a name may be any text")}
ANY_SIGN = ("negative", "has any sign")


def zero(x, t):
    return torch.zeros_like(x)


DIFFAR = diffar.DiffAR(5, 8, 2, speakers=2, c_emb=8)
FRAMES, PHONES = torch.zeros(2, 12), torch.ones(2, 12, dtype=torch.int64)
TOLD = {
    "context": FRAMES, "phones": PHONES, "tracks": torch.zeros(2, 1, 12),
    "speaker": torch.tensor([0, 1]),
}  # fmt: skip

CASES = [
    case(unet.UNet, channels=(8, 16), fold=1, c_emb=8),
    case(unet.UNet.forward, self=NET.net, x=IMAGES, c_noise=LEVELS),
    case(unet.Preconditioned, {"data_mean": ("negative", "a mean has any sign")},
         net=NET.net, data_mean=0.1, sigma_data=0.5),
    case(unet.Preconditioned.forward, self=NET, y=IMAGES, sigma=LEVELS),
    case(unet.tensor, {"x_t": ("nan inf negative", "a diverging sampler shows as such")},
         x_t=np.ones((2, 4, 4))),
    case(unet.torch_device, device="cpu"),
    case(unet.as_denoiser, model=NET, device="cpu", batch=2, differentiable=False),
    case(conditional.SignalNet, channels=2, classes=3, width=8, dims=2, fold=2, depth=1,
         sigma_data=0.5, polar=True),
    case(conditional.LogitsNet, channels=1, classes=3, width=8, dims=1, views=2, fold=2, depth=1,
         hidden=8, sigma_data=0.5),
    case(conditional.Classifier, channels=1, classes=3, width=8, dims=2, fold=2, depth=1),
    case(conditional.SignalNet.forward, self=SIGNAL_NET, v=IMAGES, sigma=LEVELS, u=IMAGES,
         y_hat=LOGITS),
    case(conditional.LogitsNet.forward, self=LOGITS_NET, v_y=LOGITS, sigma=LEVELS, views=(IMAGES,),
         c=LOGITS),
    case(conditional.Classifier.forward, self=CLASSIFIER, x=IMAGES),
    case(conditional.as_signal_denoiser, {"low": ("negative", "an end of a range has any sign")},
         net=SIGNAL_NET, low=-1.0, high=1.0, device="cpu", batch=2),
    case(conditional.as_logits_denoiser, net=LOGITS_NET, device="cpu", batch=2),
    case(training.Config, data="digits", channels=(8, 16), fold=1, steps=2, batch=4,
         learning_rate=1e-3, warmup=1, weight_decay=1e-3, ema=0.9),
    case(training.pool, data="digits", split="train"),
    case(training.draw, images=IMAGES, n=4, seed=0, step=0),
    case(training.edm_loss, model=NET, x0=IMAGES, sigma=LEVELS, eps=IMAGES, sigma_data=0.5),
    case(training.start, config=TINY, images=IMAGES, seed=0),
    case(training.learning_rate, config=TINY, step=1),
    case(training.save_checkpoint, path=CHECKPOINT, state=STATE, config=TINY, seed=0),
    case(training.load_checkpoint, path=CHECKPOINT, state=STATE, config=TINY, seed=0),
    case(training.train, config=TINY, seed=0, checkpoint=None, every=1, stop_at=2, progress=False),
    case(training.validation_loss, state=STATE, images=IMAGES, device="cpu", n=4),
    case(training.make_weights, data="digits", seed=0, out=OUT, steps=1, force=True),
    case(training.save_weights, TEXT, path=WEIGHTS, state=STATE, config=TINY, seed=0, command="c"),
    case(optimiser.MuonAdamW, hidden=[MATRIX], rest=[VECTOR], lr=1e-3, hidden_lr=1e-3,
         weight_decay=0.1),
    case(optimiser.MuonAdamW.scale, self=OPTIMISER, factor=0.5),
    case(optimiser.MuonAdamW.load_state_dict, self=OPTIMISER, state=OPTIMISER.state_dict()),
    case(optimiser.hidden_and_rest, {"ends": ("text", "a network need not have all of them")},
         net=NET, ends=("net",)),
    case(store.load_weights, path=WEIGHTS),
    case(store.fill, TEXT, module=NET, tensors=NET.state_dict(), path=WEIGHTS, advice="a"),
    case(store.write_tensors, path=OUT, tensors={"a": LEVELS}, about={}),
    case(store.read_tensors, TEXT, path=WEIGHTS, advice="a"),
    case(store.read_safetensors, TEXT, path=WEIGHTS, advice="a"),
    case(frontend.PhonePredictor, NAMES, kind="energy", symbols=("a", "b"), embedding=4, width=4,
         dropout=0.5),
    case(frontend.PhonePredictor.forward, self=PREDICTOR, phones=torch.tensor([[1, 2, 0]])),
    case(frontend.targets, kind="energy", clip=CLIP),
    case(frontend.decoded, {"y": ANY_SIGN}, kind="pitch", y=np.ones(2)),
    case(frontend.train_predictor, kind="pitch", clips=[CLIP], seed=0, symbols=("a", "b"), embedding=4,
         width=4, dropout=0.5, epochs=1, batch=2, learning_rate=1e-3, zero_grad=True, progress=False),
    case(frontend.predict, net=PREDICTOR, phones=[("a", "b")]),
    case(frontend.means, kind="energy", clips=[CLIP], symbols=("a", "b")),
    case(frontend.accuracy, {"found": ANY_SIGN, "true": ANY_SIGN}, found=np.ones(2), true=np.ones(2)),
    case(frontend.timing, durations=np.array([0.1, 0.2]), sample_rate=8000),
    case(frontend.save_predictors, TEXT, path=OUT, nets=[PREDICTOR], command="c"),
    case(frontend.load_predictors, path=FRONT),
    case(recogniser.Hearing, channels=4, steps=1, batch=2, learning_rate=1e-3, warmup=1),
    case(recogniser.PhoneRecogniser, NAMES, symbols=("a", "b"), channels=4),
    case(recogniser.PhoneRecogniser.forward, self=HEARS, sounds=torch.zeros(1, 400)),
    case(recogniser.frame_labels, clip=CLIP, symbols=("a", "b")),
    case(recogniser.train_recogniser, clips=[CLIP], seed=0, config=FEW, symbols=("a", "b"),
         checkpoint=None, every=1, progress=False),
    case(recogniser.best_path, {"scores": ANY_SIGN, "follows": ANY_SIGN}, scores=np.ones((4, 2)),
         follows=np.ones((2, 2)), minimum=2),
    case(recogniser.recognise, {"sounds": ANY_SIGN}, net=HEARS.eval(), sounds=[np.zeros(400)]),
    case(recogniser.save_recogniser, TEXT, path=OUT, net=HEARS, command="c"),
    case(recogniser.load_recogniser, path=EARS),
    case(foreign.Pretrained.schedule, self=foreign.Pretrained(zero, (1, 8, 8), ddpm_chain()),
         alpha_bar=ddpm_respaced(5)),
    case(foreign.load_pretrained, ANY_CLIP, spec=f"{MODEL}:factory", **WHERE),
    case(foreign.from_eps_model, ANY_CLIP, model=zero, alpha_bar=ddpm_chain(), **WHERE),
    case(foreign.from_sigma_model, ANY_CLIP, model=zero, **WHERE),
    case(foreign.rounded, alpha_bar=ddpm_respaced(5), alpha_bar_train=ddpm_chain()),
    case(foreign.rounded, alpha_bar=ddpm_respaced(1), alpha_bar_train=ddpm_chain()),
    case(foreign.load_safetensors, module=NET, path=WEIGHTS),
    # diffar
    case(diffar.MultiKernel, c_in=1, c_out=2, kernels=(3, 5), dilation=2),
    case(diffar.MultiKernel.forward, self=diffar.MultiKernel(1, 2, (3,)), x=FRAMES[:, None]),
    case(
        diffar.DiffAR, phones=5, channels=8, layers=2, kernels=(3, 5), cycle=3, tracks=1,
        embedding=4, speakers=2, fold=2, gain=True, c_emb=8,
    ),
    case(diffar.DiffAR.given, self=DIFFAR, lengths=torch.tensor([12, 7]), **TOLD),
    case(
        diffar.DiffAR.forward, self=DIFFAR, x=FRAMES, s=torch.zeros(2), given=DIFFAR.given(**TOLD)
    ),
]  # fmt: skip
EXEMPT = {
    "Given": "a record that DiffAR.given makes",
    "State": "a record that start makes",
    "Pretrained": "a record that load_pretrained makes",
}


@pytest.fixture(autouse=True, scope="module")
def files():
    training.save_weights(WEIGHTS, STATE, TINY, 0, "c")
    training.save_checkpoint(CHECKPOINT, STATE, TINY, 0)
    frontend.save_predictors(FRONT, [PREDICTOR], "c")
    recogniser.save_recogniser(EARS, HEARS, "c")
    MODEL.write_text(
        "def factory():\n"
        "    return {'model': lambda x, t: 0 * x, 'predicts': 'eps', 'shape': (1, 8, 8)}\n",
        "utf-8",
    )


test_nonsense_is_refused_by_name, test_valid_calls_succeed, test_no_name_is_missing = table_tests(
    "diffbook.nets", CASES, EXEMPT
)


def test_what_a_denoiser_is_asked_is_checked_as_well():
    for denoiser in (unet.as_denoiser(NET), foreign.from_sigma_model(zero)):
        for bad in (0.0, -1.0, 1.5, np.nan, 1j, "1"):
            with pytest.raises(ValueError, match="alpha_bar_t: got"):
                denoiser(np.zeros((2, 1, 8, 8)), bad)
        for bad in (
            np.zeros((2, 1, 8, 8), int),
            np.zeros((2, 1, 8, 8)) + 1j,
            np.zeros((0, 1, 8, 8)),
        ):
            with pytest.raises(ValueError, match=r"x_t: got .*real floating point"):
                denoiser(bad, 0.5)
        with pytest.raises(ValueError, match="cond: got a condition"):
            denoiser(np.zeros((2, 1, 8, 8)), 0.5, cond=1)
    with pytest.raises(ValueError, match=r"x_t: got shape \(2, 3, 8, 8\), expected \(n, h, w\)"):
        unet.as_denoiser(NET)(np.zeros((2, 3, 8, 8)), 0.5)


def test_limits_are_named():
    with pytest.raises(ValueError, match=r"channels: got \(8, 12\), expected two multiples of 8"):
        unet.UNet((8, 12))
    with pytest.raises(ValueError, match=r"channels: got \(8,\), expected two"):
        unet.UNet((8,))
    with pytest.raises(ValueError, match="clip: expected shape"):
        foreign.from_sigma_model(zero, clip=(1.0,))
    with pytest.raises(ValueError, match=r"clip: got .*low < high"):
        foreign.from_sigma_model(zero, clip=(1.0, -1.0))
    with pytest.raises(ValueError, match="device: got 'cuda:77', expected one usable here"):
        unet.as_denoiser(NET, "cuda:77")
    with pytest.raises(ValueError, match="seed: got 2147483648"):
        training.start(TINY, IMAGES, 2**31)
