"""scripts.export: the files that it writes find what the detector finds, and what it refuses."""

import importlib.util
import json
import re
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from models.iou_net import IoUConfig
from scripts import export
from scripts.engine.detection.photo_detector import PhotoDetector
from scripts.engine.export import write
from scripts.engine.export.describe import describe
from scripts.engine.export.runner.description import (
    FILE,
    of_plain,
    read_description,
    to_json,
)
from scripts.engine.export.runner.detector import ExportedDetector
from scripts.engine.export.runner.onnx_parts import open_onnx
from scripts.engine.export.torch_parts import open_torch
from scripts.engine.run_folder.checkpoint import checkpoint_of, load_checkpoint
from scripts.engine.run_folder.checkpoint import write_checkpoint as write_state
from tests.networks import KL
from tests.scripts.engine.export.test_runner import FPN, IMAGES, RFCN, loaded_of
from tests.scripts.test_detect import MASK, write_checkpoint
from tests.test_house import ROOT

PAGE = (ROOT / "docs/export.md").read_text()
# at least 32 px high and wide in the network
LARGE_ENOUGH = [*IMAGES[:3], IMAGES[3][:, :60], IMAGES[4]]
WITH_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))


def check_same(runner: ExportedDetector, checkpoint, images):
    """The law of the export, on images of one checkpoint."""
    detector = PhotoDetector(checkpoint, device="cpu", score=0.0)
    for image, ours in zip(images, detector(list(images)), strict=True):
        found = runner(image, score=0.0)
        assert len(found.boxes) == len(ours.boxes) > 3
        np.testing.assert_allclose(found.boxes, ours.boxes.numpy(), rtol=0, atol=1e-3)
        np.testing.assert_allclose(found.scores, ours.scores.numpy(), rtol=0, atol=1e-5)
        np.testing.assert_allclose(found.sigma, ours.sigma.numpy(), rtol=1e-4)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """With the outputs of ``loaded_of``: of an untrained network all scores are nearly equal, and
    rounding would decide their order."""
    folder = tmp_path_factory.mktemp("run")
    weights = loaded_of(folder, KL).detector.state_dict()
    path = checkpoint_of(folder)
    state = load_checkpoint(path)
    write_state(path, state["step"], state | {"model": weights})
    return path


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    """The folder "exported" that the first two commands of docs/export.md write, for one size."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(checkpoint.parent, root / "runs/own/small/NAME/seed0")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for words in commands()[:2]:
            assert export.main([*words, "--size", "48x48"]) == 0
    return root / "exported"


def commands():
    """The words of each command in docs/export.md."""
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[3:] for line in lines]


def blocks(language):
    """The blocks of docs/export.md in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_about_exporting_is_right(exported, monkeypatch):
    """Its commands can be given, and its Python runs."""
    for words in commands():
        assert export.option_parser().parse_args(words).to.name.startswith("exported")
    monkeypatch.chdir(exported.parent)
    Image.fromarray(noise(60)).save("photo.jpg")
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "export.md", "exec"), names)
    assert len(names["found"].boxes) > 0


def test_the_files_find_what_the_detector_finds(checkpoint, exported):
    """In images whose size in the network is that of the dense part, which is not padded then."""
    runner = open_torch(exported)
    check_same(runner, checkpoint, [noise(side) for side in (48, 40, 64, 90, 31)])
    with pytest.raises(ValueError, match="larger --size"):
        runner(IMAGES[0])


def noise(side):
    return np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.mark.slow_fault
def test_files_for_any_size_do_so_in_images_of_any_size(checkpoint, tmp_path):
    assert export.main([str(checkpoint), "--to", str(tmp_path)]) == 0
    runner = open_torch(tmp_path)
    check_same(runner, checkpoint, LARGE_ENOUGH)
    with pytest.raises(ValueError, match="needs 32 px a side"):
        runner(np.zeros((100, 10, 3), np.uint8))


def test_parts_of_two_networks_do_not_come_together(exported, tmp_path, capsys):
    other = write_checkpoint(tmp_path, log_variance=True, built={"backbone_width": 0.2})
    assert export.main([str(other), "--part", "head", "--to", str(exported)]) == 2
    assert "has the dense.pt2 of another network" in capsys.readouterr().err
    assert read_description(exported).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("name", "described", "sentence"),
    [
        ("dense.onnx", True, "has the dense.onnx of another network"),
        ("head.onnx", True, "has the head.onnx of another network"),
        ("dense.onnx", False, "has a dense.onnx and no detector.json, so whose it is is not known"),
    ],
)
def test_nor_do_parts_in_two_formats(checkpoint, tmp_path, name, described, sentence, capsys):
    """ONNX files of another network would be taken for those of the description."""
    (tmp_path / name).touch()
    if described:
        other = describe(loaded_of(tmp_path, {**KL, "backbone_width": 0.2}), None)
        (tmp_path / FILE).write_text(to_json(other))
    assert export.main([str(checkpoint), "--to", str(tmp_path)]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "dense.pt2").exists()


def test_a_killed_export_leaves_no_part_with_the_description_of_another(
    checkpoint, tmp_path, monkeypatch
):
    (tmp_path / FILE).write_text(to_json(describe(loaded_of(tmp_path, KL), None)))
    monkeypatch.setattr(write, "exported_bytes", lambda *given: b"a part")

    def killed(path, content):
        path.write_bytes(content)
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        write.export(write.ExportOptions(checkpoint=checkpoint, to=tmp_path))
    assert (tmp_path / "dense.pt2").exists()
    with pytest.raises(ValueError, match="is no folder that"):
        read_description(tmp_path)


def test_the_head_goes_with_the_size_of_the_dense_part(checkpoint, exported, capsys):
    command = [str(checkpoint), "--part", "head", "--size", "64x64", "--to", str(exported)]
    assert export.main(command) == 2
    assert "give the --size that it was exported with" in capsys.readouterr().err


@pytest.mark.slow_fault
@pytest.mark.skipif(not WITH_ONNX, reason='the extra is not installed: pip install ".[onnx]"')
def test_onnx_files_find_what_the_detector_finds(checkpoint, tmp_path):
    assert export.main([str(checkpoint), "--format", "onnx", "--to", str(tmp_path)]) == 0
    check_same(open_onnx(tmp_path), checkpoint, LARGE_ENOUGH)


@pytest.mark.skipif(WITH_ONNX, reason="the extra is installed")
def test_without_the_extra_there_is_no_onnx(checkpoint, tmp_path, capsys):
    assert export.main([str(checkpoint), "--format", "onnx", "--to", str(tmp_path)]) == 2
    assert 'pip install ".[onnx]"' in capsys.readouterr().err
    (tmp_path / FILE).write_text(to_json(describe(loaded_of(tmp_path, KL), None)))
    with pytest.raises(ValueError, match=r"need ONNX Runtime|dense.onnx does not exist"):
        open_onnx(tmp_path)


def test_missing_and_damaged_parts_are_named(checkpoint, exported, tmp_path, capsys):
    for name in (FILE, "dense.pt2"):
        shutil.copy(exported / name, tmp_path)
    assert read_description(tmp_path).input.fixed_size == (48, 48)
    with pytest.raises(ValueError, match=r"head\.pt2 does not exist.*--part head"):
        open_torch(tmp_path)
    (tmp_path / "head.pt2").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"head\.pt2 cannot be read"):
        open_torch(tmp_path)
    with pytest.raises(SystemExit):
        export.main([str(checkpoint), "--size", "48", "--to", str(tmp_path)])
    assert "is no size in px, such as 608x1024" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (MASK, "mask branch of this Mask R-CNN is not exported"),
        (
            {**FPN, "iou": IoUConfig(), "roi_pooling": "precise"},
            "IoU branch of this IoU-Net is not",
        ),
        (RFCN, ""),
    ],
    ids=["Mask R-CNN", "IoU-Net", "R-FCN"],
)
def test_what_is_not_exported_is_said(fields, sentence, tmp_path):
    description = describe(loaded_of(tmp_path, fields), None)
    assert sentence in "".join(description.left_out)
    assert bool(description.left_out) == bool(sentence)
    assert of_plain(json.loads(to_json(description))) == description


def test_what_cannot_be_exported_is_refused_in_a_sentence(tmp_path, capsys):
    rfcn = write_checkpoint(tmp_path, log_variance=False, built=RFCN)
    assert export.main([str(rfcn), "--part", "head", "--to", str(tmp_path / "to")]) == 2
    assert "R-FCN has no layers after its pooling" in capsys.readouterr().err
    saved = write_checkpoint(tmp_path / "b", log_variance=False, rpn_kind="saved")
    assert export.main([str(saved), "--to", str(tmp_path / "to")]) == 2
    assert "Fast R-CNN, which has no proposals" in capsys.readouterr().err
    assert not (tmp_path / "to").exists()
    with pytest.raises(ValueError, match="needs its head part"):
        ExportedDetector(describe(loaded_of(tmp_path / "c", KL), None), dict)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "is no folder that scripts.export wrote"),
        ("{", "cannot be read"),
        ('{"format": 0}', "is not of format 1"),
        ('{"format": 1, "first": {}, "second": {}}', "lacks a field"),
    ],
)
def test_a_damaged_description_is_named(text, sentence, tmp_path):
    if text is not None:
        (tmp_path / FILE).write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_description(tmp_path)


def test_a_diverged_network_is_refused(tmp_path):
    loaded = loaded_of(tmp_path, KL)
    runner = ExportedDetector(
        describe(loaded, None), lambda pixels: {"objectness": np.full((1, 2), np.nan)}, dict
    )
    with pytest.raises(ValueError, match="The objectness of the image are not finite"):
        runner(IMAGES[0])
