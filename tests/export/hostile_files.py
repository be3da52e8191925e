# SPDX-License-Identifier: MIT
"""Broken files, as bytes; and honest ones to break."""

import argparse
import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from checkpoint_files import as_tensors, nvlabs_state, rosinality_state, write_nvlabs
from hostile_generators import broken_generators, honest_generators
from method_files import deca_state, joined, landmark_state, mask_state, restyle_encoder_state

from engines.networks.store import save_network
from engines.networks.stylegan2 import Mapping, MappingConfig


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def zipped(pickled: bytes, storages: dict[str, bytes] | None = None, *, compressed: bool = False) -> bytes:
    """A torch.save zip around a pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", b"3\n")
        for name, data in (storages or {}).items():
            archive.writestr(f"archive/data/{name}", data)
    return out.getvalue()


def tensor_of(size: tuple[int, ...], stride: tuple[int, ...], numel: int, offset: int = 0) -> bytes:
    """{"g_ema": tensor} over storage 0, with whatever geometry."""

    def integer(value: int) -> bytes:
        raw = value.to_bytes(9, "little", signed=True)
        return b"\x8a\x09" + raw

    def group(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(integer, values)) + b"t"

    storage = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + integer(numel) + b"tQ"
    )
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + integer(offset) + group(size) + group(stride)
    return b"\x80\x02}" + text("g_ema") + call + b"\x89}tRs."


def broken() -> dict[str, bytes]:
    """Files that ask for too much, contradict themselves, or are something else."""
    deep = 200_000
    block = text("a" * 100_000)
    files = {
        "empty": b"",
        "text": b"this is not a checkpoint\n" * 50,
        "web page": b"<!DOCTYPE html><html><body>Quota exceeded</body></html>",
        "git-lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "noise": bytes(range(256)) * 64,
        "checkpoint in a gzip": gzip.compress(pickle.dumps({"g_ema": {}}, 4)),
        "checkpoint in a tar": _tar(pickle.dumps({"g_ema": {}}, 4)),
        "one byte": b"\x80",
        "stop": b"\x80\x04.",
        "only a number": pickle.dumps(3),
        "empty dictionary": pickle.dumps({}),
        "nested lists": b"\x80\x04" + b"(" * deep + b"l" * deep + b".",
        "nested tuples": b"\x80\x04)" + b"\x85" * deep + b".",
        "nested tuples as a key": b"\x80\x04})" + b"\x85" * deep + b"Ns.",
        "nested dictionaries": b"\x80\x04" + b"}K\x01" * deep + b"N" + b"s" * deep + b".",
        "list in itself": b"\x80\x04]q\x00h\x00a.",
        "endless steps": b"\x80\x04" + b"N0" * 1_500_000 + b"N.",
        "the same bytes encoded again and again": b"\x80\x02"
        + block
        + b"q\x000"
        + (b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R0" * 3000)
        + b"N.",
        "claims 8 EiB of bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x.",
        "claims 4 GiB of text": b"\x80\x04X" + struct.pack("<I", (1 << 32) - 1) + b"x.",
        "integer of a million digits": b"\x80\x04L" + b"9" * 1_000_000 + b"L\n.",
        "object array": b"\x80\x02cnumpy\ndtype\n" + text("O8") + b"K\x00K\x01\x87R.",
        "structured array": b"\x80\x02cnumpy\ndtype\n" + text("V9999999") + b"K\x00K\x01\x87R.",
        "persistent id in a plain pickle": b"\x80\x02" + text("storage") + b"Q.",
        "extension code": b"\x80\x02\x82\x01.",
        "buffer out of band": b"\x80\x05\x97.",
        "stack runs out": b"\x80\x04aaaa.",
        "unknown memo": b"\x80\x04h\x07.",
    }
    return files | broken_containers() | broken_methods() | broken_generators()


def _tar(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("model.pt")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def broken_containers() -> dict[str, bytes]:
    """Zips and safetensors that are not what they say."""
    storage = bytes(4096)
    honest = tensor_of((1024,), (1,), 1024)
    files = {
        "zip of nothing": zipfile_of({}),
        "zip of something else": zipfile_of({"photo.jpg": b"x"}),
        "zip without its storage": zipped(tensor_of((4,), (1,), 4)),
        "TorchScript": zipfile_of({"a/data.pkl": b"\x80\x02N.", "a/constants.pkl": b"\x80\x02N."}),
        "compressed zip": zipped(tensor_of((1024,), (1,), 1024), {"0": storage}, compressed=True),
        "64 MB in 64 kB": zipped(
            tensor_of((1 << 24,), (1,), 1 << 24), {"0": bytes(1 << 26)}, compressed=True
        ),
        "tensor larger than its storage": zipped(tensor_of((2048,), (1,), 1024), {"0": storage}),
        "4 TiB in stride 0": zipped(tensor_of((1 << 20, 1 << 20), (0, 0), 1024), {"0": storage}),
        "stride over the end": zipped(tensor_of((8,), (1000,), 1024), {"0": storage}),
        "negative stride": zipped(tensor_of((8,), (-1,), 1024, 8), {"0": storage}),
        "negative offset": zipped(tensor_of((8,), (1,), 1024, -8), {"0": storage}),
        "offset past the end": zipped(tensor_of((8,), (1,), 1024, 1 << 40), {"0": storage}),
        "no size at all": zipped(tensor_of((0, 1 << 39), (1, 1), 1024), {"0": storage}),
        "storage shorter than said": zipped(tensor_of((8,), (1,), 4096), {"0": storage}),
        "storage of nothing": zipped(honest.replace(b"ctorch\nFloatStorage\n", text("")), {"0": storage}),
        "storage of objects": zipped(honest.replace(b"ctorch\nFloatStorage\n", text("O")), {"0": storage}),
        "safetensors header of 8 EiB": struct.pack("<Q", 1 << 62) + b'{"a":1}',
        "safetensors of nothing": struct.pack("<Q", 2) + b"{}",
        "safetensors of nonsense": struct.pack("<Q", 9) + b'{"a": 1}}',
    }
    sized = bytearray(zipped(tensor_of((1024,), (1,), 1024), {"0": storage}))
    entry = sized.rindex(b"PK\x01\x02")
    sized[entry + 20 : entry + 28] = struct.pack("<II", 1 << 31, 1 << 31)
    files["zip whose directory claims 2 GiB"] = bytes(sized)
    flipped = bytearray(zipped(tensor_of((1024,), (1,), 1024), {"0": storage}))
    flipped[flipped.index(storage[:512]) + 100] ^= 1
    files["zip with a flipped bit"] = bytes(flipped)
    return files


def saved(root: Any, *, old: bool = False) -> bytes:
    """torch.save in memory."""
    out = io.BytesIO()
    torch.save(root, out, _use_new_zipfile_serialization=not old)
    return out.getvalue()


def broken_methods() -> dict[str, bytes]:
    """Files of whole methods that ask for too much, or have something else where a network belongs."""
    stem, linear = "encoder.input_layer.0.weight", "mapping_net.linear_relu.0.weight"
    landmarks: dict[str, Any] = dict(as_tensors(landmark_state()))
    landmarks["landmark_encoder.landmark_encoder.0.weight"] = torch.zeros(
        400, 3, 5, 5
    )  # 135 million a picture
    deca: dict[str, Any] = dict(as_tensors(deca_state()))
    deca["encoder.layer1.0.conv1.weight"] = torch.zeros(11_000, 4, 1, 1)
    restyle = joined(encoder=restyle_encoder_state("last", "ir_se", 4), decoder=rosinality_state(8))
    calm = {"encoder_type": "BackboneEncoder"}
    options = {**calm, "n_iters_per_batch": 10**9}
    wide = {
        **restyle,
        stem: torch.zeros(3000, 6, 3, 3),
        "encoder.body.0.res_layer.3.weight": torch.zeros(3000, 1, 1, 1),
    }
    mean = torch.zeros(24)
    roots: dict[str, Any] = {
        "landmark network that fills the memory": landmarks,
        "DECA that fills the memory": {"E_flame": deca},
        "ReStyle of a billion steps": {"state_dict": restyle, "opts": options, "latent_avg": mean},
        "ReStyle that fills the memory": {"state_dict": wide, "opts": calm, "latent_avg": mean},
        "ReStyle of nothing else": {"state_dict": {stem: torch.zeros(4, 6, 3, 3)}, "latent_avg": mean},
        "encoder that is a number": {"state_dict": {stem: 3}},
        "encoder under a number": {"state_dict": {stem: torch.zeros(4, 6, 3, 3), 7: torch.zeros(2)}},
        "options that are a list": {"state_dict": restyle, "opts": [1, 2], "latent_avg": mean},
        "state dict that is a Namespace": {"state_dict": argparse.Namespace(**{stem: 3}), "opts": {}},
        "map without an encoder": {"state_dict": {linear: torch.zeros(2, 4)}},
        "map that is text": {"state_dict": {stem: torch.zeros(4, 3, 3, 3), linear: "weights"}},
        "masks that are a list": {"mask_net": [torch.zeros(2, 2)], "num_layers_control": 1},
        "mask that is a number": {"mask_net": {"network_00.masknet.0.weight": 4}, "num_layers_control": 1},
        "a hundred masks, one there": {
            "mask_net": {"network_00.masknet.0.weight": torch.zeros(2, 2)}, "num_layers_control": 100,
        },
        "DECA that is a tensor": {"E_flame": torch.zeros(3)},
        "DECA of one layer": {"E_flame": {"encoder.conv1.weight": torch.zeros(4, 3, 7, 7)}},
        "landmark network of one layer": dict(list(landmarks.items())[:1]),
    }  # fmt: skip
    files = {name: saved(root) for name, root in roots.items()}
    endless: list[Any] = []
    endless.append(endless)
    files["table of itself"] = pickle.dumps([endless, endless], 4)
    files["table of tables of tables"] = pickle.dumps([[[[]]], [[[]]]], 4)
    files["table of names alone"] = pickle.dumps([["ToRGB"], ["ToRGB"]], 4)
    return files


def zipfile_of(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


def honest_files(folder: Path) -> dict[str, bytes]:
    """Small files that load, in each container; written to the folder too."""
    write_nvlabs(folder / "nvlabs.pkl", nvlabs_state(8))
    write_nvlabs(folder / "nvlabs2.pkl", nvlabs_state(4), protocol=2)
    honest_generators(folder)
    saved = {"g_ema": as_tensors(rosinality_state(8)), "latent_avg": torch.zeros(24)}
    torch.save(saved, folder / "zip.pt")
    beside = {"args": argparse.Namespace(lr=0.002), "at": datetime(2024, 5, 1), "from": Path("a/b")}
    wrapped = {f"module.{name}": tensor for name, tensor in saved["g_ema"].items()}
    torch.save({**saved, **beside, "g_ema": wrapped}, folder / "beside.pt")
    save_network(Mapping(MappingConfig(8, 8, 2, 2, 8, embed_dim=0)), folder / "own.safetensors")
    torch.save(saved, folder / "old.pt", _use_new_zipfile_serialization=False)
    matrix = {"linear.weight": torch.zeros(1024, 3)}
    torch.save({"A_matrix": matrix, "w_plus": True}, folder / "matrix.pt")
    masks = {"mask_net": as_tensors(mask_state((4, 3))), "num_layers_control": 2, "step": 1}
    torch.save(masks, folder / "mask_old.pt", _use_new_zipfile_serialization=False)
    restyle = joined(encoder=restyle_encoder_state("last", "ir_se", 4), decoder=rosinality_state(8))
    options = argparse.Namespace(encoder_type="BackboneEncoder", output_size=8)
    torch.save({"state_dict": restyle, "opts": options, "latent_avg": torch.zeros(24)}, folder / "restyle.pt")
    torch.save({"E_flame": as_tensors(deca_state()), "opt": {}}, folder / "deca.tar")
    sizes = [512] * 15 + [256] * 3 + [128] * 3 + [64] * 3 + [32] * 2
    table = [[torch.ones(size).numpy() for size in sizes] for _ in range(2)]
    (folder / "S_mean_std").write_bytes(pickle.dumps(table, 3))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
