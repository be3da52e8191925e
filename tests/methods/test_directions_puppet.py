# SPDX-License-Identifier: MIT
"""The directions puppet over a small real generator: the driver moves the code, the head returns into its
photo, and what does not fit together is said in one line.
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch makes the small model")
pytest.importorskip("onnx", reason="onnx writes its graph")

from damage import FAULTS, copied, damage
from small_latent import KEY, SIZE, astronaut, write_model, write_small_identity

from engines import TensorSpec, ffhq_mobile
from engines.base import Array, Provenance, check_arrays
from face.alignment import aligned_crop
from face.direction_parameters import INDEX, NAMES, RANGES, SCALED_LIMIT, parameters_of
from face.errors import BadPortrait, EngineUnavailable, ModelUnavailable, WrongUse
from face.motion import BLENDSHAPE_INDEX, Motion
from face.motion_vector import motion_of, resting_vector
from methods import making
from methods.directions.motion import LARGEST_EXPRESSION, LARGEST_GAZE, OwnNumbers, held_together
from methods.directions.puppet import open_directions
from methods.identity import Identity, read_identity
from methods.latent import Drawing, LatentPuppet, head_move
from methods.method import Opening, Rest
from methods.paste_back import STILL, HeadMove, PasteBack
from methods.portrait import Portrait
from methods.registry import open_puppet
from methods.subject import Photo, resolve

PLACES_BACK = 4.0  # grey levels: the crop is sampled twice on its way there and back


class Easel:
    """An Engine that writes down what it is given and gives back what it was made with."""

    def __init__(self, inputs: dict[str, tuple[int, ...]], **made: Array) -> None:
        self.given: list[dict[str, Array]] = []
        self.closed = False
        self.inputs = tuple(TensorSpec(name, shape) for name, shape in inputs.items())
        self.outputs = tuple(TensorSpec(name, value.shape, str(value.dtype)) for name, value in made.items())
        self.provenance = Provenance(Path("easel"), "onnx", "none", "none")
        self._made = made

    def run(self, **arrays: Array) -> dict[str, Array]:
        check_arrays(self.inputs, arrays)
        self.given.append({name: value.copy() for name, value in arrays.items()})
        return {name: value.copy() for name, value in self._made.items()}

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> "Easel":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return astronaut()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("small") / "model")


@pytest.fixture(scope="module")
def folder(portrait: Portrait, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_identity(tmp_path_factory.mktemp("small") / "identity", portrait)


@pytest.fixture
def identity(folder: Path) -> Identity:
    return read_identity(folder)


def opened(named: Path | str | Photo, longest: int, **told: object) -> LatentPuppet:
    subject = named if isinstance(named, Photo) else resolve(named)
    return open_directions(subject, Opening(longest, **told))  # type: ignore[arg-type]


def driver(*, turn: tuple[float, float, float] = (0, 0, 0), relative: bool = True, **scores: float) -> Motion:
    rest = motion_of(resting_vector(), (640, 480), captured_s=0.0)
    values = np.zeros(52, np.float32)
    for name, value in scores.items():
        values[BLENDSHAPE_INDEX[name]] = value
    turned = np.array(turn, np.float32)
    return replace(rest, rotation=turned, blendshapes=values, neutral=rest if relative else None)


def deltas_of(portrait: Motion, *motions: Motion) -> list[Array]:
    numbers = OwnNumbers(portrait)
    return [numbers(motion)["delta"][0] for motion in motions]


def test_the_mover_reads_code_and_numbers_and_the_generator_what_it_makes(identity: Identity) -> None:
    w, picture = np.full((1, 8, 512), 3, np.float32), np.full((1, SIZE, SIZE, 3), 9, np.uint8)
    mover = Easel({"identity": (1, 8, 512), "delta": (1, len(NAMES))}, w=w)
    generator = Easel({"w": (1, 8, 512)}, image=picture)
    code = identity.codes[0]
    numbers = OwnNumbers(identity.motion)
    puppet = LatentPuppet(identity, code, (mover, generator), numbers, frame="raw", longest=256)
    assert not mover.given[0]["delta"].any(), "at rest first"
    image = puppet(driver(turn=(10, 0, 0)))
    assert np.array_equal(image, picture[0]) and len(mover.given) == len(generator.given) == 2
    assert np.array_equal(mover.given[1]["identity"], code.w[None])
    assert mover.given[1]["delta"][0, INDEX["yaw"]] > 0
    assert np.array_equal(generator.given[1]["w"], w)
    puppet.close()
    assert mover.closed and generator.closed


def test_offsets_that_nobody_makes_are_none_and_those_a_mover_makes_are_drawn(identity: Identity) -> None:
    code = replace(identity.codes[0], feature=np.full((4, 2, 2), 5, np.float32))
    shapes = {"w": (1, 8, 512), "styles": (1, 30), "feature": (1, 4, 2, 2)}
    generator = Easel(shapes, image=np.zeros((1, SIZE, SIZE, 3), np.uint8))
    offsets = np.full((1, 30), 2, np.float32)
    for mover in (
        Easel({"identity": (1, 8, 512)}, w=code.w[None] + 1),
        Easel({"alpha": (1, 2)}, styles=offsets),
    ):
        Drawing(mover, generator, code)({"alpha": np.ones((1, 2), np.float32)})
    moved, styled = generator.given
    assert np.array_equal(moved["w"], code.w[None] + 1) and not moved["styles"].any()
    assert np.array_equal(styled["w"], code.w[None]) and np.array_equal(styled["styles"], offsets)
    assert (moved["feature"] == 5).all(), "the identity's own"
    Drawing(mover, generator, identity.codes[0])({"alpha": np.ones((1, 2), np.float32)})
    assert not generator.given[-1]["feature"].any()


def test_the_drivers_change_against_its_rest_is_what_shifts_the_code(identity: Identity) -> None:
    still, turned = deltas_of(identity.motion, driver(), driver(turn=(10, 0, 0)))
    assert not still.any()
    expected = np.zeros(len(NAMES), np.float32)
    expected[INDEX["yaw"]] = 10 / RANGES[INDEX["yaw"]] * SCALED_LIMIT
    assert np.allclose(turned, expected, atol=1e-5)


def test_without_a_rest_the_driver_is_taken_against_the_portrait(identity: Identity) -> None:
    (delta,) = deltas_of(identity.motion, driver(turn=(0, 0, 0), relative=False))
    wanted = -parameters_of(identity.motion)[INDEX["yaw"]] / RANGES[INDEX["yaw"]] * SCALED_LIMIT
    assert np.isclose(delta[INDEX["yaw"]], wanted, atol=1e-4) and abs(wanted) > 0.1


def test_what_no_face_can_show_is_not_asked_for() -> None:
    smiling = driver(relative=False, mouthSmileLeft=0.9, mouthSmileRight=0.9)
    (delta,) = deltas_of(smiling, driver(turn=(80, 0, 0), mouthSmileLeft=1, mouthSmileRight=1))
    assert delta[INDEX["smile"]] <= 0.1 / RANGES[INDEX["smile"]] * SCALED_LIMIT + 1e-4
    assert abs(delta[INDEX["yaw"]]) <= SCALED_LIMIT
    (shut,) = deltas_of(smiling, driver(eyeBlinkLeft=1, eyeBlinkRight=1))
    assert np.abs(shut).max() <= SCALED_LIMIT


def test_an_expression_is_made_less_as_a_whole_and_poses_are_left() -> None:
    grin = np.full(len(NAMES), 4.0, np.float32)
    grin[INDEX["yaw"]], grin[INDEX["gaze_x"]] = 5.0, -6.0
    held = held_together(grin)
    assert held[INDEX["yaw"]] == 5.0 and held[INDEX["pitch"]] == 4.0
    expression = np.delete(held, [INDEX["yaw"], INDEX["pitch"]])
    assert np.isclose(np.linalg.norm(expression), LARGEST_EXPRESSION, rtol=1e-4)
    assert np.isclose(held[INDEX["smile"]], held[INDEX["jaw_open"]]), "in proportion"
    assert abs(held[INDEX["gaze_x"]]) <= LARGEST_GAZE
    smile = np.zeros(len(NAMES), np.float32)
    smile[INDEX["smile"]] = 5.0
    assert np.array_equal(held_together(smile), smile), "one alone is passed on"


def test_the_head_is_laid_where_it_was(portrait: Portrait) -> None:
    crop = aligned_crop(portrait.image, portrait.landmarks, 256)
    whole = np.ones((256, 256), np.float32)
    alpha = cv2.warpAffine(portrait.alpha, crop.to_crop, (256, 256))
    paste = PasteBack(portrait.image, portrait.alpha, portrait.landmarks, 256)
    assert paste.size == portrait.image.shape[1::-1]
    back = paste(crop.image, alpha, STILL)
    inside = portrait.alpha > 0.98
    assert float(np.abs(back.astype(int) - portrait.image)[inside].mean()) < PLACES_BACK
    # And the match of colours takes an even cast out of what was generated.
    cast = np.clip(crop.image.astype(int) + (20, -10, 15), 0, 255).astype(np.uint8)
    before = float(np.abs(paste(cast, alpha, STILL).astype(int) - portrait.image)[inside].mean())
    paste.match_colours(cast, whole)
    after = float(np.abs(paste(cast, alpha, STILL).astype(int) - portrait.image)[inside].mean())
    assert after < before / 2


def test_the_background_stays_whatever_is_generated(portrait: Portrait) -> None:
    paste = PasteBack(portrait.image, portrait.alpha, portrait.landmarks, 256)
    red = np.zeros((256, 256, 3), np.uint8) + np.array((255, 0, 0), np.uint8)
    nowhere = np.zeros((256, 256), np.float32)
    moved = paste(red, nowhere, HeadMove((20, 5, 10), (0.3, 0.1), 1.1))
    assert not (moved == (255, 0, 0)).all(2).any()
    nobody = paste(red, nowhere, STILL)
    far = cv2.dilate(portrait.alpha, np.ones((41, 41))) < 0.01
    assert np.array_equal(nobody[far], portrait.image[far])
    head = nobody[portrait.alpha > 0.9]
    photo = portrait.image[portrait.alpha > 0.9]
    assert float(np.abs(head.astype(int) - photo).mean()) > 5, "the photo's head does not show through"


def test_a_turned_head_moves_its_crop_and_a_still_one_does_not(portrait: Portrait) -> None:
    paste = PasteBack(portrait.image, portrait.alpha, portrait.landmarks, 256)
    rest = paste._quad(STILL)
    left = paste._quad(HeadMove((20, 0, 0), (0, 0), 1)).mean(0) - rest.mean(0)
    right = paste._quad(HeadMove((-20, 0, 0), (0, 0), 1)).mean(0) - rest.mean(0)
    assert left[0] > 1 > -1 > right[0], "to its own left is to the picture's right"
    tilted = paste._quad(HeadMove((0, 0, 15), (0, 0), 1))
    across = tilted[3] - tilted[0]
    assert abs(np.degrees(np.arctan2(across[1], across[0]))) > 2


def test_head_moves_are_bounded() -> None:
    motion = driver()
    assert motion.neutral is not None
    far = replace(motion, translation=np.array((3, -3), np.float32), scale=motion.scale * 9)
    move = head_move(far, open_rest())
    assert max(abs(v) for v in move.shift) <= 0.5 and move.zoom <= 1.25
    assert head_move(motion, open_rest()) == STILL


def open_rest():
    return Rest(np.zeros(3, np.float32), np.zeros(52, np.float32))


@pytest.mark.parametrize("frame", ["photo", "crop", "raw"])
def test_pictures_have_the_size_of_their_frame(model: Path, folder: Path, frame: str) -> None:
    puppet = opened(folder, 160, model=model, engine="onnx", frame=frame)
    size = {"photo": (160, 160), "crop": (SIZE, SIZE), "raw": (SIZE, SIZE)}[frame]
    image = puppet(driver(turn=(8, 0, 5), jawOpen=0.3))
    assert puppet.size == size and image.shape == (size[1], size[0], 3)
    puppet.close()


def test_the_mesh_takes_the_photo_of_an_identity(folder: Path) -> None:
    assert open_puppet("mesh", resolve(folder), Opening(128)).size == (128, 128)


def test_an_identity_of_another_generator_is_refused(folder: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other", key="0ther" * 8)
    with pytest.raises(ModelUnavailable, match="was made with model .* enroll the portrait again"):
        opened(folder, 128, model=other)


def test_a_mover_may_be_named_by_its_method(folder: Path, model: Path, tmp_path: Path) -> None:
    named = write_model(tmp_path / "named", mover="mover_directions")
    for other in (named, model):
        opened(folder, 128, model=other, engine="onnx", frame="raw").close()
    strange = write_model(tmp_path / "strange", mover="mover_landmarks")
    with pytest.raises(ModelUnavailable, match="has no live graphs for --method directions"):
        opened(folder, 128, model=strange)


@pytest.mark.parametrize("graph", ["generator_live.onnx", "mover.onnx"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_model_is_named(model: Path, folder: Path, tmp_path: Path, graph: str, fault: str) -> None:
    copy = copied(model, tmp_path / "model")
    damage(copy / graph, fault)
    with pytest.raises(ModelUnavailable, match=graph):
        opened(folder, 128, model=copy)


def test_a_model_without_a_live_graph_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="has no live graphs for --method directions"):
        bare = write_model(tmp_path / "bare", live=False)
        opened(folder, 128, model=bare)


def test_a_model_of_another_tracker_is_refused(folder: Path, tmp_path: Path) -> None:
    strange = write_model(tmp_path / "strange", parameters=("neck", "knee"))
    with pytest.raises(ModelUnavailable, match=r"moved by 2 numbers \(neck, knee\)"):
        opened(folder, 128, model=strange)


def test_a_folder_that_is_no_model_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no model in"):
        opened(folder, 128, model=tmp_path)


def test_an_engine_asked_for_by_name_is_had_or_is_an_error(folder: Path, model: Path) -> None:
    with pytest.raises((WrongUse, EngineUnavailable)):
        opened(folder, 128, model=model, engine="torch")
    with pytest.raises(WrongUse, match="expected one of"):
        opened(folder, 128, model=model, engine="abacus")


def test_a_model_without_a_mapping_makes_no_faces(model: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no mapping graph"):
        opened("seed:3", 128, model=model)
    with pytest.raises(WrongUse, match="psi is 1.5"):
        opened("seed:3:1.5", 128, model=model)


def test_the_missing_extra_is_one_line_with_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ffhq_mobile, "missing_parts", lambda: ("random_face",))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModelUnavailable, match=r"random_face is not installed; run: pip install 'facepuppet"):
        opened("seed:3", 128)


@pytest.mark.parametrize("faces", [0, 2])
def test_a_photo_that_cannot_be_used_starts_no_process(
    model: Path, portrait: Portrait, monkeypatch: pytest.MonkeyPatch, faces: int
) -> None:
    monkeypatch.setattr(making, "perform", lambda *given: pytest.fail("a process was started"))
    photo = np.full((256, 256, 3), 90, np.uint8) if faces == 0 else np.hstack([portrait.image] * 2)
    with pytest.raises(BadPortrait, match="no face" if faces == 0 else "2 faces"):
        opened(Photo("the picture", photo), 128, model=model)


def test_a_photo_is_enrolled_once_and_then_found(
    model: Path, portrait: Portrait, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked: list[list[str]] = []

    def enrol(arguments: list[str], title: str, opening: Opening) -> None:
        asked.append(arguments)
        write_small_identity(Path(arguments[arguments.index("--out") + 1]), portrait, key=key)

    key = KEY

    monkeypatch.setattr(making, "perform", enrol)
    monkeypatch.setattr(ffhq_mobile, "missing_parts", lambda: ())
    photo = tmp_path / "me.png"
    cv2.imwrite(str(photo), portrait.image[..., ::-1])
    for _ in range(2):
        opened(photo, 128, model=model).close()
    assert len(asked) == 1 and asked[0][:2] == ["identity", str(photo)]
    cv2.imwrite(str(photo), portrait.image[:, ::-1, ::-1])
    opened(photo, 128, model=model).close()
    assert len(asked) == 2, "another photo under the same name"


def test_a_photo_is_not_enrolled_for_a_model_that_cannot_be(
    portrait: Portrait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(making, "perform", lambda *given: pytest.fail("a process was started"))
    strange = write_model(tmp_path / "strange", name="another")
    with pytest.raises(ModelUnavailable, match="cannot be enrolled for another, only for ffhq-mobile"):
        opened(Photo("the picture", portrait.image), 128, model=strange)
