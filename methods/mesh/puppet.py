# SPDX-License-Identifier: MIT
"""Motion to image by the portrait's own mesh."""

from collections.abc import Sequence

import cv2
import numpy as np

from engines.mediapipe_reader import StillReader, VideoReader
from face.arrays import Floats, Image
from face.errors import WrongUse
from face.face_model import SURFACE, FaceModel, face_model
from face.frame import Frame
from face.matte import background_plate, foreground
from face.motion import Motion
from face.pose import euler_angles
from face.raster import composite, rasterise
from methods.mesh.eyes import build_eyeballs, paint_eye
from methods.mesh.lids import build_lids, paint_lid
from methods.mesh.motion import Retargeter, RigPose, blended, read_of
from methods.mesh.mouth import build_mouth, paint_mouth
from methods.mesh.refinement import ROUNDS, UNTRIMMED, Wanted, refine
from methods.mesh.response import Probed, Response, measure_response
from methods.mesh.rig import LEFT_EYE, build_rig
from methods.method import OnFrame, Opening, Rest
from methods.portrait import Portrait, open_portrait, shrunk
from methods.subject import Enrolled, Seed, Subject

PROBE_PX = 512  # longer side of the pictures a portrait is measured by: larger ones are read no better
EASE_PASSES = 3  # in which a frame without a face becomes the one beside it


class MeshPuppet:
    """The portrait's own tracked 3D mesh, re-posed and deformed by the driver's motion; needs no training.

    A call takes a few milliseconds at 512 px, allocates nothing of the picture's size but the result, and is
    not thread-safe.
    """

    reads_frame = False

    def __init__(self, portrait: Portrait) -> None:
        height, width = portrait.image.shape[:2]
        self.size = (width, height)
        model = face_model()
        self._rig = build_rig(portrait.landmarks, portrait.alpha, model)
        self._retarget = Retargeter(model, self._rig.face_shape, self._rig.rotation)
        self.rest = Rest(euler_angles(self._rig.rotation), portrait.blendshapes)
        self.portrait = portrait.image
        self._background = background_plate(portrait.image, portrait.alpha)
        self._texture = foreground(portrait.image, portrait.alpha, self._background)
        self._texture_points = np.ascontiguousarray(self._rig.rest[:, :2])
        self._eyeballs = build_eyeballs(portrait.image, self._rig)
        shut = self._retarget.lidded(0.0, 0.0)
        self._lids = build_lids(
            portrait.image, self._rig, self._rig.pose(shut.offsets, shut.turn, shut.shift, shut.zoom)
        )
        white = np.mean([eyeball.tint for eyeball in self._eyeballs], axis=0).astype(np.float32)
        self._mouth = build_mouth(portrait.image, self._rig, white)
        self._map_u = np.zeros((height, width), np.float32)
        self._map_v = np.zeros((height, width), np.float32)
        self._depth = np.zeros((height, width), np.float32)
        self._labels = np.zeros((height, width), np.uint8)
        self.response: Response | None = (
            self._measured(model)
            if max(self.size) <= PROBE_PX
            else MeshPuppet(shrunk(portrait, PROBE_PX)).response
        )
        self._retarget = Retargeter(model, self._rig.face_shape, self._rig.rotation, self.response)

    def __call__(self, motion: Motion, frame: Frame | None = None) -> Image:
        """(H, W, 3) uint8 RGB, a new array the caller owns."""
        return self._show(self._retarget(motion))

    def close(self) -> None:
        """Nothing is open."""

    def refined(
        self,
        motions: Sequence[Motion],
        *,
        rounds: int = ROUNDS,
        on_frame: OnFrame | None = None,
    ) -> "RefinedPuppet":
        """This puppet for one clip: every frame drawn, read by the tracker and corrected, `rounds` times
        at most.

        Frames in which the tracker then finds no face are drawn nearer to the nearest one in which it does,
        by a third, by two, and at last as that one. Costs about `rounds` times the drawing and reading;
        `on_frame` is called once a frame and round.
        """
        with VideoReader() as reader:
            still = reader(
                self._show(self._retarget.probe(np.zeros_like(self._rig.rest[:SURFACE]), np.zeros(3)))
            )
        if still is None or not motions:
            return RefinedPuppet(self, motions, np.zeros((len(motions), len(UNTRIMMED)), np.float32), {})
        at_rest = read_of(still, still)
        wanted = np.array([self._retarget.wanted(motion, at_rest) for motion in motions], np.float32)

        def read(trims: Floats, eased: dict[int, RigPose]) -> Floats:
            seen = np.full_like(wanted, np.nan)
            with VideoReader() as reader:
                for index, motion in enumerate(motions):
                    pose = eased.get(index) or self._retarget(motion, trims[index])
                    if (found := reader(self._show(pose))) is not None:
                        seen[index] = read_of(found, still)
                    if on_frame is not None:
                        on_frame()
            return seen

        trims, seen = refine(
            lambda trims: read(trims, {}),
            Wanted(wanted),
            steepness=self._retarget.steepness(),
            rounds=rounds,
        )
        eased: dict[int, RigPose] = {}
        shares = np.zeros(len(motions))
        for _ in range(EASE_PASSES):
            lost = np.isnan(seen).any(1)
            shown = np.flatnonzero(~lost & (shares == 0))
            if not lost.any() or not len(shown):
                break
            shares[lost] += 1 / EASE_PASSES
            for index in np.flatnonzero(shares).tolist():
                near = int(shown[np.abs(shown - index).argmin()])
                pose, other = (self._retarget(motions[k], trims[k]) for k in (index, near))
                eased[index] = blended(pose, other, min(float(shares[index]), 1.0))
            seen = read(trims, eased)
        return RefinedPuppet(self, motions, trims, eased)

    def _measured(self, model: FaceModel) -> Response | None:
        """The response of this portrait, drawn and read about a hundred times."""
        with StillReader() as reader:

            def probe(offsets: Floats, turn: Floats) -> Probed | None:
                pose = self._retarget.probe(offsets, turn)
                face = reader.one(self._show(pose))
                if face is None:
                    return None
                return Probed(face.blendshapes, face.rotation, euler_angles(pose.turn))

            return measure_response(probe, model)

    def trimmed(self, motion: Motion, trim: Floats) -> Image:
        """As a call, with trim (6,) added, see refinement.py."""
        return self._show(self._retarget(motion, trim))

    def posed(self, pose: RigPose) -> Image:
        """A pose of this portrait's Retargeter, drawn."""
        return self._show(pose)

    def _show(self, pose: RigPose) -> Image:
        rig = self._rig
        points = rig.pose(pose.offsets, pose.turn, pose.shift, pose.zoom)
        rasterise(
            points,
            self._texture_points,
            rig.triangles,
            rig.labels,
            self._map_u,
            self._map_v,
            self._depth,
            self._labels,
        )
        out = np.empty((self.size[1], self.size[0], 3), np.uint8)
        composite(self._texture, self._background, self._map_u, self._map_v, self._labels, out)
        for eyeball in self._eyeballs:
            openness = pose.openness[1 if eyeball.label == LEFT_EYE else 0]
            patch = eyeball.patch(pose.gaze * rig.scale)
            moved = rig.place(eyeball.frame, pose.turn, pose.shift, pose.zoom)[:, :2]
            affine = cv2.getAffineTransform(eyeball.frame_in_patch, moved.astype(np.float32))
            paint_eye(out, self._labels, eyeball, patch, affine, max(0.0, 1 - openness))
        for lid, openness in zip(self._lids, pose.openness, strict=True):
            closing = max(0.0, 1 - openness)
            paint_lid(out, self._labels, self._map_u, self._map_v, lid, points, closing)
        jaw = np.array([pose.jaw_shift, pose.jaw], np.float32)
        parted = float(pose.offsets[14, 1] - pose.offsets[13, 1])
        paint_mouth(out, self._labels, self._mouth, rig, pose.turn, pose.shift, pose.zoom, jaw, parted)
        return out


class RefinedPuppet:
    """A mesh puppet with the corrections of one clip; motions it was not refined for pass as they are."""

    reads_frame = False

    def __init__(
        self, puppet: MeshPuppet, motions: Sequence[Motion], trims: Floats, eased: dict[int, RigPose]
    ) -> None:
        self.size, self.rest, self.portrait = puppet.size, puppet.rest, puppet.portrait
        self._puppet = puppet
        times = [motion.captured_s for motion in motions]
        self._trims = dict(zip(times, trims, strict=True))
        self._eased = {times[index]: pose for index, pose in eased.items()}

    def __call__(self, motion: Motion, frame: Frame | None = None) -> Image:
        pose = self._eased.get(motion.captured_s)
        if pose is not None:
            return self._puppet.posed(pose)
        return self._puppet.trimmed(motion, self._trims.get(motion.captured_s, UNTRIMMED))

    def refined(self, motions: Sequence[Motion], *, on_frame: OnFrame | None = None) -> "RefinedPuppet":
        return self._puppet.refined(motions, on_frame=on_frame)

    def close(self) -> None:
        """Nothing is open."""


def open_mesh(subject: Subject, opening: Opening) -> MeshPuppet:
    """The training-free puppet of a photo, or of an identity's photo."""
    if isinstance(subject, Seed):
        raise WrongUse(
            f"method mesh moves a photo, {subject} names a generated face; use --method directions"
        )
    photo = subject.photo if isinstance(subject, Enrolled) else subject
    return MeshPuppet(
        open_portrait(photo.image, photo.name, longest=opening.longest, whole=opening.whole_photo)
    )
