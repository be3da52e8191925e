# SPDX-License-Identifier: MIT
"""Runs one of our networks compiled by torch: on the CPU by C++, on a GPU by Triton. Knows no graph file.

Compiling takes a minute or so at every opening, less where torch finds its own cache. The GPU side is not yet
run as an engine; benchmarks/engine.py has it among its rows.
"""

import os
import shutil
from pathlib import Path

import torch

from engines.torch_engine import TorchEngine, where
from face.errors import EngineUnavailable


def check() -> str:
    """What would run it; EngineUnavailable says what is missing."""
    names = (os.environ.get("CXX", ""), "g++", "clang++", "cl")
    if not any(shutil.which(name) for name in names if name):
        raise EngineUnavailable(
            "torch compiles with a C++ compiler and none is on the PATH (g++, clang++, cl); install one, or "
            "choose --engine torch"
        )
    return f"torch {torch.__version__}, {where()}"


def open_artefact(path: Path, threads: int) -> TorchEngine:
    """What the registry calls; compiles before it returns."""
    check()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    engine = TorchEngine(path, device=device, threads=threads, compiled=True)
    try:
        engine.warm_up()
    except torch._dynamo.exc.TorchDynamoException as error:
        engine.close()
        reason = str(error).strip().splitlines()[0]
        raise EngineUnavailable(
            f"torch cannot compile {path.name} ({reason}); install a C++ compiler, or choose --engine torch"
        ) from error
    return engine
