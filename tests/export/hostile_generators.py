# SPDX-License-Identifier: MIT
"""StyleGAN3 and TensorFlow pickles that contradict themselves or ask for too much; honest ones to break."""

import io
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from checkpoint_files import nvidia_modules
from stylegan3_files import grids, layer_names, stylegan3_state, write_stylegan3
from tensorflow_files import tensorflow_variables, write_tensorflow

DEEP = 100_000
HERE = "a place for something deep"
SMALL = grids("T", resolution=32, layers=3, base=32, widest=2)
FIRST = f"synthesis.{layer_names(SMALL)[0]}"


def stylegan3(kind: str = "T", state: dict[str, Any] | None = None, **changes: Any) -> bytes:
    """A small StyleGAN3 pickle with changes."""
    layers = grids(kind, resolution=32, layers=3, base=32, widest=2)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "g.pkl"
        tensors = {**stylegan3_state(kind, layers=layers), **(state or {})}
        write_stylegan3(path, kind, tensors, layers=layers, **changes)
        return path.read_bytes()


def tensorflow(variables: dict[str, Any] | None = None, **changes: Any) -> bytes:
    """A small TensorFlow pickle with changes."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "g.pkl"
        write_tensorflow(path, {**tensorflow_variables(8), **(variables or {})}, **changes)
        return path.read_bytes()


def deepened(data: bytes) -> bytes:
    """A hundred thousand tuples in each other where HERE stands: too deep to print or compare."""
    stands = b"\x8c" + bytes([len(HERE)]) + HERE.encode()
    assert stands in data
    return data.replace(stands, b")" + b"\x85" * DEEP)


def executing_generators(call: Any) -> dict[str, bytes]:
    """`call` where each origin has values of any kind."""
    return {
        "in a StyleGAN3 layer": stylegan3(attributes={FIRST: {"padding": call}}),
        "in a StyleGAN3 option": stylegan3(options={"conv_clamp": call}),
        "in a TensorFlow variable": tensorflow({"dlatent_avg": call}),
        "in a TensorFlow option": tensorflow(options={"conv_clamp": call}),
        "for a TensorFlow network": tensorflow(fields={"components": {"mapping": call, "synthesis": call}}),
    }


def broken_generators() -> dict[str, bytes]:
    return broken_stylegan3() | broken_tensorflow()


def broken_stylegan3() -> dict[str, bytes]:
    wide = {f"{FIRST}.up_filter": np.ones(1 << 20, np.float32)}
    wide[f"{FIRST}.down_filter"] = wide[f"{FIRST}.up_filter"]
    nan = {f"{FIRST}.magnitude_ema": np.array(np.nan, np.float32)}
    files = {
        "StyleGAN3 with filters of a million taps": stylegan3(state=wide),
        "StyleGAN3 of not a number": stylegan3(state=nan),
        "StyleGAN3 with layers left out": stylegan3(
            state={"synthesis.L9_32_3.weight": np.ones((3, 2, 1, 1))}
        ),
        "StyleGAN3 with a layer of nothing": stylegan3(
            state={f"{FIRST}.weight": np.ones((0, 2, 3, 3), np.float32)}
        ),
        "StyleGAN3 without a grid": stylegan3(attributes={FIRST: {"out_size": None}}),
        "StyleGAN3 with a grid of text": stylegan3(attributes={FIRST: {"out_size": "36"}}),
        "StyleGAN3 with a grid of half a sample": stylegan3(attributes={FIRST: {"out_size": 36.5}}),
        "StyleGAN3 with a grid below zero": stylegan3(attributes={FIRST: {"out_size": np.array([-36, -36])}}),
        "StyleGAN3 with a million sizes": stylegan3(attributes={FIRST: {"out_size": np.ones(1_000_000)}}),
        "StyleGAN3 at an endless rate": stylegan3(attributes={FIRST: {"out_sampling_rate": float("inf")}}),
        "StyleGAN3 at no rate": stylegan3(attributes={"synthesis.input": {"sampling_rate": 0}}),
        "StyleGAN3 that upsamples a thousandfold": stylegan3(attributes={FIRST: {"up_factor": 1000}}),
        "StyleGAN3 with a wide input": stylegan3(
            attributes={"synthesis.input": {"size": np.array([30_000, 30_000])}}
        ),
        "StyleGAN3 whose layers are a number": stylegan3(attributes={"synthesis": {"layer_names": 7}}),
        "StyleGAN3 whose padding is deep": deepened(stylegan3(attributes={FIRST: {"padding": HERE}})),
        "StyleGAN3 whose clamp is deep": deepened(stylegan3(attributes={FIRST: {"conv_clamp": HERE}})),
        "StyleGAN3 whose activation is deep": deepened(
            stylegan3(attributes={"mapping.fc0": {"activation": HERE}})
        ),
        "StyleGAN3 whose modules are a list": stylegan3(attributes={FIRST: {"_modules": [1, 2]}}),
    }
    endless = torch.nn.Sequential()
    endless._modules["again"] = endless
    many = torch.nn.ModuleList([torch.nn.Sequential() for _ in range(3000)])
    for name, container in (("endless", endless), ("endlessly many", many)):
        with nvidia_modules() as (persistent, _):
            generator = persistent("Generator", {"_modules": {"synthesis": container}}, "")
            files[f"generator of {name} modules"] = pickle.dumps({"G_ema": generator}, 4)
    return files


def broken_tensorflow() -> dict[str, bytes]:
    pixels = {name: value for name, value in tensorflow_variables(8).items() if "noise" not in name}
    for size in (2 << k for k in range(1, 16)):
        for layer, kernel in (("Conv0_up", 3), ("Conv1", 3), ("ToRGB", 1)):
            path = f"synthesis/{size}x{size}/{layer}"
            pixels[f"{path}/weight"] = np.zeros((kernel, kernel, 1, 3 if kernel == 1 else 1), np.float32)
            pixels |= {f"{path}/bias": np.zeros(1, np.float32), f"{path}/mod_bias": np.zeros(1, np.float32)}
            pixels[f"{path}/mod_weight"] = np.zeros((24, 1), np.float32)
    for name in ("bias", "mod_bias", "mod_weight", "weight"):
        pixels[f"synthesis/4x4/Conv/{name}"] = pixels[f"synthesis/4x4/Conv1/{name}"]
    pixels = {
        n: v for n, v in pixels.items() if not n.startswith(("synthesis/4x4/Conv1", "synthesis/4x4/Conv0"))
    }
    pixels["synthesis/4x4/Const/const"] = np.zeros((1, 1, 4, 4), np.float32)
    with tempfile.TemporaryDirectory() as name:
        write_tensorflow(Path(name) / "g.pkl", pixels)
        large = (Path(name) / "g.pkl").read_bytes()
    return {
        "TensorFlow generator of 65536 pixels": large,
        "TensorFlow generator of a deep filter": deepened(tensorflow(options={"resample_kernel": HERE})),
        "TensorFlow generator of a deep clamp": deepened(tensorflow(options={"conv_clamp": HERE})),
        "TensorFlow generator of a deep version": deepened(tensorflow(fields={"version": HERE})),
        "TensorFlow generator of a deep name": deepened(
            tensorflow(fields={"variables": [(HERE, np.float32(1))]})
        ),
        "TensorFlow generator of no version": tensorflow(fields={"version": None}),
        "TensorFlow generator of a large number": tensorflow({"synthesis/noise0": 1 << 80}),
        "TensorFlow generator of text": tensorflow({"dlatent_avg": "zeros"}),
        "TensorFlow generator of flat weights": tensorflow({"synthesis/8x8/Conv1/weight": np.float32(1)}),
        "TensorFlow variables that are a number": tensorflow(fields={"variables": 3}),
        "TensorFlow variables without values": tensorflow(fields={"variables": [("dlatent_avg",)]}),
        "TensorFlow components that are a list": tensorflow(fields={"components": ["mapping", "synthesis"]}),
        "TensorFlow components that are text": tensorflow(
            fields={"components": {"mapping": "a", "synthesis": "b"}}
        ),
        "TensorFlow options that are a list": tensorflow(fields={"static_kwargs": [1]}),
        "TensorFlow generator in itself": in_itself(),
        "three networks of nothing": b"\x80\x02" + b"cdnnlib.tflib.network\nNetwork\n)\x81" * 3 + b"\x87.",
    }


def in_itself() -> bytes:
    """A network whose mapping and synthesis networks are itself, by the memo."""
    out = io.BytesIO()
    out.write(b"\x80\x02cdnnlib.tflib.network\nNetwork\n)\x81q\x00}(")
    for name, value in (("version", b"K\x05"), ("build_func_name", b"X\x06\x00\x00\x00G_main")):
        out.write(b"X" + len(name).to_bytes(4, "little") + name.encode() + value)
    out.write(b"X\x0d\x00\x00\x00static_kwargs}X\x0a\x00\x00\x00components}(")
    out.write(b"X\x07\x00\x00\x00mappingh\x00X\x09\x00\x00\x00synthesish\x00uubh\x00h\x00\x87.")
    return out.getvalue()


def honest_generators(folder: Path) -> None:
    """Small files of both origins that load."""
    (folder / "stylegan3_t.pkl").write_bytes(stylegan3("T"))
    (folder / "stylegan3_r.pkl").write_bytes(stylegan3("R", protocol=2))
    (folder / "tensorflow.pkl").write_bytes(tensorflow())
    (folder / "tensorflow_4.pkl").write_bytes(tensorflow(version=4, protocol=2))
