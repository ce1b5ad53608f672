"""scripts.score on a tiny untrained network: the labels are its own detections, moved, so that some
are right.
"""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from data.coco import CocoDataset
from data.layouts import find_layout, open_split
from data.scoring.coco_evaluators import evaluator_with_version
from scripts import score
from scripts.engine.detection.detection import choose_postprocess, load_detector
from scripts.engine.detection.in_dataset import detect_dataset
from scripts.engine.evaluation.scoring import validation_scores
from scripts.engine.files import json_safe
from scripts.engine.score import source as score_source
from scripts.reports import score as report
from scripts.reports import score_errors
from scripts.reports.page.views import PictureView
from tests.page_reader import Reader
from tests.scripts.test_detect import write_checkpoint
from tests.tiny import tiny_dataset

CATEGORIES = [{"id": 5, "name": "cat"}, {"id": 9, "name": "dog"}]
SIZE = (96, 128)  # (height, width) px
IDS = (30, 7, 12)  # not in order, as in COCO's own files
TWELVE = ["AP", "AP50", "AP75", "APS", "APM", "APL", "AR1", "AR10", "AR100", "ARS", "ARM", "ARL"]
SHOWN = PictureView(uri="data:,", alt="a plot", caption="a plot")
CPU = torch.device("cpu")


def write_labels(root, annotations):
    images = [{"id": i, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]} for i in IDS]
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / "instances_val.json").write_text(json.dumps(content))


def moved_detections(checkpoint, root):
    """Every third detection of the network, moved by up to 4 px, as an annotation."""
    loaded = load_detector(checkpoint, CPU)
    row = detect_dataset(
        loaded.detector,
        loaded.run,
        CocoDataset(root, "val"),
        choose_postprocess(loaded.run),
        device=CPU,
    )
    annotations = []
    for image_id, image in zip(IDS, row.detections, strict=True):
        for place, (x1, y1, x2, y2) in enumerate(image.boxes.tolist()[::3]):
            shift = place % 5
            annotations.append(
                {
                    "id": 100 + len(annotations),
                    "image_id": image_id,
                    "category_id": CATEGORIES[int(image.labels[3 * place]) - 1]["id"],
                    "bbox": [x1 / 2, y1 + 0.0, x2 - x1 / 2 - shift, y2 - y1],
                    "area": 900.0,
                    "iscrowd": int(place == 4),
                }
            )
    return annotations


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("run"), log_variance=True)


@pytest.fixture(scope="module")
def labeled(checkpoint, tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    (root / "val").mkdir()
    for image_id in IDS:
        noise = np.random.default_rng(image_id).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / "val" / f"{image_id}.png")
    write_labels(root, [])
    write_labels(root, moved_detections(checkpoint, root))
    return root


@pytest.fixture
def no_pictures(monkeypatch):
    """Drawing is most of the time of a small report."""
    for name in ("draw_curves", "draw_calibration", "draw_confusion"):
        monkeypatch.setattr(report, name, lambda *_: None)
    monkeypatch.setattr(score_errors, "bar_plot", lambda *_: SHOWN)


def call(*words):
    return score.main([str(word) for word in words])


@pytest.fixture(scope="module")
def scored(checkpoint, labeled, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "new"
    assert call(checkpoint, "--data", labeled, "--split", "val", "--out", out, "--voc") == 0
    return out


def content(out):
    return json.loads((out / "scores.json").read_text())


def test_the_numbers_are_those_of_a_validation(checkpoint, labeled, scored):
    loaded, dataset = load_detector(checkpoint, CPU), CocoDataset(labeled, "val")
    row = detect_dataset(
        loaded.detector, loaded.run, dataset, choose_postprocess(loaded.run), device=CPU
    )
    expected = validation_scores(
        row.detections,
        [dataset.target(i) for i in range(len(dataset))],
        image_ids=dataset.image_ids,
        classes=dataset.classes,
    )
    assert content(scored)["scores"] == json_safe(expected)
    assert 5 < expected["AP"] < 95
    assert content(scored)["facts"]["images"] == 3
    assert content(scored)["facts"]["coco_evaluator"] == evaluator_with_version()


@pytest.mark.parametrize("labels", ["scored", "original"])
def test_pycocotools_gives_the_same_numbers_to_the_last_digit(scored, labeled, labels):
    """Whether it reads the labels that lie beside the results, or the user's own file."""
    file = scored / "labels.json"
    if labels == "original":
        file = labeled / "annotations" / "instances_val.json"
    truth = COCO(str(file))
    evaluation = COCOeval(truth, truth.loadRes(str(scored / "detections.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    ours = content(scored)["scores"]
    for name, value in zip(TWELVE, evaluation.stats, strict=True):
        expected = None if value == -1 else 100 * value
        assert ours[name] == expected, name


@pytest.mark.usefixtures("no_pictures")
def test_results_score_what_their_checkpoint_scores(scored, labeled, tmp_path):
    out = tmp_path / "again"
    results = scored / "detections.json"
    assert call(results, "--data", labeled, "--split", "val", "--out", out) == 0
    first, second = content(scored), content(out)
    for part in ("scores", "errors", "confusion", "sigma_calibration_error"):
        assert first[part] == second[part], part
    assert first["scores"]["coverage1"] is not None
    assert not (out / "detections.json").exists()


def test_every_detection_has_sigma_and_every_image_a_file(scored, labeled):
    detections = json.loads((scored / "detections.json").read_text())
    assert detections
    assert all(len(entry["sigma"]) == 4 and min(entry["sigma"]) > 0 for entry in detections)
    dataset = COCO(str(scored / "detections_as_dataset.json"))
    assert len(dataset.anns) == len(detections)
    names = [image["file_name"] for image in dataset.dataset["images"]]
    assert names == [f"val/{i}.png" for i in IDS]
    assert all((labeled / name).is_file() for name in names)


def test_the_files_are_there_and_the_summary_is_short(checkpoint, labeled, tmp_path, capsys):
    shutil.copytree(checkpoint.parent, tmp_path / "seed0")
    assert call(tmp_path / "seed0", "--data", labeled, "--split", "val", "--device", "cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 25
    assert any(line.startswith("AP ") for line in lines)
    assert any("Cls" in line and "Miss" in line for line in lines)
    out = tmp_path / "seed0" / "score-val"
    assert lines[-1] == f"files: {out}"
    names = {path.name for path in out.iterdir()}
    pictures = {"curves.png", "calibration.png", "confusion.png"}
    kinds = ("scores", "curves", "calibration", "confusion", "errors", "images")
    tables = {f"{kind}.csv" for kind in kinds}
    results = {"detections.json", "labels.json", "detections_as_dataset.json", "scores.json"}
    assert names == pictures | tables | results | {"errors.html"}


def test_the_best_and_the_worst_images(scored):
    written = content(scored)
    images = written["images"]["worst"] + written["images"]["best"]
    assert {image["image"] for image in images} == {f"{i}.png" for i in IDS}
    worst, best = written["images"]["worst"], written["images"]["best"]
    assert worst[0]["quality"] <= worst[-1]["quality"] <= best[-1]["quality"] <= best[0]["quality"]
    with (scored / "images.csv").open() as file:
        lines = {line["image"]: line for line in csv.DictReader(file)}
    assert len(lines) == len(IDS)
    for image in images:
        assert int(lines[image["image"]]["right"]) == image["right"]
        assert image["objects"] == image["right"] + image["missed"]


def test_the_page_of_errors_shows_them_and_needs_nothing_else(scored):
    text = (scored / "errors.html").read_text()
    reader = Reader(text)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in reader.tags}
    assert {link.removeprefix("#") for link in reader.links} <= set(reader.ids)
    assert all(f"{i}.png: " in text for i in IDS)
    jpegs = [given for tag, given in reader.tags if tag == "img" and "jpeg" in given["src"]]
    assert len(jpegs) == 2 * len(IDS)
    gain = content(scored)["errors"]["dAP"]["FalseNeg"]
    assert any(float(given["value"]) == gain for given, _ in reader.numbers)


@pytest.mark.usefixtures("no_pictures")
def test_errors_of_a_file_without_its_images(scored, labeled, tmp_path):
    """A results file needs no images: those that are missing are named, and there is no vote."""
    shutil.copytree(labeled, tmp_path / "data")
    (tmp_path / "data" / "val" / "7.png").unlink()
    out, results = tmp_path / "out", scored / "detections.json"
    file = tmp_path / "data" / "annotations" / "instances_val.json"
    images = tmp_path / "data" / "val"
    assert call(results, "--annotations", file, "--images", images, "--out", out) == 0
    text = (out / "errors.html").read_text()
    assert "7.png" in text[: text.index("<nav")]
    assert "There was no vote" in text
    assert content(out)["voting"] is None


@pytest.mark.usefixtures("no_pictures")
def test_options_change_the_post_processing_alone(checkpoint, labeled, scored, tmp_path):
    common = (checkpoint, "--data", labeled, "--split", "val", "--out", tmp_path / "out")
    assert call(*common, "--nms-iou", 0.9, "--sigma-t", 0, "--score", 0.2) == 0
    changed, before = content(tmp_path / "out")["facts"], content(scored)["facts"]
    values = changed["postprocess"]
    assert (values["iou_threshold"], values["sigma_t"], values["score_threshold"]) == (0.9, 0, 0.2)
    assert before["postprocess"]["sigma_t"] == 0.02
    assert changed["detections"] != before["detections"]


def test_best_goes_before_the_newest_checkpoint(checkpoint, tmp_path):
    folder = tmp_path / "seed0"
    shutil.copytree(checkpoint.parent, folder)
    assert score_source.scored_file(folder) == folder / checkpoint.name
    shutil.copy(checkpoint, folder / "best.pt")
    assert score_source.scored_file(folder) == folder / "best.pt"


@pytest.mark.usefixtures("no_pictures")
def test_an_annotation_file_and_its_images_can_be_named(scored, labeled, tmp_path):
    """The results of a network, scored on a COCO file that lies anywhere."""
    labels = tmp_path / "my labels.json"
    shutil.copy(labeled / "annotations" / "instances_val.json", labels)
    for options in (("--images", labeled / "val"), ()):
        out = tmp_path / "out"
        assert (
            call(scored / "detections.json", "--annotations", labels, *options, "--out", out) == 0
        )
        assert content(out)["scores"] == content(scored)["scores"]


def write_json(path, value):
    path.write_text(json.dumps(value))
    return path


RESULT = {"image_id": 7, "category_id": 5, "bbox": [0, 0, 9, 9], "score": 0.5}


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        ({"image_id": 99}, (), "none of the 1 detections is of one of the 3 images"),
        ({"category_id": 1}, (), "category_id 1, and the data have 5, 9"),
        ({}, ("--nms-iou", 0.5), "want a checkpoint"),
        ({}, ("--sigma-t", 0), "want a checkpoint"),
        ({}, ("--out", "{folder}"), "is the folder of the results"),
        ({}, ("--out", "experiments/kl_loss"), "whose files are committed"),
        ({}, ("--split", "test"), "has no split 'test'; choose one of val"),
        ({}, ("--images", "."), "--images goes with --annotations"),
    ],
)
def test_results_that_cannot_be_scored_end_with_one_sentence(
    labeled, tmp_path, capsys, change, options, sentence
):
    results = write_json(tmp_path / "results.json", [{**RESULT, **change}])
    options = [str(option).format(folder=tmp_path) for option in options]
    assert call(results, "--data", labeled, "--split", "val", *options) == 2
    assert sentence in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_score_of_nothing_is_an_error(checkpoint, labeled, tmp_path, capsys):
    shutil.copytree(labeled / "val", tmp_path / "val")
    write_labels(tmp_path, [])
    results = write_json(tmp_path / "results.json", [RESULT])
    for words, sentence in (
        ((results, "--data", tmp_path, "--split", "val"), "the 3 images have no labeled object"),
        ((tmp_path / "no.pt", "--data", labeled), "no.pt does not exist"),
        ((tmp_path, "--data", labeled), "neither best.pt nor a complete step-*.pt"),
        ((checkpoint, "--data", tmp_path / "no"), "no does not exist; give the folder"),
        ((results, "--data", labeled / "val"), "has no labels that are known"),
        ((results, "--annotations", tmp_path / "no.json"), "no.json"),
    ):
        assert call(*words) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "score-val").exists()


def test_scores_that_are_no_shares_are_said(labeled, tmp_path):
    """Percent rank as well as shares do, and are no probabilities."""
    file = write_json(tmp_path / "r.json", [{**RESULT, "score": score} for score in (95, 1, 0.5)])
    dataset = CocoDataset(labeled, "val")
    (note,) = [
        note
        for note in score_source.from_file(file, dataset, score_source.NetworkOptions()).notes
        if "outside 0 to 1" in note
    ]
    assert note.startswith("1 scores lie outside 0 to 1, where AP is right")


@pytest.mark.usefixtures("no_pictures")
def test_equal_scores_rank_by_image_id_in_every_number(tmp_path):
    """Images 2 and 1, in this order: of two equal scores that on image 1 comes first, and is right.

    The other one, on image 2 that has no object, comes after the only object was found.
    """
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    Image.new("RGB", (20, 20)).save(tmp_path / "b.png")
    images = [
        {"id": number, "file_name": name, "height": 20, "width": 20}
        for number, name in ((2, "b.png"), (1, "a.png"))
    ]
    box = {"image_id": 1, "category_id": 5, "bbox": [0, 0, 9, 9]}
    crowd = {**box, "id": 2, "bbox": [10, 10, 9, 9], "iscrowd": 1}
    labels = {"images": images, "annotations": [{**box, "id": 1}, crowd]}
    file = write_json(tmp_path / "l.json", {**labels, "categories": [{"id": 5, "name": "cat"}]})
    entries = [{**box, "image_id": number, "score": 0.5, "sigma": [1] * 4} for number in (2, 1)]
    results = write_json(tmp_path / "r.json", entries)
    assert call(results, "--annotations", file, "--voc", "--out", tmp_path / "out") == 0
    numbers = content(tmp_path / "out")
    assert numbers["scores"]["AP"] == pytest.approx(100)
    assert numbers["errors"]["AP"]["AP50"] == pytest.approx(100)
    assert numbers["localization"]["AP"] == pytest.approx(100)
    assert numbers["voc"]["mAP"] == pytest.approx(100)
    assert numbers["facts"]["objects"] == 1  # a crowd is none, as in the table


@pytest.mark.usefixtures("no_pictures")
def test_voc_labels_are_scored_by_image_name(tmp_path, capsys):
    """The labels themselves as results: everything is found, in both metrics."""
    root = tiny_dataset(tmp_path).parent / "VOCdevkit" / "VOC2007"
    dataset = open_split(find_layout(root), "test")
    results = [
        {
            "image_id": f"{image_id}.jpg",
            "category_id": int(label),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": 0.9,
        }
        for place, image_id in enumerate(dataset.image_ids)
        for label, (x1, y1, x2, y2) in zip(
            dataset.target(place).labels, dataset.target(place).boxes.tolist(), strict=True
        )
    ]
    file = write_json(tmp_path / "results.json", results)
    assert call(file, "--data", root, "--voc") == 0
    numbers = content(tmp_path / "score-test")
    assert numbers["scores"]["AP"] == pytest.approx(100)
    assert numbers["voc"]["mAP"] == pytest.approx(100)
    assert not any(numbers["errors"]["count"].values())
    assert "VOC mAP 100.0" in capsys.readouterr().out
