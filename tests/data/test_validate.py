import io
import sys

import numpy as np
import pytest
from PIL import Image

from data.validate import main
from tests.data.test_coco import GOOD, annotation
from tests.data.test_coco import write as write_coco
from tests.data.test_voc import thing
from tests.data.test_voc import write as write_voc


def run(capsys, layout, root, splits):
    code = main(["--layout", layout, "--root", str(root), "--splits", splits])
    return code, capsys.readouterr().out


def test_clean_coco(tmp_path, capsys):
    code, text = run(capsys, "coco", write_coco(tmp_path, GOOD), "train2014")
    assert code == 0
    for line in (
        "2 images",
        "3 objects",
        "0 images without objects",
        "1 crowd objects",
        "1 objects of class 'car'",
    ):
        assert f"train2014: {line}\n" in text


def test_clean_voc(tmp_path, capsys):
    write_voc(tmp_path / "VOC2007", {"a": thing(difficult="<difficult>1</difficult>"), "b": ""})
    code, text = run(capsys, "voc", tmp_path, "2007_trainval")
    assert code == 0
    for line in ("2 images", "1 objects", "1 images without objects", "1 difficult objects"):
        assert f"2007_trainval: {line}\n" in text


@pytest.mark.fault("R35")
def test_every_coco_problem_is_listed(tmp_path, capsys):
    images = [
        {"id": 7, "file_name": "seven.png", "width": 60, "height": 40},
        {"id": 5, "file_name": "five.png", "width": 31, "height": 50},
        {"id": 5, "file_name": "again.png", "width": 30, "height": 50},
        {"id": 6, "file_name": "../out.png", "width": 30, "height": 50},
        {"id": 8, "file_name": "gone.png", "width": 30, "height": 50},
        {"id": 9, "file_name": "wrong.jpg", "width": 30, "height": 50},
    ]
    annotations = [
        annotation(1, 7, [1, 1, 0, 5]),
        annotation(1, 7, [1, 1, 5, 5]),
        annotation(2, 7, [1, 1, 5, 5], 77),
        annotation(3, 7, [1, 1, 99, 5]),
        annotation(4, 4, [1, 1, 5, 5]),
        annotation(5, 7, [1, 1, 5, 5], iscrowd=3),
        annotation(0, 7, [1, 1, 5, 5]),
        annotation(2**53, 7, [1, 1, 5, 5]),
    ]
    write_coco(tmp_path, annotations, images=images)
    Image.new("RGB", (30, 50)).save(tmp_path / "train2014" / "wrong.jpg", format="PNG")
    code, text = run(capsys, "coco", tmp_path, "train2014")
    assert code == 1
    for part in (
        "annotation 1 (image 7, file 'seven.png'): box (1, 1, 1, 6) has no positive size "
        "(0 x 5 px)",
        "annotation id 1 (image 7) occurs twice",
        "category id 77 is unknown",
        "annotation 3 (image 7, file 'seven.png'): box (1, 1, 100, 6) leaves the image",
        "annotation 4: image id 4 is not",
        "iscrowd is 3",
        "annotation id 0 (image 7) is not between 1 and 2^53",
        f"annotation id {2**53} (image 7) is not between 1 and 2^53",
        "image id 5 occurs twice",
        "'../out.png' leaves the image folder",
        "five.png: the image is 30 x 50 px (width x height), but its annotation says 31 x 50",
        "gone.png: the image file does not exist",
        "wrong.jpg: the content is PNG",
        "train2014: 13 problems",
    ):
        assert part in text


def test_segmentations_are_checked_if_the_file_has_any(tmp_path, capsys):
    write_coco(
        tmp_path,
        [
            annotation(1, 7, [1, 1, 5, 5]),
            annotation(2, 7, [1, 1, 5, 5], segmentation=[[1, 1, 5, 5]]),
            annotation(3, 7, [1, 1, 5, 5], segmentation=[[1, 1, 5, 5, 1, 5]]),
        ],
    )
    code, text = run(capsys, "coco", tmp_path, "train2014")
    assert code == 1
    assert "annotation 2 (image 7, file 'seven.png'): a polygon has 4 numbers" in text
    assert "annotation 1 (image 7, file 'seven.png'): it has no segmentation (only a " in text
    for line in ("3 objects", "2 problems (2 mended)"):
        assert f"train2014: {line}\n" in text


@pytest.mark.fault("R33")
def test_every_voc_problem_is_listed(tmp_path, capsys):
    folder = write_voc(
        tmp_path / "VOC2007",
        {
            "a": thing(box=(5, 5, 5, 9)) + thing("unicorn") + thing(difficult=""),
            "b": thing(box=(1, 1, 90, 20)),
            "c": thing(),
            "d": thing(),
        },
    )
    names = folder / "ImageSets" / "Main" / "trainval.txt"
    names.write_text(names.read_text() + "d\nghost\n../x\n")
    (folder / "Annotations" / "c.xml").write_text(
        '<!DOCTYPE x [<!ENTITY a "b">]><annotation>&a;</annotation>'
    )
    (folder / "JPEGImages" / "d.png").write_text("<html>")
    code, text = run(capsys, "voc", tmp_path, "2007_trainval")
    assert code == 1
    for part in (
        "a.xml: object 1 ('dog'): box (5, 5, 5, 9) has zero or negative size",
        "a.xml: the class 'unicorn' is unknown",
        "note: {}: object 3 ('dog'): the field difficult is missing".format(
            folder / "Annotations" / "a.xml"
        ),
        "b.xml: object 1 ('dog'): box (0, 0, 90, 20) leaves the image",
        "c.xml: the annotation cannot be read (it has a DOCTYPE",
        "d.png: the file is not a JPEG, PNG, WEBP, BMP or TIFF image",
        "trainval.txt: the image 'd' is listed twice",
        "trainval.txt: '../x' is not an image name",
        "ghost.xml: the annotation does not exist",
        "2007_trainval: 8 problems (6 errors, 1 objects that cannot be used, 1 mended)",
    ):
        assert part in text


def test_missing_split_counts_as_a_problem(tmp_path, capsys):
    write_coco(tmp_path, GOOD)
    code, text = run(capsys, "coco", tmp_path, "train2014,val2014")
    assert code == 1
    assert "val2014: COCO split 'val2014' has no annotation file" in text
    assert text.endswith("1 problems in 2 splits\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--layout", "pascal", "--root", ".", "--splits", "a"],
        ["--layout", "voc", "--root", ".", "--splits", ","],
        ["--annotations", "a.json"],
        ["--annotations", "a.json", "--images", ".", "--splits", "val"],
        ["--annotations", "a.json", "--images", ".", "--root", "."],
    ],
)
def test_wrong_command_line_is_exit_code_2(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


def test_a_folder_is_found_and_every_split_is_checked(tmp_path, capsys):
    """No --layout and no --splits; usual gaps are notes, counted together, and nothing is wrong."""
    for split, name in (("train", "a"), ("val", "b")):
        write_voc(tmp_path, {name: thing(difficult="") + thing(difficult="")}, split=split)
    assert main(["--root", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("VOC: 2 XML files in ")
    assert "train: note: 2 times: the field difficult is missing or empty (taken as 0); " in text
    assert "val: 2 objects of class 'dog'\nval: 0 problems\n0 problems in 2 splits\n" in text


def test_a_named_file_and_folder_are_checked(tmp_path, capsys):
    """COCO's file under any name; of its images one is in the folder, and one beside them is not
    labeled.
    """
    write_coco(tmp_path, GOOD)
    (tmp_path / "annotations" / "instances_train2014.json").rename(tmp_path / "my labels.json")
    (tmp_path / "train2014" / "five.png").rename(tmp_path / "train2014" / "fünf.png")
    words = ["--annotations", str(tmp_path / "my labels.json")]
    assert main([*words, "--images", str(tmp_path / "train2014")]) == 1
    text = capsys.readouterr().out
    assert "five.png: the image file does not exist" in text
    assert "1 images have no labels and are left out, such as 'fünf.png'" in text
    assert text.endswith("my labels: 1 problems (1 errors)\n1 problems in 1 splits\n")


def test_a_folder_without_labels_says_what_it_holds(tmp_path, capsys):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "notes.txt").touch()
    assert main(["--root", str(tmp_path)]) == 1
    assert "it holds 1 images, notes.txt. Known are COCO" in capsys.readouterr().out


def test_classes_that_differ_only_in_case_are_suspicious(tmp_path, capsys):
    names = ("Cat", "cat", "dog", "red_light", "red light")
    write_voc(tmp_path, {"a": "".join(map(thing, names))})
    code, text = run(capsys, "voc", tmp_path, "trainval")
    assert code == 1
    assert "the classes 'Cat' and 'cat' differ only in case, spaces or lines" in text
    assert "the classes 'red light' and 'red_light' differ only in case" in text
    assert "trainval: 2 problems (2 suspicious)" in text


@pytest.mark.parametrize(
    ("tag", "size", "code", "says"),
    [
        (1, (48, 64), 0, ""),
        (3, (48, 64), 1, "the EXIF orientation is 3, and the image's size does not show"),
        (6, (64, 48), 0, "the EXIF orientation is 6: turned upright, as its labels have it"),
        (6, (48, 64), 0, "the EXIF orientation is 6: not turned, because its labels have"),
    ],
)
def test_the_orientation_of_a_photo_is_held_against_its_labels(
    tmp_path, capsys, tag, size, code, says
):
    """The photo is stored 64 px wide and 48 high; size: (height, width) in the labels."""
    images = [{"id": 7, "file_name": "phone.jpg", "width": size[1], "height": size[0]}]
    write_coco(tmp_path, [annotation(1, 7, [1, 1, 5, 5])], images=images)
    exif = Image.Exif()
    exif[0x0112] = tag
    Image.new("RGB", (64, 48)).save(tmp_path / "train2014" / "phone.jpg", exif=exif)
    assert run(capsys, "coco", tmp_path, "train2014")[0] == code
    main(["--layout", "coco", "--root", str(tmp_path), "--splits", "train2014"])
    assert says in capsys.readouterr().out


def test_deep_values_and_further_pictures_are_noted(tmp_path, capsys):
    images = [
        {"id": 1, "file_name": "deep.png", "width": 6, "height": 4},
        {"id": 2, "file_name": "pages.tif", "width": 6, "height": 4},
    ]
    write_coco(tmp_path, [annotation(1, 1, [1, 1, 2, 2])], images=images)
    deep = np.full((4, 6), 4095, dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "train2014" / "deep.png")
    page = Image.new("RGB", (6, 4))
    page.save(tmp_path / "train2014" / "pages.tif", save_all=True, append_images=[page])
    code, text = run(capsys, "coco", tmp_path, "train2014")
    assert code == 0
    assert "deep.png: gray values or colors of 12 bits are scaled to 8" in text
    assert "pages.tif: the file has several pictures, of which the first is read" in text


def test_a_terminal_that_lacks_letters_gets_their_numbers(tmp_path, monkeypatch):
    write_voc(tmp_path, {"a": thing("größe")})
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["--root", str(tmp_path)]) == 0
    terminal.flush()
    assert rb"objects of class 'gr\xf6\xdfe'" in terminal.buffer.getvalue()
