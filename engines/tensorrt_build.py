# SPDX-License-Identifier: MIT
"""An ONNX graph to an engine, by TensorRT 10, 11 or TensorRT-RTX, given as a module. Knows no cache.

Networks are strongly typed: precision is the graph's own types. TensorRT 10 must be told so; 11 and RTX are
nothing else, and take the flag without a word. Free dimensions are fixed at 1.
"""

import logging
from collections import deque
from functools import cache
from pathlib import Path
from typing import Any

from engines.cache import Progress
from face.errors import EngineUnavailable, ModelUnavailable

logger = logging.getLogger(__name__)

KEPT_MESSAGES = 8


class Messages:
    """What a TensorRT library says: errors are kept for the one line the user gets, the rest is logged."""

    def __init__(self, trt: Any) -> None:
        self.listener, self._errors = _listener(trt.ILogger)
        self._errors.clear()  # of what came before

    def first(self) -> str:
        """The first error since the last call, in one line; the ones after it follow from it."""
        said = self._errors[0].strip().splitlines()[0] if self._errors else "it gave no reason"
        self._errors.clear()
        return said


@cache  # the library listens to the first one a process gives it, whatever comes later
def _listener(base: Any) -> tuple[Any, deque[str]]:
    """The one listener of a module with this ILogger, and the errors it has heard."""
    heard: deque[str] = deque(maxlen=KEPT_MESSAGES)
    severity = base.Severity
    errors = (severity.INTERNAL_ERROR, severity.ERROR)
    logged = (*errors, severity.WARNING)

    class Listener(base):  # type: ignore[misc]  # the library's way to be listened to
        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in errors:
                heard.append(message)
            if severity in logged:
                logger.debug("%s", message)

    return Listener(), heard


def build_plan(
    trt: Any,
    graph: Path,
    *,
    capability: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> bytes:
    """The engine's bytes. `capability` (TensorRT-RTX alone): of the GPU it is for, which need not be here.

    ModelUnavailable for a graph it cannot read, EngineUnavailable for one it cannot build.
    """
    name = f"{trt.__name__.partition('_bindings')[0]} {trt.__version__}"
    messages = Messages(trt)
    builder = trt.Builder(messages.listener)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, messages.listener)
    if not parser.parse_from_file(str(graph)):
        reason = parser.get_error(0).desc() if parser.num_errors else messages.first()
        raise ModelUnavailable(
            f"{graph.name} is no graph {name} can read ({_line(reason)}); export the model again"
        )
    config = builder.create_builder_config()
    profile = _static_profile(builder, network)
    if profile is not None:
        config.add_optimization_profile(profile)
    if capability is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(_capability(trt, capability, name), 0)
    watch = _Watch(trt, progress) if progress is not None else None
    if watch is not None:
        config.progress_monitor = watch.monitor
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        reason = "it was stopped" if watch is not None and watch.stopped else messages.first()
        raise EngineUnavailable(f"{name} cannot build {graph.name} ({reason}); choose --engine onnx or torch")
    return bytes(plan)


def _line(text: str) -> str:
    return " ".join(text.split())


def _static_profile(builder: Any, network: Any) -> Any:
    """A profile that fixes every free dimension at 1; None where there is none."""
    profile, free = builder.create_optimization_profile(), False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = tuple(tensor.shape)
        if -1 in shape:
            free = True
            fixed = tuple(1 if size == -1 else size for size in shape)
            profile.set_shape(tensor.name, fixed, fixed, fixed)
    return profile if free else None


def _capability(trt: Any, wanted: tuple[int, int], name: str) -> Any:
    known = trt.ComputeCapability.__members__
    member = f"SM{wanted[0]}{wanted[1]}"
    if member not in known:
        raise EngineUnavailable(unsupported(trt, wanted, name))
    return known[member]


def unsupported(trt: Any, capability: tuple[int, int], name: str) -> str:
    """What to say of a GPU that TensorRT-RTX does not know."""
    known = [f"{m[2:-1]}.{m[-1]}" for m in trt.ComputeCapability.__members__ if m.startswith("SM")]
    return (
        f"{name} runs on compute capability {', '.join(known)}, found {capability[0]}.{capability[1]}; "
        "choose --engine tensorrt, torch or onnx"
    )


class _Watch:
    """Turns the library's nested phases into one share done, and a False into a stop."""

    def __init__(self, trt: Any, progress: Progress) -> None:
        self.stopped = False
        self._progress = progress
        self._open: dict[str, tuple[int, int]] = {}  # steps done, of how many; the outermost first
        self._share = 0.0
        watch = self

        class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the library's way to be watched
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
                watch._open[phase_name] = (0, max(num_steps, 1))

            def step_complete(self, phase_name: str, step: int) -> bool:
                return watch.tell(phase_name, step + 1)

            def phase_finish(self, phase_name: str) -> None:
                watch._open.pop(phase_name, None)

        self.monitor = Monitor()

    def tell(self, phase: str, done: int) -> bool:
        """A step within a step of the outer phase counts for its part of it; the share never falls."""
        if phase in self._open:
            self._open[phase] = (done, self._open[phase][1])
        share, width = 0.0, 1.0
        for steps, total in list(self._open.values()):
            share += width * min(steps, total) / total
            width /= total
        self._share = max(self._share, min(share, 1.0))
        self.stopped = self.stopped or not self._progress(phase, self._share)
        return not self.stopped
