"""Images in, detections out: files, arrays, tensors and Pillow's images are the same image."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import hubconf
from scripts.engine.checkpoint import checkpoint_of
from scripts.engine.photo_detector import PhotoDetector
from tests.scripts.test_detect import write_checkpoint

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
    first, *others = detector(forms)
    assert len(first.boxes) == len(first.sigma) > 0
    assert set(first.labels.tolist()) <= set(range(1, len(detector.classes) + 1))
    for other in others:
        assert torch.equal(first.boxes, other.boxes)
        assert torch.equal(first.sigma, other.sigma)
    best = PhotoDetector(checkpoint, device="cpu", score=float(first.scores[1]))([PIXELS])[0]
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


FROM_ANOTHER_FOLDER = """
import sys
import torch
import data.mine, models
mine, theirs = data.mine, models
detector = torch.hub.load(sys.argv[1], "detector", sys.argv[2], source="local", score=0.0)
(found,) = detector(["photo.png"])
assert len(found.boxes) == len(found.sigma) > 0
import data.mine, data.other, models
assert data.mine is mine and models is theirs and data.other.NAME == "other"
again = torch.hub.load(sys.argv[1], "detector", sys.argv[2], source="local", score=0.0)
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
