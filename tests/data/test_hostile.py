"""Labels and results that someone made to do harm: one sentence that names the file, in no time."""

import json

import pytest
from PIL import Image

from data.coco_annotations import read_coco
from data.errors import DataError
from data.finding.yolo import find_yolo
from data.formats.coco_results import read_results
from data.formats.data_yaml import read_data_yaml
from data.problems import check_problems
from data.voc_xml import read_xml
from data.yolo import read_yolo

HUGE = 10**400  # JSON allows it, and no float can hold it


def coco(folder, image=(), category=(), annotation=()):
    """The problems of a file with one image, one category and one box, some fields changed."""
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 10, "width": 10, **dict(image)}],
        "categories": [{"id": 1, "name": "x", **dict(category)}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], **dict(annotation)}
        ],
    }
    file = folder / "labels.json"
    file.write_text(json.dumps(document))
    check_problems(read_coco(file).problems, "error")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"image": {"height": HUGE}}, "size 1000.* px is more than the 89 million"),
        ({"image": {"height": 10**9, "width": 10**9}}, "is more than the 89 million"),
        ({"image": {"height": [HUGE]}}, r"size \[1000.*\.\.\. x 10 is not in positive px"),
        ({"category": {"id": HUGE}}, r"category id 1000.*\.\.\. has more digits"),
        ({"category": {"name": "\ud800"}}, r"the name '\\ud800' has characters that cannot be"),
        ({"category": {"name": "a\x1b[2J"}}, r"the name 'a\\x1b\[2J' has characters"),
        ({"annotation": {"bbox": [HUGE, 0, 1, 1]}}, "is not four finite numbers"),
        ({"annotation": {"bbox": ["nan", "inf", 1, 1]}}, "is not four finite numbers"),
        ({"annotation": {"area": HUGE}}, "is not a number of px"),
        ({"annotation": {"category_id": {"a": 1}}}, "category id {'a': 1} is unknown"),
        ({"image": {"file_name": "../../etc/passwd"}}, "leaves the image folder"),
        ({"image": {"file_name": "/etc/passwd"}}, "leaves the image folder"),
    ],
)
def test_coco_labels(tmp_path, changed, sentence):
    coco(tmp_path)  # is fine as it is
    with pytest.raises(DataError, match=rf"labels\.json: .*{sentence}") as caught:
        coco(tmp_path, **changed)
    assert len(str(caught.value)) < 500


@pytest.mark.fault("R48")
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"images": NaN}', "NaN is not a JSON number"),
        ('{"images": ' + "1" * 5000 + "}", "4300 digits"),
        ("[" * 200_000, "recursion"),
        ('{"images": [], "images": []}', "'images' occurs twice"),
        ("", "Expecting value"),
    ],
)
def test_what_is_no_json(tmp_path, text, sentence):
    file = tmp_path / "labels.json"
    file.write_text(text)
    with pytest.raises(DataError, match=rf"labels\.json: .*cannot be read .*{sentence}"):
        read_coco(file)
    with pytest.raises(DataError, match=rf"labels\.json: .*cannot be read .*{sentence}"):
        read_results(file, [1], [1])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"score": HUGE}, "has the score 1000"),
        ({"bbox": [HUGE, 0, 1, 1]}, "has the bbox"),
        ({"bbox": [1e300, 0, 1, 1]}, "has the bbox"),
        ({"sigma": [HUGE] * 4}, "has the sigma"),
        ({"category_id": [1]}, r"has the category_id \[1\]"),
        ({"image_id": "9" * 5000}, r"has the image_id '999.*\.\.\., which"),
    ],
)
def test_coco_results(tmp_path, changed, sentence):
    file = tmp_path / "results.json"
    entry = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 0.5}
    file.write_text(json.dumps([{**entry, **changed}]))
    with pytest.raises(DataError, match=rf"results\.json: entry 0 {sentence}") as caught:
        read_results(file, [1], [1])
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><a>&c;</a>', "DOCTYPE"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "DOCTYPE"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "/etc/passwd">]><a>&b;</a>', "DOCTYPE"),
        ("<a>&b;</a>", "undefined entity"),
        ('<?xml version="1.0" encoding="hex"?><a/>', "not a text encoding"),
        ("<a>" * 20_000 + "</a>" * 20_000, "not integers"),
        ("<a><size><width>1e300</width><height>9</height></size></a>", r"size 9 x 1.* more than"),
        ("<a><size><width>1e400</width><height>9</height></size></a>", "not integers"),
        ("\0\0", "not well-formed"),
    ],
)
def test_voc_labels(tmp_path, text, sentence):
    file = tmp_path / "a.xml"
    file.write_text(text)
    with pytest.raises(DataError, match=rf"a\.xml: .*{sentence}") as caught:
        read_xml(file)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e400", "9" * 5000, "0.5"])
def test_the_class_of_a_yolo_line(tmp_path, number):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "images" / "a.txt").write_text(f"{number} .5 .5 .2 .2\n")
    table, problems = read_yolo(tmp_path, ["images/a.png"], ("x",))
    assert len(table.targets.boxes) == 0
    assert [problem.severity for problem in problems] == ["error"]
    assert f"line 1: the class {number[:40]} is not one of 0 to 0" in str(problems[0])


def test_data_yaml(tmp_path):
    file = tmp_path / "data.yaml"
    file.write_text(f"names: {{{'9' * 5000}: a}}")
    with pytest.raises(DataError, match=r"data\.yaml: the class number '9+' under names"):
        read_data_yaml(file)
    for place in ("a/" * 100_000, "../../../etc", "/etc"):
        file.write_text(f"names: [a]\ntrain: {place}\n")
        with pytest.raises(DataError, match="none of its folders"):
            find_yolo(tmp_path)
    file.write_text("names: !!python/object/apply:os.system [touch marker]\n")
    assert read_data_yaml(file).classes  # a text like any other
    assert not (tmp_path / "marker").exists()
