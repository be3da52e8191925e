# SPDX-License-Identifier: MIT
"""No checkpoint with good weights is refused for what lies beside them, wraps their names or packs the file.

Where a weight is expected, what stands there is named.
"""

import bz2
import enum
import functools
import gzip
import io
import lzma
import pathlib
import tarfile
import types
import zipfile
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from checkpoint_files import W_DIM, as_tensors, nvlabs_state, rosinality_state, write_nvlabs
from method_files import joined, restyle_encoder_state
from stylegan3_files import stylegan3_state

from export import export_checkpoint
from export.checkpoints.identify import import_checkpoint
from export.checkpoints.imported import Imported
from face.errors import BadCheckpoint


class Options(dict[str, Any]):
    """As EasyDict and its likes: a dictionary with attributes."""


class Phase(enum.Enum):
    WARM = 1


@functools.total_ordering
class Slotted:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 3

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return 1

    def __lt__(self, other: object) -> bool:
        return False


def noted() -> Any:
    tensor = torch.zeros(3)
    tensor.note = "an attribute"
    return tensor


def options() -> Options:
    found = Options(lr=0.002)
    found.name = "an attribute"  # type: ignore[attr-defined]
    return found


BESIDE: dict[str, Any] = {
    "path": pathlib.PurePosixPath("/data/run"),
    "defaultdict": defaultdict(list, {"loss": [1.0]}),
    "deque": deque([1, 2], maxlen=5),
    "Counter": Counter("abca"),
    "ChainMap": ChainMap({"a": 1}),
    "datetime": datetime(2024, 5, 1, 12, 30, tzinfo=UTC),
    "timedelta": timedelta(seconds=3),
    "Decimal": Decimal("0.1"),
    "Fraction": Fraction(1, 3),
    "UUID": UUID(int=7),
    "complex": 1 + 2j,
    "slice": slice(3),
    "range": range(3),
    "bytearray": bytearray(b"abc"),
    "namespace": types.SimpleNamespace(lr=0.002),
    "enumeration": Phase.WARM,
    "dictionary with attributes": options(),
    "object with slots": Slotted(),
    "function": pathlib.PurePosixPath.joinpath,
    "partial": functools.partial(int, base=2),
    "class": Slotted,
    "tensor with an attribute": noted(),
    "parameter with an attribute": torch.nn.Parameter(noted()),
    "uint16": torch.zeros(3, dtype=torch.uint16),
    "fp8": torch.zeros(3, dtype=torch.float8_e4m3fn),
    "complex tensor": torch.zeros(3, dtype=torch.complex64),
    "sparse tensor": torch.eye(3).to_sparse(),
    "text array": np.array(["a", "bc"]),
    "object array": np.array([None, {}], dtype=object),
    "date array": np.array(["2024-05-01"], dtype="datetime64[D]"),
    "record array": np.zeros(2, dtype=[("a", "f4"), ("b", "i4")]),
    "text number": np.str_("abc"),
    "date number": np.datetime64("2024-05-01"),
    "random state": np.random.default_rng(3),
    "dtype": torch.float8_e5m2,
    "device": torch.device("cpu"),
    "generator": torch.Generator().get_state(),
    "module": torch.nn.Linear(2, 2),
    "optimiser": torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))]).state_dict(),
    "odd keys": {(1, (2, 3)): 1, frozenset({1}): 2, Phase.WARM: 3, Fraction(1, 2): 4, None: 5, 2.5: 6},
    "long key": {tuple(range(100)): 1},
    "set of odd things": {(1, (2,)), Phase.WARM},
}


def generator() -> dict[str, Any]:
    return {"g_ema": as_tensors(rosinality_state(8)), "latent_avg": torch.ones(W_DIM)}


def same(found: Imported, expected: Imported) -> bool:
    """Whether both are the same networks, to the last bit."""
    pairs = zip(found.networks.items(), expected.networks.items(), strict=True)
    return all(
        name == other and all(map(torch.equal, net.state_dict().values(), twin.state_dict().values()))
        for (name, net), (other, twin) in pairs
    )


def read(root: Any, path: Path, *, old: bool = False) -> Imported:
    torch.save(root, path, _use_new_zipfile_serialization=not old)
    return import_checkpoint(path)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    return read(generator(), tmp_path_factory.mktemp("alone") / "g.pt")


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", BESIDE)
def test_what_lies_beside_the_weights_refuses_no_file(
    name: str, old: bool, tmp_path: Path, alone: Imported
) -> None:
    found = read({**generator(), "args": BESIDE[name], "more": [BESIDE[name]]}, tmp_path / "g.pt", old=old)
    assert same(found, alone)


def test_what_was_not_read_is_named(tmp_path: Path) -> None:
    notes = read({**generator(), "run": BESIDE["path"], "at": BESIDE["datetime"]}, tmp_path / "g.pt").notes
    assert "'datetime.datetime', 'datetime.timezone' and" in notes[-1] or "'datetime.datetime'" in notes[-1]
    assert "pathlib" in notes[-1] and "never called" in notes[-1]


@pytest.mark.parametrize("name", ["path", "fp8", "complex tensor", "text array", "object array", "Counter"])
def test_where_a_weight_is_expected_it_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    saved = generator()
    saved["g_ema"]["to_rgb1.bias"] = BESIDE[name]
    with pytest.raises(BadCheckpoint, match="'to_rgb1.bias' of its generator is .*, expected a tensor"):
        read(saved, tmp_path / "g.pt")
    with pytest.raises(BadCheckpoint, match="its latent_avg is .*, expected a tensor"):
        read({**generator(), "latent_avg": BESIDE[name]}, tmp_path / "g.pt")


def test_weights_of_any_plain_numbers_are_read(tmp_path: Path, alone: Imported) -> None:
    saved = generator()
    saved["latent_avg"] = saved["latent_avg"].to(torch.uint16)
    assert same(read(saved, tmp_path / "g.pt"), alone)
    saved["g_ema"]["conv1.activate.bias"].note = "an attribute"
    assert same(read(saved, tmp_path / "g.pt"), alone)


@pytest.mark.parametrize("kind", [dict, types.SimpleNamespace, Options, defaultdict])
def test_options_of_any_class_are_read_as_options(kind: Any, tmp_path: Path) -> None:
    restyle = joined(encoder=restyle_encoder_state("last", "ir_se", 4), decoder=rosinality_state(8))
    given = {"encoder_type": "BackboneEncoder", "n_iters_per_batch": 3}
    opts = defaultdict(None, given) if kind is defaultdict else kind(**given)
    saved = {"state_dict": restyle, "opts": opts, "latent_avg": torch.zeros(W_DIM)}
    assert "one call of the encoder runs the loop 3 times" in read(saved, tmp_path / "r.pt").notes[0]


def test_options_that_are_none_are_not_guessed(tmp_path: Path) -> None:
    restyle = joined(encoder=restyle_encoder_state("last", "ir_se", 4), decoder=rosinality_state(8))
    saved = {"state_dict": restyle, "opts": Fraction(1, 3), "latent_avg": torch.zeros(W_DIM)}
    with pytest.raises(BadCheckpoint, match="its opts are fractions.Fraction, expected a dictionary"):
        read(saved, tmp_path / "r.pt")


WRAPPED = {
    "DataParallel": lambda name: f"module.{name}",
    "torch.compile": lambda name: f"_orig_mod.{name}",
    "both": lambda name: f"module._orig_mod.{name}",
    "a part": lambda name: name.replace("style.", "style.module.").replace("convs.", "convs._orig_mod."),
}


@pytest.mark.parametrize("key", ["g_ema", "G_ema", "g", None])
@pytest.mark.parametrize("wrapper", WRAPPED)
def test_wrappers_in_the_names_of_tensors_are_taken_off(
    wrapper: str, key: str | None, tmp_path: Path, alone: Imported
) -> None:
    state = OrderedDict((WRAPPED[wrapper](name), t) for name, t in generator()["g_ema"].items())
    saved = state if key is None else {key: state, "latent_avg": torch.ones(W_DIM)}
    found = read(saved, tmp_path / "g.pt").networks
    expected = alone.networks["generator"].state_dict()
    assert all(map(torch.equal, found["generator"].state_dict().values(), expected.values()))


def test_an_encoder_in_wrappers_is_read(tmp_path: Path) -> None:
    restyle = joined(encoder=restyle_encoder_state("last", "ir_se", 4), decoder=rosinality_state(8))
    saved = {"opts": {"encoder_type": "BackboneEncoder"}, "latent_avg": torch.zeros(W_DIM)}
    plain = read({**saved, "state_dict": restyle}, tmp_path / "plain.pt")
    wrapped = {name.replace("encoder.", "encoder.module.", 1): t for name, t in restyle.items()}
    assert same(read({**saved, "state_dict": wrapped}, tmp_path / "wrapped.pt"), plain)


def test_two_tensors_never_become_one(tmp_path: Path) -> None:
    state = generator()["g_ema"]
    state["module.to_rgb1.bias"] = torch.zeros(1, 3, 1, 1)
    with pytest.raises(BadCheckpoint, match="'module.to_rgb1.bias'"):
        read({"g_ema": state}, tmp_path / "g.pt")


@pytest.mark.parametrize("key", ["G_ema", None])
def test_a_state_dict_of_nvidia_is_read_and_says_what_it_assumed(key: str | None, tmp_path: Path) -> None:
    write_nvlabs(tmp_path / "whole.pkl", nvlabs_state(8))
    state = as_tensors(nvlabs_state(8))
    found = read({key: state} if key else state, tmp_path / "bare.pt")
    assert same(found, import_checkpoint(tmp_path / "whole.pkl"))
    assert any("tells no options" in note for note in found.notes)


def test_a_state_dict_of_a_stylegan3_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="does not tell its layers' grids; give the .pkl"):
        read({"G_ema": as_tensors(stylegan3_state("T"))}, tmp_path / "g.pt")


def test_a_conditional_model_without_its_embedding_says_so(tmp_path: Path, alone: Imported) -> None:
    saved = generator()
    saved["g_ema"]["style.1.weight"] = torch.ones(W_DIM, 2 * W_DIM)
    assert any(
        f"reads {2 * W_DIM} numbers and gives {W_DIM}" in n for n in read(saved, tmp_path / "g.pt").notes
    )
    assert not any("conditional" in note for note in alone.notes)


def packed(data: bytes, kind: str) -> bytes:
    out = io.BytesIO()
    if kind.startswith("tar"):
        mode = "w:gz" if kind == "tar.gz" else "w"
        form = {"tar": tarfile.GNU_FORMAT, "tar pax": tarfile.PAX_FORMAT}.get(kind, tarfile.USTAR_FORMAT)
        with tarfile.open(fileobj=out, mode=mode, format=form) as archive:
            info = tarfile.TarInfo("mödel.pt")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        return out.getvalue()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("model.pt", data)
        return out.getvalue()
    return {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[kind](data)


PACKED = {
    "gz": "compressed by gzip", "tar.gz": "compressed by gzip", "bz2": "compressed by bzip2",
    "xz": "compressed by xz", "tar": "a tar archive", "tar pax": "a tar archive",
    "zip": "a zip of 1 files ('model.pt')",
}  # fmt: skip


@pytest.mark.parametrize("kind", PACKED)
def test_what_is_packed_around_a_checkpoint_is_named(kind: str, tmp_path: Path) -> None:
    out = io.BytesIO()
    torch.save(generator(), out)
    path = tmp_path / "model.pt"
    path.write_bytes(packed(out.getvalue(), kind))
    with pytest.raises(BadCheckpoint) as raised:
        export_checkpoint(path, tmp_path / "model")
    assert PACKED[kind] in str(raised.value)
    assert "unpack it" in str(raised.value)


@pytest.mark.parametrize("start", [b"version https://git-lfs.github.com/spec/v1\n", b"<!DOCTYPE html>"])
def test_a_pointer_and_a_web_page_are_told_from_a_checkpoint(start: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(start + b"oid sha256:0\nsize 1\n")
    said = "git-lfs, fetch the file itself" if start.startswith(b"version") else "web page or text"
    with pytest.raises(BadCheckpoint, match=said):
        import_checkpoint(path)
