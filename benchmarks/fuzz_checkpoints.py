# SPDX-License-Identifier: MIT
"""Mutates checkpoints and counts what the importers do; anything but a load or one line is an escape.

Every input is measured: the processor time it takes, and the memory it takes beside what was there before.
An input that takes more than a minute ends the run and stays in the folder named on stderr.

python benchmarks/fuzz_checkpoints.py --inputs 20000 --seed 1
python benchmarks/fuzz_checkpoints.py --inputs 20000 --seed 1 --only stylegan3 tensorflow
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "export")]

from hostile_files import broken, honest_files  # noqa: E402
from hostile_mutations import mutated  # noqa: E402
from hostile_programs import executing  # noqa: E402
from hostile_shapes import greedy, growing  # noqa: E402

from export.checkpoints.identify import import_checkpoint  # noqa: E402
from face.errors import BadCheckpoint  # noqa: E402

SECONDS, MIB = 5.0, 500  # limits of one input: processor time, memory
ENDLESS_S = 60.0
WHOLE = 0.05  # share of hostile inputs that are tried as they are


class Peak:
    """Memory of this process, as Linux counts it."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        self.before = self._read("VmRSS")

    def growth(self) -> int:
        """MiB at the highest, since this was made."""
        return self._read("VmHWM") - self.before

    @staticmethod
    def _read(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) >> 10


def outcome(path: Path) -> str:
    """loaded, refused, or what escaped."""
    try:
        import_checkpoint(path)
        return "loaded"
    except BadCheckpoint as error:
        return "refused" if str(error).isprintable() else f"not one line: {str(error)!r}"
    except Exception as error:  # the finding itself
        return f"{type(error).__name__}: {error}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[""], help="how names of honest files begin")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    warnings.simplefilter("error")
    counts = {"inputs": 0, "loaded": 0, "refused": 0, "escapes": 0, "slow": 0, "large": 0}
    slowest, largest = 0.0, 0
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(folder, file=sys.stderr)
        marker = folder / "executed"
        honest = [v for n, v in honest_files(folder).items() if n.startswith(tuple(options.only))]
        hostile = [v for v in (broken() | greedy() | growing()).values() if 2 < len(v) < 50_000]
        hostile += executing(str(marker)).values()
        path = folder / "mutated.pkl"
        for number in range(options.inputs):
            data = rng.choice(honest if rng.random() < 0.8 else hostile)
            if data in honest or rng.random() > WHOLE:
                data = mutated(data, rng)
            path.write_bytes(data)
            signal.setitimer(signal.ITIMER_PROF, ENDLESS_S)
            peak, began = Peak(), time.process_time()
            found = outcome(path)
            seconds, mib = time.process_time() - began, peak.growth()
            counts["inputs"] += 1
            counts[found if found in ("loaded", "refused") else "escapes"] += 1
            counts["slow"] += seconds > SECONDS
            counts["large"] += mib > MIB
            slowest, largest = max(slowest, seconds), max(largest, mib)
            if found not in ("loaded", "refused") or seconds > SECONDS or mib > MIB:
                kept = Path.cwd() / f"fuzz-{options.seed}-{number}.pkl"
                kept.write_bytes(data)
                print(f"{kept.name}: {found}, {seconds:.1f} s, {mib} MiB")
        signal.setitimer(signal.ITIMER_PROF, 0)
        executed = marker.exists()
    result = {
        **counts,
        "executed": executed,
        "slowest_s": round(slowest, 2),
        "largest_mib": largest,
        "seconds": round(time.perf_counter() - start, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
