import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts import doctor
from scripts.engine.doctor import machine
from scripts.engine.doctor.requirements import declared_requirements

ROOT = Path(__file__).resolve().parents[2]


def broken_import(monkeypatch, name, error):
    real = importlib.import_module

    def fake(module):
        if module == name:
            raise error
        return real(module)

    monkeypatch.setattr(machine.importlib, "import_module", fake)


def report(findings):
    return "\n".join(map(str, findings))


def test_it_runs_and_says_which_versions(capsys):
    code = doctor.main([])
    said = capsys.readouterr().out
    for name in (
        "python 3.",
        "torch ",
        "torchvision ",
        "operators load",
        "numpy ",
        "pillow ",
        "pycocotools ",
        "GB free",
    ):
        assert name in said
    assert code == ("BROKEN" in said)


def test_it_imports_only_the_standard_library_by_itself():
    code = (
        "import sys, scripts.doctor; "
        "print([m for m in ('torch', 'numpy', 'torchvision') if m in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
        ).stdout.strip()
        == "[]"
    )


def test_a_missing_torch_is_broken_with_one_line_that_fixes_it(monkeypatch, capsys):
    broken_import(monkeypatch, "torch", ModuleNotFoundError("No module named 'torch'"))
    assert doctor.main([]) == 1
    said = capsys.readouterr().out
    assert (
        "BROKEN   torch cannot be imported (ModuleNotFoundError: No module named 'torch')" in said
    )
    assert f"fix: {machine.REINSTALL}" in said


@pytest.mark.fault("R69")
def test_operators_that_do_not_load_mean_that_torch_and_torchvision_do_not_match(monkeypatch):
    broken_import(
        monkeypatch, "torchvision", RuntimeError("operator torchvision::nms does not exist\nmore")
    )
    found = machine.torch_and_operators()
    assert [finding.state for finding in found] == ["ok", "BROKEN"]
    assert "operator torchvision::nms does not exist)" in found[1].what
    assert found[1].fix == machine.REINSTALL


def test_a_broken_package_names_its_own_reinstall(monkeypatch):
    broken_import(monkeypatch, "pycocotools.mask", ValueError("numpy.dtype size changed"))
    broken = [finding for finding in machine.packages() if finding.state == "BROKEN"]
    assert len(broken) == 1
    assert broken[0].fix.endswith("pycocotools")


def fake_torch(cuda, gpus):
    return SimpleNamespace(
        version=SimpleNamespace(cuda=cuda),
        cuda=SimpleNamespace(
            is_available=lambda: gpus > 0,
            device_count=lambda: gpus,
            get_device_name=lambda index: f"card {index}",
            mem_get_info=lambda index: (3 * machine.GB, 8 * machine.GB),
        ),
    )


@pytest.mark.parametrize(
    ("torch_cuda", "vision_cuda", "gpus", "driver", "states"),
    [
        ("12.8", 12080, 1, True, ["ok"]),
        ("12.8", 13000, 1, True, ["BROKEN", "ok"]),  # built for different CUDA versions
        # torchvision without CUDA: its operators refuse GPU tensors
        ("12.8", None, 2, True, ["BROKEN", "ok", "ok"]),
        (None, None, 0, False, ["ok"]),
        (None, None, 0, True, ["warning"]),  # a CPU build on a machine with a GPU
        ("12.8", 12080, 0, True, ["warning"]),  # driver too old, or a container without --gpus
    ],
)
def test_gpu_findings(monkeypatch, tmp_path, torch_cuda, vision_cuda, gpus, driver, states):
    monkeypatch.setattr(machine, "NVIDIA_DRIVER", tmp_path if driver else tmp_path / "none")
    version = SimpleNamespace() if vision_cuda is None else SimpleNamespace(cuda=vision_cuda)
    found = machine.gpu(fake_torch(torch_cuda, gpus), SimpleNamespace(version=version))
    assert [finding.state for finding in found] == states
    assert all(finding.fix for finding in found if finding.state != "ok")
    assert ("card 0, 3.0 of 8.0 GB free" in report(found)) == (gpus > 0)


@pytest.mark.fault("R31")
def test_small_disk_small_shared_memory_and_unsafe_loading_are_warnings(monkeypatch, tmp_path):
    def usage(total, free):
        return lambda _: SimpleNamespace(total=total, free=free)

    monkeypatch.setattr(machine, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", usage(64 * 1024**2, 1 * machine.GB))
    assert "--out" in machine.disk()[0].fix
    assert "--workers 0" in machine.shared_memory()[0].fix
    assert "--shm-size" in machine.shared_memory()[0].fix
    monkeypatch.setattr(shutil, "disk_usage", usage(8 * machine.GB, 6 * machine.GB))
    assert [finding.state for finding in [*machine.disk(), *machine.shared_memory()]] == [
        "ok",
        "ok",
    ]
    monkeypatch.setattr(machine, "SHARED_MEMORY", tmp_path / "none")
    assert machine.shared_memory() == []

    monkeypatch.delenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", raising=False)
    assert machine.environment() == []
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert [(f.state, f.fix) for f in machine.environment()] == [
        ("warning", "unset TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    ]


def test_an_old_torch_is_broken(monkeypatch):
    torch = importlib.import_module("torch")
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    found = machine.torch_and_operators()
    assert found[0].state == "BROKEN"
    assert "2.10" in found[0].what


def test_every_declared_package_is_checked(capsys):
    """What pyproject.toml declares, and nothing that is written down a second time."""
    machine_lines = "\n".join(
        str(finding)
        for check in (machine.torch_and_operators, machine.packages)
        for finding in check()
    )
    names = [needed.name for needed in declared_requirements()]
    assert {"torch", "torchvision", "safetensors", "matplotlib", "tensorboard"} <= set(names)
    for name in names:
        assert f" {name} " in machine_lines


@pytest.mark.parametrize("name", ["safetensors", "matplotlib", "tqdm"])
def test_a_declared_package_that_is_missing_is_broken(monkeypatch, capsys, name):
    broken_import(monkeypatch, name, ModuleNotFoundError(f"No module named '{name}'"))
    assert doctor.main([]) == 1
    said = capsys.readouterr().out
    assert (
        f"BROKEN   {name} cannot be imported (ModuleNotFoundError: No module named '{name}')"
        in said
    )
    assert f"--force-reinstall {name}" in said
    assert "all in order" not in said


def test_a_version_that_is_too_low_is_named(monkeypatch):
    real = machine.importlib.metadata.version
    monkeypatch.setattr(
        machine.importlib.metadata,
        "version",
        lambda name: "3.7.5" if name == "matplotlib" else real(name),
    )
    broken = [finding for finding in machine.packages() if finding.state == "BROKEN"]
    assert [finding.what for finding in broken] == ["matplotlib 3.7.5 is older than 3.8"]
    assert broken[0].fix.endswith("matplotlib")


def test_an_old_torchvision_is_broken(monkeypatch):
    monkeypatch.setattr(importlib.import_module("torchvision"), "__version__", "0.20.1")
    assert "torchvision 0.20.1 is older than 0.25" in report(machine.torch_and_operators())


def test_a_damaged_pyproject_is_broken(monkeypatch):
    def damaged():
        raise ValueError("Invalid value (at line 3)")

    monkeypatch.setattr(machine, "declared_requirements", damaged)
    assert [finding.state for finding in machine.project()] == ["BROKEN"]
    assert machine.packages() == []
