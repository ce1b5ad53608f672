"""Nothing in the sources runs what a foreign file asks for."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("data", "experiments", "losses", "models", "postprocess", "scripts")
SOURCES = [ROOT / "hubconf.py", *(file for name in FOLDERS for file in (ROOT / name).rglob("*.py"))]
UNSAFE = {
    "an unguarded torch.load": r"weights_only\s*=\s*False|torch\.load\((?![^#]*weights_only=True)",
    "a pickle that may call": r"pickle\.(?:load|loads|Unpickler)\b|allow_pickle\s*=\s*True",
    "a shell": r"shell\s*=\s*True|os\.(?:system|popen)\(",
    "a text that is run": r"(?<![\w.])(?:eval|exec)\(",
    "an archive without a filter": r"\.extractall\((?!.*filter=)",
    "weights by torch.hub's defaults": r"get_state_dict\((?![^#]*weights_only=True)"
    r"|load_state_dict_from_url",
    "truncated images": r"LOAD_TRUNCATED_IMAGES",
    "YAML that makes objects": r"yaml\.(?:load|unsafe_load)\(",
}


def code(path):
    """A source on one line for each statement's call: line breaks inside brackets are taken out."""
    return re.sub(r"\(\s*\n\s*", "(", path.read_text())


@pytest.mark.parametrize("what", UNSAFE)
def test_no_source_has(what):
    assert len(SOURCES) > 200
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in SOURCES
        for line in code(path).splitlines()
        if re.search(UNSAFE[what], line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("an unguarded torch.load", "torch.load(path, weights_only=False)"),
        ("an unguarded torch.load", "torch.load(path)"),
        ("a pickle that may call", "pickle.load(file)"),
        ("a pickle that may call", "np.load(path, allow_pickle=True)"),
        ("a shell", "subprocess.run(text, shell=True)"),
        ("a text that is run", "value = eval(text)"),
        ("an archive without a filter", "archive.extractall(folder)"),
        ("weights by torch.hub's defaults", "entry.get_state_dict(check_hash=True)"),
        ("truncated images", "ImageFile.LOAD_TRUNCATED_IMAGES = True"),
        ("YAML that makes objects", "yaml.load(text)"),
    ],
)
def test_the_patterns_find_what_they_are_for(what, line):
    assert re.search(UNSAFE[what], line)


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("an unguarded torch.load", 'torch.load(path, map_location="cpu", weights_only=True)'),
        ("an archive without a filter", 'archive.extractall(folder, filter="data")'),
        ("a text that is run", "detector.eval()"),
        ("a text that is run", "self.eval(batch)"),
    ],
)
def test_the_patterns_leave_what_is_safe(what, line):
    assert not re.search(UNSAFE[what], line)
