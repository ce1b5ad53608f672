"""What a network starts from: the finished network of another run, layer by layer, and which part
of it learns.
"""

import json
from dataclasses import replace

import pytest
import torch

from models.build import build_detector
from models.iou_net import IoUConfig
from scripts.engine.places import RunPlace
from scripts.engine.run_folder.checkpoint import load_checkpoint, newest_checkpoint
from scripts.engine.weights import start
from scripts.engine.weights.start import (
    first_start,
    freeze_all_but,
    prepared_detector,
    with_pixels_of,
)
from tests.networks import KL, TINY_RESNET, change
from tests.tiny import TINY, know_tiny
from tests.tiny import train_tiny as train

SMALL = change(TINY.model, **TINY_RESNET, roi_head="conv5")
FIRST = replace(TINY, name="first", model=SMALL)
SAME = replace(FIRST, name="same", start="first")
WARM = replace(FIRST, name="warm", start="first", model=change(SMALL, **KL))
HEAD = replace(
    FIRST,
    name="head",
    start="same",
    model=change(SMALL, iou=IoUConfig(rois=8)),
    train=replace(TINY.train, trainable_part="iou"),
)
CLASSES = ("brick", "ball", "tent", "gem", "ring", "cross")
RUNS = {f"kl_loss/{run.name}": run for run in (FIRST, SAME, WARM, HEAD)}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    know_tiny(monkeypatch, RUNS)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def folder_of(out, name):
    return out / "tiny" / "kl_loss" / name / "seed0"


def place_of(out, name):
    return RunPlace(out=out, scale="tiny", paper="kl_loss", run=name, seed=0)


def weights(out, name):
    return load_checkpoint(newest_checkpoint(folder_of(out, name)))["model"]


def test_first_the_other_network_must_be_finished(out, data):
    with pytest.raises(
        ValueError,
        match=r"same starts from the finished network of first, and .*seed0 has none; train it "
        r"first: python -m scripts\.train kl_loss/first --scale tiny --seed 0 --out ",
    ):
        train(data, out, run="kl_loss/same")
    assert train(data, out, run="kl_loss/first") == 0
    assert train(data, out, run="kl_loss/same") == 0


def test_all_weights_are_taken_over(out, capsys):
    network = prepared_detector(SAME, "auto", place_of(out, "same"), CLASSES, resumed=False)
    assert all(
        torch.equal(value, weights(out, "first")[name])
        for name, value in network.state_dict().items()
    )
    assert "new: none" in capsys.readouterr().out
    # the first network started from scratch
    assert all(p.requires_grad for p in network.parameters())
    assert first_start(place_of(out, "same")) == "scratch"


def test_box_layers_begin_anew_in_another_coding(out, capsys):
    """And begin as the same network without a start would: N(0, 0.001), not the other network's."""
    torch.manual_seed(5)
    network = prepared_detector(
        WARM, "none", place_of(out, "warm"), CLASSES, resumed=False
    ).state_dict()
    torch.manual_seed(5)
    fresh = build_detector(WARM.model).state_dict()
    taken = weights(out, "first")
    for name, value in network.items():
        anew = name.startswith(
            ("roi.head.predictor.offsets.", "roi.head.predictor.log_variance.", "rpn.head.offsets.")
        )
        assert torch.equal(value, (fresh if anew else taken)[name]), name
    assert (
        "new: rpn.head.offsets, roi.head.predictor.offsets, roi.head.predictor.log_variance"
        in capsys.readouterr().out
    )


def test_a_head_learns_alone(out, data):
    assert train(data, out, run="kl_loss/head") == 0
    before, after = weights(out, "same"), weights(out, "head")
    assert all(torch.equal(after[name], value) for name, value in before.items())
    torch.manual_seed(0)
    fresh = build_detector(HEAD.model).state_dict()
    assert not any(
        torch.equal(after[name], fresh[name])
        for name in after
        if name.startswith("iou.head.") and name.endswith("weight")
    )


def test_freeze_all_but_stops_norms_as_well():
    network = build_detector(HEAD.model)
    freeze_all_but(network, "iou")
    network.train()
    assert {name.split(".")[0] for name, p in network.named_parameters() if p.requires_grad} == {
        "iou"
    }
    assert not any(
        layer.training for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)
    )


def test_a_network_of_another_size_is_refused(out):
    wide = replace(SAME, model=change(SMALL, roi_fc_dims=(24, 24), num_classes=9))
    with pytest.raises(
        ValueError, match=r"same cannot start from .*step-00000006.pt: .* has another shape there"
    ):
        prepared_detector(wide, "none", place_of(out, "same"), CLASSES, resumed=False)


def test_rows_go_by_the_names_of_the_classes(out, capsys):
    """The earlier network knows brick, ball, tent, gem, ring, cross; this one cross, BALL, leaf."""
    small = replace(SAME, model=change(SMALL, num_classes=3))
    names = ("cross", "BALL", "leaf")
    torch.manual_seed(5)
    network = prepared_detector(small, "none", place_of(out, "same"), names, resumed=False)
    torch.manual_seed(5)
    fresh, taken = build_detector(small.model).state_dict(), weights(out, "first")
    state = network.state_dict()
    for layer, block in (("class_logits", 1), ("offsets", 4)):
        name = f"roi.head.predictor.{layer}.weight"
        ours, theirs, initial = (
            weight[name].unflatten(0, (-1, block)) for weight in (state, taken, fresh)
        )
        assert torch.equal(ours[[0, 1, 2]], theirs[[0, 6, 2]])  # background, cross, ball
        assert torch.equal(ours[3], initial[3])  # leaf
    printed = capsys.readouterr().out
    assert (
        "rows by class name: cross, BALL, in roi.head.predictor.class_logits, "
        "roi.head.predictor.offsets" in printed
    )
    assert "new: none" in printed


def test_another_order_of_the_same_classes_is_followed(out):
    turned = CLASSES[::-1]
    network = prepared_detector(SAME, "none", place_of(out, "same"), turned, resumed=False)
    bias = network.state_dict()["roi.head.predictor.class_logits.bias"]
    theirs = weights(out, "first")["roi.head.predictor.class_logits.bias"]
    assert torch.equal(bias, theirs[[0, 6, 5, 4, 3, 2, 1]])


def test_a_checkpoint_of_another_network_gives_what_fits(out, capsys):
    """To other classes, another width of the proposals' layer, and boxes with log variances."""
    path = newest_checkpoint(folder_of(out, "first"))
    other = replace(FIRST, name="tuned", model=change(SMALL, **KL, num_classes=2, rpn_channels=16))
    network = prepared_detector(
        other, "auto", place_of(out, "tuned"), ("gem", "leaf"), resumed=False, start_from=path
    )
    state, taken = network.state_dict(), weights(out, "first")
    same = [name for name, value in state.items() if torch.equal(value, taken.get(name, value + 1))]
    assert all(name in same for name in state if name.startswith("backbone."))
    printed = capsys.readouterr().out
    assert f"tensors from {path}" in printed
    assert "rows by class name: gem, in roi.head.predictor.class_logits\n" in printed
    for layer in ("rpn.head.conv", "roi.head.predictor.offsets", "roi.head.predictor.log_variance"):
        assert layer in printed.partition("new: ")[2]
    vgg = replace(TINY, name="vgg", start="checkpoint")
    with pytest.raises(ValueError, match=r"step-00000006.pt \(a resnet50\) fits only 0 of the"):
        prepared_detector(
            vgg, "auto", place_of(out, "vgg"), CLASSES, resumed=False, start_from=path
        )


def test_conventions_that_the_weights_were_not_trained_with_are_named(out, capsys):
    """The strides of the blocks and the place of RoIAlign's samples, which no tensor says."""
    path = newest_checkpoint(folder_of(out, "first"))
    place = place_of(out, "tuned")
    prepared_detector(FIRST, "auto", place, CLASSES, resumed=False, start_from=path)
    assert "trained with" not in capsys.readouterr().out
    other = change(SMALL, backbone_resnet_layout="detectron", roi_aligned=True)
    run = replace(FIRST, model=other)
    prepared_detector(run, "auto", place, CLASSES, resumed=False, start_from=path)
    assert (
        "other than what they were trained with: backbone.resnet_layout: torchvision -> detectron; "
        "roi.aligned: False -> True\n" in capsys.readouterr().out
    )


def test_weights_from_caffe_in_a_run_with_other_pixels_or_strides_are_named(out, monkeypatch):
    """Their names say that they are from there, and no tensor would fail to fit."""
    monkeypatch.setattr(start, "read_weights", lambda path: {"res2_0_branch2a_w": torch.ones(1)})
    monkeypatch.setattr(start, "load_pretrained", lambda *_: "weights: all")
    place, network = place_of(out, "first"), build_detector(SMALL)
    run = replace(FIRST, start="imagenet")
    text = start.load_starting_weights(network, run, "R-50.pkl", place, CLASSES)
    assert "this run has pixels 'torchvision' and resnet_layout 'torchvision'" in text
    caffe = replace(
        run,
        model=change(SMALL, backbone_resnet_layout="detectron"),
        data=replace(run.data, pixels="caffe"),
    )
    text = start.load_starting_weights(network, caffe, "R-50.pkl", place, CLASSES)
    assert text == "weights: all"


def test_the_pixels_are_those_of_the_network_that_it_starts_from(out, tmp_path):
    """Whatever the command line would choose for a start from ImageNet."""
    tf = replace(
        WARM,
        data=replace(WARM.data, pixels="tf"),
        model=change(WARM.model, backbone_tf_padding=True),
    )
    found = with_pixels_of(tf, place_of(out, "first"))
    assert (found.data.pixels, found.model.backbone.tf_padding) == ("torchvision", False)
    assert replace(found, data=tf.data, model=tf.model) == tf
    assert with_pixels_of(tf, place_of(tmp_path, "first")) is tf


def test_a_folder_that_is_gone_is_a_sentence(tmp_path):
    with pytest.raises(
        ValueError, match=r"run\.json cannot be read: .*a later network started from the one"
    ):
        first_start(place_of(tmp_path, "same"))


def test_what_the_first_network_began_with_decides_what_is_frozen(out, tmp_path):
    for name, begun in (("first", "imagenet"), ("same", "first")):
        folder = folder_of(tmp_path, name)
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"start": begun}))
    assert first_start(place_of(tmp_path, "same")) == "imagenet"


def test_a_start_from_a_network_of_an_earlier_version_is_a_sentence(tmp_path):
    folder = folder_of(tmp_path, "first")
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(
        json.dumps({"start": "scratch", "model": {"caffe_layout": False}})
    )
    (folder / "step-00000006.pt").touch()
    (folder / "step-00000006.json").write_text('{"step": 6, "sha256": "0"}')
    for call in (
        lambda: with_pixels_of(WARM, place_of(tmp_path, "first")),
        lambda: first_start(place_of(tmp_path, "first")),
    ):
        with pytest.raises(ValueError, match="written by an earlier version of this code"):
            call()
