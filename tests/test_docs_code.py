"""The Python in docs/ runs: the blocks of sigma.md and the cells of sigma.ipynb, one by one."""

import json
import re
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from tests.scripts.test_detect import write_checkpoint

DOCS = Path(__file__).parents[1] / "docs"


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
    """The others are run by tests/test_docs_run.py and tests/test_docs_extending.py."""
    with_python = {path.stem for path in DOCS.glob("*.md") if "```python" in path.read_text()}
    assert with_python == {"sigma", "structure", "extending", "own_data", "scoring"}


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
    cells = json.loads((DOCS / "sigma.ipynb").read_text())["cells"]
    names = run(["".join(c["source"]) for c in cells if c["cell_type"] == "code"], "sigma.ipynb")
    assert len(names["found"]) == 4
    assert "  IoU 0." in capsys.readouterr().out
    plt.close("all")
