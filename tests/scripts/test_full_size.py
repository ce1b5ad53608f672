import os
from dataclasses import replace

import pytest
import torch

from experiments.scales import mini
from models.iou_net import IoUConfig
from models.mask import MaskConfig
from scripts import full_size
from scripts.engine.full_size import trial
from tests.networks import change

CPU = torch.device("cpu")
EVERY_KIND = [
    "kl_loss/r50_fpn_kl",
    "kl_loss/r50_fpn_mask_kl",
    "kl_loss/r50_c4",
    "kl_loss/r50_fpn_rpn",
    "kl_loss/r50_fpn_fast_1x",
    "kl_loss/r50_fpn_iou",
    "kl_loss/r50_fpn_mask_iou",
    "kl_loss/r50_fpn_fast_iou",
    "kl_loss/vggm_voc",
    "kl_rpn/rfcn_r101_coco_klrpn",
    "kl_rpn/r101_voc",
    "kl_rpn/vgg16_coco_klrpn_kl",
]


def small(name):
    run = mini(trial.find_run(name))
    fields = {
        "backbone_width": 0.02,
        "roi_fc_dims": (8, 8),
        "roi_rois_per_image": 8,
        "rpn_post_nms_test": 10,
        "rpn_channels": 10,
        "backbone_pyramid_channels": 8,
    }
    if not run.model.backbone.pyramid:
        fields["rpn_anchor_sizes"] = (32.0,)
    if run.model.iou is not None:
        fields["iou"] = IoUConfig(rois=8)
    if run.model.mask is not None:
        fields["mask"] = MaskConfig(channels=8)
    model = change(run.model, **fields)
    return replace(
        run, model=model, data=replace(run.data, short_side=48, long_side=64, proposals_test=10)
    )


def test_every_run_of_every_paper_is_found():
    names = trial.all_runs()
    assert {"kl_loss/vgg16_coco", "kl_loss/vgg16_coco_kl", "kl_loss/vggm_voc_kl"} <= set(names)
    assert set(EVERY_KIND) <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", EVERY_KIND)
def test_every_kind_of_network_learns_and_detects(name, capsys):
    run = small(name)
    result = trial.try_run(name, run, CPU)
    assert result.problem is None
    assert result.peak > 0
    said = capsys.readouterr().out
    assert " M, cut off), " in said
    assert "48 x 64 px" in said
    assert ("roi_mask" in said) == (run.model.mask is not None and not run.train.trainable_part)
    assert (" masks" in said) == (run.model.mask is not None)
    assert ("roi_iou" in said) == (run.model.iou is not None)
    assert (" proposals" in said) == (run.model.roi.head == "none")


@pytest.mark.parametrize(
    ("name", "size", "padded"),
    [
        ("kl_loss/r50_fpn_mask", (800, 1333), (800, 1344)),
        ("kl_loss/r50_fpn_iou", (800, 1200), (800, 1216)),
        ("kl_loss/vgg16_coco", (600, 1000), (600, 1000)),
        ("kl_rpn/r101_voc", (600, 1000), (600, 1000)),
    ],
)
def test_the_picture_has_the_runs_own_size_and_all_that_its_network_learns_from(name, size, padded):
    run = trial.find_run(name)
    batch = trial.noise(run)
    assert batch.image_sizes == (size,)
    assert tuple(batch.images.shape[-2:]) == padded
    assert (batch.targets[0].masks is not None) == (run.model.mask is not None)
    assert batch.proposals is None


def test_fast_r_cnn_is_given_as_many_proposals_as_in_testing():
    run = trial.find_run("kl_loss/r50_fpn_fast_kl")
    assert trial.noise(run).proposals[0].shape == (1000, 4)


def test_a_head_that_learns_alone_is_all_that_changes(capsys):
    """fc6, fc7 and the outputs of 7 classes: 7 * 7 bins of 5 channels (0.02 * 256) enter 8 and 8
    features.
    """
    detector = trial.prepared("iou", small("kl_loss/r50_fpn_mask_iou"))
    learned = {
        name.split(".")[0] for name, value in detector.named_parameters() if value.requires_grad
    }
    assert learned == {"iou"}
    channels = detector.backbone.out_channels
    count = 49 * channels * 8 + 8 + 8 * 8 + 8 + 8 * 7 + 7
    assert f"{count:,} trained" in capsys.readouterr().out


def test_a_run_prints_its_parameters_and_what_a_step_takes(capsys):
    assert (
        trial.try_run("kl_loss/vgg16_coco_kl", small("kl_loss/vgg16_coco_kl"), CPU).problem is None
    )
    said = capsys.readouterr().out
    # 8 features, 6 classes and background, 4 sides
    assert f"{8 * 7 * 4 + 7 * 4:,} in log variance layers" in said
    for word in (
        "parameters",
        "trained",
        "step",
        "gradient norm",
        "detection",
        "candidates",
        "peak memory",
    ):
        assert word in said


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("kl_loss/vgg16_coco", "roi.head.predictor.class_logits"),
        ("kl_loss/r50_fpn_mask_iou", "iou.head.iou"),
        ("kl_loss/r50_fpn_mask_iou", "mask.head.logits"),
    ],
)
def test_a_number_that_is_not_finite_fails(name, part, monkeypatch, capsys):
    run = small(name)
    build = trial.build_detector

    def poisoned(config):
        detector = build(config)
        detector.get_submodule(part).bias.data[:2] = torch.nan
        return detector

    monkeypatch.setattr(trial, "build_detector", poisoned)
    monkeypatch.setattr(trial, "find_run", lambda name: run)
    assert full_size.main([name, "--device", "cpu"]) == 1
    said = capsys.readouterr().out
    assert "not finite" in said
    assert f"0 of 1 runs work at full size on cpu; not: {name}; highest peak memory " in said


def test_a_process_of_its_own_gives_its_result_or_the_reason_why_there_is_none():
    assert trial.in_own_process(divmod, 7, 2) == (3, 1)
    assert "ended" in trial.in_own_process(os._exit, 1).problem


def test_several_runs_have_a_process_each_and_go_on_after_a_failure(monkeypatch, capsys):
    trials = {"first": trial.Trial("it failed", 1e9), "second": trial.Trial(None, 2.5e9)}
    monkeypatch.setattr(trial, "find_run", lambda name: name.upper())
    monkeypatch.setattr(trial, "in_own_process", lambda work, name, run, device: trials[name])
    assert trial.try_runs(["first", "second"], "cpu") == 1
    said = capsys.readouterr().out
    assert "FAILED: it failed" in said
    assert (
        "1 of 2 runs work at full size on cpu; not: first; highest peak memory 2.50 GB (second)"
        in said
    )


def test_an_unknown_run_is_named(capsys):
    assert full_size.main(["kl_loss/nothing"]) == 2
    assert "'nothing'" in capsys.readouterr().err
