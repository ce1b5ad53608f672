"""scripts.detect on tiny untrained networks: what it writes, what it skips, what it refuses."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

from data.loader import DataConfig
from models.build import ModelConfig, build_detector
from scripts import detect
from scripts.checkpoint import plain, save_checkpoint

CLASSES = ["cat", "dog"]
DATA = DataConfig(layout="voc", train=("train",), test="val", short_side=48, long_side=64, pixels="torchvision")


def write_checkpoint(folder, *, log_variance, **changes):
    model = ModelConfig(
        backbone="vgg16", num_classes=2, width=0.1, fc_dims=(16, 16), anchor_sizes=(16.0, 32.0), min_size=2.0,
        post_nms_test=10, log_variance=log_variance, box_coding="edges" if log_variance else "center_size")
    torch.manual_seed(0)
    run = {"name": "tiny", "model": asdict(model) | changes, "data": asdict(DATA)}
    return save_checkpoint(folder, 1, {
        "model": build_detector(model).state_dict(), "step": 1, "run": plain(run), "classes": CLASSES})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("kl"), log_variance=True)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, (height, width) in (("a.png", (96, 128)), ("b.jpg", (60, 40))):
        noise = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name)
    return folder


def call(*words):
    return detect.main([str(word) for word in words])


def test_folder_becomes_one_json_and_one_overlay_per_image(checkpoint, photos, tmp_path):
    out = tmp_path / "out"
    assert call(checkpoint, photos, "--out", out, "--score", 0.2, "--device", "cpu") == 0
    found = json.loads((out / "detections.json").read_text())
    assert sorted(found) == [str(photos / "a.png"), str(photos / "b.jpg")]
    lines = found[str(photos / "a.png")]
    assert lines
    for line in lines:
        assert line["class"] in CLASSES
        assert 0.2 <= line["score"] <= 1
        assert 0 <= line["box"][0] <= line["box"][2] <= 128
        assert 0 <= line["box"][1] <= line["box"][3] <= 96
        assert len(line["sigma"]) == 4
        assert min(line["sigma"]) > 0
    assert [line["score"] for line in lines] == sorted((line["score"] for line in lines), reverse=True)
    assert sorted(path.name for path in out.glob("*.png")) == ["a.png", "b.png"]
    with Image.open(out / "a.png") as picture:
        assert picture.size == (512, 384)  # 128 x 96 px enlarged four times


def test_score_only_hides_detections(checkpoint, photos, tmp_path):
    """Boxes below --score take part in suppression and voting: a higher --score leaves a beginning of the list."""
    for score in (0.2, 0.34):
        assert call(checkpoint, photos, "--out", tmp_path / str(score), "--score", score) == 0
    low, high = (json.loads((tmp_path / s / "detections.json").read_text()) for s in ("0.2", "0.34"))
    for name, lines in low.items():
        assert high[name] == [line for line in lines if line["score"] >= 0.34]


def test_bad_image_is_named_and_the_rest_is_done(checkpoint, photos, tmp_path, capsys):
    (photos / "c.png").write_text("no image")
    assert call(checkpoint, photos, photos / "missing.jpg", "--out", tmp_path / "out") == 1
    assert len(json.loads((tmp_path / "out" / "detections.json").read_text())) == 2
    errors = capsys.readouterr().err
    assert "c.png" in errors
    assert "missing.jpg" in errors


def test_network_without_log_variance_has_no_sigma_and_cannot_vote(photos, tmp_path, capsys):
    path = write_checkpoint(tmp_path / "baseline", log_variance=False)
    assert call(path, photos / "a.png", "--out", tmp_path / "out", "--score", 0) == 0
    lines = json.loads((tmp_path / "out" / "detections.json").read_text())[str(photos / "a.png")]
    assert {line["sigma"] for line in lines} == {None}
    assert call(path, photos / "a.png", "--out", tmp_path / "out", "--sigma-t", 0.02) == 2
    assert "log variances" in capsys.readouterr().err


def test_default_votes_if_it_can():
    args = detect.parse(["x.pt", "a.png", "--out", "out"])
    assert detect.chosen_postprocess(args, log_variance=True).sigma_t == 0.02
    assert detect.chosen_postprocess(args, log_variance=False).sigma_t == 0
    args = detect.parse(["x.pt", "a.png", "--out", "out", "--sigma-t", "0", "--suppression", "soft_gaussian"])
    config = detect.chosen_postprocess(args, log_variance=True)
    assert (config.sigma_t, config.suppression) == (0, "soft_gaussian")


def test_refuses_with_one_sentence(checkpoint, photos, tmp_path, capsys):
    assert call(tmp_path / "none.pt", photos, "--out", tmp_path / "out") == 2
    assert call(checkpoint, photos, "--out", photos) == 2
    unknown = write_checkpoint(tmp_path / "future", log_variance=True, colour="red")
    assert call(unknown, photos, "--out", tmp_path / "out") == 2
    lines = capsys.readouterr().err.splitlines()
    assert [("none.pt" in lines[0]), ("folder of input images" in lines[1]), ("colour" in lines[2])] == [True] * 3
    assert len(lines) == 3


def test_equal_names_get_numbers(tmp_path):
    taken = set()
    names = [detect.overlay_file(tmp_path, tmp_path / folder / "a.jpg", taken).name for folder in ("x", "y", "z")]
    assert names == ["a.png", "a-2.png", "a-3.png"]


def test_side_bands_are_one_sigma_to_both_sides():
    bands = list(detect.side_bands([10, 20, 30, 60], [1, 2, 3, 4]))
    assert bands == [(9, 20, 11, 60), (27, 20, 33, 60), (10, 18, 30, 22), (10, 56, 30, 64)]
