# SPDX-License-Identifier: MIT
"""Holds exported graphs against the authors' own code, in a checkout the user brings.

    python benchmarks/official_parity.py ada   --repo ../stylegan2-ada-pytorch --size 256
    python benchmarks/official_parity.py sg3   --repo ../stylegan3                            its StyleGAN2
    python benchmarks/official_parity.py sg3-t --repo ../stylegan3                            and sg3-r
    python benchmarks/official_parity.py tf    --repo ../stylegan2-ada-pytorch                its legacy.py
    python benchmarks/official_parity.py ros   --repo ../stylegan2-pytorch
    python benchmarks/official_parity.py e4e   --repo ../encoder4editing --ops ../stylegan2-pytorch
    python benchmarks/official_parity.py psp   --repo ../pixel2style2pixel --ops ../stylegan2-pytorch

Weights are random in every term. The checkpoint is written by their code and read by ours; one JSON line says
how far images and latents are apart. `--ops`: the encoders' operators need CUDA; rosinality's run on a CPU.
"""

import argparse
import copy
import importlib
import json
import math
import pickle
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
PSI = 0.7
HEADS = {
    "e4e": ("Encoder4Editing", "GradualStyleEncoder"),
    "psp": (
        "GradualStyleEncoder",
        "BackboneEncoderUsingLastLayerIntoWPlus",
        "BackboneEncoderUsingLastLayerIntoW",
    ),
}
Sample = dict[str, np.ndarray]


def randomise(network: Any) -> None:
    """Every term that a fresh network leaves at zero or one."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("noise_strength", "noise.weight")):
                parameter.copy_(torch.randn_like(parameter) * 0.3)
            elif name.endswith("input.affine.weight"):
                parameter.copy_(torch.randn_like(parameter) * 0.5)
            elif name.endswith("bias"):
                mapping = name.startswith(("mapping.", "style."))
                parameter.add_(torch.randn_like(parameter) * (30 if mapping else 0.3))
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)


def nvidia_imports(repo: Path) -> Any:
    """Their EasyDict; what their utilities import and do not need here is stood in for."""
    for name, attributes in {
        "pkg_resources": {"parse_version": str},
        "requests": {"Session": object},
        "click": {"command": lambda: lambda f: f, "option": lambda *a, **k: lambda f: f},
    }.items():
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = types.ModuleType(name)
        for attribute, value in attributes.items():
            if not hasattr(sys.modules[name], attribute):
                setattr(sys.modules[name], attribute, value)
    sys.modules["pkg_resources"].parse_version = importlib.import_module("packaging.version").parse  # type: ignore[attr-defined]
    sys.path.insert(0, str(repo))
    return importlib.import_module("dnnlib").EasyDict


def nvidia(repo: Path, size: int, path: Path, *, origin: str) -> Sample:
    """stylegan2-ada-pytorch, or what stylegan3 has: StyleGAN2, StyleGAN3 T and R."""
    easy_dict = nvidia_imports(repo)
    mapping = easy_dict()
    if origin in ("sg3-t", "sg3-r"):
        module = importlib.import_module("training.networks_stylegan3")
        nested = easy_dict(channel_base=32768 if size > 256 else 16384, channel_max=512)
        if origin == "sg3-r":
            nested.update(channel_base=2 * nested.channel_base, channel_max=1024)
            nested.update(conv_kernel=1, use_radial_filters=True)
    else:
        third = origin == "sg3"
        module = importlib.import_module("training.networks_stylegan2" if third else "training.networks")
        options = easy_dict(channel_base=32768 if size > 256 else 16384, num_fp16_res=4, conv_clamp=256)
        nested = options if third else easy_dict(synthesis_kwargs=options)
    generator = module.Generator(
        z_dim=512, c_dim=0, w_dim=512, img_resolution=size, img_channels=3, mapping_kwargs=mapping, **nested
    )
    generator = generator.eval().requires_grad_(False)
    randomise(generator)
    generator.mapping.w_avg.normal_()
    if origin in ("sg3-t", "sg3-r"):
        trained_magnitudes(generator)
    return official_answers(generator, path)


def trained_magnitudes(generator: Any) -> None:
    """Moving averages near what the layers see, as after training, and an image of range about 10."""
    layers = [getattr(generator.synthesis, name) for name in generator.synthesis.layer_names]
    for layer in layers:
        layer.magnitude_ema_beta = 0.0
    generator.synthesis(torch.randn(1, generator.num_ws, 512), update_emas=True)
    with torch.no_grad():
        layers[-1].weight.mul_(10)
        for layer in layers:
            layer.magnitude_ema.mul_(torch.empty(()).uniform_(0.6, 1.6))


def official_answers(generator: Any, path: Path) -> Sample:
    """What their generator says, and their pickle of it."""
    z, w = torch.randn(1, 512), torch.randn(1, generator.num_ws, 512) * 1.5
    image = generator.synthesis(w, noise_mode="const", force_fp32=True)
    mapped = generator.mapping(z, torch.zeros(1, 0), truncation_psi=PSI)
    if not path.exists():
        with path.open("wb") as file:
            pickle.dump({"G": None, "D": None, "G_ema": copy.deepcopy(generator), "augment_pipe": None}, file)
    return {"z": z.numpy(), "mapped": mapped.numpy(), "w": w.numpy(), "image": image.numpy()}


def tensorflow(repo: Path, size: int, path: Path) -> Sample:
    """A pickle of the TensorFlow releases, and the generator that the authors' own converter makes of it."""
    nvidia_imports(repo)
    sys.path.append(str(ROOT / "tests" / "export"))
    files = importlib.import_module("tensorflow_files")
    base = 16384 if size > 256 else 8192
    variables = files.tensorflow_variables(size, w_dim=512, z_dim=512, fmap_base=base, fmap_max=512)
    options = {"resolution": size, "fmap_base": base, "mapping_layers": 3, "conv_clamp": 256}
    files.write_tensorflow(path, variables, options=options)
    converter = importlib.import_module("legacy")
    with path.open("rb") as file:
        network = converter._LegacyUnpickler(file).load()[2]
    return official_answers(converter.convert_tf_generator(network), path)


def rosinality(repo: Path, size: int, path: Path) -> Sample:
    importlib.import_module("torch.utils.cpp_extension").load = lambda *a, **k: None  # no CUDA build
    sys.path.insert(0, str(repo))
    generator = importlib.import_module("model").Generator(size, 512, 8, channel_multiplier=2).eval()
    randomise(generator)
    z, w, mean = torch.randn(1, 512), torch.randn(1, generator.n_latent, 512) * 1.5, torch.randn(512)
    with torch.no_grad():
        image = generator([w], input_is_latent=True, randomize_noise=False)[0]
        mapped = mean + PSI * (generator.style(z) - mean)
    torch.save({"g_ema": generator.state_dict(), "latent_avg": mean}, path)
    mapped = mapped[:, None].expand(-1, generator.n_latent, -1)
    return {"z": z.numpy(), "mapped": mapped.numpy(), "w": w.numpy(), "image": image.numpy()}


def encoder(repo: Path, ops: Path, size: int, path: Path, *, kind: str, head: str) -> Sample:
    importlib.import_module("torch.utils.cpp_extension").load = lambda *a, **k: None
    sys.path[:0] = [str(repo), str(ops)]
    sys.modules["models.stylegan2.op"] = importlib.import_module("op")
    heads = importlib.import_module("models.encoders.psp_encoders")
    rows = 2 * int(math.log2(size)) - 2
    options = {"stylegan_size" if kind == "e4e" else "output_size": size, "n_styles": rows, "input_nc": 3}
    network = getattr(heads, head)(50, "ir_se", types.SimpleNamespace(**options)).eval()
    decoder = importlib.import_module("models.stylegan2.model").Generator(size, 512, 8).eval()
    randomise(network)
    randomise(decoder)
    picture = torch.rand(1, 3, 256, 256) * 2 - 1
    mean = torch.randn(1 if head.endswith("IntoW") else rows, 512)
    with torch.no_grad():
        w = network(picture) * 1.0
        w = w + (mean if w.ndim == 2 else mean[None])
        image = decoder([w], input_is_latent=True, randomize_noise=False)[0]
    state = {f"encoder.{name}": value for name, value in network.state_dict().items()}
    state.update({f"decoder.{name}": value for name, value in decoder.state_dict().items()})
    said = {
        **options,
        "encoder_type": head,
        "start_from_latent_avg": True,
        "learn_in_w": head.endswith("IntoW"),
    }
    torch.save({"state_dict": state, "opts": said, "latent_avg": mean}, path)
    w = (w if w.ndim == 3 else w[:, None]).expand(-1, rows, -1)
    return {"picture": picture.numpy(), "encoded": w.numpy(), "w": w.numpy(), "image": image.numpy()}


def compare(path: Path, sample: Sample) -> dict[str, float]:
    """Export the checkpoint and run the graphs on what the authors' code was given."""
    sys.path.insert(0, str(ROOT))
    from engines import open_engine
    from export import export_checkpoint

    found: dict[str, float] = {}
    model = path.parent / "model"
    export_checkpoint(path, model)
    psi = np.array(PSI, np.float32)
    calls = [("generator", {"w": "w"}, "image"), ("mapping", {"z": "z"}, "mapped")]
    calls.append(("encoder", {"image": "picture"}, "encoded"))
    for role, inputs, expected in calls:
        if expected in sample:
            with open_engine(model / role, backend="onnx", threads=0) as engine:
                arrays = {name: sample[key] for name, key in inputs.items()}
                result = engine.run(**arrays, **({"psi": psi} if role == "mapping" else {}))
            difference = np.abs(result[engine.outputs[0].name] - sample[expected]).max()
            found[role] = float(difference)
            found[f"{role}_range"] = float(np.abs(sample[expected]).max())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("origin", choices=("ada", "sg3", "sg3-t", "sg3-r", "tf", "ros", "e4e", "psp"))
    parser.add_argument("--repo", type=Path, required=True)
    parser.add_argument("--ops", type=Path)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    torch.manual_seed(5)
    with tempfile.TemporaryDirectory() as name:
        for head in HEADS.get(options.origin, ("",)):
            path = Path(name) / f"checkpoint{head}"
            if options.origin == "ada" or options.origin.startswith("sg3"):
                sample = nvidia(options.repo, options.size, path, origin=options.origin)
            elif options.origin == "tf":
                sample = tensorflow(options.repo, options.size, path)
            elif options.origin == "ros":
                sample = rosinality(options.repo, options.size, path)
            else:
                if options.ops is None:
                    parser.error("the encoders' operators need CUDA: give --ops, a checkout of rosinality's")
                sample = encoder(
                    options.repo, options.ops, options.size, path, kind=options.origin, head=head
                )
            print(
                json.dumps(
                    {"origin": options.origin, "head": head, "size": options.size, **compare(path, sample)}
                )
            )


if __name__ == "__main__":
    main()
