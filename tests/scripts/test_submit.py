"""From a trained network to the file that COCO's server takes, and back through pycocotools to the
same score.
"""

import contextlib
import io
import json
from dataclasses import replace

import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from data.build import build_dataset
from data.records import Detections
from data.scoring.coco import evaluate_coco
from experiments.records import Row, Table
from experiments.scales import SCALES
from postprocess.pipeline import PostprocessConfig
from scripts import submit as module
from scripts.engine.evaluation.evaluation import evaluate_table
from scripts.engine.evaluation.submission import results_json, slugs
from scripts.submit import main
from tests.tiny import (
    TINY,
    TINY_KL,
    environment,
    know_tiny,
    tiny_options,
)
from tests.tiny import train_tiny as train

NMS = PostprocessConfig(iou_threshold=0.3, score_threshold=0.01)
TABLE = Table(
    title="A tiny table",
    metric="coco",
    columns=("AP", "AP50"),
    rows=(
        Row(label="RPN [1]", group="VGG-16", run=TINY, postprocess=NMS),
        Row(label="soft-NMS", run=TINY, postprocess=replace(NMS, suppression="soft_gaussian")),
        Row(label="KL", run=TINY_KL, postprocess=NMS),
        Row(label="theirs", run=TINY, postprocess=NMS, missing="is not computed here"),
    ),
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    know_tiny(monkeypatch, {"kl_loss/tiny": TINY})
    monkeypatch.setattr(module, "find_table", lambda name: TABLE)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The baseline only."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        know_tiny(patch, {"kl_loss/tiny": TINY})
        train(data, out)
    return out


def evaluate(data, out):
    known = environment(data, out)
    evaluate_table(TABLE, known.table_place("kl_loss/tiny"), known, 1)


def command(data, out, *more):
    return main(["kl_loss/tiny", *tiny_options(data, out), *more])


def score(annotations, results):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        scoring = COCOeval(truth, truth.loadRes(str(results)), "bbox")
        scoring.evaluate()
        scoring.accumulate()
        scoring.summarize()
    return 100 * scoring.stats[0]


def test_the_files_score_what_evaluate_says(data, trained, monkeypatch, capsys):
    evaluate(data, trained)
    before = (trained / "tiny" / "kl_loss" / "tiny" / "seed0" / "candidates.pt").stat().st_mtime_ns
    capsys.readouterr()
    assert command(data, trained, "--split", "val") == 0
    printed = capsys.readouterr().out
    for part in (
        "KL: not run: no trained network in tiny/kl_loss/tiny_kl/seed0",
        "theirs: not run: is not computed here",
        "2 of 4 rows written",
    ):
        assert part in printed
    folder = trained / "tiny" / "kl_loss" / "tiny" / "submission"
    names = ["detections_val_soft-nms_results.json", "detections_val_vgg-16-rpn-1_results.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    rows = json.loads((trained / "tiny" / "kl_loss" / "tiny" / "seed0.json").read_text())["rows"]
    truth = data / "annotations" / "instances_val.json"
    for name, label, row in zip(
        reversed(names), ("VGG-16: RPN [1]", "soft-NMS"), rows, strict=False
    ):
        results = json.loads((folder / name).read_text())
        assert f"{label}: {len(results)} detections -> {folder / name}" in printed
        assert score(truth, folder / name) == pytest.approx(row["metrics"]["AP"], abs=0.5)
    seed = trained / "tiny" / "kl_loss" / "tiny" / "seed0"
    # those of the proxy evaluation stay
    assert (seed / "candidates.pt").stat().st_mtime_ns == before
    assert (seed / "candidates_val.pt").is_file()


def test_good_detections_keep_their_score_in_the_file(data, tmp_path):
    """The network above learned next to nothing; these are the objects moved by a few px."""
    dataset = build_dataset(TINY.data, data, "val")
    targets = [dataset.target(i) for i in range(len(dataset))]
    draw = torch.Generator().manual_seed(0)
    found = [
        Detections(
            boxes=t.boxes + 2 * torch.randn(t.boxes.shape, generator=draw),
            labels=t.labels,
            scores=torch.rand(len(t.labels), generator=draw),
        )
        for t in targets
    ]
    (tmp_path / "results.json").write_text(
        results_json(found, dataset.image_ids, dataset.category_ids)
    )
    ours = evaluate_coco(found, targets, 6)["AP"]
    assert 20 < ours < 90
    assert score(
        data / "annotations" / "instances_val.json", tmp_path / "results.json"
    ) == pytest.approx(ours, abs=0.3)


def unlabeled(data, root, *, categories=None):
    """The images of val as COCO publishes its test images."""
    document = json.loads((data / "annotations" / "instances_val.json").read_text())
    document = {"images": document["images"], "categories": categories or document["categories"]}
    (root / "annotations").mkdir(parents=True)
    (root / "annotations" / "image_info_test-dev2017.json").write_text(json.dumps(document))
    (root / "test2017").symlink_to(data / "val")
    return root


def test_test_dev_needs_no_labels(data, trained, tmp_path, monkeypatch, capsys):
    assert command(data, trained, "--split", "val") == 0
    assert command(unlabeled(data, tmp_path / "coco"), trained) == 0
    assert "3 images of test-dev2017" in capsys.readouterr().out
    folder = trained / "tiny" / "kl_loss" / "tiny" / "submission"
    one, other = (
        (folder / f"detections_{split}_soft-nms_results.json").read_text()
        for split in ("val", "test-dev2017")
    )
    assert one == other


def test_categories_of_another_network_are_a_sentence(data, trained, tmp_path, monkeypatch, capsys):
    root = unlabeled(data, tmp_path / "coco", categories=[{"id": 1, "name": "cat"}])
    assert command(root, trained) == 2
    assert "was trained on 6 classes" in capsys.readouterr().err


def test_what_has_no_category_ids_is_a_sentence(data, trained, tmp_path, monkeypatch, capsys):
    (tmp_path / "annotations").mkdir()
    for split in ("train2017", "val2017"):
        (tmp_path / "annotations" / f"instances_{split}.json").touch()
    assert command(tmp_path, trained, "--split", "trainval") == 2
    assert "--split trainval stands for train2017 + val2017" in capsys.readouterr().err
    monkeypatch.setitem(
        SCALES, "tiny", lambda run: replace(run, data=replace(run.data, layout="voc"))
    )
    assert command(data, trained, "--split", "val") == 2
    assert "VOC layout, which has no COCO category ids" in capsys.readouterr().err
    monkeypatch.setattr(module, "find_table", lambda name: replace(TABLE, metric="voc"))
    assert command(data, trained) == 2
    assert "is not scored by COCO's server" in capsys.readouterr().err


def test_missing_test_images_say_how_to_get_them(data, trained, monkeypatch, capsys):
    assert command(data, trained) == 2
    assert "python -m scripts.get_data coco2017test" in capsys.readouterr().err


def test_numbers_are_rounded_and_ids_are_those_of_the_file():
    found = Detections(
        boxes=torch.tensor([[1.0, 2.0, 4.3333, 8.6666], [0.0, 0.0, 1.0, 1.0]]),
        scores=torch.tensor([0.123456, 1.0]),
        labels=torch.tensor([2, 1]),
    )
    empty = Detections(
        boxes=torch.empty(0, 4), scores=torch.empty(0), labels=torch.empty(0, dtype=torch.long)
    )
    text = results_json([found, empty], [42, 7], (1, 90))
    assert json.loads(text) == [
        {"image_id": 42, "category_id": 90, "bbox": [1.0, 2.0, 3.33, 6.67], "score": 0.12346},
        {"image_id": 42, "category_id": 1, "bbox": [0.0, 0.0, 1.0, 1.0], "score": 1.0},
    ]
    assert len(text) < 200  # no digits of float32 noise
    assert json.loads(results_json([empty], [7], (1,))) == []


def test_every_row_has_a_file_of_its_own():
    rows = [
        Row(label=label, group=group, run=TINY, postprocess=NMS)
        for group, label in (
            ("", "KL Loss"),
            ("", "KL-Loss"),
            ("R-FCN", "RPN [11]"),
            ("R-FCN", "KL-RPN"),
        )
    ]
    assert slugs(rows) == ["kl-loss-row1", "kl-loss-row2", "r-fcn-rpn-11", "r-fcn-kl-rpn"]
