# SPDX-License-Identifier: MIT
"""Values of a few hundred bytes that print, hash, compare or copy as gigabytes, where files have values."""

import io
import json
import pickle
import struct
import zipfile
from functools import cache
from typing import Any

import torch
from checkpoint_files import as_tensors, rosinality_state
from hostile_files import saved, zipfile_of
from hostile_generators import stylegan3, tensorflow
from method_files import joined, mask_state, restyle_encoder_state
from mobile_reference import mapping_state, student_state

HERE = "a place for something that grows"
LEVELS = 60
# One level more: the value on the stack, twice in a container of that kind. Memo 255 is used.
LEVEL = {
    "list": b"q\xff0(h\xffh\xffl",
    "tuple": b"2\x86",
    "dict": b"q\xff0(K\x00h\xffK\x01h\xffd",
    "record": b"q\xff0cmade.up\nThing\nh\xffh\xff\x86R",
}


def doubled(kind: str, levels: int = LEVELS) -> bytes:
    """Pickle steps that push a value of 2 ** levels leaves, in `levels` objects."""
    return b")" + LEVEL[kind] * levels


def put(data: bytes, kind: str) -> bytes:
    """The file with a value that grows where HERE stands."""
    if data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {info.filename: archive.read(info) for info in archive.infolist()}
        entries = {n: put(d, kind) if n.endswith("data.pkl") else d for n, d in entries.items()}
        return zipfile_of(entries)
    raw = HERE.encode()
    for stands in (b"X" + struct.pack("<I", len(raw)) + raw, b"\x8c" + bytes([len(raw)]) + raw):
        if stands in data:
            return data.replace(stands, doubled(kind))
    raise ValueError("the file has no place for it")


@cache
def places() -> dict[str, bytes]:
    """Files with HERE in them, by what stands there."""
    generator = {"g_ema": as_tensors(rosinality_state(8)), "latent_avg": torch.zeros(24)}
    restyle = joined(encoder=restyle_encoder_state("last", "ir_se", 4), decoder=rosinality_state(8))
    calm: dict[str, Any] = {"encoder_type": "BackboneEncoder"}
    masks = {"mask_net": as_tensors(mask_state((4, 3)))}
    matrix = {"A_matrix": {"linear.weight": torch.zeros(1024, 3)}}

    def looped(mean: Any = None, **options: Any) -> bytes:
        mean = torch.zeros(24) if mean is None else mean
        return saved({"state_dict": restyle, "opts": {**calm, **options}, "latent_avg": mean})

    return {
        "a file": pickle.dumps(HERE, 4),
        "a value of a file": pickle.dumps({"G_ema": HERE}, 4),
        "a padding": stylegan3(attributes={"synthesis.L0_36_2": {"padding": HERE}}),
        "a name of a tensor": stylegan3(
            attributes={"synthesis.L0_36_2": {"_parameters": {HERE: torch.zeros(1)}}}
        ),
        "a clamp": stylegan3(attributes={"synthesis.L0_36_2": {"conv_clamp": HERE}}),
        "layers": stylegan3(attributes={"synthesis": {"layer_names": HERE}}),
        "a size": stylegan3(attributes={"synthesis.L0_36_2": {"out_size": HERE}}),
        "an unknown option": stylegan3(options={"unknown": HERE}),
        "a version": tensorflow(fields={"version": HERE}),
        "a builder": tensorflow(fields={"build_func_name": HERE}),
        "a filter": tensorflow(options={"resample_kernel": HERE}),
        "a variable": tensorflow(fields={"variables": [("lod", HERE)]}),
        "a name of a variable": tensorflow(fields={"variables": [(HERE, 1.0)]}),
        "a weight": saved({"g_ema": {**generator["g_ema"], "to_rgb1.bias": HERE}}),
        "a weight of an old file": saved({"g_ema": {**generator["g_ema"], "to_rgb1.bias": HERE}}, old=True),
        "a mean": saved({**generator, "latent_avg": HERE}),
        "a kind of encoder": looped(encoder_type=HERE),
        "a number of steps": looped(n_iters_per_batch=HERE),
        "a size of an output": looped(output_size=HERE),
        "a mean of an encoder": looped(HERE),
        "a number of masks": saved({**masks, "num_layers_control": HERE}),
        "a width of a shift": saved({**matrix, "shift_dim": HERE}),
        "a scale of a shift": saved({**matrix, "shift_scale": HERE}),
        "w_plus": saved({**matrix, "w_plus": HERE}),
        "options": saved({"state_dict": restyle, "opts": HERE, "latent_avg": torch.zeros(24)}),
    }


def steps(kind: str) -> dict[str, bytes]:
    """Pickles that give a growing value to each of our readers, to keys, names and states."""
    grown = doubled(kind)
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n"
    float_storage = b"ctorch\nFloatStorage\n"
    fields = [
        b"X\x07\x00\x00\x00storage",
        float_storage,
        b"X\x01\x00\x00\x000",
        b"X\x03\x00\x00\x00cpu",
        b"K\x04",
    ]
    geometry = [b"K\x00", b"K\x04\x85", b"K\x01\x85"]
    files = {}
    for at, field in enumerate(("kind", "type", "name", "place", "size")):
        key = b"(" + b"".join(grown if i == at else part for i, part in enumerate(fields)) + b"tQ"
        files[f"{field} of a storage"] = with_storage(
            b"\x80\x02" + rebuild + b"(" + key + b"".join(geometry) + b"tR."
        )
    for at, field in enumerate(("offset", "shape", "stride")):
        parts = b"".join(grown if i == at else part for i, part in enumerate(geometry))
        key = b"(" + b"".join(fields) + b"tQ"
        files[f"{field} of a tensor"] = with_storage(b"\x80\x02" + rebuild + b"(" + key + parts + b"tR.")
    start = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001))
    system = pickle.dumps({"little_endian": True}, 2)
    files["protocol of an old file"] = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + b"\x80\x02" + grown + b"."
    files["system of an old file"] = start + b"\x80\x02" + grown + b"."
    files["keys of an old file"] = start + system + pickle.dumps({}, 2) + b"\x80\x02" + grown + b"."
    files["a key of an old file"] = start + system + pickle.dumps({}, 2) + b"\x80\x02]" + grown + b"a."
    for name in (
        "torch device", "numpy dtype", "torch Size", "collections OrderedDict", "collections deque",
        "collections Counter", "builtins set", "builtins bytearray", "_codecs encode", "argparse Namespace",
        "torch._utils _rebuild_tensor_v3", "torch._tensor _rebuild_from_type_v2",
        "numpy.core.multiarray scalar",
        "numpy.core.multiarray _reconstruct", "torch.storage _load_from_bytes", "copyreg _reconstructor",
        "made.up Thing",
    ):  # fmt: skip
        called = b"\x80\x02c" + "\n".join(name.split()).encode() + b"\n" + grown
        files[f"argument of {name}"] = called + b"\x85R."
        files[f"arguments of {name}"] = called + b"R."
    files["state of a dtype"] = b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R" + grown + b"b."
    array = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R"
    files["state of an array"] = array + grown + b"b."
    files["a key"] = b"\x80\x02}" + grown + b"Ns."
    files["an item of a set"] = b"\x80\x04\x8f(" + grown + b"\x90."
    files["a name"] = b"\x80\x04" + grown + grown + b"\x93."
    files["keywords"] = b"\x80\x04cmade.up\nThing\n)" + grown + b"\x92."
    files["a class"] = b"\x80\x04" + grown + b")\x81."
    files["a state"] = b"\x80\x04" + grown + grown + b"b."
    files["a persistent id"] = b"\x80\x04" + grown + b"Q."
    return files


def with_storage(pickled: bytes) -> bytes:
    return zipfile_of({"archive/data.pkl": pickled, "archive/data/0": bytes(16)})


def growing() -> dict[str, bytes]:
    """All of them, each kind in each place."""
    files = {}
    for kind in LEVEL:
        files |= {f"{kind} as {place}": put(data, kind) for place, data in places().items()}
        files |= {f"{kind} as {place}": data for place, data in steps(kind).items()}
    return files


def greedy() -> dict[str, bytes]:
    """Small files whose numbers ask for memory or time."""
    big = torch.zeros(1 << 18)
    encoder: dict[str, Any] = {f"encoder.x{index}": big for index in range(2000)}
    encoder |= {f"encoder.body.{i}.res_layer.3.weight": torch.zeros(i + 1, 1, 1, 1) for i in range(4)}
    encoder |= {f"encoder.body.{i}.res_layer.5.fc1.weight": torch.zeros(1, 1, 1, 1) for i in range(4)}
    encoder["encoder.input_layer.0.weight"] = torch.zeros(4, 3, 3, 3)
    encoder["encoder.latlayer1.weight"], encoder["encoder.styles.0.linear.weight"] = big, torch.zeros(4, 4)
    wide: dict[str, Any] = {**as_tensors(rosinality_state(8)), "style.1.weight": torch.zeros(24, 100_000)}
    mobile = {f"student.{name}": tensor for name, tensor in as_tensors(student_state()).items()}
    for index in range(2, 14):
        layer = {n: t for n, t in mobile.items() if n.startswith("student.layers.1.")}
        mobile |= {n.replace("layers.1.", f"layers.{index}."): t for n, t in layer.items()}
    mobile |= {f"mapping_net.{name}": tensor for name, tensor in as_tensors(mapping_state()).items()}
    mapping = {"z_dim": 1, "w_dim": 1, "num_ws": 1, "hidden_dim": 1, "label_dim": 0, "embed_dim": 0}
    mapping |= {"lr_multiplier": 0.01, "mean_rows": 1}
    encoder_config = {
        "num_styles": 1, "head": "mean", "progressive": False, "input_channels": 3, "widths": [1, 1, 1, 1],
        "depths": [1, 1, 1, 1], "style_dim": 1, "reduction": 1, "mean_rows": 1, "backbone": "ir_se",
    }  # fmt: skip
    deca = {"widths": [1, 1, 1, 1], "depths": [1, 10**9, 1, 1], "hidden": 1}
    start = b"(X\x07\x00\x00\x00storage"
    inner = saved(torch.zeros(1).untyped_storage(), old=True).replace(start, b"N0" * 2000 + start)
    again = b"ctorch.storage\n_load_from_bytes\nq\x000B" + struct.pack("<I", len(inner)) + inner + b"q\x010"
    names = b"".join(b"ca%d\nb\n0" % index for index in range(300_000))
    return {
        "storage of 4000 steps read 10000 times": b"\x80\x03" + again + b"h\x00h\x01\x85R0" * 10_000 + b"N.",
        "300000 names": b"\x80\x03" + names + b"N.",
        "one tensor under 2000 names": saved({"state_dict": encoder, "opts": {}}),
        "mapping that reads 100000 numbers": saved({"g_ema": wide}),
        "mobile generator of 14 layers": saved({"state_dict": mobile}),
        "own mapping of a billion layers": own("stylegan2-mapping", {**mapping, "num_layers": 10**9}),
        "own encoder of a billion units": own(
            "style-encoder", {**encoder_config, "depths": [1, 10**9, 1, 1]}
        ),
        "own encoder of a billion styles": own("style-encoder", {**encoder_config, "num_styles": 10**9}),
        "own DECA of a billion units": own("deca", deca),
    }


def own(kind: str, config: dict[str, Any]) -> bytes:
    """A file of ours without tensors."""
    metadata = {"format": "facepuppet-1", "kind": kind, "config": json.dumps(config)}
    header = json.dumps({"__metadata__": metadata}).encode()
    return struct.pack("<Q", len(header)) + header
