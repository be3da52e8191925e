# SPDX-License-Identifier: MIT
"""A recording outlives a full disk and a killed process: what was recorded plays."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from face.errors import SinkUnavailable
from face.frame import Frame
from realtime.badge import is_marked
from realtime.sinks.file import FileSink
from realtime.sinks.mp4 import whole_fragments

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="limits the size of files, which only POSIX can")

# Records pictures that compress badly, one a line of output; ends by itself or at the first error.
RECORD = """
import json, os, sys
from pathlib import Path
import numpy as np
from face.errors import SinkUnavailable
from face.frame import Frame
from realtime.sinks.file import FileSink

def record(path, live=True, count=100, dies_at=None):
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    try:
        with FileSink(Path(path), fps=10, live=live) as sink:
            for number in range(count):
                sink(Frame(np.roll(noise, number, axis=1), number / 10, number))
                if number == dies_at:
                    os.kill(os.getpid(), 9)
    except SinkUnavailable as error:
        return str(error)
    return ""
"""

AT_EACH_LIMIT = """
import resource
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
found = []
for live in (True, False):
    assert record(sys.argv[1] + "/whole.mp4", live) == ""
    size = os.path.getsize(sys.argv[1] + "/whole.mp4")
    for limit in (200, 3000, size // 8, size // 3, size // 2, size - 4000, size - 1000, size - 8, size):
        name = f"{limit}-{live}.mp4"
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        line = record(sys.argv[1] + "/" + name, live)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        found.append({"name": name, "live": live, "size": size, "limit": limit, "line": line})
print(json.dumps(found))
"""


def child(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RECORD + script, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def pictures(path: Path) -> list[float]:
    """Times of all pictures; an error of the decoder is an error of the file."""
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


@posix
def test_wherever_the_disk_fills_up_the_recording_plays_and_the_render_is_gone(tmp_path) -> None:
    done = child(AT_EACH_LIMIT, str(tmp_path))
    assert done.returncode == 0, done.stderr
    for found in json.loads(done.stdout):
        limit, size, line, path = found["limit"], found["size"], found["line"], tmp_path / found["name"]
        assert size > 60_000
        if limit == size:
            assert line == "" and len(pictures(path)) == 100
        elif not found["live"]:
            assert "nothing is left" in line and not path.exists()
        elif limit < size // 10:
            assert "before its first second" in line and not path.exists()
        else:
            times = pictures(path)
            assert f"({len(times)} frames) are kept" in line
            assert f"the first {times[-1] + 0.1:.1f} s" in line
            assert len(times) >= 10 * int(10 * limit / size - 1)  # all but the last second or two
            assert is_marked(path)
        assert "\n" not in line
    assert not list(tmp_path.glob(".*"))


@posix
def test_a_full_file_system_is_named_and_what_fitted_plays(tmp_path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed: no small file system to fill")
    mount, kept = tmp_path / "small", tmp_path / "kept.mp4"
    mount.mkdir()
    inside = (
        f"mount -t tmpfs -o size=64k tmpfs {mount} || exit 77; "
        f'"$0" -c "$1" {mount}/out.mp4; ls -A {mount}; cp {mount}/out.mp4 {kept}'
    )
    script = RECORD + "print(record(sys.argv[1]))"
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", inside, sys.executable, script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode in (1, 77) and not kept.exists() and "Error" not in done.stderr:
        pytest.skip(f"this system lets nobody mount a small file system: {done.stderr.strip()[:80]}")
    assert done.returncode == 0, done.stderr
    assert "the disk is full" in done.stdout and done.stdout.endswith("out.mp4\n")
    assert len(pictures(kept)) >= 10


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("live", [True, False])
def test_a_device_that_is_always_full_ends_the_recording_at_once(tmp_path, live: bool) -> None:
    path = tmp_path / "out.mp4"
    path.symlink_to("/dev/full")
    if not live:
        (tmp_path / ".out.unfinished.mp4").symlink_to("/dev/full")
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    with pytest.raises(SinkUnavailable, match="the disk is full"), FileSink(path, live=live) as sink:
        for number in range(60):
            sink(Frame(noise, number / 10, number))
    assert Path("/dev/full").is_char_device()
    assert not list(tmp_path.glob(".*"))


def test_a_sink_that_failed_says_so_when_it_is_used_on(tmp_path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    (tmp_path / "out.mp4").symlink_to("/dev/full")
    frame = Frame(np.zeros((32, 32, 3), np.uint8), 0.0, 0)
    sink = FileSink(tmp_path / "out.mp4")
    sink.__enter__()
    with pytest.raises(SinkUnavailable):
        for _ in range(100):
            sink(frame)
    with pytest.raises(ValueError, match="not open"):
        sink(frame)
    sink.__exit__(None, None, None)


@posix
@pytest.mark.parametrize("dies_at", [15, 57, 99])
def test_a_killed_process_leaves_all_but_the_last_second(tmp_path, dies_at: int) -> None:
    path = tmp_path / "out.mp4"
    done = child(f"record(sys.argv[1], dies_at={dies_at})", str(path))
    assert done.returncode == -9
    times = pictures(path)
    assert len(times) >= dies_at - 10
    assert is_marked(path)


def test_whole_fragments_end_where_the_last_complete_one_does(tmp_path) -> None:
    def box(kind: bytes, content: int) -> bytes:
        return (8 + content).to_bytes(4, "big") + kind + bytes(content)

    start = box(b"ftyp", 20) + box(b"moov", 100)
    fragment = box(b"moof", 50) + box(b"mdat", 500)
    for content, end in [
        (b"", 0),
        (start, 0),
        (start + box(b"mdat", 300), len(start) + 308),
        (start + fragment, len(start + fragment)),
        (start + 2 * fragment, len(start + 2 * fragment)),
        (start + 2 * fragment + fragment[:200], len(start + 2 * fragment)),
        (start + fragment + box(b"moof", 50), len(start + fragment)),
        (start + fragment + bytes(64), len(start + fragment)),
    ]:
        (tmp_path / "x.mp4").write_bytes(content)
        assert whole_fragments(tmp_path / "x.mp4") == end
