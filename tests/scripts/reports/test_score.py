"""The report of scripts.score on detections that can be counted by hand."""

import math

import torch

from data.records import Detections, Target
from data.scoring.analysis import analyze
from scripts.engine.evaluation.scoring import validation_scores
from scripts.reports.score import (
    ScoreReport,
    calibration_lines,
    confusion_lines,
    curve_lines,
    error_lines,
    score_lines,
    summary_lines,
    write_score,
)

A, B, FAR = [0.0, 0, 40, 40], [100.0, 0, 140, 40], [300.0, 0, 340, 40]
FACTS = {
    "scored": "results.json",
    "data": "photos",
    "split": "val",
    "images": 1,
    "objects": 2,
    "detections": 2,
}


def report(labels=(1, 2), notes=(), **columns):
    """A cat and a dog; the cat is found, the other detection is a cat far away: precision 1."""
    target = Target(boxes=torch.tensor([A, B]), labels=torch.tensor(labels))
    detections = Detections(
        boxes=torch.tensor([A, FAR]),
        scores=torch.tensor([0.95, 0.65]),
        labels=torch.tensor([1, 1]),
        **columns,
    )
    classes = ("cat", "dog", "cow")
    scores = validation_scores([detections], [target], image_ids=[1], classes=classes)
    analysis = analyze([detections], [target], classes, confusion_score=0.5)
    return ScoreReport(facts=FACTS, notes=notes, scores=scores, voc=None, analysis=analysis)


def test_a_class_without_objects_is_empty_in_the_table():
    header, everything, cat, dog, cow = score_lines(report())
    assert header[:3] == ["class", "objects", "AP"]
    assert everything[:3] == ["all", 2, "50.0000"]
    assert cat[:3] == ["cat", 1, "100.0000"]
    assert dog[:3] == ["dog", 1, "0.0000"]
    assert cow[:3] == ["cow", 0, ""]


def test_a_curve_has_101_recalls_of_each_class_with_objects():
    lines = curve_lines(report().analysis)[1:]
    assert len(lines) == 3 * 4 * 101  # all, cat, dog; IoU .50, .75, .90, and the mean
    assert ["cat", "0.50", "1.00", "1.0000"] in lines
    assert ["all", "0.50:0.95", "0.37", "0.5000"] in lines
    assert not [line for line in lines if line[0] == "cow"]


def test_scores_and_sigmas_have_their_points():
    lines = calibration_lines(report().analysis)
    assert ["score", "0.9-1.0", "0.9500", "1.0000", 1] in lines
    assert ["score", "0.0-0.1", "", "", 0] in lines
    assert not [line for line in lines if line[0] == "sigma"]
    with_sigma = calibration_lines(report(sigma=torch.ones(2, 4)).analysis)
    assert ["sigma", "x1", "0.05", "1.0000", 1] in with_sigma  # the error is 0


def test_the_confusion_matrix_has_background_first():
    header, background, cat, dog, _ = confusion_lines(report().analysis)
    assert header == ["label / detected", "background", "cat", "dog", "cow"]
    assert background == ["background", 0, 1, 0, 0]
    assert cat == ["cat", 0, 1, 0, 0]
    assert dog == ["dog", 1, 0, 0, 0]


def test_each_kind_of_error_has_a_line():
    lines = {line[0]: line[1:] for line in error_lines(report().analysis)}
    assert lines["kind"] == ["count", "dAP"]
    assert lines["Bkg"] == [1, "0.0000"]
    assert lines["Miss"] == [1, "50.0000"]  # the dog alone has no detection: its class is left out
    assert lines["FalsePos"][0] == ""


def test_the_summary_fits_on_a_screen():
    lines = summary_lines(report(notes=["one", "two", "three", "four"], sigma=torch.ones(2, 4)))
    assert len(lines) <= 24
    assert "on photos, split val: 1 images, 2 objects, 2 detections" in lines
    assert "note: four" in lines
    assert any("Miss 50.0" in line for line in lines)


def test_labels_of_one_class_and_no_detection_still_make_a_report(tmp_path):
    """Whatever is not defined is null or empty, and every picture is drawn."""
    nothing = Detections(
        boxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0).long()
    )
    target = Target(boxes=torch.tensor([A]), labels=torch.tensor([1]))
    scores = validation_scores([nothing], [target], image_ids=[1], classes=["cat"])
    assert math.isnan(scores["coverage1"])
    analysis = analyze([nothing], [target], ["cat"], confusion_score=0.5)
    empty = ScoreReport(facts=FACTS, notes=[], scores=scores, voc=None, analysis=analysis)
    text = write_score(empty, tmp_path / "out")
    assert "AP 0.0" in text
    assert "no detection" in text
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
    assert "NaN" not in (tmp_path / "out" / "scores.json").read_text()
