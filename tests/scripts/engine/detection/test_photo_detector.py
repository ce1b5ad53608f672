"""Images in, detections out: files, arrays, tensors and Pillow's images are the same image."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import hubconf
from postprocess.error_quantiles import ErrorQuantiles
from postprocess.intervals import holding_boxes
from postprocess.sigma_scale import SigmaScale
from scripts.engine.detection.detection import BATCH, load_detector
from scripts.engine.detection.photo_detector import PhotoDetector
from scripts.engine.run_folder.checkpoint import checkpoint_of, load_checkpoint
from scripts.engine.run_folder.checkpoint import write_checkpoint as write_checkpoint_state
from scripts.engine.run_folder.recalibration import KEY, Recalibration, keep_recalibration
from tests.scripts.test_detect import write_checkpoint

SIDES = tuple((p / 100, p / 50, p / 50, p / 50) for p in range(1, 91))  # of 1, 2, ... 90 %
PIXELS = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("run"), log_variance=True)


def test_every_form_of_an_image_gives_the_same_detections(checkpoint, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    forms = [
        tmp_path / "photo.png",
        str(tmp_path / "photo.png"),
        PIXELS,
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        Image.fromarray(PIXELS),
    ]
    detector = hubconf.detector(checkpoint, device="cpu", score=0.0)
    assert isinstance(detector, PhotoDetector)
    first, *others = (detector(form) for form in forms)
    assert len(first.boxes) == len(first.sigma) > 0
    assert set(first.labels.tolist()) <= set(range(1, len(detector.classes) + 1))
    for other in others:
        assert torch.equal(first.boxes, other.boxes)
        assert torch.equal(first.sigma, other.sigma)
    best = PhotoDetector(checkpoint, device="cpu", score=float(first.scores[1]))(PIXELS)
    assert torch.equal(best.boxes, first.boxes[: len(best.boxes)])
    assert len(best.boxes) < len(first.boxes)
    assert detector([]) == []


@pytest.mark.parametrize("wrong", [np.zeros((4, 4)), torch.zeros(4, 4, dtype=torch.uint8)])
def test_what_is_no_image_is_named_by_its_place(checkpoint, wrong):
    with pytest.raises(ValueError, match=r"Image 1 is \(4, 4.*give a file"):
        PhotoDetector(checkpoint, device="cpu")([PIXELS, wrong])


def test_a_folder_stands_for_its_best_checkpoint(checkpoint, tmp_path):
    folder = checkpoint.parent
    assert checkpoint_of(checkpoint) == checkpoint
    assert checkpoint_of(folder) == checkpoint  # the newest step-*.pt
    (tmp_path / "seed0").mkdir()
    with pytest.raises(ValueError, match=r"has neither best\.pt nor a complete step-"):
        checkpoint_of(tmp_path)
    (tmp_path / "seed0" / "best.pt").touch()
    assert checkpoint_of(tmp_path) == tmp_path / "seed0" / "best.pt"  # the only seed
    (tmp_path / "seed1").mkdir()
    with pytest.raises(ValueError, match="give the folder of one seed"):
        checkpoint_of(tmp_path)


def noise(seed, height, width):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_batch_finds_what_each_image_has_alone(checkpoint):
    """Ten images of three sizes, more than a batch, come back in their order."""
    sizes = [(60, 80), (80, 60), (60, 80), (64, 64)] * 3
    photos = [noise(seed, *size) for seed, size in enumerate(sizes)]
    detector = PhotoDetector(checkpoint, device="cpu", score=0.0)
    together = detector(photos)
    assert len(together) == 12 > BATCH
    for photo, found in zip(photos, together, strict=True):
        alone = detector(photo)
        assert found.size == photo.shape[:2]
        assert torch.equal(found.labels, alone.labels)
        torch.testing.assert_close(found.boxes, alone.boxes, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(found.sigma, alone.sigma, rtol=1e-4, atol=1e-3)


def test_what_a_result_says_about_its_detections(checkpoint):
    found = PhotoDetector(checkpoint, device="cpu", score=0.0)(PIXELS)
    assert found.names == [found.classes[label - 1] for label in found.labels.tolist()]
    assert [line["class"] for line in found.lines()] == found.names
    assert min(found.draw().size) >= min(found.size)
    entries = found.to_coco(image_id=7, category_ids=(30, 40))
    assert [entry["score"] for entry in entries] == found.scores.tolist()
    assert {entry["image_id"] for entry in entries} == {7}
    assert {entry["category_id"] for entry in entries} <= {30, 40}
    assert [entry["sigma"] for entry in entries] == found.sigma.tolist()
    assert ((found.expected_iou() > 0) & (found.expected_iou() < 1)).all()
    assert found.within(1e9).tolist() == [[1.0] * 4] * len(found.boxes)


def test_probabilities_of_all_classes_come_on_request(checkpoint):
    plain = PhotoDetector(checkpoint, device="cpu", score=0.0)(PIXELS)
    found = PhotoDetector(checkpoint, device="cpu", score=0.0, probabilities=True)(PIXELS)
    assert plain.probabilities is None
    assert "probabilities" not in plain.lines()[0] | plain.to_coco()[0]
    assert torch.equal(found.boxes, plain.boxes)
    assert found.probabilities.shape == (len(found.boxes), 1 + len(found.classes))
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(len(found.boxes)))
    own = found.probabilities.gather(1, found.labels[:, None])[:, 0]
    assert torch.equal(own, found.scores)  # NMS leaves scores alone
    assert list(found.to_coco()[0]["probabilities"]) == ["background", *found.classes]


def test_a_class_that_is_called_background_has_no_probability_of_its_own(checkpoint, tmp_path):
    state = load_checkpoint(checkpoint)
    path = tmp_path / "named.pt"
    classes = ["background", *state["classes"][1:]]
    write_checkpoint_state(path, state["step"], {**state, "classes": classes})
    assert PhotoDetector(path, device="cpu").classes[0] == "background"
    with pytest.raises(ValueError, match="has a class 'background', which is also what"):
        PhotoDetector(path, device="cpu", probabilities=True)


def test_chosen_detections_keep_their_photo(checkpoint, tmp_path):
    found = PhotoDetector(checkpoint, device="cpu", score=0.0, probabilities=True)(PIXELS)
    for keep in (slice(3, 6), found.scores > float(found.scores[2]), torch.tensor([4, 0])):
        chosen = found.select(keep)
        assert torch.equal(chosen.boxes, found.boxes[keep])
        assert torch.equal(chosen.probabilities, found.probabilities[keep])
        assert chosen.classes == found.classes
        assert torch.equal(chosen.photo, found.photo)
        assert [line["score"] for line in chosen.lines()] == [
            round(score, 4) for score in chosen.scores.tolist()
        ]
    found.lines()[0]["class"] = "changed"
    assert found.lines()[0]["class"] != "changed"


@pytest.mark.parametrize("score", [50, -0.1, float("nan")])
def test_a_score_that_is_none_is_refused(checkpoint, score):
    with pytest.raises(ValueError, match=r"score of .* is no share"):
        PhotoDetector(checkpoint, device="cpu", score=score)


def test_intervals_of_raw_sigmas_are_a_gaussians(checkpoint):
    """95.45 % lie within two sigma; four independent sides are all inside with the fourth power."""
    found = PhotoDetector(checkpoint, device="cpu", score=0.0)(PIXELS)
    ends = found.intervals(0.9545)
    torch.testing.assert_close(ends[..., 1] - found.boxes, 2 * found.sigma, rtol=1e-4, atol=1e-4)
    holding = found.factors_at(0.9).holding
    assert torch.special.ndtr(torch.tensor(holding)) ** 4 == pytest.approx(0.9)
    assert torch.equal(found.holding_boxes(0.9), holding_boxes(found.boxes, found.sigma, holding))
    with pytest.raises(ValueError, match=r"level of 90 is no share"):
        found.intervals(90)


def test_recalibrated_sigmas_have_the_levels_that_were_fitted(checkpoint, tmp_path):
    path = tmp_path / checkpoint.name
    shutil.copy(checkpoint, path)
    keep_recalibration(
        path,
        Recalibration(
            scale=SigmaScale(edges=(), factors=((1.0, 2.0, 3.0, 4.0),)),
            quantiles=ErrorQuantiles(sides=SIDES, holding=(2.5,) * 90),
            by="side",
            aim="coverage",
            fitted_on="val",
            images=3,
            matched=40,
        ),
    )
    raw = PhotoDetector(checkpoint, device="cpu", score=0.0)(PIXELS)
    found = PhotoDetector(path, device="cpu", score=0.0)(PIXELS)
    torch.testing.assert_close(found.sigma, raw.sigma * torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert found.factors_at(0.9).sides == pytest.approx((0.9, 1.8, 1.8, 1.8))
    assert found.factors_at(0.9).holding == 2.5
    ends = found.intervals(0.3)
    torch.testing.assert_close(ends[:, 0, 1] - found.boxes[:, 0], 0.3 * found.sigma[:, 0])
    expected = (2.0 / found.sigma * torch.tensor([1.0, 0.5, 0.5, 0.5])).clamp(max=0.9)
    torch.testing.assert_close(found.within(2.0), expected)
    with pytest.raises(ValueError, match=r"levels from 0\.01 to 0\.9, and not for 0\.95"):
        found.intervals(0.95)
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match=rf"distance of {wrong} px is none"):
            found.within(wrong)
    best = found.select(slice(0, 2))
    torch.testing.assert_close(best.intervals(0.3), found.intervals(0.3)[:2])


def test_factors_of_an_earlier_version_are_refused_and_can_be_replaced(checkpoint, tmp_path):
    state = load_checkpoint(checkpoint)
    path = tmp_path / checkpoint.name
    write_checkpoint_state(path, state["step"], {**state, KEY: {"intervals": []}})
    with pytest.raises(ValueError, match="of another version"):
        PhotoDetector(path, device="cpu")
    assert load_detector(path, torch.device("cpu"), with_factors=False).recalibration is None


def test_without_sigma_what_needs_it_says_so(tmp_path):
    plain = write_checkpoint(tmp_path, log_variance=False)
    found = PhotoDetector(plain, device="cpu", score=0.0)(PIXELS)
    assert "sigma" not in found.to_coco()[0]
    for ask in (found.expected_iou, found.intervals, found.holding_boxes, lambda: found.within(1)):
        with pytest.raises(ValueError, match="predicts no sigma"):
            ask()


FROM_ANOTHER_FOLDER = """
import sys
import torch
import data.mine, models
mine, theirs = data.mine, models
detector = torch.hub.load(sys.argv[1], "detector", source="local", path=sys.argv[2], score=0.0)
found = detector("photo.png")
assert len(found.boxes) == len(found.sigma) > 0
import data.mine, data.other, models
assert data.mine is mine and models is theirs and data.other.NAME == "other"
again = torch.hub.load(sys.argv[1], "detector", source="local", path=sys.argv[2], score=0.0)
assert torch.equal(again(["photo.png"])[0].boxes, found.boxes)
"""


def test_from_a_folder_that_has_packages_of_the_same_names(checkpoint, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    for path, text in (
        ("data/__init__.py", ""),
        ("data/mine.py", ""),
        ("data/other.py", "NAME = 'other'"),
        ("models.py", ""),
        ("program.py", FROM_ANOTHER_FOLDER),
    ):
        tmp_path.joinpath(path).parent.mkdir(exist_ok=True)
        tmp_path.joinpath(path).write_text(text)
    command = [sys.executable, "program.py", str(Path(hubconf.__file__).parent), str(checkpoint)]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_torch_hub_asks_for_the_packages_that_are_imported_and_no_others():
    program = "import hubconf, sys; print(*(set(hubconf.dependencies) - set(sys.modules)))"
    command = [sys.executable, "-c", program]
    folder = Path(hubconf.__file__).parent
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert ended.stdout == "\n"
