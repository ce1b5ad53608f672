"""The blocks of Python in docs/sigma.md run, one after the other."""

import re
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from tests.scripts.test_detect import write_checkpoint

PAGE = Path(__file__).parents[1] / "docs" / "sigma.md"


def test_the_page_about_sigma_runs(tmp_path, monkeypatch):
    checkpoint = write_checkpoint(tmp_path / "run", log_variance=True)
    shutil.copy(checkpoint, tmp_path / "best.pt")
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(blocks) == 5
    assert (tmp_path / "overlay.png").is_file()
    assert len(names["found"].boxes) == len(names["quality"]) > 0
