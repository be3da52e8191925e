# SPDX-License-Identifier: MIT
"""What half precision and int8 do to pictures and to whose face they show, on real faces. Knows no GPU.

    python -m benchmarks.precisions --size 256 --faces 24

The generator is the one of the package random-face, moved by random small shifts of its latents. Against the
float32 graph's picture of the same latent: peak signal-to-noise ratio, largest difference in grey levels, and
the distance of dlib's face embedding, whose author takes less than 0.6 for one person. The last line is JSON.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.raw_track import track_still
from engines import open_engine
from engines.ffhq_mobile import package_folder
from engines.graphs import GENERATOR, MOVER
from engines.networks.directions import Directions, DirectionsConfig
from engines.networks.live import Live
from engines.networks.stylegan2 import Mapping
from evaluation.recognisers import DlibRecogniser, spread
from export.checkpoints.ffhq_mobile import read_ffhq_mobile
from export.live_export import write_live
from export.live_request import LiveRequest
from export.verify import compare_pictures, latents_of, random_motions
from face.arrays import Image
from realtime.machine import this_machine

PARAMETERS = 15
SHIFT = 0.01  # spread of the random directions: a motion moves each number of w by about 0.13
SEED = 77


@dataclass(frozen=True, slots=True)
class Row:
    precision: str
    mebibytes: float
    psnr_db: float
    max_levels: int
    distance_p50: float  # of face embeddings to the float32 picture's
    distance_worst: float
    faces: int  # in which both pictures' face was found


def package_parts(size: int) -> tuple[torch.nn.Module, Mapping, Directions]:
    """Generator and mapping of the package, and random directions; ModelUnavailable without the package."""
    networks = read_ffhq_mobile(package_folder(), size=size).networks
    generator, mapping = networks["generator"], networks["mapping"]
    assert isinstance(mapping, Mapping)
    torch.manual_seed(SEED)
    directions = Directions(DirectionsConfig(PARAMETERS, generator.inputs[0].shape[1], 512))
    with torch.no_grad():
        directions.linear.weight.normal_(std=SHIFT)
        directions.linear.bias.zero_()
    return generator, mapping, directions


def pictures_of(
    folder: Path, size: int, faces: int, precisions: tuple[str, ...]
) -> tuple[Live, dict[str, list[Image]]]:
    """Pictures of the same latents by each form of the generator's graph, which stay in the folder."""
    generator, mapping, directions = package_parts(size)
    networks = {"generator": generator, "mapping": mapping, "directions": directions}
    made = write_live(networks, folder, LiveRequest(precisions), origins=(), notes={})
    samples = latents_of(made.live, random_motions(made.live, mapping=mapping, seed=SEED, count=faces))
    pictures = {}
    for role in (role for role in made.verified if role != MOVER):
        with open_engine(folder / role) as engine:
            pictures[role] = [engine.run(**arrays)["image"][0] for arrays in samples]
    return made.live, pictures


def rows_of(pictures: dict[str, list[Image]], folder: Path) -> list[Row]:
    """Every role's pictures against those of the float32 graph."""
    embedder = DlibRecogniser()
    first = pictures[GENERATOR]
    faces = [track_still(image) for image in first]
    known = [number for number, face in enumerate(faces) if face is not None]
    reference = {n: embedder(first[n], face.landmarks) for n in known if (face := faces[n]) is not None}
    rows = []
    for role, images in pictures.items():
        compared = compare_pictures(np.stack(images), np.stack(first), "")
        distances = []
        for number, wanted in reference.items():
            face = track_still(images[number])
            if face is not None:
                vector = embedder(images[number], face.landmarks)
                distances.append(float(spread(vector[None], wanted).distance[0]))
        rows.append(
            Row(
                precision=role,
                mebibytes=(folder / f"{role}.onnx").stat().st_size / 2**20,
                psnr_db=compared.psnr_db,
                max_levels=compared.max_levels,
                distance_p50=float(np.median(distances)) if distances else float("nan"),
                distance_worst=max(distances, default=float("nan")),
                faces=len(distances),
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256, help="256, 512 or 1024 pixels")
    parser.add_argument("--faces", type=int, default=24)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _, pictures = pictures_of(Path(folder), options.size, options.faces, ("fp16", "int8"))
        rows = rows_of(pictures, Path(folder))
    print(f"{options.size} px, {options.faces} faces; distance of embeddings to the float32 picture's")
    print(f"{'graph':<24}{'MiB':>6}{'dB':>7}{'levels':>8}{'distance p50':>14}{'worst':>8}{'faces':>7}")
    for row in rows:
        print(
            f"{row.precision:<24}{row.mebibytes:>6.1f}{row.psnr_db:>7.1f}{row.max_levels:>8}"
            f"{row.distance_p50:>14.3f}{row.distance_worst:>8.3f}{row.faces:>7}"
        )
    print(
        json.dumps(
            {"size": options.size, "machine": asdict(this_machine()), "rows": [asdict(r) for r in rows]}
        )
    )


if __name__ == "__main__":
    main()
