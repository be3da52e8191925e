# SPDX-License-Identifier: MIT
"""Holds graphs of whole methods against the authors' own code, in a checkout the user brings.

    python benchmarks/official_methods.py restyle   --repo ../restyle-encoder --ops ../ros
    python benchmarks/official_methods.py stylemask --repo ../StyleMask --ops ../ros
    python benchmarks/official_methods.py motion    --repo ../Pose-and-Expression-Transfer --ops ../ros
    python benchmarks/official_methods.py landmarks --repo ../One-Shot-Landmark-Based-Face-Reenactment
    python benchmarks/official_methods.py deca      --repo ../DECA

../ros is a checkout of rosinality/stylegan2-pytorch. As in official_parity.py, weights are random in every
term and the checkpoint is written by their code and read by ours; one JSON line says how far results are
apart and how large they are. restyle, motion and deca need torchvision. Sizes are the published ones, but for
restyle and stylemask, whose generators are of --size pixels.
"""

import argparse
import importlib
import json
import sys
import tempfile
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from official_parity import randomise  # noqa: E402

Arrays = dict[str, np.ndarray]
STEPS = 3  # of ReStyle's loop, which does not come to rest with random weights
PSI = 0.7


@dataclass(frozen=True)
class Answer:
    """What the authors' code gave to some inputs."""

    role: str
    inputs: Arrays
    outputs: Arrays


def operators(repo: Path, ops: Path, name: str) -> None:
    """Put rosinality's operators, which run on a CPU, where their repository builds its own."""
    importlib.import_module("torch.utils.cpp_extension").load = lambda *a, **k: None
    sys.path.insert(0, str(ops))
    sys.modules[name] = importlib.import_module("op")  # before theirs, which may have the same name
    sys.path.insert(0, str(repo))


def picture(size: int = 256) -> torch.Tensor:
    return torch.rand(1, 3, size, size) * 2 - 1


def restyle(repo: Path, ops: Path, size: int, path: Path, kind: str) -> list[Answer]:
    operators(repo, ops, "models.stylegan2.op")
    models = importlib.import_module("torchvision.models")
    plain = models.resnet34
    for module in (models, models.resnet):  # their code asks for trained weights, which would be downloaded
        module.resnet34 = lambda pretrained: plain()
    branch = "e4e" if "Progressive" in kind else "psp"
    network_class = getattr(importlib.import_module(f"models.{branch}"), "e4e" if branch == "e4e" else "pSp")
    network_class.load_weights = lambda self: None  # they come from elsewhere: none are read
    options = types.SimpleNamespace(
        output_size=size, encoder_type=kind, input_nc=6, checkpoint_path=None, dataset_type="ffhq_encode",
        n_iters_per_batch=STEPS, resize_outputs=False, device="cpu", start_from_latent_avg=True,
    )  # fmt: skip
    net = network_class(options).eval()
    randomise(net)
    net.latent_avg = torch.randn(net.n_styles, 512)
    loop = importlib.import_module("utils.inference_utils")
    image = picture()
    with torch.no_grad():
        average = net(net.latent_avg.unsqueeze(0), input_code=True, randomize_noise=False, average_code=True)[
            0
        ]
        _, latents = loop.run_on_batch(image, net, options, average)
    saved = {"state_dict": net.state_dict(), "opts": vars(options), "latent_avg": net.latent_avg}
    torch.save(saved, path)
    return [Answer("encoder", {"image": image.numpy()}, {"w": latents[0][-1][None]})]


def motion(repo: Path, ops: Path, path: Path) -> list[Answer]:
    operators(repo, ops, "op")
    for name in ("matplotlib",):
        sys.modules.setdefault(name, types.ModuleType(name))
        sys.modules[name].use = lambda backend: None  # type: ignore[attr-defined]
    options = types.SimpleNamespace(output_size=1024, input_nc=3, checkpoint_path=None, device="cpu")
    net = importlib.import_module("psp").MypSp(options).eval()
    randomise(net)
    with torch.no_grad():
        for parameter in net.mapping_net.parameters():
            parameter.normal_(0, 0.01)  # a fresh one is constant
    image, identity = picture(), torch.randn(1, 18, 512) * 9
    with torch.no_grad():
        driver = net.encoder(image)
        result = net(image, identity, resize=False, randomize_noise=False, return_latents=True)
    torch.save({"state_dict": net.state_dict(), "opts": vars(options)}, path)
    latents = {"identity": identity.numpy(), "motion": driver.numpy()}
    return [
        Answer("encoder", {"image": image.numpy()}, {"w": driver.numpy()}),
        Answer("motion", latents, {"w": result[1].numpy()}),
        Answer("generator", {"w": result[1].numpy()}, {"image": result[0].numpy()}),
    ]


def landmarks(repo: Path, path: Path) -> list[Answer]:
    sys.path.insert(0, str(repo))
    module = importlib.import_module("mapping_net")
    net = module.MappingNetwork(module.LandmarkEncoder()).eval()
    randomise(net)
    portrait, driver = torch.rand(2, 1, 3, 580, 580)
    with torch.no_grad():
        shift = net(portrait, driver).reshape(1, 16, 512)
    torch.save(net.state_dict(), path)
    return [Answer("landmarks", {"difference": (driver - portrait).numpy()}, {"shift": shift.numpy()})]


def deca(repo: Path, path: Path) -> list[Answer]:
    sys.path.insert(0, str(repo / "decalib"))
    net = importlib.import_module("models.encoders").ResnetEncoder(236).eval()
    randomise(net)
    image = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        parameters = net(image).numpy()
    torch.save({"E_flame": net.state_dict(), "E_detail": {}, "D_detail": {}, "global_step": 0}, path)
    names = ("shape", "texture", "expression", "pose", "camera", "light")
    parts = np.split(parameters, np.cumsum((100, 50, 50, 6, 3)), axis=1)
    return [Answer("tracker", {"image": image.numpy()}, dict(zip(names, parts, strict=True)))]


def stylemask(repo: Path, ops: Path, size: int, path: Path) -> dict[str, float]:
    """The whole procedure: its generator and its masks, two files of theirs, against ours joined."""
    operators(repo, ops, "libs.models.StyleGAN2.op")
    generator = importlib.import_module("libs.models.StyleGAN2.model").Generator(size, 512, 8).eval()
    predictor = importlib.import_module("libs.models.mask_predictor").MaskPredictor
    space = importlib.import_module("libs.utilities.stylespace_utils")
    randomise(generator)
    widths = [generator.conv1.conv.in_channel, *(layer.conv.in_channel for layer in generator.convs)]
    controlled = widths[:-2]
    masks = torch.nn.ModuleDict(
        {f"network_{i:02d}": predictor(c, c, c) for i, c in enumerate(controlled)}
    ).eval()
    with torch.no_grad():
        for parameter in masks.parameters():
            parameter.normal_(0, 0.1)
    w, centre = torch.randn(2, 1, generator.n_latent, 512) * 1.5, torch.randn(1, 512)
    with torch.no_grad():
        spaces = [space.encoder(generator, one, PSI, centre, size=size, input_is_latent=True) for one in w]
        mixed = list(spaces[0][0])
        for index, mask in enumerate(masks.values()):
            source, target = (styles[0][index] for styles in spaces)
            weight = mask(source - target)
            mixed[index] = weight * target + (1 - weight) * source
        image = space.decoder(generator, mixed, spaces[0][1], spaces[0][2], resize_image=False).numpy()
    torch.save({"step": 1, "mask_net": masks.state_dict(), "num_layers_control": len(controlled)}, path)
    torch.save({"g_ema": generator.state_dict(), "latent_avg": centre[0]}, path.with_suffix(".generator"))
    return ours_by_masks(path, w, centre, [torch.cat(s[0], dim=1).numpy() for s in spaces], image)


def ours_by_masks(
    path: Path, w: torch.Tensor, centre: torch.Tensor, styles: list[np.ndarray], image: np.ndarray
) -> dict[str, float]:
    from engines.networks.stylegan2 import Synthesis
    from engines.networks.stylespace import split_at_styles
    from export.checkpoints.identify import import_checkpoint

    mask = import_checkpoint(path).networks["mask"].eval()
    generator = import_checkpoint(path.with_suffix(".generator")).networks["generator"].eval()
    assert isinstance(generator, Synthesis)
    to_styles, to_image = split_at_styles(generator)
    with torch.no_grad():
        found = [to_styles(centre + PSI * (one - centre)) for one in w]
        places = to_styles.layout.convolutions()
        apart = max(
            float(np.abs(mine[:, places].numpy() - theirs).max())
            for mine, theirs in zip(found, styles, strict=True)
        )
        controlled = places[: int(mask.inputs[0].shape[1])]
        result = found[0].clone()
        result[:, controlled] = mask(found[0][:, controlled], found[1][:, controlled])
        difference = np.abs(to_image(result).numpy() - image).max()
    return {
        "style": apart, "style_range": float(np.abs(styles[0]).max()),
        "image": float(difference), "image_range": float(np.abs(image).max()),
    }  # fmt: skip


def compare(path: Path, answers: list[Answer]) -> dict[str, float]:
    """Export the checkpoint and ask the graphs what the authors' code was asked."""
    from engines import open_engine
    from export import export_checkpoint

    model = path.parent / "model"
    export_checkpoint(path, model)
    found: dict[str, float] = {}
    for answer in answers:
        with open_engine(model / answer.role, backend="onnx", threads=0) as engine:
            results = engine.run(**answer.inputs)
        pairs = [(results[name], expected) for name, expected in answer.outputs.items()]
        found[answer.role] = float(max(np.abs(mine - theirs).max() for mine, theirs in pairs))
        found[f"{answer.role}_range"] = float(max(np.abs(theirs).max() for _, theirs in pairs))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("origin", choices=("restyle", "stylemask", "motion", "landmarks", "deca"))
    parser.add_argument("--repo", type=Path, required=True)
    parser.add_argument("--ops", type=Path, help="a checkout of rosinality's, whose operators run on a CPU")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--encoder", default="BackboneEncoder", help="of restyle: its encoder_type")
    options = parser.parse_args()
    if options.ops is None and options.origin in ("restyle", "stylemask", "motion"):
        parser.error("their operators need CUDA: give --ops")
    torch.manual_seed(5)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "checkpoint"
        if options.origin == "stylemask":
            found = stylemask(options.repo, options.ops, options.size, path)
        elif options.origin == "restyle":
            answers = restyle(options.repo, options.ops, options.size, path, options.encoder)
            found = compare(path, answers)
        elif options.origin == "motion":
            found = compare(path, motion(options.repo, options.ops, path))
        else:
            found = compare(path, (landmarks if options.origin == "landmarks" else deca)(options.repo, path))
    said = {
        "restyle": {"encoder": options.encoder, "size": options.size},
        "stylemask": {"size": options.size},
    }
    print(json.dumps({"origin": options.origin, **said.get(options.origin, {}), **found}))


if __name__ == "__main__":
    main()
