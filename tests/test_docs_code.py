"""The Python in docs/ runs: the blocks of sigma.md and the cells of the notebooks, one by one."""

import json
import re
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from data.coco import CocoDataset
from tests.scripts.test_calibrate import label_noise
from tests.scripts.test_detect import write_checkpoint

DOCS = Path(__file__).parents[1] / "docs"


def cells_of(name):
    """The code cells of a notebook."""
    cells = json.loads((DOCS / name).read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run(blocks, name):
    """Executes pieces of code in one namespace, and returns it."""
    names: dict[str, object] = {}
    for place, block in enumerate(blocks):
        exec(compile(block, f"{name}, piece {place}", "exec"), names)
    return names


def test_the_page_about_sigma_runs(tmp_path, monkeypatch):
    checkpoint = write_checkpoint(tmp_path / "run", log_variance=True)
    shutil.copy(checkpoint, tmp_path / "best.pt")
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "sigma.md").read_text(), re.DOTALL)
    names = run(blocks, "sigma.md")
    assert len(blocks) == 6
    assert (tmp_path / "overlay.png").is_file()
    assert len(names["found"].boxes) == len(names["quality"]) > 0


def test_the_example_of_a_run_is_in_the_code():
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "structure.md").read_text(), re.DOTALL)
    assert block in (DOCS.parent / "experiments" / "kl_loss" / "runs.py").read_text()


def test_every_page_with_python_is_run():
    """Others are run by test_docs_run.py, _extending.py, _reuse.py and scripts/test_export.py."""
    with_python = {path.stem for path in DOCS.glob("*.md") if "```python" in path.read_text()}
    assert with_python == {
        "sigma",
        "structure",
        "extending",
        "own_data",
        "scoring",
        "export",
        "reuse",
    }


def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    checkpoint = write_checkpoint(tmp_path / "run", log_variance=True)
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    for seed in range(5):
        noise = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(noise).save(scenes / f"{seed}.png")
    monkeypatch.setenv("RUN", str(checkpoint))
    monkeypatch.setenv("SCENES", str(scenes))
    monkeypatch.chdir(DOCS)
    names = run(cells_of("sigma.ipynb"), "sigma.ipynb")
    assert len(names["found"]) == 4
    assert "  IoU 0." in capsys.readouterr().out
    plt.close("all")


def test_the_tour_calibrates_and_measures_a_trained_detector(tmp_path, monkeypatch, capsys):
    """All but its training, which the slow test below does."""
    own = write_checkpoint(tmp_path / "run", log_variance=True)
    scenes = label_noise(tmp_path / "scenes", own)
    monkeypatch.setenv("RUN", str(own))
    monkeypatch.setenv("SCENES", str(scenes))
    monkeypatch.chdir(DOCS)
    names = run(cells_of("tour.ipynb"), "tour.ipynb")
    assert len(names["honest"]) == len(names["unseen"]) == len(CocoDataset(scenes, "val")) // 2
    assert names["after"].error < names["before"].error
    assert "off the line before" in capsys.readouterr().out
    plt.close("all")


@pytest.mark.slow_fault
def test_the_tour_runs_from_top_to_bottom(tmp_path, monkeypatch):
    for name, value in (("OUT", str(tmp_path)), ("TRAIN", "160"), ("EPOCHS", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(DOCS)
    names = run(cells_of("tour.ipynb"), "tour.ipynb")
    assert names["after"].matched > 100
    plt.close("all")
