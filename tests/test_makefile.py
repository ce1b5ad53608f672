"""What cannot work is refused before anything is installed: PYTHON is a command that fails, and its
sentence comes only where nothing was wrong before.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from experiments.scales import SCALES

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ("GPUS", "RESTARTS", "JOBS", "SEEDS", "LENGTH", "SCALE", "PAPERS", "DATA",
            "DEVICE", "WEIGHTS", "WEIGHTS_VGGM", "RESULTS", "PUBLISH", "MAKEFLAGS")  # fmt: skip
INSTALLS = "Python 3.11.4 or newer is needed"
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def made(tmp_path):
    """made(*words, NAME=value, ...): what make prints in a folder without .venv, and its exit code;
    the names are variables of the environment."""
    for name in ("Makefile", "pyproject.toml", "experiments", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    clean = {name: value for name, value in os.environ.items() if name not in SETTINGS}

    def run(*words, **environment):
        done = subprocess.run(
            ["make", "PYTHON=false", *words],
            cwd=tmp_path,
            env={**clean, **environment},
            capture_output=True,
            text=True,
        )
        assert not (tmp_path / ".venv").exists()
        return done.stdout + done.stderr, done.returncode

    return run


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["reproduce-table9"], "There is no table9 in: kl_loss kl_rpn. There are: experiments/"),
        (["reproduce-table1", "reproduce-table9"], "There is no table9 in"),
        (["reproduce-table1", "PAPERS=kl_los"], "There is no table1 in: kl_los."),
        (["reproduce-table5", "PAPERS=kl_rpn"], "There is no table5 in: kl_rpn."),
        (
            ["reproduce-table1", "RESULTS=here"],
            "each of kl_loss/table1 kl_rpn/table1 would replace the one before",
        ),
        (
            ["reproduce-table1", "reproduce-table2", "RESULTS=here", "PAPERS=kl_rpn"],
            "each of kl_rpn/table1 kl_rpn/table2 would replace the one before",
        ),
        (
            ["reproduce-table1", "RESULTS=here", "PUBLISH=1", "PAPERS=kl_rpn"],
            "RESULTS and PUBLISH both say where the report goes; give one of them",
        ),
        (["reproduce-table1", "JOBS=x"], "JOBS is 'x'; give a whole number of at least 1"),
        (["reproduce-table1", "SEEDS=0"], "SEEDS is '0'; give a whole number of at least 1"),
        (["reproduce-table1", "LENGTH=1.5"], "LENGTH is '1.5'; give a whole number"),
        (["reproduce-table1", "GPUS=two"], "GPUS is 'two'; give a whole number"),
        (
            ["reproduce-table1", "RESTARTS=-1"],
            "RESTARTS is '-1'; give a whole number of at least 0",
        ),
        (["reproduce-table1", "SCALE=lit"], "SCALE is 'lit'; give mini, lite, lite600 or paper"),
        (["reproduce-table1", "DEVICE=gpu"], "DEVICE is 'gpu'; give auto, cpu or cuda"),
        (["reproduce-table1", "DATA=no where"], "DATA is 'no where', which does not exist"),
        (["reproduce-table1", "WEIGHTS=none.pth"], "WEIGHTS is 'none.pth', which does not exist"),
        (["reproduce-table1", "SEEDS='"], "SEEDS is '''; give a whole number"),
        (["train", "DATA=nowhere"], "DATA is 'nowhere', which does not exist"),
        (["train"], "Which images? make train DATA=DIR, the folder of your labeled photos"),
        (["-j2", "train", "RUN=own/small"], "Which images?"),
    ],
)
def test_what_cannot_work_is_refused_at_once(made, words, sentence):
    text, code = made(*words)
    assert sentence in text
    assert INSTALLS not in text
    assert code == 2


@pytest.mark.parametrize("scale", [*SCALES, *(f"{scale}-4x" for scale in SCALES)])
def test_every_scale_is_one_that_make_knows(made, scale):
    assert INSTALLS in made("reproduce-table1", f"SCALE={scale}")[0]


def test_a_path_of_the_environment_counts(made):
    assert "DATA is '/nowhere', which does not exist" in made("train", DATA="/nowhere")[0]


def test_a_setting_of_the_environment_counts_and_another_variable_does_not(made):
    assert "SEEDS is 'no'" in made("reproduce-table1", SEEDS="no")[0]
    assert "There is no table9" in made("reproduce-table9", found="1")[0]


@pytest.mark.parametrize(
    "words",
    [
        ["reproduce-table1"],
        ["reproduce-table5"],  # of one paper alone
        ["reproduce-table5", "RESULTS=here"],
        ["reproduce-table1", "RESULTS=here", "PAPERS=kl_rpn"],
        ["reproduce-length", "PAPERS=kl_rpn", "LENGTH=16", "SEEDS=3", "JOBS=2", "SCALE=mini"],
        ["train", "DATA=Ann's photos"],
        ["reproduce-table1", "SCALE=mini-4x", "DEVICE=cpu", "WEIGHTS=none", "DATA=Ann's photos"],
        ["install"],
    ],
)
def test_what_can_work_is_installed_and_done(made, words, tmp_path):
    (tmp_path / "Ann's photos").mkdir()
    text, code = made(*words)
    assert f"{INSTALLS}; name one with: make PYTHON=python3.12 {words[0]}" in text
    assert code == 2
