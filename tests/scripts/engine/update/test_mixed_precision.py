"""Mixed precision is used where the device computes in it, and refused in a sentence elsewhere."""

import pytest
import torch

from scripts.engine.update import mixed_precision
from scripts.engine.update.mixed_precision import amp_type, cpu_flags, has_bf16

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_cuda_has_every_type():
    assert [amp_type(name, CUDA) for name in ("off", "bf16", "fp16")] == [
        None,
        torch.bfloat16,
        torch.float16,
    ]


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16", "bf16"])
def test_a_cpu_with_bf16_uses_it(monkeypatch, flag):
    monkeypatch.setattr(mixed_precision, "cpu_flags", lambda: frozenset({"fma", flag}))
    assert amp_type("bf16", CPU) is torch.bfloat16


def test_another_cpu_says_so(monkeypatch):
    monkeypatch.setattr(mixed_precision, "cpu_flags", lambda: frozenset({"avx2", "avx512f"}))
    with pytest.raises(ValueError, match="--amp bf16: this CPU has no bfloat16 arithmetic"):
        amp_type("bf16", CPU)
    with pytest.raises(ValueError, match="--amp fp16 needs CUDA"):
        amp_type("fp16", CPU)
    assert amp_type("off", CPU) is None


def test_flags_are_linuxs(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nflags\t\t: fma avx2 amx_bf16\n\nprocessor : 1\nflags : fma\n")
    assert cpu_flags(info) == {"fma", "avx2", "amx_bf16"}
    assert has_bf16(cpu_flags(info))
    info.write_text("processor : 0\nFeatures : asimd i8mm\n")
    assert not has_bf16(cpu_flags(info))
    assert cpu_flags(tmp_path / "none") == frozenset()
