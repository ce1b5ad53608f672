"""scripts.detect on tiny untrained networks: what it writes, what it skips, what it refuses."""

import contextlib
import csv
import json
import os
import shutil
import signal
import sys
from dataclasses import asdict
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from data.config import DataConfig
from data.formats.masks import decode_masks
from data.layouts import named_layout, open_split
from experiments.kl_loss.runs import r50_fpn_1x, vgg16_coco, vgg16_coco_kl
from experiments.records import Run
from models.build import build_detector
from models.mask import MaskConfig
from postprocess.pipeline import PostprocessConfig
from scripts import detect
from scripts.engine.command import STOPPED
from scripts.engine.detection import in_files as detect_in_files
from scripts.engine.detection import video
from scripts.engine.detection.detection import choose_postprocess
from scripts.engine.detection.files import overlay_files
from scripts.engine.detection.unfinished import UnfinishedDetections
from scripts.engine.run_folder.checkpoint import plain, save_checkpoint
from tests.networks import KL, TINY_RESNET, change, model_config
from tests.tiny import TINY

CLASSES = ["cat", "dog"]
DATA = DataConfig(
    layout="voc", train=("train",), test="val", short_side=48, long_side=64, pixels="torchvision"
)
MASK = {
    **TINY_RESNET,
    "backbone_pyramid": True,
    "mask": MaskConfig(channels=26),
    "roi_canonical_size": 56.0,
    "rpn_anchor_sizes": (8.0, 16.0, 32.0, 64.0, 128.0),
    "backbone_pyramid_channels": 26,
}
PLAIN = model_config(
    backbone_name="vgg16",
    num_classes=2,
    backbone_width=0.1,
    roi_fc_dims=(16, 16),
    rpn_anchor_sizes=(16.0, 32.0),
    rpn_min_size=2.0,
    rpn_post_nms_test=10,
    rpn_channels=51,
)

SIDES = ("x1", "y1", "x2", "y2")


def write_checkpoint(folder, *, log_variance, built=None, unknown=None, **changes):
    """Of a network that differs by ``built``, with a config that, when it is read, differs by
    ``changes`` and has the fields ``unknown``.
    """
    model = change(PLAIN, **(KL if log_variance else {}), **(built or {}))
    torch.manual_seed(0)
    read = asdict(change(model, **changes)) | (unknown or {})
    run = asdict(Run(name="tiny", model=model, data=DATA, train=TINY.train)) | {"model": read}
    return save_checkpoint(
        folder,
        1,
        {
            "model": build_detector(model).state_dict(),
            "step": 1,
            "run": plain(run),
            "classes": CLASSES,
        },
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("kl"), log_variance=True)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, (height, width) in (("a.png", (96, 128)), ("b.jpg", (60, 40))):
        noise = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name)
    return folder


def call(*words):
    return detect.main([str(word) for word in words])


def test_folder_becomes_one_json_and_one_overlay_per_image(checkpoint, photos, tmp_path):
    out = tmp_path / "out"
    assert call(checkpoint, photos, "--out", out, "--score", 0.2, "--device", "cpu") == 0
    found = json.loads((out / "detections.json").read_text())
    assert sorted(found) == [str(photos / "a.png"), str(photos / "b.jpg")]
    lines = found[str(photos / "a.png")]
    assert lines
    for line in lines:
        assert line["class"] in CLASSES
        assert 0.2 <= line["score"] <= 1
        assert 0 <= line["box"][0] <= line["box"][2] <= 128
        assert 0 <= line["box"][1] <= line["box"][3] <= 96
        assert len(line["sigma"]) == 4
        assert min(line["sigma"]) > 0
    assert [line["score"] for line in lines] == sorted(
        (line["score"] for line in lines), reverse=True
    )
    assert sorted(path.name for path in out.glob("*.png")) == ["a.png", "b.png"]
    with Image.open(out / "a.png") as picture:
        assert picture.size == (512, 384)  # 128 x 96 px enlarged four times


def test_a_photo_that_was_taken_upright_is_shown_upright(checkpoint, photos, tmp_path):
    """Stored 128 px wide and 96 high with EXIF orientation 6: it is 96 wide and 128 high."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(photos / "a.png") as stored:
        stored.convert("RGB").save(tmp_path / "phone.jpg", exif=exif)
    words = (checkpoint, tmp_path / "phone.jpg", "--out", tmp_path / "out", "--score", 0.2)
    assert call(*words) == 0
    (lines,) = json.loads((tmp_path / "out" / "detections.json").read_text()).values()
    assert max(line["box"][2] for line in lines) <= 96 < max(line["box"][3] for line in lines)
    with Image.open(tmp_path / "out" / "phone.png") as picture:
        assert picture.size == (384, 512)


def test_score_only_hides_detections(checkpoint, photos, tmp_path):
    """Boxes below --score take part in suppression and voting: a higher --score leaves a beginning
    of the list.
    """
    for score in (0.2, 0.34):
        assert call(checkpoint, photos, "--out", tmp_path / str(score), "--score", score) == 0
    low, high = (
        json.loads((tmp_path / s / "detections.json").read_text()) for s in ("0.2", "0.34")
    )
    for name, lines in low.items():
        assert high[name] == [line for line in lines if line["score"] >= 0.34]


def test_the_help_says_from_which_score_on_there_are_detections(
    checkpoint, photos, tmp_path, capsys
):
    """At --score 0 nothing up to the least score of a candidate is shown."""
    assert call(checkpoint, photos, "--out", tmp_path / "out", "--score", 0) == 0
    content = json.loads((tmp_path / "out" / "detections.json").read_text())
    least = PostprocessConfig().score_threshold
    assert all(line["score"] >= least for lines in content.values() for line in lines)
    with pytest.raises(SystemExit):
        call("--help")
    assert f"candidates up to {least:g} are none" in " ".join(capsys.readouterr().out.split())


def test_bad_image_is_named_and_the_rest_is_done(checkpoint, photos, tmp_path, capsys):
    (photos / "c.png").write_text("no image")
    assert call(checkpoint, photos, photos / "missing.jpg", "--out", tmp_path / "out") == 1
    assert len(json.loads((tmp_path / "out" / "detections.json").read_text())) == 2
    errors = capsys.readouterr().err
    assert "c.png" in errors
    assert "missing.jpg" in errors


def test_nothing_to_detect_in_is_wrong_input(checkpoint, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for given, sentence in (
        ("empty", "empty holds no .jpg, .jpeg, "),
        ("missing.jpg", "None of the 1 files could be read; nothing was written."),
    ):
        assert call(checkpoint, tmp_path / given, "--out", tmp_path / "out") == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out" / "detections.json").exists()


def test_network_without_log_variance_has_no_sigma_and_cannot_vote(photos, tmp_path, capsys):
    path = write_checkpoint(tmp_path / "baseline", log_variance=False)
    assert call(path, photos / "a.png", "--out", tmp_path / "out", "--score", 0) == 0
    lines = json.loads((tmp_path / "out" / "detections.json").read_text())[str(photos / "a.png")]
    assert {line["sigma"] for line in lines} == {None}
    assert call(path, photos / "a.png", "--out", tmp_path / "out", "--sigma-t", 0.02) == 2
    assert "log variances" in capsys.readouterr().err


def test_default_votes_if_it_can():
    given = detect.option_parser().parse_args(["x.pt", "a.png", "--out", "out"])
    assert (given.sigma_t, given.suppression) == (None, "hard")
    assert choose_postprocess(vgg16_coco_kl, None, "hard").sigma_t == 0.02
    assert choose_postprocess(vgg16_coco, None, "hard").sigma_t == 0
    assert choose_postprocess(vgg16_coco, None, "hard").iou_threshold == 0.3
    assert choose_postprocess(r50_fpn_1x, None, "hard").iou_threshold == 0.5
    assert choose_postprocess(r50_fpn_1x, nms_iou=0.7).iou_threshold == 0.7
    config = choose_postprocess(vgg16_coco_kl, 0.0, "soft_gaussian")
    assert (config.sigma_t, config.suppression) == (0, "soft_gaussian")


def test_refuses_with_one_sentence(checkpoint, photos, tmp_path, capsys):
    assert call(tmp_path / "none.pt", photos, "--out", tmp_path / "out") == 2
    assert call(checkpoint, photos, "--out", photos) == 2
    unknown = write_checkpoint(tmp_path / "future", log_variance=True, unknown={"color": "red"})
    assert call(unknown, photos, "--out", tmp_path / "out") == 2
    lines = capsys.readouterr().err.splitlines()
    assert [
        ("none.pt" in lines[0]),
        ("folder of input images" in lines[1]),
        ("color" in lines[2]),
    ] == [True] * 3
    assert len(lines) == 3


def test_networks_that_need_more_or_give_less_are_refused_in_one_sentence(photos, tmp_path, capsys):
    alone = write_checkpoint(tmp_path / "rpn", log_variance=False, roi_head="none")
    fast = write_checkpoint(tmp_path / "fast", log_variance=False, rpn_kind="saved")
    assert call(alone, photos, "--out", tmp_path / "out") == 2
    assert call(fast, photos, "--out", tmp_path / "out") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "region proposal network alone" in lines[0]
    assert "Fast R-CNN" in lines[1]
    assert not (tmp_path / "out").exists()


def test_mask_r_cnn_writes_a_mask_for_each_detection(photos, tmp_path):
    """Each mask has the image's size and lies in its box, which a border of one of 28 cells a side
    makes a bit larger.
    """
    path = write_checkpoint(tmp_path / "mask", log_variance=True, built=MASK)
    assert call(path, photos, "--out", tmp_path / "out", "--score", 0.2, "--device", "cpu") == 0
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    seen = 0
    for name, (height, width) in (("a.png", (96, 128)), ("b.jpg", (60, 40))):
        lines = found[str(photos / name)]
        assert lines
        for line in lines:
            assert line["mask"]["size"] == [height, width]
            bitmap = decode_masks([line["mask"]], (height, width))[0]
            x1, y1, x2, y2 = line["box"]
            rows, columns = bitmap.nonzero().unbind(1)
            border = 1 + max(x2 - x1, y2 - y1) / 28
            assert ((columns >= x1 - border) & (columns <= x2 + border)).all()
            assert ((rows >= y1 - border) & (rows <= y2 + border)).all()
            seen += int(bitmap.any())
    assert seen > 0
    with Image.open(tmp_path / "out" / "a.png") as picture:
        assert picture.size == (512, 384)


def test_a_checkpoint_of_an_earlier_version_is_refused_in_one_sentence(
    checkpoint, photos, tmp_path, capsys
):
    state = torch.load(checkpoint, weights_only=True)
    assert state.pop("format") == 2
    torch.save(state, tmp_path / "old.pt")
    assert call(tmp_path / "old.pt", photos, "--out", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "written by an earlier version of this code, whose network had other parts" in line
    assert "git commit 87e4cc2 for format 1" in line


def test_patterns_stand_for_the_files_that_they_match(checkpoint, photos, tmp_path, capsys):
    assert call(checkpoint, photos / "*.png", "--out", tmp_path / "out") == 0
    assert list(json.loads((tmp_path / "out" / "detections.json").read_text())) == [
        str(photos / "a.png")
    ]
    assert call(checkpoint, photos / "*.tiff", "--out", tmp_path / "other") == 2
    assert "No image and no video matches" in capsys.readouterr().err


def test_the_formats_tell_the_same(checkpoint, photos, tmp_path):
    out = tmp_path / "out"
    words = (checkpoint, photos, "--out", out, "--score", 0.2, "--format", "coco,csv,json")
    assert call(*words, "--no-overlays") == 0
    assert not list(out.glob("*.png"))
    found = json.loads((out / "detections.json").read_text())
    rows = list(csv.DictReader((out / "detections.csv").open()))
    coco = json.loads((out / "detections_coco.json").read_text())
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    classes = {category["id"]: category["name"] for category in coco["categories"]}
    flat = [(image, line) for image, lines in found.items() for line in lines]
    assert len(flat) == len(rows) == len(coco["annotations"]) > 0
    for (image, line), row, entry in zip(flat, rows, coco["annotations"], strict=True):
        assert image == row["image"] == str(photos / names[entry["image_id"]])
        assert line["class"] == row["class"] == classes[entry["category_id"]]
        assert line["score"] == float(row["score"]) == entry["score"]
        assert line["sigma"] == entry["sigma"] == [float(row[f"sigma_{s}"]) for s in SIDES]
        x, y, width, height = entry["bbox"]
        assert line["box"] == [float(row[s]) for s in SIDES]
        assert line["box"] == pytest.approx([x, y, x + width, y + height], abs=0.011)
    found = named_layout(out / "detections_coco.json", photos)
    (split,) = found.names
    assert len(open_split(found, split)) == 2  # our own reader takes it
    assert call(checkpoint, photos, "--out", tmp_path / "csv", "--format", "csv") == 0
    assert not (tmp_path / "csv" / "detections.json").exists()
    with pytest.raises(SystemExit):
        call(checkpoint, photos, "--out", tmp_path / "csv", "--format", "xml")


def in_three_formats(out):
    """The detections in ``out`` as lines of JSON, rows of CSV and annotations of COCO."""
    found = json.loads((out / "detections.json").read_text())
    rows = list(csv.DictReader((out / "detections.csv").open()))
    entries = json.loads((out / "detections_coco.json").read_text())["annotations"]
    lines = [line for lines in found.values() for line in lines]
    assert len(lines) == len(rows) == len(entries) > 0
    return lines, rows, entries


def test_probabilities_of_all_classes_stand_beside_the_score(checkpoint, photos, tmp_path):
    words = (checkpoint, photos, "--out", tmp_path, "--score", 0.2, "--format", "coco,csv,json")
    assert call(*words, "--no-overlays", "--probabilities") == 0
    lines, rows, entries = in_three_formats(tmp_path)
    for line, row, entry in zip(lines, rows, entries, strict=True):
        probabilities = line["probabilities"]
        assert next(iter(probabilities)) == "background"
        assert sum(probabilities.values()) == pytest.approx(1.0, abs=1e-3)
        assert probabilities[line["class"]] == line["score"]  # NMS leaves scores alone
        assert entry["probabilities"] == probabilities
        assert {f"probability_{name}": str(p) for name, p in probabilities.items()} == {
            name: value for name, value in row.items() if name.startswith("probability_")
        }


def test_intervals_stand_beside_the_sigma(checkpoint, photos, tmp_path, capsys):
    words = (checkpoint, photos, "--out", tmp_path, "--score", 0.2, "--format", "coco,csv,json")
    assert call(*words, "--no-overlays", "--interval", 0.9545) == 0
    lines, rows, entries = in_three_formats(tmp_path)
    for line, row, entry in zip(lines, rows, entries, strict=True):
        for place, side in enumerate(SIDES):
            low, high = line["interval"][place]
            reach = 2 * line["sigma"][place]  # a Gaussian's
            expected = (line["box"][place] - reach, line["box"][place] + reach)
            assert (low, high) == pytest.approx(expected, abs=0.03)
            assert (low, high) == (float(row[f"low_{side}"]), float(row[f"high_{side}"]))
        assert entry["interval"] == line["interval"]
    with pytest.raises(SystemExit):
        call(*words, "--interval", 1)
    assert "'1' is no number above 0 and below 1" in capsys.readouterr().err
    none = (checkpoint, photos, "--out", tmp_path / "nothing", "--score", 1, "--format", " CSV,")
    assert call(*none, "--no-overlays", "--interval", 0.9, "--probabilities") == 0
    header = (tmp_path / "nothing" / "detections.csv").read_text().strip().split(",")
    assert header[:11] == list(rows[0])[:11]  # the same columns where nothing was found
    assert header[11:13] == ["low_x1", "high_x1"]
    assert header[-3:] == ["probability_background", "probability_cat", "probability_dog"]
    plain = write_checkpoint(tmp_path / "plain", log_variance=False)
    assert call(plain, photos, "--out", tmp_path / "none", "--interval", 0.9) == 2
    assert "no sigma, so there are no intervals" in capsys.readouterr().err


def test_a_command_that_was_stopped_goes_on(checkpoint, photos, tmp_path, monkeypatch, capsys):
    """Stopped at the third image, and torn in the line of the second."""
    for name in ("c.png", "d.png"):
        shutil.copy(photos / "a.png", photos / name)
    out, whole = tmp_path / "out", tmp_path / "whole"
    assert call(checkpoint, photos, "--out", whole, "--score", 0.2) == 0
    read, seen = detect_in_files.read_image, []

    def stopped(path):
        if path.name == "c.png":
            raise KeyboardInterrupt
        return read(path)

    def counted(path):
        seen.append(path.name)
        return read(path)

    monkeypatch.setattr(detect_in_files, "BATCH", 1)
    monkeypatch.setattr(detect_in_files, "read_image", stopped)
    assert call(checkpoint, photos, "--out", out, "--score", 0.2) == 75
    assert not (out / "detections.json").exists()
    unfinished = out / ".unfinished.jsonl"
    unfinished.write_text(unfinished.read_text()[:-20])
    assert call(checkpoint, photos, "--out", out, "--score", 0.3) == 2
    assert "made with another --score; give another --out" in capsys.readouterr().err
    monkeypatch.setattr(detect_in_files, "read_image", counted)
    assert call(checkpoint, photos, "--out", out, "--score", 0.2) == 0
    assert "going on: 1 of 4 images are done" in capsys.readouterr().out
    assert seen == ["b.jpg", "c.png", "d.png"]
    assert (out / "detections.json").read_text() == (whole / "detections.json").read_text()
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in whole.iterdir())


def test_overlays_of_a_command_that_named_other_images_stay(
    checkpoint, photos, tmp_path, monkeypatch
):
    """Two commands are stopped at their second image; the third one goes on with both firsts."""
    out, read = tmp_path / "out", detect_in_files.read_image
    shutil.copytree(photos, tmp_path / "more")
    Image.new("RGB", (64, 64)).save(tmp_path / "more" / "a.png")

    def stopped(path):
        if path.name == "b.jpg":
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(detect_in_files, "BATCH", 1)
    with monkeypatch.context() as patch:
        patch.setattr(detect_in_files, "read_image", stopped)
        for folder in (photos, tmp_path / "more"):
            assert call(checkpoint, folder, "--out", out, "--score", 0.2) == STOPPED
    assert call(checkpoint, photos, tmp_path / "more", "--out", out, "--score", 0.2) == 0
    overlays = {"a.png", "a-2.png", "b.png", "b-2.png"}
    assert {path.name for path in out.glob("*.png")} == overlays


def write_video(path, frames=11, rate=10):
    av = pytest.importorskip("av")
    pixels = np.random.default_rng(0).integers(0, 256, (frames, 96, 128, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for frame in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))


def pictures_of(path):
    with pytest.importorskip("av").open(str(path)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


def test_videos_and_photos_of_one_name_do_not_meet(checkpoint, photos, tmp_path, capsys):
    """a.png, a.mp4 and a.mkv; a damaged film and one that a system left behind stop nothing."""
    write_video(photos / "a.mp4", frames=2)
    write_video(photos / "a.mkv", frames=3)
    for name in ("broken.mp4", "._a.mp4"):
        (photos / name).write_bytes(b"no video")
    out = tmp_path / "out"
    assert call(checkpoint, photos, "--out", out, "--score", 0.2) == 1
    counts = [len((out / f"a-{n}.jsonl").read_text().splitlines()) for n in (2, 3)]
    assert sorted(counts) == [2, 3]
    assert sorted(json.loads((out / "detections.json").read_text())) == [
        str(photos / "a.png"),
        str(photos / "b.jpg"),
    ]
    printed = capsys.readouterr()
    assert "broken.mp4: cannot be read as a video" in printed.err
    assert "._a" not in printed.out + printed.err
    assert not list(out.glob(".*"))


def test_a_video_is_shown_as_it_was_held(checkpoint, tmp_path, monkeypatch):
    """A frame that is to be turned by a quarter is 96 px wide and 128 high."""
    frame = SimpleNamespace(to_image=lambda: Image.new("RGB", (128, 96)), rotation=-90, time=0.0)
    container = contextlib.nullcontext(SimpleNamespace(decode=lambda video: [frame]))
    av = SimpleNamespace(open=lambda path: container, FFmpegError=OSError)
    ((_, picture),) = video.frames_of(av, tmp_path / "film.mp4")
    assert picture.size == (96, 128)


def test_the_rate_of_a_phone_is_one_that_the_codec_takes(tmp_path):
    rate = Fraction(1187000, 39601)
    stream = SimpleNamespace(streams=SimpleNamespace(video=[SimpleNamespace(average_rate=rate)]))
    av = SimpleNamespace(open=lambda path: contextlib.nullcontext(stream))
    taken = video.frame_rate(av, tmp_path / "film.mp4")
    assert max(taken.numerator, taken.denominator) < 65536
    assert float(taken) == pytest.approx(float(rate), rel=1e-4)
    film = video.Film(pytest.importorskip("av"), tmp_path / "film.mp4", taken)
    film.add(Image.new("RGB", (33, 21)))
    film.close()
    assert [picture.size for picture in pictures_of(tmp_path / "film.mp4")] == [(32, 20)]


def test_a_video_becomes_a_line_and_a_picture_a_frame(checkpoint, tmp_path, capsys):
    write_video(tmp_path / "film.mp4")
    out = tmp_path / "out"
    assert call(checkpoint, tmp_path / "film.mp4", "--out", out, "--score", 0.2) == 0
    lines = [json.loads(line) for line in (out / "film.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(11))
    assert [line["seconds"] for line in lines] == pytest.approx([k / 10 for k in range(11)])
    assert all(len(d["sigma"]) == 4 for line in lines for d in line["detections"])
    assert [picture.size for picture in pictures_of(out / "film.mp4")] == [(512, 384)] * 11
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    for name in ("broken.mp4", "missing.mp4"):
        assert call(checkpoint, tmp_path / name, "--out", out) == 2
        assert f"{name}: cannot be read as a video" in capsys.readouterr().err


def test_without_pyav_a_video_is_one_sentence(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "film.mp4").write_bytes(b"")
    assert call(checkpoint, tmp_path / "film.mp4", "--out", tmp_path / "out") == 2
    assert (
        "skipped: Videos are read by PyAV; install it: pip install av\n" in capsys.readouterr().err
    )


def test_a_stop_in_a_video_keeps_the_images_that_are_done(
    checkpoint, photos, tmp_path, monkeypatch, capsys
):
    """And an overlay that was removed in between is drawn again."""

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(detect_in_files, "detect_in_video", stopped)
    (tmp_path / "film.mp4").touch()
    words = (checkpoint, photos, tmp_path / "film.mp4", "--out", tmp_path / "out")
    assert call(*words) == STOPPED
    first, *_ = sorted((tmp_path / "out").glob("*.png"))
    first.unlink()
    monkeypatch.setattr(detect_in_files, "detect_in_video", lambda *_, **__: None)
    capsys.readouterr()
    assert call(*words) == 0
    assert "going on: 1 of 2 images are done" in capsys.readouterr().out
    assert first.is_file()
    assert not list((tmp_path / "out").glob(".*"))


def test_sigterm_stops_as_ctrl_c_does(checkpoint, photos, tmp_path, monkeypatch, capsys):
    real = detect_in_files.read_image

    def ended(path):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(path)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(detect_in_files, "read_image", ended)
        assert call(checkpoint, photos, "--out", tmp_path / "out") == STOPPED
    assert "run the same command again to continue" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before
    assert call(checkpoint, photos, "--out", tmp_path / "out") == 0


def test_what_changed_since_a_command_was_stopped_is_done_anew(photos, tmp_path):
    """a.png is another photo now, b.jpg is gone, and a new folder has an a.png of its own."""
    out, new = tmp_path / "out", tmp_path / "new"
    out.mkdir()
    kept = UnfinishedDetections(out, {"by": 1})
    for name in ("a.png", "b.jpg"):
        kept.add(photos / name, {"size": [1, 1], "overlay": name, "detections": []})
    assert list(kept.done([photos / "b.jpg", photos / "a.png"])) == [
        photos / "b.jpg",
        photos / "a.png",
    ]
    (photos / "b.jpg").unlink()
    Image.new("RGB", (9, 9)).save(photos / "a.png")
    again = UnfinishedDetections(out, {"by": 1})
    assert again.done([photos / "a.png"]) == {}
    new.mkdir()
    files = overlay_files(out, [new / "a.png", photos / "a.png"], {photos / "a.png": "a.png"})
    assert files == {photos / "a.png": out / "a.png", new / "a.png": out / "a-2.png"}
    with pytest.raises(ValueError, match="made with another by; give another --out"):
        UnfinishedDetections(out, {"by": 2})


def test_a_pattern_takes_images_alone(checkpoint, photos, tmp_path):
    (photos / "folder").mkdir()
    (photos / "notes.txt").write_text("not an image")
    assert call(checkpoint, photos / "*", "--out", tmp_path / "out", "--score", 0.2) == 0
    assert len(json.loads((tmp_path / "out" / "detections.json").read_text())) == 2
