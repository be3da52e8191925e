# SPDX-License-Identifier: MIT
"""Files that run a command when Python's own unpickler reads them, as bytes."""

import argparse
import os
import pickle
import subprocess
from typing import Any

import torch
from checkpoint_files import as_tensors, rosinality_state
from hostile_files import saved, text, zipped
from hostile_generators import executing_generators
from method_files import deca_state, joined, landmark_state, mask_state, restyle_encoder_state

TOUCH = "touch {marker}"  # what runs if anything runs


class Calls:
    """Pickles as a call of `function` with `args`."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.reduced = (function, args)

    def __reduce__(self) -> Any:
        return self.reduced


def named_call(module: str, name: str, argument: bytes = b"N") -> bytes:
    """Protocol 4: module.name(argument), by a name that need not exist."""
    return b"\x80\x04" + text(module) + text(name) + b"\x93" + argument + b"\x85R."


def executing(marker: str) -> dict[str, bytes]:
    """Files that run a command when Python's own unpickler reads them."""
    command = TOUCH.format(marker=marker)
    evil = f"__import__('os').system({command!r})"
    files: dict[str, bytes] = {}
    for protocol in (0, 1, 2, 3, 4, 5):
        files[f"os.system, protocol {protocol}"] = pickle.dumps(Calls(os.system, command), protocol)
    files["eval"] = pickle.dumps({"G_ema": Calls(eval, evil)}, 4)
    files["exec"] = pickle.dumps({"G_ema": Calls(exec, evil)}, 4)
    files["subprocess"] = pickle.dumps(Calls(subprocess.call, ["touch", marker]), 4)
    inner = pickle.dumps(Calls(os.system, command), 2)
    files["pickle in a pickle"] = pickle.dumps(Calls(pickle.loads, inner), 4)
    files["pickle in a storage"] = pickle.dumps({"G_ema": Calls(torch.storage._load_from_bytes, inner)}, 4)
    files["evil zip in a storage"] = pickle.dumps(Calls(torch.storage._load_from_bytes, zipped(inner)), 4)
    files["evil zip"] = zipped(inner)
    legacy = b"".join(
        pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    )
    files["evil old torch file"] = legacy + inner + pickle.dumps([], 2)
    files["evil magic number"] = (
        b"\x80\x02" + inner[2:-1] + b"0" + pickle.dumps(0x1950A86A20F9469CFC6C, 2)[2:]
    )
    files["INST"] = b"\x80\x02(" + text(command) + b"ios\nsystem\n."
    files["OBJ"] = b"\x80\x02(cos\nsystem\n" + text(command) + b"o."
    files["text of protocol 0"] = f"\x80\x02cos\nsystem\n(S'{command}'\ntR.".encode("latin1")
    files["behind an honest name"] = pickle.dumps({"g_ema": {}, "args": Calls(os.system, command)}, 4)
    call = Calls(os.system, command)
    return files | executing_methods(call) | executing_generators(call)


def executing_methods(evil: Calls) -> dict[str, bytes]:
    """The layouts of whole methods, with something that runs where their options or their numbers stand."""
    restyle = joined(encoder=restyle_encoder_state("last", "ir_se", 4), decoder=rosinality_state(8))
    calm = {"encoder_type": "BackboneEncoder"}
    mean = torch.zeros(24)
    weight = "encoder.styles.0.linear.bias"
    masks = {"mask_net": as_tensors(mask_state((4, 3))), "num_layers_control": 2}
    landmarks = {**as_tensors(landmark_state()), "landmark_encoder.landmark_encoder.0.bias": evil}
    layouts = {
        "options": {"state_dict": restyle, "opts": evil, "latent_avg": mean},
        "mean": {"state_dict": restyle, "opts": calm, "latent_avg": evil},
        "an option": {
            "state_dict": restyle,
            "opts": argparse.Namespace(encoder_type=evil),
            "latent_avg": mean,
        },
        "a weight": {"state_dict": {**restyle, weight: evil}, "opts": calm, "latent_avg": mean},
        "StyleMask's step": {**masks, "step": evil},
        "StyleMask's count": {**masks, "num_layers_control": evil},
        "DECA's optimiser": {"E_flame": as_tensors(deca_state()), "opt": evil},
        "landmark network": landmarks,
        "beside a generator": {"g_ema": as_tensors(rosinality_state(8)), "latent_avg": mean, "args": evil},
    }
    files = {}
    for name, root in layouts.items():
        files[f"{name}, pickle"] = pickle.dumps(root, 4)
        files[f"{name}, zip"], files[f"{name}, old"] = saved(root), saved(root, old=True)
    files["table of styles"] = pickle.dumps([[evil], [evil]], 2)
    return files


def prefixed() -> dict[str, bytes]:
    """Names that begin as allowed ones do."""
    names = [
        ("torch", "storage.os.system"),
        ("torch.storage", "io.open"),
        ("torch.storage", "_load_from_bytes.__globals__"),
        ("torch.storage", "torch.load"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__.__getitem__"),
        ("torch.nn.modules.container", "Sequential.forward.__globals__"),
        ("torch.nn.modules.module", "os.system"),
        ("torch.hub", "load"),
        ("torch.utils.collect_env", "run"),
        ("collections", "OrderedDict.fromkeys"),
        ("collections", "namedtuple"),
        ("numpy", "dtype.__class__.__subclasses__"),
        ("numpy.testing._private.utils", "runstring"),
        ("numpy.core.multiarray", "_reconstruct.__self__"),
        ("numpy", "load"),
        ("dnnlib.util", "EasyDict.update"),
        ("dnnlib.util", "open_url"),
        ("dnnlib", "util.EasyDict"),
        ("torch_utils", "persistence._reconstruct_persistent_obj"),
        ("torch_utils.persistence", "_src_to_module"),
        ("builtins", "set.__class__"),
        ("builtins", "getattr"),
        ("builtins", "__import__"),
        ("argparse", "Namespace.__init__"),
        ("argparse", "FileType"),
        ("copyreg", "__newobj__"),
        ("_codecs", "lookup"),
        ("os", "system"),
        ("posix", "system"),
        ("nt", "system"),
    ]
    return {f"{module} {name}": named_call(module, name, text("x")) for module, name in names}
