# SPDX-License-Identifier: MIT
"""What holds for every test, and the precisions in which a processor may draw pictures."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

# One thread for each sum, before numpy and torch are loaded, and in child processes. Results then do not
# depend on the number of cores; and where other programs are busy, two threads wait for each other up to ten
# times as long as one works.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

PRECISIONS = ("f32", "bf16")


@pytest.fixture(scope="session", autouse=True)
def heard_interrupts() -> Iterator[None]:
    """Ctrl-C reaches child processes: a shell that starts the tests in the background has them ignore it,
    which children inherit.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def measured_portraits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept of portraits lies in a folder of this run's, not in the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("methods.mesh.response_cache.cache_folder", lambda: folder)
        yield


@pytest.fixture(params=PRECISIONS)
def openvino_precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The precision in which OpenVINO draws pictures in this test, as its provenance names it.

    float32 on every processor, also on one that would take bfloat16; bfloat16 where the processor has it.
    """
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed: an extra")
    told = openvino.Core.get_property
    if request.param == "bf16":
        if "BF16" not in told(openvino.Core(), "CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("this processor has no bfloat16: OpenVINO would compute in float32")
        return "bf16"

    def without_bfloat16(core: Any, device: str, name: str, *more: Any) -> Any:
        found = told(core, device, name, *more)
        return [one for one in found if one != "BF16"] if name == "OPTIMIZATION_CAPABILITIES" else found

    monkeypatch.setattr(openvino.Core, "get_property", without_bfloat16)
    return "f32"
