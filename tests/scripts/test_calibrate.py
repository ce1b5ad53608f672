"""scripts.calibrate on a tiny untrained network whose labels are its own detections, moved."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from data.coco import CocoDataset
from scripts import calibrate, detect
from scripts.engine.calibration.sigma_measures import size_names
from scripts.engine.calibration.unseen_images import parts_of_split
from scripts.engine.detection.detection import choose_postprocess, load_detector
from scripts.engine.detection.in_dataset import detect_dataset
from scripts.engine.image_digests import image_digest
from scripts.engine.run_folder.checkpoint import load_checkpoint
from scripts.engine.run_folder.recalibration import KEY, report_file
from scripts.engine.score.score import LabeledFolder, ScoreOptions, score_detections
from scripts.engine.score.source import NetworkOptions
from tests.scripts.test_detect import write_checkpoint

CPU = torch.device("cpu")
IDS = range(1, 13)
SIZE = (96, 128)  # (height, width) px


def write_labels(root, annotations):
    images = [{"id": i, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]} for i in IDS]
    categories = [{"id": k, "name": name} for k, name in enumerate(("cat", "dog"), start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations" / "instances_val.json").write_text(json.dumps(content))


def label_noise(root, checkpoint):
    """Noise, labeled with the network's detections, each side moved by up to 2 px."""
    for name in ("val", "annotations"):
        (root / name).mkdir(parents=True)
    for image_id in IDS:
        noise = np.random.default_rng(image_id).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / "val" / f"{image_id}.png")
    write_labels(root, [])
    loaded = load_detector(checkpoint, CPU)
    dataset, config = CocoDataset(root, "val"), choose_postprocess(loaded.run)
    found = detect_dataset(loaded.detector, loaded.run, dataset, config, device=CPU).detections
    annotations = []
    for image_id, image in zip(IDS, found, strict=True):
        inward = np.random.default_rng(image_id).uniform(0.1, 2.0, (len(image.boxes), 4))
        moved = image.boxes.numpy() + inward * (1, 1, -1, -1)
        for place, (x1, y1, x2, y2) in enumerate(moved.tolist()):
            box = [x1, y1, x2 - x1, y2 - y1]
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, "bbox": box,
                                "category_id": int(image.labels[place])})  # fmt: skip
    write_labels(root, annotations)
    return root


@pytest.fixture(scope="module")
def labeled(checkpoint, tmp_path_factory):
    return label_noise(tmp_path_factory.mktemp("data"), checkpoint)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("run"), log_variance=True)


@pytest.fixture
def own(checkpoint, tmp_path):
    """A copy of the checkpoint, to be written into."""
    for file in checkpoint.parent.glob("step-*"):
        shutil.copy(file, tmp_path / file.name)
    return tmp_path / checkpoint.name


def copy_images(source, target):
    """The same pixels in files of other bytes, which count as other images."""
    shutil.copytree(source, target)
    for path in target.iterdir():
        path.write_bytes(path.read_bytes() + b"other")


def call(checkpoint, labeled, *more):
    words = [checkpoint, "--data", labeled, "--split", "val", "--device", "cpu", *more]
    return calibrate.main([str(word) for word in words])


def numbers(checkpoint):
    return json.loads(report_file(checkpoint).read_text())


def test_the_checkpoint_keeps_the_factors_and_its_weights(own, labeled, capsys):
    before = load_checkpoint(own)
    assert call(own, labeled) == 0
    after = load_checkpoint(own)
    assert before["model"].keys() == after["model"].keys()
    assert all(torch.equal(value, after["model"][name]) for name, value in before["model"].items())
    (row,) = after[KEY]["scale"]["factors"]
    assert len(set(row)) == 1
    printed = capsys.readouterr().out
    assert f"sigma is multiplied by {row[0]:.3f}" in printed
    assert "half of val" in printed
    assert "in 90 % interval" in printed
    fitted = numbers(own)
    assert after[KEY]["images"] + fitted["images"] == len(IDS)
    off = {name: abs(fitted[name]["all"]["coverage1"] - 68.27) for name in ("before", "after")}
    assert off["after"] < off["before"]
    levels = [one["interval"]["level"] for one in fitted["intervals"]]
    assert levels == [0.6827, 0.8, 0.9, 0.95, 0.9545]


def test_sigmas_are_multiplied_wherever_they_are_shown(own, labeled, tmp_path):
    photo = labeled / "val" / f"{IDS[0]}.png"

    def shown(out):
        words = [own, photo, "--out", tmp_path / out, "--score", 0, "--device", "cpu"]
        assert detect.main([str(word) for word in words]) == 0
        (lines,) = json.loads((tmp_path / out / "detections.json").read_text()).values()
        return lines

    first = shown("raw")
    assert call(own, labeled, "--by", "side") == 0
    (row,) = load_checkpoint(own)[KEY]["scale"]["factors"]
    for old, new in zip(first, shown("scaled"), strict=True):
        assert old["box"] == new["box"]
        assert new["sigma"] == pytest.approx(
            [s * f for s, f in zip(old["sigma"], row, strict=True)], abs=0.02
        )
    options = ScoreOptions(
        scored=own,
        folder=LabeledFolder(root=labeled, split="val"),
        network=NetworkOptions(device="cpu"),
    )
    assert any(
        "sigma as recalibrated on half of val" in note for note in score_detections(options).notes
    )


def test_calibrating_again_starts_from_the_networks_own_sigmas(own, labeled):
    assert call(own, labeled) == 0
    once = load_checkpoint(own)[KEY]
    assert call(own, labeled) == 0
    assert load_checkpoint(own)[KEY] == once


def test_a_dry_run_leaves_the_checkpoint(own, labeled):
    before = own.read_bytes()
    assert call(own, labeled, "--dry-run", "--by", "size", "--aim", "likelihood") == 0
    assert own.read_bytes() == before
    assert load_detector(own, CPU).recalibration is None
    assert not report_file(own).exists()


def test_what_cannot_be_calibrated_is_one_sentence(own, labeled, tmp_path, capsys):
    plain = write_checkpoint(tmp_path / "plain", log_variance=False)
    learned = load_detector(own, CPU).run.data.train[0]
    shutil.copytree(labeled, tmp_path / "data")
    for name in (learned, "other"):
        shutil.copy(
            labeled / "annotations" / "instances_val.json",
            tmp_path / "data" / "annotations" / f"instances_{name}.json",
        )
        copy_images(labeled / "val", tmp_path / "data" / name)
    data = tmp_path / "data"
    for words, sentence in (
        ((plain, labeled), "predicts no sigma; give one of a run with KL Loss"),
        ((own, labeled, "--report-split", "val"), "12 of the 12 images of --report-split val are"),
        ((own, data, "--report-split", learned), f"The network learned from {learned}"),
        ((own, data, "--split", learned), f"The network learned from {learned}"),
        ((own, labeled, "--split", "nowhere"), "nowhere"),
    ):
        assert call(*words) == 2
        printed = capsys.readouterr().err
        assert sentence in printed
        assert len(printed.splitlines()) == 1
    assert call(own, data, "--report-split", "other") == 0
    assert "measured on 12 images (other)" in capsys.readouterr().out


def test_images_that_a_run_on_own_data_learned_from_are_known(own, labeled, tmp_path, capsys):
    """Whatever they and the split are called: of the twelve images it learned from two; others of
    the same names are new to it.
    """
    learned = labeled / "val"
    digests = [image_digest(learned / f"{place}.png") for place in (1, 7)]
    known = own.parent / "images.json"
    known.write_text(json.dumps({"images": 2, "digests": digests}))
    assert call(own, labeled) == 2
    assert "The network learned from 2 of the 12 images of val" in capsys.readouterr().err
    known.write_text(json.dumps({"images": 1, "digests": ["0123456789abcdef"]}))
    assert call(own, labeled, "--dry-run") == 0
    assert "note:" not in capsys.readouterr().out
    known.unlink()
    assert call(own, labeled, "--dry-run") == 0
    assert "note: which images the network learned from is not known" in capsys.readouterr().out


def test_an_image_is_known_by_its_bytes(tmp_path):
    for name, content in (("a", b"x" * 70_000), ("b", b"x" * 70_000), ("c", b"x" * 70_001)):
        (tmp_path / name).write_bytes(content)
    assert image_digest(tmp_path / "a") == image_digest(tmp_path / "b")
    assert image_digest(tmp_path / "a") != image_digest(tmp_path / "c")
    assert image_digest(tmp_path / "d") is None


@pytest.mark.parametrize(
    ("learned", "split", "shared"),
    [
        ("2007_trainval", "trainval", True),
        ("2007_trainval", "val", True),
        ("train", "trainval", True),
        ("2007_trainval", "2007_test", False),
        ("train", "val", False),
        ("trainval35k", "train2014", True),
        ("trainval35k", "val2014", True),
        ("trainval35k", "train2017", True),
        ("trainval", "val2017", True),
        ("train2017", "val2014", True),
        ("trainval35k", "minival", False),
        ("trainval35k", "val2017", False),
        ("train2017", "minival2014", False),
        ("train2014", "val2014", False),
    ],
)
def test_a_split_holds_what_its_name_says(learned, split, shared):
    assert bool(parts_of_split(learned) & parts_of_split(split)) == shared


def test_sizes_are_named_by_their_pixels():
    assert size_names([40.4, 80.0]) == ["below 40 px", "40 to 80 px", "from 80 px"]
    assert size_names([10.0]) == ["below 10 px", "from 10 px"]
    assert size_names([]) == []


def test_nothing_is_kept_if_nothing_can_be_measured(own, labeled, tmp_path, capsys):
    """Labels of the other split are far from every detection; and one image has no halves."""
    shutil.copytree(labeled, tmp_path / "data")
    file = tmp_path / "data" / "annotations" / "instances_val.json"
    content = json.loads(file.read_text())
    far = [{**a, "bbox": [0, 0, 2, 90]} for a in content["annotations"]]
    copy_images(labeled / "val", tmp_path / "data" / "far")
    file.with_name("instances_far.json").write_text(json.dumps({**content, "annotations": far}))
    before = own.read_bytes()
    assert call(own, tmp_path / "data", "--report-split", "far") == 2
    assert "None of the detections on far" in capsys.readouterr().err
    one = {**content, "images": content["images"][:1]}
    one["annotations"] = [a for a in content["annotations"] if a["image_id"] == 1]
    file.write_text(json.dumps(one))
    assert call(own, tmp_path / "data") == 2
    assert "One image cannot be fitted on and measured on" in capsys.readouterr().err
    assert own.read_bytes() == before
    assert not report_file(own).exists()
