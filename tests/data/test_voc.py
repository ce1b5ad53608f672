import pytest
from PIL import Image

from data.concat import ConcatDataset
from data.errors import DataError
from data.voc import VOC_CLASSES, VocDataset
from data.voc_xml import read_xml


def thing(name="dog", box=(1, 1, 10, 20), difficult="<difficult>0</difficult>"):
    sides = "".join(
        f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{difficult}<bndbox>{sides}</bndbox></object>"


def write(folder, images, *, split="trainval", size=(60, 40), suffix=".png"):
    """A VOC-layout folder; images: name -> text of the objects."""
    for part in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(images) + "\n")
    for name, objects in images.items():
        text = (
            f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
            f"{objects}"
        )
        (folder / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><filename>{name}{suffix}</filename>{text}</annotation>"
        )
        Image.new("RGB", size).save(folder / "JPEGImages" / f"{name}{suffix}")
    return folder


def test_inclusive_pixels_become_continuous_edges(tmp_path):
    """A box over the pixels 1..10 x 1..20 is 10 px wide and 20 px high and starts at the image's
    edge.
    """
    write(
        tmp_path / "VOC2007",
        {"000001": thing() + thing("person", (48, 12.5, 60, 40), "<difficult>1</difficult>")},
    )
    data = VocDataset(tmp_path, 2007, "trainval")
    target = data.target(0)
    assert target.boxes.tolist() == [[0, 0, 10, 20], [47, 11.5, 60, 40]]
    assert target.labels.tolist() == [VOC_CLASSES.index("dog") + 1, VOC_CLASSES.index("person") + 1]
    assert target.difficult.tolist() == [False, True]
    assert target.area.tolist() == [200, 13 * 28.5]
    assert data.image_ids == ("000001",)
    assert data.sizes == ((40, 60),)
    assert data[0].image.shape == (3, 40, 60)


def test_voc_has_twenty_classes_in_alphabetical_order():
    assert len(VOC_CLASSES) == 20
    assert list(VOC_CLASSES) == sorted(VOC_CLASSES)


@pytest.mark.fault("R40")
def test_xmin_zero_does_not_wrap_around(tmp_path):
    write(tmp_path / "VOC2007", {"a": thing(box=(0, 0, 10, 10))})
    assert VocDataset(tmp_path, 2007, "trainval").target(0).boxes.tolist() == [[0, 0, 10, 10]]


def test_root_may_be_devkit_its_parent_or_the_year(tmp_path):
    folder = write(tmp_path / "VOCdevkit" / "VOC2007", {"a": thing()})
    for root in (tmp_path, tmp_path / "VOCdevkit", folder):
        assert len(VocDataset(root, 2007, "trainval")) == 1


def test_without_year_the_classes_are_those_of_all_annotations(tmp_path):
    write(tmp_path, {"a": thing("zebra")}, split="test")
    write(tmp_path, {"b": thing("ant")}, split="train")
    for split, label in (("train", 1), ("test", 2)):
        data = VocDataset(tmp_path, None, split, classes=None)
        assert data.classes == ("ant", "zebra")
        assert data.target(0).labels.tolist() == [label]


@pytest.mark.fault("R39")
@pytest.mark.parametrize(
    "box",
    [(5, 5, 5, 20), (5, 5, 5, 5), (9, 5, 3, 20), ("nan", 1, 5, 5), ("", 1, 5, 5), (99, 1, 120, 9)],
)
def test_bad_boxes_stop_or_are_skipped_by_name(tmp_path, box):
    write(tmp_path / "VOC2007", {"a": thing() + thing("cat", box)})
    with pytest.raises(DataError, match=r"a.xml: object 2 \('cat'\)"):
        VocDataset(tmp_path, 2007, "trainval")
    data = VocDataset(tmp_path, 2007, "trainval", on_bad_box="skip")
    assert len(data.target(0).labels) == 1
    assert len(data.skipped) == 1


def test_unknown_class_and_bad_difficult_are_named(tmp_path):
    write(tmp_path / "VOC2007", {"a": thing("unicorn")})
    with pytest.raises(DataError, match=r"a.xml: the class 'unicorn' is unknown"):
        VocDataset(tmp_path, 2007, "trainval")
    write(tmp_path / "VOC2007", {"a": thing(difficult="<difficult>yes</difficult>")})
    with pytest.raises(DataError, match=r"a.xml: object 1 \('dog'\): difficult is 'yes'"):
        VocDataset(tmp_path, 2007, "trainval")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_doctype_is_refused_in_any_encoding(tmp_path, encoding):
    folder = write(tmp_path / "VOC2007", {"a": thing()})
    lol = '<!DOCTYPE x [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;">]>'
    text = f'<?xml version="1.0" encoding="{encoding}"?>{lol}<annotation>&b;</annotation>'
    (folder / "Annotations" / "a.xml").write_bytes(text.encode(encoding))
    with pytest.raises(DataError, match=r"a.xml.*DOCTYPE"):
        VocDataset(tmp_path, 2007, "trainval")


@pytest.mark.parametrize("text", ["", "<annotation>", "<annotation/>", "\x00"])
def test_broken_annotations_are_named(tmp_path, text):
    folder = write(tmp_path / "VOC2007", {"a": thing(), "b": thing()})
    (folder / "Annotations" / "b.xml").write_text(text)
    with pytest.raises(DataError, match=r"b.xml"):
        VocDataset(tmp_path, 2007, "trainval")


def test_split_list_is_checked(tmp_path):
    folder = write(tmp_path / "VOC2007", {"a": thing()})
    for text, says in (
        ("", "names no image"),
        ("a\na\n", "'a' is listed twice"),
        ("a\n../a\n", "'../a' is not an image name"),
        ("a\nmissing\n", r"missing.xml"),
    ):
        (folder / "ImageSets" / "Main" / "bad.txt").write_text(text)
        with pytest.raises(DataError, match=says):
            VocDataset(tmp_path, 2007, "bad")


def test_a_folder_of_another_layout_says_how_to_look_into_it(tmp_path):
    with pytest.raises(DataError, match=r"no folder Annotations; python -m data.validate --root"):
        VocDataset(tmp_path, None, "train", classes=None)


def test_missing_year_and_split_say_where_what_and_how(tmp_path):
    folder = write(tmp_path / "VOC2007", {"a": thing()})
    with pytest.raises(DataError) as error:
        VocDataset(tmp_path, 2012, "trainval")
    for part in (str(tmp_path / "VOC2012"), "VOC2007", "python -m scripts.get_data voc2012"):
        assert part in str(error.value)
    with pytest.raises(DataError) as error:
        VocDataset(tmp_path, 2007, "val")
    for part in (
        str(folder / "ImageSets" / "Main" / "val.txt"),
        "trainval",
        "python -m scripts.get_data voc2007",
    ):
        assert part in str(error.value)


def test_concatenation_keeps_every_image_and_makes_shared_ids_unique(tmp_path):
    write(tmp_path / "VOC2007", {"a": thing(), "b": thing()})
    write(tmp_path / "VOC2012", {"b": thing("cat"), "c": thing("cow")})
    both = ConcatDataset(
        [VocDataset(tmp_path, year, "trainval") for year in (2007, 2012)], ["2007", "2012"]
    )
    assert both.image_ids == ("a", "2007/b", "2012/b", "c")
    assert [VOC_CLASSES[int(both.target(i).labels[0]) - 1] for i in range(4)] == [
        "dog",
        "dog",
        "cat",
        "cow",
    ]
    assert both[2].image_id == "2012/b"
    assert len(both) == len(both.sizes) == 4
    with pytest.raises(IndexError):
        both.target(4)


def test_concatenation_refuses_different_classes(tmp_path):
    write(tmp_path, {"a": thing()})
    parts = [
        VocDataset(tmp_path, None, "trainval", classes=classes)
        for classes in (("dog",), ("dog", "cat"))
    ]
    with pytest.raises(DataError, match="different classes"):
        ConcatDataset(parts, ["first", "second"])


LISTS = {
    "windows": b"my photo\r\nimg (2)\r\n",
    "byte-order mark": b"\xef\xbb\xbfmy photo\nimg (2)\n",
    "utf-16": "my photo\nimg (2)\n".encode("utf-16"),
    "one class": b"my photo  1\nimg (2) -1\n",
    "suffixes": b"my photo.png\nimg (2).jpg\n",
    "tabs and empty lines": b"\n my photo\t\n\nimg (2)",
}


@pytest.mark.parametrize("content", LISTS.values(), ids=LISTS)
def test_names_of_a_list_may_have_spaces(tmp_path, content):
    """img and my lie there as well, with other objects: no word of a name stands for another."""
    images = {"my photo": thing("cat"), "img (2)": thing() * 2, "img": thing("cow"), "my": ""}
    folder = write(tmp_path, images)
    (folder / "ImageSets" / "Main" / "some.txt").write_bytes(content)
    data = VocDataset(tmp_path, None, "some", classes=None)
    assert data.image_ids == ("my photo", "img (2)")
    assert [len(data.target(i).labels) for i in range(2)] == [1, 2]


@pytest.mark.parametrize("said", ["a.png", "a.bmp", "a", "", "b.jpg", "C:\\photos\\a.gif"])
@pytest.mark.parametrize("there", ["a.jpg", "a.JPG", "a.webp"])
def test_the_image_beside_the_xml_is_read_whatever_filename_says(tmp_path, said, there):
    folder = write(tmp_path, {"a": thing()})
    (folder / "JPEGImages" / "a.png").rename(folder / "JPEGImages" / there)
    xml = folder / "Annotations" / "a.xml"
    xml.write_text(xml.read_text().replace("a.png", said))
    data = VocDataset(tmp_path, None, "trainval", classes=None)
    assert data.file(0).name == there


@pytest.mark.parametrize("field", ["", "<difficult/>", "<difficult> </difficult>"])
def test_missing_or_empty_difficult_is_0_and_a_note(tmp_path, field):
    folder = write(tmp_path, {"a": thing(difficult=field)})
    assert VocDataset(tmp_path, None, "trainval", classes=None).target(0).difficult.tolist() == [
        False
    ]
    (problem,) = read_xml(folder / "Annotations" / "a.xml").problems
    assert problem.severity == "note"


def test_hidden_and_unlisted_files_do_not_stop_a_split(tmp_path):
    """macOS's ._a.xml is no annotation; a broken file of another split is not this one's matter."""
    folder = write(tmp_path, {"a": thing()})
    (folder / "Annotations" / "._a.xml").write_bytes(b"\x00\x05\x16\x07\x00")
    (folder / "Annotations" / "later.xml").write_text("<annotation>")
    data = VocDataset(tmp_path, None, "trainval", classes=None)
    assert (data.classes, data.image_ids) == (("dog",), ("a",))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_xml_may_have_any_encoding_and_windows_line_ends(tmp_path, encoding):
    folder = write(tmp_path, {"a": thing("größe 2")})
    xml = folder / "Annotations" / "a.xml"
    text = xml.read_text().replace("<object>", "\r\n<object>").replace(">60<", ">60.0<")
    xml.write_bytes(text.encode(encoding))
    assert VocDataset(tmp_path, None, "trainval", classes=None).classes == ("größe 2",)
