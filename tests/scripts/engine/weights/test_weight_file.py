"""Weight files of every kind: the tensors in them, and a sentence for everything else."""

import pickle
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch

from scripts.engine.weights.weight_file import read_weights

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


class Options(SimpleNamespace):
    """Stands for whatever a training script saves beside its weights; nothing reads it."""


def saved(path, content):
    torch.save(content, path)
    return path


def pickled(path, content, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize(
    "nest",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}, "iteration": 5},
        lambda state: {"model_state_dict": state, "loss": 0.5},
        lambda state: {"model": state, "args": Options(), "best": Path("x"), "now": date.today()},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {
            "state_dict": {f"model._orig_mod.{name}": value for name, value in state.items()}
        },
    ],
)
def test_state_dicts_of_torch(tmp_path, nest):
    state = {
        "a.weight": torch.ones(2).half(),
        "a.running_var": torch.ones(2).double(),
        "a.count": torch.tensor(7),
    }
    found = read_weights(saved(tmp_path / "x.pth", nest(state)))
    assert list(found) == list(state)
    assert [value.dtype for value in found.values()] == [torch.float32, torch.float32, torch.int64]


def test_safetensors_round_trip(tmp_path):
    state = {
        "a.weight": torch.randn(3, 2),
        "b": torch.randn(4).bfloat16(),
        "count": torch.tensor([2]),
    }
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file(state, path)
    found = read_weights(path)
    assert found.keys() == state.keys()
    torch.testing.assert_close(found["a.weight"], state["a.weight"], atol=0, rtol=0)
    assert found["b"].dtype == torch.float32
    assert found["count"].dtype == torch.int64


@pytest.mark.parametrize(
    "content", [b"", b"no safetensors", (8).to_bytes(8, "little") + b'{"a": 1}']
)
def test_damaged_safetensors(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"x\.safetensors cannot be read as safetensors \(.*\); fetch it again"
    ):
        read_weights(path)


@pytest.mark.fault("R51")
@pytest.mark.parametrize(
    "nest",
    [
        lambda blobs: {"blobs": blobs, "cfg": "MODEL: ..."},
        lambda blobs: blobs,
        lambda blobs: {"model": blobs, "__author__": "Caffe2", "matching_heuristics": True},
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickles_of_detectron_and_detectron2(tmp_path, nest, protocol):
    blobs = {
        "conv1_w": ARRAY,
        "conv1_w_momentum": ARRAY,
        "fc6_b": ARRAY[0].astype(">f8"),
        "lr": np.float32(0.02),
        "weight_order": np.ones(1),
        "__author__": "someone",
    }
    found = read_weights(pickled(tmp_path / "x.pkl", nest(blobs), protocol))
    assert list(found) == ["conv1_w", "fc6_b"]
    torch.testing.assert_close(found["conv1_w"], torch.from_numpy(ARRAY), atol=0, rtol=0)
    torch.testing.assert_close(found["fc6_b"], torch.tensor([0.0, 1.0, 2.0]), atol=0, rtol=0)


@pytest.mark.parametrize("content", [[1, 2], {"blobs": {}}, {"epoch": 3}, {"model": [ARRAY]}])
def test_a_pickle_without_arrays_by_name(tmp_path, content):
    with pytest.raises(
        ValueError, match=r"x\.pkl holds no arrays by name; a \.pkl must be one of Detectron"
    ):
        read_weights(pickled(tmp_path / "x.pkl", content))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([1, 2], "holds no state dict"),
        ({"epoch": 3}, "holds no state dict"),
        ({3: torch.zeros(1)}, "holds no state dict"),
        (torch.zeros(2), "holds no state dict"),
    ],
)
def test_a_file_that_is_no_state_dict(tmp_path, content, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_weights(saved(tmp_path / "x.pth", content))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, I am a text file\n",
        b"PK\x03\x04 no zip",
        b"\x80\x02}q\x00(",
        pickle.dumps({"a": 1}),
        bytes(range(256)),
    ],
)
def test_a_file_that_torch_cannot_read(tmp_path, content):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.pth (cannot be read as a plain|holds no) state dict"):
        read_weights(path)


def test_a_truncated_file(tmp_path):
    path = saved(tmp_path / "x.pth", {"features.0.weight": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="cannot be read as a plain state dict"):
        read_weights(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ValueError, match=r"The weight file .*none\.pth does not exist"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(ValueError, match="cannot be read as a plain state dict"):
        read_weights(tmp_path)


class Code:
    def __reduce__(self):
        return print, ("this ran",)


def test_a_file_that_runs_code_is_refused(tmp_path, capsys):
    with pytest.raises(ValueError, match=r"no state dict .*features.0.weight is a .*print"):
        read_weights(saved(tmp_path / "evil.pth", {"features.0.weight": Code()}))
    with pytest.raises(ValueError, match=r"evil\.pkl asks for .*print"):
        read_weights(pickled(tmp_path / "evil.pkl", {"blobs": {"conv1_w": Code()}}))
    assert "this ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"epoch": 1, "loss": 0.5}, "but the keys epoch, loss; save model.state_dict"),
        (Options(), "but a pickled object of class .*Options; save model.state_dict"),
        ([torch.ones(2)], "but a list; save model.state_dict"),
    ],
)
def test_what_a_file_holds_instead_of_weights_is_said(tmp_path, content, says):
    with pytest.raises(ValueError, match=rf"x.pth holds no state dict .*{says}"):
        read_weights(saved(tmp_path / "x.pth", content))
