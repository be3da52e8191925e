# SPDX-License-Identifier: MIT
"""Mutates checkpoints and counts what the importers do; anything but a load or one line is an escape.

python benchmarks/fuzz_checkpoints.py --inputs 20000 --seed 1
python benchmarks/fuzz_checkpoints.py --inputs 20000 --seed 1 --only stylegan3 tensorflow
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "export")]

from hostile_files import broken, executing, honest_files, mutated  # noqa: E402

from export.checkpoints.identify import import_checkpoint  # noqa: E402
from face.errors import BadCheckpoint  # noqa: E402


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
    counts = {"inputs": 0, "loaded": 0, "refused": 0, "escapes": 0}
    slowest = 0.0
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        marker = folder / "executed"
        honest = [v for n, v in honest_files(folder).items() if n.startswith(tuple(options.only))]
        hostile = [v for v in broken().values() if 2 < len(v) < 50_000]
        hostile += executing(str(marker)).values()
        path = folder / "mutated.pkl"
        while counts["inputs"] < options.inputs:
            path.write_bytes(mutated(rng.choice(honest if rng.random() < 0.8 else hostile), rng))
            counts["inputs"] += 1
            began = time.perf_counter()
            try:
                import_checkpoint(path)
                counts["loaded"] += 1
            except BadCheckpoint as error:
                counts["refused" if "\n" not in str(error) else "escapes"] += 1
            except Exception as error:  # the finding itself
                counts["escapes"] += 1
                print(f"escape: {type(error).__name__}: {error}")
                (Path.cwd() / f"escape-{counts['escapes']}.pkl").write_bytes(path.read_bytes())
            slowest = max(slowest, time.perf_counter() - began)
        executed = marker.exists()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    seconds = round(time.perf_counter() - start, 1)
    result = {
        **counts,
        "executed": executed,
        "slowest_s": round(slowest, 2),
        "peak_mib": peak,
        "seconds": seconds,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
