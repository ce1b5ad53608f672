"""README and docs: links lead somewhere, files that are named exist, and the README stays short."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "experiments").glob("*/*/README.md"),
    ]
)
NAMES = {path.name for path in ROOT.rglob("*.*") if ".venv" not in path.parts}
# by users and commands
WRITTEN = (
    "run.json",
    "finished.json",
    "status.json",
    "lock.json",
    "env.json",
    "data.json",
    "detector.json",
    "images.json",
    "annotations/instances_train.json",
    "detections.json",
    "scores.json",
    "labels.json",
    "detections_as_dataset.json",
    "detections_coco.json",
)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def anchor_of(heading):
    """How a Markdown renderer calls a heading in links."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert anchor in map(anchor_of, headings), f"{name_of(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_exist(page):
    text = page.read_text()
    made = set(re.findall(r"^<!-- new file: (\S+) -->$", text, re.MULTILINE))
    for file in re.findall(r"`([\w/]+\.(?:py|sh|json))`", text):
        known = (ROOT / file).exists() or (page.parent / file).exists() or file in NAMES | made
        assert known or file in WRITTEN, f"{name_of(page)} names {file}"


def test_the_readme_links_every_page():
    text = (ROOT / "README.md").read_text()
    assert not [
        page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in text
    ]


def test_the_readme_fits_in_150_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_functions_are_where_the_pages_say(page):
    """A page that says "`kl_loss` in `losses/kl_loss.py`": the file defines that name."""
    for names, file in re.findall(
        r"((?:`\w+`(?:, | and )?)+) in `(\w+/[\w/]+\.py)`", page.read_text()
    ):
        source = (ROOT / file).read_text()
        for name in re.findall(r"\w+", names.replace(" and ", " ").replace("`", " ")):
            assert re.search(rf"\b{name}\b", source), f"{name_of(page)}: {name} is not in {file}"
