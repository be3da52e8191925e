# SPDX-License-Identifier: MIT
"""An ONNX graph to an engine, by TensorRT 10, 11 or TensorRT-RTX, given as a module. Knows no cache.

Networks are strongly typed: precision is the graph's own types. TensorRT 10 must be told so; 11 and RTX are
nothing else, and take the flag without a word. Free dimensions are fixed at 1.
"""

import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from face.errors import EngineUnavailable, ModelUnavailable

logger = logging.getLogger(__name__)

Progress = Callable[[str, float], bool]  # phase and its share done, 0 to 1; answers False to stop the build
KEPT_MESSAGES = 8


class Messages:
    """What a TensorRT library says: errors are kept for the one line the user gets, the rest goes to the log."""

    def __init__(self, trt: Any) -> None:
        self._errors: deque[str] = deque(maxlen=KEPT_MESSAGES)
        severity = trt.ILogger.Severity
        levels = {
            severity.INTERNAL_ERROR: logging.DEBUG,
            severity.ERROR: logging.DEBUG,
            severity.WARNING: logging.DEBUG,
        }
        kept, errors = self._errors, (severity.INTERNAL_ERROR, severity.ERROR)

        class Listener(trt.ILogger):  # type: ignore[misc]  # the library's way to be listened to
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in errors:
                    kept.append(message)
                if severity in levels:
                    logger.log(levels[severity], "%s", message)

        self.listener = Listener()

    def first(self) -> str:
        """The first error since the last call, in one line; the ones after it follow from it."""
        said = self._errors[0].strip().splitlines()[0] if self._errors else "it gave no reason"
        self._errors.clear()
        return said


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
    """Turns the library's phases into shares done, and a False into a stop."""

    def __init__(self, trt: Any, progress: Progress) -> None:
        self.stopped = False
        steps: dict[str, int] = {}
        watch = self

        class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the library's way to be watched
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
                steps[phase_name] = num_steps
                watch.tell(progress, phase_name, 0.0)

            def step_complete(self, phase_name: str, step: int) -> bool:
                share = (step + 1) / max(steps.get(phase_name, 1), 1)
                return watch.tell(progress, phase_name, min(share, 1.0))

            def phase_finish(self, phase_name: str) -> None:
                steps.pop(phase_name, None)

        self.monitor = Monitor()

    def tell(self, progress: Progress, phase: str, share: float) -> bool:
        if not progress(phase, share):
            self.stopped = True
        return not self.stopped
