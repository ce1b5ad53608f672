"""A network as a safetensors file detects what its checkpoint detects."""

import shutil

import numpy as np
import pytest
import safetensors.torch
import torch

from postprocess.error_quantiles import ErrorQuantiles
from postprocess.sigma_scale import SigmaScale
from scripts import export_weights
from scripts.engine.detection.photo_detector import PhotoDetector
from scripts.engine.run_folder.checkpoint import load_checkpoint
from scripts.engine.run_folder.recalibration import Recalibration, keep_recalibration
from tests.scripts.test_detect import write_checkpoint

PHOTO = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
RECALIBRATION = Recalibration(
    scale=SigmaScale(edges=(), factors=((2.0,) * 4,)),
    quantiles=ErrorQuantiles(sides=((1.0,) * 4,), holding=(1.0,)),
    by="one",
    aim="coverage",
    fitted_on="val",
    images=3,
    matched=40,
)


@pytest.fixture
def checkpoint(tmp_path):
    return write_checkpoint(tmp_path, log_variance=True)


def test_the_file_detects_the_same_and_is_recalibrated_like_a_checkpoint(checkpoint, capsys):
    assert export_weights.main([str(checkpoint)]) == 0
    path = checkpoint.with_suffix(".safetensors")
    assert f"{checkpoint} -> {path}" in capsys.readouterr().out
    old, new = load_checkpoint(checkpoint), load_checkpoint(path)
    assert old["model"].keys() == new["model"].keys()
    assert (old["run"], old["classes"], old["step"]) == (new["run"], new["classes"], new["step"])
    first, second = (
        PhotoDetector(file, device="cpu", score=0.0)(PHOTO) for file in (checkpoint, path)
    )
    assert torch.equal(first.boxes, second.boxes)
    assert torch.equal(first.sigma, second.sigma)
    keep_recalibration(path, RECALIBRATION)
    third = PhotoDetector(path, device="cpu", score=0.0)(PHOTO)
    torch.testing.assert_close(third.sigma, 2 * first.sigma)
    keep_recalibration(checkpoint, RECALIBRATION)
    assert export_weights.main([str(checkpoint)]) == 0
    assert load_checkpoint(path)["recalibration"] == load_checkpoint(checkpoint)["recalibration"]


def test_other_files_are_refused_in_one_sentence(checkpoint, tmp_path, capsys):
    assert export_weights.main([str(checkpoint), "--out", str(tmp_path / "a.pt")]) == 2
    assert "does not end in .safetensors" in capsys.readouterr().err
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    for name, sentence in (
        ("foreign", "was not written by scripts.export_weights"),
        ("damaged", "cannot be read as safetensors"),
    ):
        with pytest.raises(ValueError, match=sentence):
            load_checkpoint(tmp_path / f"{name}.safetensors")
    shutil.rmtree(tmp_path)
