"""What can be known of the Dockerfile without Docker: that it installs as the Makefile does."""

import re

from tests.test_house import ROOT

LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
STEPS = [line.split(maxsplit=1) for line in LINES if line and not line.startswith("#")]
IGNORED = (ROOT / ".dockerignore").read_text().split()


def place(instruction, *words):
    """The first step of that kind with these words."""
    return next(
        index
        for index, (name, rest) in enumerate(STEPS)
        if name == instruction and all(word in rest for word in words)
    )


def test_the_base_and_torchs_build_are_arguments():
    assert STEPS[0] == ["ARG", "BASE=python:3.12-slim"]
    assert STEPS[1] == ["FROM", "${BASE}"]
    assert place("ARG", "TORCH=cpu") < place("RUN", "download.pytorch.org/whl/${TORCH}")


def test_it_installs_by_the_makefile_which_finds_torch_there_already():
    torch_first, install = (
        place("RUN", "pip install", "torch torchvision"),
        place("RUN", "make install"),
    )
    assert place("RUN", "useradd") < place("USER") < torch_first < install
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^install: \$\(VENV\)/installed", makefile, re.MULTILINE)
    assert re.search(r"pip install --quiet torch torchvision$", makefile, re.MULTILINE)
    needed = re.search(r"^\$\(VENV\)/installed: (.*)$", makefile, re.MULTILINE)[1].split()
    copied = STEPS[place("COPY", "pyproject.toml")][1].split()
    assert {*needed, "Makefile", "README.md", "LICENSE"} <= set(copied)
    for name in copied[1:-1]:
        assert (ROOT / name).is_file(), name
        assert name not in IGNORED


def test_nothing_runs_as_root_after_the_installation_of_packages():
    users = [rest for name, rest in STEPS if name == "USER"]
    assert users == ["detection"]
    later = STEPS[place("USER") :]
    assert not [rest for _, rest in later if "apt-get" in rest or "sudo" in rest]
    assert all("--chown=detection" in rest for name, rest in later if name == "COPY")


def test_runs_data_and_weights_stay_out_of_the_image():
    assert {".git", ".venv", "runs", "datasets", "**/*.pt", "**/*.pth"} <= set(IGNORED)
    ours = {path.name for path in ROOT.iterdir() if path.suffix == ".py"} | {
        "data",
        "docs",
        "tests",
    }
    assert not ours & set(IGNORED)
