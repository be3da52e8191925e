# SPDX-License-Identifier: MIT
"""What smoothing takes from the tracker's shimmer, and what it takes from blinks and turns. Knows no puppet.

    python -m benchmarks.smoothing CLIP... [--still PICTURE]

Shimmer is measured on a still that is repeated with fresh camera noise: the step of a landmark from frame to
frame, root mean square, in pixels of a 640x480 picture. Depth of a blink is that of the lids' opening,
smoothed over raw, at every blink of the clips. Lag is the shift in time at which the smoothed angle fits the
raw one best, over the instants at which the head turns faster than 30 degrees a second.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from engines.mediapipe_reader import VideoReader
from face.arrays import Floats, Image
from face.motion_vector import LOG_SCALE, ROTATION, SHAPE, landmarks_of, vector_of
from face.smoothing import MotionSmoother
from realtime.sources import open_source

NOISE = 5.0  # grey levels, before JPEG at quality 85: a webcam in a living room
STILL_FRAMES = 90
SETTLING = 15  # frames that are left out at the start
FAST = 30.0  # degrees a second
LONGEST_CLIP = 400  # frames


def noisy_still(picture: Image) -> Iterator[tuple[Image, float]]:
    """The picture in a 640x480 frame, again and again with fresh noise, 30 times a second."""
    random = np.random.default_rng(0)
    side = 400
    canvas = np.full((480, 640, 3), 90, np.uint8)
    canvas[40 : 40 + side, 120 : 120 + side] = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    for index in range(STILL_FRAMES):
        noisy = np.clip(canvas + random.normal(0, NOISE, canvas.shape), 0, 255).astype(np.uint8)
        coded = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
        yield np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8), index / 30


def clip_frames(path: Path) -> Iterator[tuple[Image, float]]:
    with open_source(str(path), live=False) as source:
        for frame in source:
            if frame.index >= LONGEST_CLIP:
                return
            yield frame.image, frame.media_s or 0.0


def raw_track(frames: Iterator[tuple[Image, float]]) -> tuple[Floats, Floats, tuple[int, int], float]:
    """Vectors (N, SIZE), times (N,), picture size, median ms of a detection."""
    vectors, times, spent, size = [], [], [], (0, 0)
    with VideoReader() as detect:
        for image, at in frames:
            size = (image.shape[1], image.shape[0])
            begun = time.perf_counter()
            face = detect(image)
            spent.append(time.perf_counter() - begun)
            if face is None:
                continue
            vectors.append(
                vector_of(
                    face.landmarks,
                    size,
                    rotation=face.rotation,
                    gaze=np.zeros(2),
                    blendshapes=face.blendshapes,
                )
            )
            times.append(at)
    return np.array(vectors), np.array(times), size, float(np.median(spent) * 1e3)


def smoothed(vectors: Floats, times: Floats, strength: float) -> Floats:
    smoother = MotionSmoother(strength)
    steps = np.diff(times, prepend=times[0])
    return np.array([smoother(vector, float(dt)) for vector, dt in zip(vectors, steps, strict=True)])


def shimmer(vectors: Floats, size: tuple[int, int]) -> tuple[float, float]:
    """Step of a landmark in px and of the head's size in thousandths, root mean square."""
    points = np.array([landmarks_of(vector, size)[:, :2] for vector in vectors[SETTLING:]])
    steps = np.sqrt((np.diff(points, axis=0) ** 2).sum(-1).mean())
    return float(steps), float(np.diff(vectors[SETTLING:, LOG_SCALE.start]).std() * 1000)


def lag_ms(raw: Floats, smooth: Floats, times: Floats) -> float | None:
    """None where the angle is never fast."""
    fast = np.convolve(np.abs(np.gradient(raw, times)), np.ones(3) / 3, "same") > FAST
    fast[:5] = fast[-5:] = False
    if fast.sum() < 8:
        return None
    shifts = np.arange(-0.02, 0.12, 0.001)
    errors = [np.square(np.interp(times[fast] - s, times, raw) - smooth[fast]).mean() for s in shifts]
    return float(shifts[int(np.argmin(errors))] * 1000)


def blink_depths(raw: Floats, smooth: Floats) -> list[float]:
    """For each blink, the share of its depth that is left. Both (N,) openings of the lids, 1 = usual."""
    depths = []
    for i in range(5, len(raw) - 5):
        around = raw[i - 4 : i + 5]
        if raw[i] == around.min() and raw[i] < 0.75 and raw[max(0, i - 8) : i].max() - raw[i] > 0.2:
            depths.append(float((1 - smooth[i - 1 : i + 4].min()) / (1 - raw[i])))
    return depths


def openings(vectors: Floats, usual: float | None = None) -> tuple[Floats, float]:
    shapes = vectors[:, SHAPE].reshape(len(vectors), -1, 3)
    gap = ((shapes[:, 145] - shapes[:, 159]) + (shapes[:, 374] - shapes[:, 386]))[:, 1] / 2
    usual = float(np.median(gap)) if usual is None else usual
    return gap / usual, usual


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--still", type=Path, help="a portrait; default: scikit-image's astronaut")
    parser.add_argument("--strength", type=float, default=1.0)
    asked = parser.parse_args()
    if asked.still is None:
        from skimage.data import astronaut

        picture = np.asarray(astronaut()[:300, 70:370])
    else:
        picture = cv2.cvtColor(cv2.imread(str(asked.still)), cv2.COLOR_BGR2RGB)
    vectors, times, size, _ = raw_track(noisy_still(picture))
    before, after = shimmer(vectors, size), shimmer(smoothed(vectors, times, asked.strength), size)
    report: dict[str, object] = {"strength": asked.strength, "shimmer_px": [before[0], after[0]]}
    report["head_size_steps_permille"] = [before[1], after[1]]
    print(f"still: landmark step {before[0]:.3f} -> {after[0]:.3f} px", end=", ")
    print(f"head size {before[1]:.2f} -> {after[1]:.2f} permille a frame")
    depths, lags = [], []
    for clip in asked.clips:
        vectors, times, size, ms = raw_track(clip_frames(clip))
        smooth = smoothed(vectors, times, asked.strength)
        raw_open, usual = openings(vectors)
        depths += blink_depths(raw_open, openings(smooth, usual)[0])
        angles = [lag_ms(vectors[:, i], smooth[:, i], times) for i in range(ROTATION.stop)]
        lags += [lag for lag in angles if lag is not None]
        told = ", ".join("-" if lag is None else f"{lag:.0f}" for lag in angles)
        print(f"{clip.stem}: lag yaw, pitch, roll {told} ms; landmarker {ms:.1f} ms")
    if depths:
        tenth, middle = np.percentile(depths, [10, 50])
        print(f"{len(depths)} blinks: depth kept, median {middle:.2f}, lowest tenth {tenth:.2f}")
        report |= {"blinks": len(depths), "depth_median": middle, "depth_p10": tenth}
    report["lag_ms"] = lags
    print(json.dumps(report))


if __name__ == "__main__":
    main()
