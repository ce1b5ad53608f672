"""scripts.convert_weights on small networks of others: what comes out, and what it refuses."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.detection.image_list import ImageList

from data.config import DataConfig
from data.records import Batch
from experiments.records import Run, TrainConfig
from models.build import build_detector
from models.weights.conventions import network_of
from models.weights.detectors import from_detectron, from_torchvision
from postprocess.pipeline import PostprocessConfig, postprocess
from scripts import convert_weights, detect
from scripts.engine.detection.detection import load_detector
from scripts.engine.run_folder.checkpoint import FORMAT, load_checkpoint
from scripts.engine.update.optimizer import build_optimizer
from scripts.engine.weights import convert
from scripts.engine.weights.coco_classes import class_names, used_classes
from tests.foreign_names import (
    detectron2_c4,
    detectron2_detector,
    detectron_detector,
    small_detector,
)
from tests.networks import KL, change

DATA = DataConfig(
    layout="coco",
    train=("train2017",),
    test="val2017",
    short_side=64,
    long_side=96,
    pixels="torchvision",
)
TRAIN = TrainConfig(batch_size=2, iterations=4, lr=1e-3, lr_drops=(2,))


@pytest.fixture(scope="module")
def theirs():
    return small_detector(classes=4)


@pytest.fixture(scope="module")
def state(theirs):
    return theirs.state_dict()


def saved(path, content):
    torch.save(content, path)
    return path


def pickled(path, content):
    arrays = {name: value.numpy() for name, value in content.items()}
    path.write_bytes(pickle.dumps({"blobs": arrays, "cfg": ""}, protocol=2))
    return path


def call(*words):
    return convert_weights.main([str(word) for word in words])


def test_torchvisions_mask_rcnn_detects_the_same_here(theirs, state, tmp_path, capsys):
    """Boxes, scores, labels and masks of an image, without --run, through the checkpoint that
    scripts.detect reads.
    """
    out = tmp_path / "ours.pt"
    assert call(saved(tmp_path / "mask.pth", state), "--out", out, "--norm-eps", 1e-5) == 0
    text = capsys.readouterr().out
    matched = sum(not name.endswith("num_batches_tracked") for name in state)
    assert (
        f"matched: {matched} tensors\nmissing in the file: 0\nunexpected in the file: 0\n" in text
    )
    loaded = load_detector(out, torch.device("cpu"))
    detector, model, data, classes = (
        loaded.detector,
        loaded.run.model,
        loaded.run.data,
        loaded.classes,
    )
    assert (model.backbone.pyramid, model.mask is not None) == (True, True)
    assert (model.rpn.anchor_rule, model.backbone.resnet_layout) == ("torchvision", "torchvision")
    assert (data.pixels, data.size_divisor, classes) == (
        "torchvision",
        32,
        ["class 1", "class 2", "class 3"],
    )
    size = (96, 128)
    images = torch.randn(1, 3, *size)
    batch = Batch(images=images, image_sizes=(size,), original_sizes=(size,), image_ids=("a",))
    with torch.no_grad():
        maps = theirs.backbone(images)
        proposals, _ = theirs.rpn(ImageList(images, [size]), maps)
        expected = theirs.roi_heads(maps, proposals, [size])[0][0]
    found = postprocess(
        detector.candidates(batch, 0.0)[0],
        PostprocessConfig(iou_threshold=0.5, score_threshold=0.0, max_detections=30),
    )
    assert len(expected["boxes"]) == 30
    assert found.labels.tolist() == expected["labels"].tolist()
    torch.testing.assert_close(found.scores, expected["scores"], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found.boxes, expected["boxes"], atol=0.02, rtol=1e-3)
    masks = detector.mask.masks(detector.features(batch), batch, [found])[0].masks
    torch.testing.assert_close(masks, expected["masks"][:, 0], atol=2e-3, rtol=0.01)


def test_a_file_of_the_kl_loss_authors_becomes_a_network_that_votes(state, tmp_path, capsys):
    blobs = detectron_detector(
        {name: value for name, value in state.items() if "mask" not in name}, kl=True
    )
    file = pickled(
        tmp_path / "model_final.pkl",
        {**blobs, "kps_score_w": torch.zeros(2), "fc6_w_momentum": blobs["fc6_w"]},
    )
    assert call(file) == 0
    text = capsys.readouterr().out
    assert "detectron's resnet101 with a pyramid, 3 classes, masks: no, log variances: yes" in text
    assert "unexpected in the file: 1: kps_score_w\n" in text
    out = tmp_path / "model_final.converted.pt"
    checkpoint = load_checkpoint(out)
    model = checkpoint["run"]["model"]
    fields = {
        "backbone": {
            "resnet_layout": "detectron",
            "resnet_blocks": [1, 1, 1, 1],
            "pyramid": True,
            "pyramid_channels": 16,
        },
        "rpn": {"box_coding": "edges", "anchor_rule": "caffe", "softmax": False},
        "roi": {
            "log_variance": True,
            "box_loss": "kl",
            "box_coding": "edges",
            "sampling_ratio": 2,
            "fc_dims": [32, 32],
        },
    }
    assert {
        group: {name: model[group][name] for name in fields[group]} for group in fields
    } == fields
    assert model["mask"] is None
    assert checkpoint["run"]["data"]["pixels"] == "caffe"
    assert (checkpoint["step"], checkpoint["format"]) == (0, FORMAT)
    for name, value in from_detectron(blobs).items():
        torch.testing.assert_close(checkpoint["model"][name], value, atol=0, rtol=0)
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    checkpoint["run"]["data"]["short_side"] = 64  # 800 px take seconds
    small = saved(tmp_path / "small.pt", checkpoint)
    assert (
        detect.main(
            [str(small), str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), "--device", "cpu"]
        )
        == 0
    )
    assert (tmp_path / "out" / "detections.json").is_file()


def test_a_c4_network_of_detectron2(state, tmp_path, capsys):
    """With five sizes and three ratios of anchors at a position; the heads read conv4 (1024) and
    conv5 (2048).
    """
    theirs = detectron2_c4(detectron2_detector(state))
    dim = {
        "roi_heads.box_predictor.cls_score.weight": (4, 2048),
        "roi_heads.box_predictor.bbox_pred.weight": (12, 2048),
        "proposal_generator.rpn_head.conv.weight": (8, 1024, 3, 3),
        "proposal_generator.rpn_head.conv.bias": (8,),
        "proposal_generator.rpn_head.objectness_logits.weight": (15, 8, 1, 1),
        "proposal_generator.rpn_head.objectness_logits.bias": (15,),
        "proposal_generator.rpn_head.anchor_deltas.weight": (60, 8, 1, 1),
        "proposal_generator.rpn_head.anchor_deltas.bias": (60,),
    }
    theirs |= {name: torch.rand(shape) for name, shape in dim.items()}
    path = tmp_path / "c4.pkl"
    path.write_bytes(
        pickle.dumps(
            {"model": {name: value.numpy() for name, value in theirs.items()}, "__author__": "us"}
        )
    )
    assert call(path) == 0
    assert "detectron2's resnet101 with a conv5 head, 3 classes" in capsys.readouterr().out
    loaded = load_detector(tmp_path / "c4.converted.pt", torch.device("cpu"))
    model, data = loaded.run.model, loaded.run.data
    roi = model.roi
    assert (model.backbone.pyramid, model.rpn.channels) == (False, 8)
    assert (roi.head, roi.aligned, roi.pool_size, roi.sampling_ratio) == ("conv5", True, 14, 0)
    assert (model.rpn.anchor_rule, data.pixels) == ("detectron2", "caffe")


@pytest.fixture
def kl_run(state, monkeypatch):
    """A run that a file with 90 classes is to fill: 80 classes, edges and log variances,
    py-faster-rcnn's anchors.
    """
    model = change(
        network_of("torchvision", from_torchvision(state)),
        num_classes=80,
        rpn_anchor_rule="caffe",
        **KL,
    )
    run = Run(name="r50_small_kl", data=replace(DATA, pixels="caffe"), train=TRAIN, model=model)
    monkeypatch.setattr(convert, "find_run", lambda name: {"kl_loss/r50_small_kl": run}[name])
    return run


def test_with_run_the_file_fills_what_it_has(kl_run, tmp_path, capsys):
    """91 rows for COCO's category ids become 81: id 12 has no class, so row 13 of the file (stop
    sign) is row 12.
    """
    state = small_detector(classes=91).state_dict()
    state["roi_heads.box_predictor.cls_score.bias"] = torch.arange(91.0)
    out = tmp_path / "start.pt"
    assert (
        call(saved(tmp_path / "coco.pth", state), "--run", "kl_loss/r50_small_kl", "--out", out)
        == 0
    )
    text = capsys.readouterr().out
    assert "boxes: coded in another way, so the box layers keep their initial values" in text
    assert (
        "missing in the file: 6: rpn.head.offsets.weight, rpn.head.offsets.bias, "
        "roi.head.predictor.offsets.weight, "
        "roi.head.predictor.offsets.bias, roi.head.predictor.log_variance.weight, "
        "roi.head.predictor.log_variance.bias"
    ) in text
    assert "classes: the 90 category ids of COCO become its 80 classes" in text
    assert "anchor_rule: torchvision -> caffe" in text
    assert "box_coding: center_size -> edges" in text
    assert "pixels: torchvision -> caffe" in text
    checkpoint = load_checkpoint(out)
    logits = checkpoint["model"]["roi.head.predictor.class_logits.bias"].tolist()
    assert len(logits) == 81
    assert logits[:14] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14]
    assert logits[-1] == 90  # toothbrush
    # as a new layer has it
    assert checkpoint["model"]["roi.head.predictor.offsets.bias"].abs().max() == 0
    assert checkpoint["model"]["mask.head.logits.weight"].shape[0] == 81
    assert checkpoint["classes"][11] == "stop sign"
    assert (checkpoint["classes"][0], checkpoint["classes"][-1], len(checkpoint["classes"])) == (
        "person",
        "toothbrush",
        80,
    )
    detector = build_detector(kl_run.model)
    detector.freeze(kl_run.model.backbone.frozen_stages)
    # as scripts.train --resume does
    build_optimizer(detector, kl_run.train).load_state_dict(checkpoint["optimizer"])


def test_rows_of_ids_without_a_class_are_dropped():
    """Box rows 4 k .. 4 k + 3 are of id k: row 48 on, of class 12, was row 52 on, of id 13."""
    found = used_classes({"roi.head.predictor.offsets.bias": torch.arange(91.0 * 4)})
    assert len(found["roi.head.predictor.offsets.bias"]) == 81 * 4
    assert found["roi.head.predictor.offsets.bias"][44:52].tolist() == [
        44,
        45,
        46,
        47,
        52,
        53,
        54,
        55,
    ]


def test_class_names():
    assert class_names(90)[10:13] == ["fire hydrant", "N/A", "stop sign"]
    assert class_names(80)[10:12] == ["fire hydrant", "stop sign"]
    assert len(class_names(80)) == 80
    assert class_names(2) == ["class 1", "class 2"]


def refused(capsys, *words):
    assert call(*words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_below_95_percent_of_the_backbone(state, tmp_path, capsys):
    """4 blocks with 3 * 5 tensors, as many projections of 5 and the first layer's 5 are 85; 81
    would be enough.
    """
    # 6 less
    few = {
        name: value
        for name, value in state.items()
        if ".layer3.0.bn" not in name or "running" not in name
    }
    sentence = refused(capsys, saved(tmp_path / "few.pth", few))
    assert "fits only 79 of the 85 tensors of the backbone" in sentence
    assert "backbone.bottom_up.features.6.0.bn1.running_mean is missing" in sentence
    assert not (tmp_path / "few.converted.pt").exists()


def test_a_shape_that_does_not_fit(kl_run, state, tmp_path, capsys):
    sentence = refused(capsys, saved(tmp_path / "x.pth", state), "--run", "kl_loss/r50_small_kl")
    assert (
        "roi.head.predictor.class_logits.weight is (4, 32) in the file and (81, 32) in the network"
        in sentence
    )


def test_a_network_that_we_do_not_have(state, tmp_path, capsys):
    other = {name: value for name, value in state.items() if "box_head.fc7" not in name}
    assert "other heads and group norm are not supported" in refused(
        capsys, saved(tmp_path / "x.pth", other)
    )
    other = {name: value for name, value in state.items() if name != "rpn.head.conv.0.0.bias"}
    assert call(saved(tmp_path / "y.pth", other)) == 2
    captured = capsys.readouterr()
    assert "missing in the file: 1: rpn.head.conv.bias" in captured.out
    assert (
        "lacks rpn.head.conv.bias and is of a network that this code does not have" in captured.err
    )
    other = {name: value for name, value in state.items() if "roi_heads" not in name}
    assert "have no box head" in refused(capsys, saved(tmp_path / "z.pth", other))


def test_what_is_no_detector_of_others(state, tmp_path, capsys):
    trunk = {
        name.removeprefix("backbone.body."): value
        for name, value in state.items()
        if "backbone.body." in name
    }
    assert "holds ImageNet weights; pass them to scripts.train as --weights" in refused(
        capsys, saved(tmp_path / "r.pth", trunk)
    )
    assert "have our names already" in refused(
        capsys, saved(tmp_path / "o.pth", from_torchvision(state))
    )
    assert "are of no known network" in refused(
        capsys, saved(tmp_path / "u.pth", {"encoder.weight": torch.zeros(1)})
    )
    assert "does not exist" in refused(capsys, tmp_path / "none.pth")
    file = saved(tmp_path / "same.pth", state)
    assert "is the file to convert" in refused(capsys, file, "--out", file)
    assert "There is no paper 'nowhere'" in refused(capsys, file, "--run", "nowhere/run")


class Code:
    def __reduce__(self):
        return print, ("this ran",)


def test_a_pickle_that_runs_code_is_refused(tmp_path, capsys):
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"blobs": {"conv1_w": Code()}}))
    assert call(path) == 2
    captured = capsys.readouterr()
    assert "this ran" not in captured.out
    assert "print" in captured.err
    assert len(captured.err.splitlines()) == 1


def test_lists_of_names_are_shortened():
    assert convert.listed([]) == "0"
    assert convert.listed("ab") == "2: a, b"
    assert convert.listed("abcdefgh") == "8: a, b, c, d, e, f, ... and 2 more"
