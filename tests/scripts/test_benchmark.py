"""The benchmark on a network of a few channels; nothing here depends on how long anything takes."""

import json
from dataclasses import replace

import torch

from experiments.scales import SCALES, mini
from models.build import build_detector
from scripts import benchmark
from scripts.engine.places import find_table
from scripts.engine.speed.latency import threshold_for
from scripts.engine.synthetic import random_batch
from scripts.reports.files import ReportPlace
from scripts.reports.tables import write_table
from tests.networks import change

CPU = torch.device("cpu")


def tiny(run):
    run = mini(run)
    model = change(
        run.model,
        backbone_width=0.02,
        roi_fc_dims=(8, 8),
        roi_rois_per_image=8,
        rpn_channels=10,
        rpn_anchor_sizes=(32.0,),
    )
    return replace(
        run,
        model=model,
        data=replace(run.data, short_side=48, long_side=64),
        train=replace(run.train, batch_size=1),
    )


def test_table_2_is_measured_written_and_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(SCALES, "mini", tiny)
    assert (
        benchmark.main(
            [
                "kl_loss/table2",
                "--out",
                str(tmp_path),
                "--device",
                "cpu",
                "--repeats",
                "2",
                "--train-step",
            ]
        )
        == 0
    )
    assert "synthetic candidates" in capsys.readouterr().out
    written = json.loads((tmp_path / "mini" / "kl_loss" / "table2" / "seed0.json").read_text())
    assert (written["table"], written["scale"], written["seed"]) == ("kl_loss/table2", "mini", 0)
    assert [(row["label"], row["run"]) for row in written["rows"]] == [
        ("baseline", "vgg16_coco"),
        ("ours", "vgg16_coco_kl"),
    ]
    for row in written["rows"]:
        assert {"latency_ms", "network_ms", "postprocess_ms", "train_step_ms", "ratio"} <= row[
            "metrics"
        ].keys()
        assert (
            row["metrics"]["latency_q1_ms"]
            <= row["metrics"]["latency_ms"]
            <= row["metrics"]["latency_q3_ms"]
        )
    baseline, ours = (row["metrics"] for row in written["rows"])
    assert baseline["ratio"] == 1
    assert ours["ratio"] == ours["latency_ms"] / baseline["latency_ms"]
    assert "ours - baseline" in write_table(
        ReportPlace(table="kl_loss/table2", scale="mini", out=tmp_path)
    )


def test_a_table_that_is_not_about_time_is_refused(capsys):
    assert benchmark.main(["kl_loss/table1"]) == 2
    assert "not by time" in capsys.readouterr().err


def test_the_threshold_lets_through_as_many_candidates_as_asked():
    run = tiny(find_table("kl_loss/table2").rows[1].run)
    detector = build_detector(run.model).eval()
    batch = random_batch(
        images=1,
        size=(48, 64),
        pixels="torchvision",
        num_classes=6,
        generator=torch.Generator().manual_seed(0),
    )
    everything = len(detector.candidates(batch, 0.0)[0].scores)
    half = everything // 2
    assert len(detector.candidates(batch, threshold_for(detector, batch, half))[0].scores) == half
    assert threshold_for(detector, batch, everything) == 0.0
