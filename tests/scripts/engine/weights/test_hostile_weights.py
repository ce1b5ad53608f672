"""Files of weights that someone made to do harm: refused with a sentence, and nothing in them is
run."""

import json
import os
import pickle

import pytest
import torch

from scripts.engine.detection.detection import load_detector
from scripts.engine.run_folder.checkpoint import load_checkpoint
from scripts.engine.weights.weight_file import read_weights


class Harm:
    """Leaves a folder where it is unpickled by a reader that runs what it asks for."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


WRITERS = {
    "torch.save": torch.save,
    "old torch.save": lambda content, path: torch.save(
        content, path, _use_new_zipfile_serialization=False
    ),
    "pickle": lambda content, path: path.write_bytes(pickle.dumps(content, 2)),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.pkl"])
def test_what_a_weight_file_asks_for_is_named_and_not_run(tmp_path, writer, name):
    marker, path = tmp_path / "marker", tmp_path / name
    WRITERS[writer]({"state_dict": {"a": Harm(marker)}}, path)
    with pytest.raises(ValueError, match=rf"{name} .*(posix\.mkdir|holds no arrays|is no pickle)"):
        read_weights(path)
    assert not marker.exists()


@pytest.mark.fault("R50")
@pytest.mark.parametrize("writer", WRITERS)
def test_what_a_checkpoint_asks_for_is_named_and_not_run(tmp_path, writer):
    marker, path = tmp_path / "marker", tmp_path / "c.pt"
    WRITERS[writer]({"model": Harm(marker), "step": 0, "run": {}, "format": 2}, path)
    with pytest.raises(ValueError, match=r"c\.pt .*asks for posix\.mkdir, which was not run"):
        load_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"run": 3}, "a int in the place of a Run"),
        ({"run": {}}, "no usable Run"),
        ({"run": {"name": "x", "model": {}}}, "no usable ModelConfig"),
        ({"format": "x"}, "format x"),
        ({"format": [2]}, r"format \[2\]"),
    ],
)
def test_a_checkpoint_with_other_values_than_ours(tmp_path, changed, sentence):
    state = {"model": {}, "step": 0, "run": {}, "format": 2, "classes": ["a"], **changed}
    torch.save(state, tmp_path / "c.pt")
    with pytest.raises(ValueError, match=rf"c\.pt has {sentence}"):
        load_detector(tmp_path / "c.pt", torch.device("cpu"))


def safetensors(path, header, content=b""):
    """A file with this header, which is a dict or a text."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return path


TENSOR = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "header",
    [
        "[" * 100_000,
        {"a": {**TENSOR, "shape": [2**62, 4]}},
        {"a": TENSOR, "b": TENSOR},  # two tensors in the same bytes
        {"a": {**TENSOR, "data_offsets": [0, 2**40]}},
        {"a": {**TENSOR, "dtype": "object"}},
    ],
)
def test_safetensors_that_lie(tmp_path, header):
    path = safetensors(tmp_path / "w.safetensors", header, b"0000")
    for read in (read_weights, load_checkpoint):
        with pytest.raises(ValueError, match=r"w\.safetensors cannot be read as safetensors"):
            read(path)


@pytest.mark.parametrize("facts", ["[1", "[1]", "[" * 100_000, "NaN"])
def test_safetensors_that_do_not_say_which_network_they_are_of(tmp_path, facts):
    path = safetensors(tmp_path / "w.safetensors", {"__metadata__": {"checkpoint": facts}})
    with pytest.raises(ValueError, match=r"w\.safetensors does not say in JSON which network"):
        load_checkpoint(path)
