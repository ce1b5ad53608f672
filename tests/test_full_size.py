from dataclasses import replace

import pytest
import torch

from experiments.scales import mini
from scripts import full_size

CPU = torch.device("cpu")


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(full_size, "IMAGE", (48, 64))

    def shrunk(name):
        run = mini(full_size.find_run(name))
        return replace(run, model=replace(run.model, width=0.02, fc_dims=(8, 8), rois_per_image=8, anchor_sizes=(32.0,)))

    return shrunk


def test_every_run_of_every_paper_is_found():
    names = full_size.all_runs()
    assert {"kl_loss/vgg16_coco", "kl_loss/vgg16_coco_kl", "kl_loss/vggm_voc_kl"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["kl_rpn/rfcn_r101_coco_klrpn", "kl_rpn/r101_voc", "kl_rpn/vgg16_coco_klrpn_kl"])
def test_runs_of_the_second_paper(small, capsys, name):
    assert full_size.try_run(name, small(name), CPU) is None
    assert " M, cut off), " in capsys.readouterr().out


def test_a_run_prints_its_parameters_and_what_a_step_takes(small, capsys):
    run = small("kl_loss/vgg16_coco_kl")
    assert full_size.try_run("kl_loss/vgg16_coco_kl", run, CPU) is None
    said = capsys.readouterr().out
    assert f"{8 * 7 * 4 + 7 * 4:,} in log variance layers" in said  # 8 features, 6 classes and background, 4 sides
    for word in ("parameters", "trained", "gradient norm", "candidates", "peak memory"):
        assert word in said


def test_a_number_that_is_not_finite_fails(small, monkeypatch, capsys):
    run = small("kl_loss/vgg16_coco")
    build = full_size.build_detector

    def poisoned(config):
        detector = build(config)
        detector.roi_head.predictor.class_logits.bias.data[0] = torch.nan
        return detector

    monkeypatch.setattr(full_size, "build_detector", poisoned)
    monkeypatch.setattr(full_size, "find_run", lambda name: run)
    monkeypatch.setattr("sys.argv", ["full_size", "kl_loss/vgg16_coco", "--device", "cpu"])
    assert full_size.main() == 1
    said = capsys.readouterr().out
    assert "not finite" in said
    assert "0 of 1 runs work" in said


def test_an_unknown_run_is_named(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["full_size", "kl_loss/nothing"])
    assert full_size.main() == 2
    assert "'nothing'" in capsys.readouterr().err
