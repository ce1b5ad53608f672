import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts import doctor

ROOT = Path(__file__).resolve().parents[2]


def broken_import(monkeypatch, name, error):
    real = importlib.import_module

    def fake(module):
        if module == name:
            raise error
        return real(module)

    monkeypatch.setattr(doctor.importlib, "import_module", fake)


def report(findings):
    return "\n".join(map(str, findings))


def test_it_runs_and_says_which_versions(capsys):
    code = doctor.main()
    said = capsys.readouterr().out
    for name in ("python 3.", "torch ", "torchvision ", "operators load", "numpy ", "pillow ", "pycocotools ", "GB free"):
        assert name in said
    assert code == ("BROKEN" in said)


def test_it_imports_only_the_standard_library_by_itself():
    code = "import sys, scripts.doctor; print([m for m in ('torch', 'numpy', 'torchvision') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout.strip() == "[]"


def test_a_missing_torch_is_broken_with_one_line_that_fixes_it(monkeypatch, capsys):
    broken_import(monkeypatch, "torch", ModuleNotFoundError("No module named 'torch'"))
    assert doctor.main() == 1
    said = capsys.readouterr().out
    assert "BROKEN   torch cannot be imported (ModuleNotFoundError: No module named 'torch')" in said
    assert f"fix: {doctor.REINSTALL}" in said


def test_operators_that_do_not_load_mean_that_torch_and_torchvision_do_not_match(monkeypatch):
    broken_import(monkeypatch, "torchvision", RuntimeError("operator torchvision::nms does not exist\nmore"))
    found = doctor.torch_and_operators()
    assert [finding.state for finding in found] == ["ok", "BROKEN"]
    assert "operator torchvision::nms does not exist)" in found[1].what
    assert found[1].fix == doctor.REINSTALL


def test_a_broken_package_names_its_own_reinstall(monkeypatch):
    broken_import(monkeypatch, "pycocotools.mask", ValueError("numpy.dtype size changed"))
    broken = [finding for finding in doctor.packages() if finding.state == "BROKEN"]
    assert len(broken) == 1
    assert broken[0].fix.endswith("pycocotools")


def fake_torch(cuda, gpus):
    return SimpleNamespace(version=SimpleNamespace(cuda=cuda), cuda=SimpleNamespace(
        is_available=lambda: gpus > 0, device_count=lambda: gpus, get_device_name=lambda index: f"card {index}",
        mem_get_info=lambda index: (3 * doctor.GB, 8 * doctor.GB)))


@pytest.mark.parametrize(("torch_cuda", "vision_cuda", "gpus", "driver", "states"), [
    ("12.8", 12080, 1, True, ["ok"]),
    ("12.8", 13000, 1, True, ["BROKEN", "ok"]),  # built for different CUDA versions
    ("12.8", None, 2, True, ["BROKEN", "ok", "ok"]),  # torchvision without CUDA: its operators refuse GPU tensors
    (None, None, 0, False, ["ok"]),
    (None, None, 0, True, ["warning"]),  # a CPU build on a machine with a GPU
    ("12.8", 12080, 0, True, ["warning"]),  # driver too old, or a container without --gpus
])
def test_gpu_findings(monkeypatch, tmp_path, torch_cuda, vision_cuda, gpus, driver, states):
    monkeypatch.setattr(doctor, "NVIDIA_DRIVER", tmp_path if driver else tmp_path / "none")
    version = SimpleNamespace() if vision_cuda is None else SimpleNamespace(cuda=vision_cuda)
    found = doctor.gpu(fake_torch(torch_cuda, gpus), SimpleNamespace(version=version))
    assert [finding.state for finding in found] == states
    assert all(finding.fix for finding in found if finding.state != "ok")
    assert ("card 0, 3.0 of 8.0 GB free" in report(found)) == (gpus > 0)


def test_small_disk_small_shared_memory_and_unsafe_loading_are_warnings(monkeypatch, tmp_path):
    def usage(total, free):
        return lambda _: SimpleNamespace(total=total, free=free)

    monkeypatch.setattr(doctor, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", usage(64 * 1024**2, 1 * doctor.GB))
    assert "--out" in doctor.disk()[0].fix
    assert "--workers 0" in doctor.shared_memory()[0].fix
    assert "--shm-size" in doctor.shared_memory()[0].fix
    monkeypatch.setattr(shutil, "disk_usage", usage(8 * doctor.GB, 6 * doctor.GB))
    assert [finding.state for finding in [*doctor.disk(), *doctor.shared_memory()]] == ["ok", "ok"]
    monkeypatch.setattr(doctor, "SHARED_MEMORY", tmp_path / "none")
    assert doctor.shared_memory() == []

    monkeypatch.delenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", raising=False)
    assert doctor.environment() == []
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert [(f.state, f.fix) for f in doctor.environment()] == [("warning", "unset TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")]


def test_an_old_torch_is_broken(monkeypatch):
    torch = importlib.import_module("torch")
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    found = doctor.torch_and_operators()
    assert found[0].state == "BROKEN"
    assert "2.10" in found[0].what
