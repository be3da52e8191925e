# SPDX-License-Identifier: MIT
"""The examination of a machine: each fault has a cure, and a broken runtime does not take it along."""

import json
import sys
from pathlib import Path

import pytest

from engines import BACKENDS
from engines.package_models import LANDMARKER, SEGMENTER
from face.errors import ModelUnavailable
from realtime import doctor
from realtime.cli import main
from realtime.doctor import RUNTIMES, Finding, examine
from realtime.machine import installed, resident_mib, this_machine

SUBJECTS = ["machine", "models", "cameras", "virtual cameras", "display", "graphics", "runtimes"]


@pytest.fixture
def without_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runtimes take seconds to load; these tests are about the rest."""
    monkeypatch.setattr(doctor, "RUNTIMES", ())


@pytest.mark.usefixtures("without_runtimes")
def test_every_fault_and_every_gap_has_a_cure() -> None:
    findings = examine()
    assert [subject for subject in SUBJECTS if subject != "runtimes"] == list(
        dict.fromkeys(finding.subject for finding in findings)
    )
    for finding in findings:
        assert finding.verdict in ("ok", "missing", "wrong")
        assert finding.detail
        assert finding.verdict == "ok" or finding.cure, f"{finding.name} has no cure"


@pytest.mark.usefixtures("without_runtimes")
def test_models_are_shown_with_their_hashes() -> None:
    details = " ".join(finding.detail for finding in examine() if finding.subject == "models")
    assert LANDMARKER[2] in details and SEGMENTER[2] in details


def test_each_engine_of_a_runtime_that_is_installed_says_whether_it_can_run() -> None:
    findings = {finding.name: finding for finding in doctor._runtimes()}
    assert findings["onnx"].verdict == "ok"
    assert findings["onnx"].detail == f"onnxruntime {installed('onnxruntime')}, CPU"
    for runtime in RUNTIMES:
        there = any(map(installed, runtime.distributions))
        names = runtime.engines if there else (runtime.name,)
        assert set(names) <= set(findings), runtime.name
        for name in names:
            assert findings[name].detail
            assert findings[name].verdict == "ok" or findings[name].cure
            assert there or (findings[name].verdict == "missing" and "not installed" in findings[name].detail)
    assert {name for runtime in RUNTIMES for name in runtime.engines} == set(BACKENDS)


@pytest.mark.parametrize(
    ("said", "verdict", "detail", "cure"),
    [
        (
            "torch 2 was built without CUDA; install one with it",
            "missing",
            "2.13, but torch 2 was built",
            "install one with",
        ),
        ("engine torch needs torch: libc10.so", "wrong", "does not load: engine torch needs", "facepuppet"),
        ("no reason and no cure", "missing", "no reason", "facepuppet"),
    ],
)
def test_an_engine_s_own_words_become_finding_and_cure(
    said: str, verdict: str, detail: str, cure: str
) -> None:
    runtime = next(runtime for runtime in RUNTIMES if runtime.name == "torch")
    finding = doctor._engine(runtime, "2.13", "torch", False, said)
    assert finding.verdict == verdict and detail in finding.detail and cure in finding.cure
    assert doctor._engine(runtime, "2.13", "torch", True, "torch 2, CPU") == Finding(
        "runtimes", "torch", "ok", "torch 2, CPU"
    )


def test_a_runtime_that_crashes_is_a_finding_and_not_our_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._asked("import os; os.abort()")[0] == "wrong"
    verdict, answer = doctor._asked("raise ImportError('libcudart.so.99 is not there')")
    assert verdict == "wrong" and "libcudart.so.99" in answer
    assert doctor._asked("import sys; print(sys.argv[1:])", ["a"]) == ("ok", "['a']")
    monkeypatch.setattr(doctor, "ASK_ENGINES", "import os; os.abort()")
    monkeypatch.setattr(doctor, "RUNTIMES", RUNTIMES[:1])
    (finding,) = doctor._runtimes()
    assert finding.verdict == "wrong" and finding.detail.startswith(installed("onnxruntime"))


@pytest.mark.usefixtures("without_runtimes")
def test_an_altered_model_makes_the_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def altered() -> Path:
        raise ModelUnavailable("face_landmarker.task has sha256 0000, expected 6418; reinstall it")

    monkeypatch.setattr(doctor, "landmarker_model", altered)
    assert main(["doctor", "--json"]) == 1
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    wrong = [Finding(**finding) for finding in last["findings"] if finding["verdict"] == "wrong"]
    assert not last["ok"]
    assert [finding.name for finding in wrong] == ["face landmarker"]


def test_a_camera_that_may_not_be_opened_names_the_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from realtime.sources.devices import CameraInfo

    node = tmp_path / "video0"
    node.touch()
    monkeypatch.setattr(doctor, "list_cameras", lambda: [CameraInfo(0, "Laptop Camera", str(node))])
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    (finding,) = doctor._cameras()
    assert finding.verdict == "wrong" and "usermod" in finding.cure


def test_a_camera_in_use_names_its_holder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from realtime.sources.devices import CameraInfo

    node = tmp_path / "video0"
    node.touch()
    monkeypatch.setattr(doctor, "list_cameras", lambda: [CameraInfo(0, "Laptop Camera", str(node))])
    monkeypatch.setattr(doctor, "holders", lambda path: ["zoom (812)"])
    (finding,) = doctor._cameras()
    assert "zoom (812)" in finding.detail and "close that program" in finding.cure


def test_the_machine_is_described() -> None:
    machine = this_machine()
    assert machine.cpu and machine.cores >= 1 and machine.python.startswith(f"{sys.version_info[0]}.")
    assert machine.version
    before = resident_mib()
    ballast = bytearray(64 * 2**20)
    ballast[::4096] = b"x" * len(ballast[::4096])
    assert resident_mib() - before > 32 or sys.platform == "darwin"
    assert before > 5
