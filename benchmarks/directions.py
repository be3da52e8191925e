# SPDX-License-Identifier: MIT
"""Times the directions puppet stage by stage: tracker, generator, matte, paste, and the whole.

    python -m benchmarks.directions [PORTRAIT|IDENTITY|seed:N] [--frame photo] [--threads 2] [--seconds 20]

The built-in driver is tracked and drawn one frame after the other; the live line does tracker and puppet side
by side, so its rate is that of the slower: `facepuppet bench --method directions` times it. The processor
time a frame, over all threads, is what stays true on a machine that is busy with other things.
"""

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from methods.directions.puppet import open_directions
from methods.method import Opening
from methods.subject import resolve
from realtime.machine import this_machine
from realtime.offline.builtin import write_driver
from realtime.sources import open_source
from realtime.tracker.face_tracker import FaceTracker

WARMUP = 10
STAGES = ("tracker", "generator", "matte", "paste", "puppet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("portrait", nargs="?", default="seed:21")
    parser.add_argument("--frame", choices=["photo", "crop", "raw"], default="photo")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--longest", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    opening = Opening(given.longest, given.model, given.engine, given.frame, threads=given.threads)
    puppet = open_directions(resolve(given.portrait), opening)
    cpu_s = time.process_time()
    times: dict[str, list[float]] = {stage: [] for stage in STAGES}
    with TemporaryDirectory() as folder, FaceTracker() as tracker:
        driver = Path(folder) / "driver.mp4"
        write_driver(driver, seconds=given.seconds)
        with open_source(str(driver), live=False) as source:
            for frame in source:
                began_s = time.perf_counter()
                motion = tracker(frame)
                tracked_s = time.perf_counter()
                puppet(motion)
                done_s = time.perf_counter()
                if frame.index < WARMUP:
                    cpu_s = time.process_time()
                    continue
                times["tracker"].append(1000 * (tracked_s - began_s))
                times["puppet"].append(1000 * (done_s - tracked_s))
                times["generator"].append(puppet.timing.generator)
                times["matte"].append(puppet.timing.matte)
                times["paste"].append(puppet.timing.paste)
    figures: dict[str, object] = {
        stage: {f"p{q}_ms": round(float(np.percentile(values, q)), 2) for q in (50, 95)}
        for stage, values in times.items()
    }
    cpu_ms = 1000 * (time.process_time() - cpu_s) / max(len(times["puppet"]), 1)
    one_thread = sum(float(np.mean(times[stage])) for stage in ("tracker", "puppet"))
    machine = this_machine()
    print(
        json.dumps(
            {
                "portrait": given.portrait,
                "frame": given.frame,
                "size": puppet.size,
                "engine": str(puppet.provenance),
                "frames": len(times["puppet"]),
                "stages": figures,
                "cpu_ms_a_frame": round(cpu_ms, 1),
                "fps_one_after_the_other": round(1000 / one_thread, 2),
                "cpu": machine.cpu,
                "cores": machine.cores,
                "commit": machine.commit,
            }
        )
    )
    puppet.close()


if __name__ == "__main__":
    main()
