"""Every command of README.md and docs/*.md is tested, and what it calls takes its options.

make test-docs starts each as printed, with stand-ins in the places of python, torchrun and pip that
write down how they were called; then the real parsers read those options. tests/test_docs_run.py
runs them for real, at a tiny size.
"""

import argparse
import importlib
import re
import shlex
import shutil
import subprocess
import tomllib

import pytest
from torch.distributed.run import get_args_parser

from scripts.engine.places import find_run, find_table, table_names
from scripts.list_runs import list_commands, list_runs
from tests.doc_commands import (
    EXECUTED,
    EXTENDED,
    PAGES,
    ROOT,
    WHOLE,
    all_commands,
    commands_in,
    reasons_for,
)

MAKEFILE = (ROOT / "Makefile").read_text()
STAND_IN = """#!/usr/bin/env bash
case "$*" in
  *scripts.list_runs*--commands) cat "{folder}/lists/${{3//\\//-}}" ;;
  *scripts.list_runs*) cat "{folder}/lists/${{3//\\//-}}-$5" ;;
  *) printf '%s' "$(basename "$0")" >> {folder}/log
     printf '\\t%s' "$@" >> {folder}/log
     echo >> {folder}/log ;;
esac
"""
PROGRAMS = (
    "python", "python3", "torchrun", "pip", "sbatch", "tensorboard", "label-studio-converter",
    "ruff", "mypy", "docker",
)  # fmt: skip
CALL_NOTHING = ("make help", "source .venv/bin/activate", "mkdir -p datasets runs")
NOT_OURS = ("--shm-size", "--type", "--build-arg", "--gpus")


class Parsed(Exception):
    """A command has read its options; they are its argument."""


@pytest.mark.parametrize("command", all_commands())
def test_a_command_is_run_or_has_a_reason(command):
    assert (command in EXECUTED) != bool(reasons_for(command)), (
        f"{command!r} is new in the docs: add it to EXECUTED or REASONS in tests/doc_commands.py"
    )


def test_no_command_is_tested_that_no_page_prints():
    assert not [command for command in EXECUTED if command not in all_commands()]


def test_commands_are_found():
    text = """
Text with `make demo`, `make`, `data/` and `python -m scripts.score RUN`.

```bash
make test   # and more; or: not this
torchrun --standalone \\
  -m scripts.train own/small   # or: python -m scripts.train own/small
```
```python
make = 1
```
"""
    assert commands_in(text) == [
        "make test",
        "torchrun --standalone -m scripts.train own/small",
        "python -m scripts.train own/small",
        "make demo",
        "python -m scripts.score RUN",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_options_that_a_page_names_are_taken_by_a_command(page):
    sources = [
        path.read_text() for folder in ("data", "scripts") for path in (ROOT / folder).rglob("*.py")
    ]
    torchruns = {name for action in get_args_parser()._actions for name in action.option_strings}
    for option in set(re.findall(r"`(--[a-z][a-z-]+)", page.read_text())):
        known = option in torchruns or option in NOT_OURS
        assert known or any(f'"{option}"' in source for source in sources), option


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A copy of what commands are started from, whose programs are stand-ins."""
    folder = tmp_path_factory.mktemp("stage")
    for name in ("experiments", "scripts", "docs", "Makefile", "pyproject.toml"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    programs, lists = folder / ".venv" / "bin", folder / "lists"
    programs.mkdir(parents=True)
    lists.mkdir()
    for name in PROGRAMS:
        (programs / name).write_text(STAND_IN.format(folder=folder))
        (programs / name).chmod(0o755)
    (programs / "activate").touch()
    (folder / "runs/demo/found").mkdir(parents=True)
    (folder / "runs/demo/found/scene.png").touch()  # what make demo shows in the end
    for table in table_names():
        name = table.replace("/", "-")
        (lists / name).write_text(list_commands(table) + "\n")
        for scale in ("mini", "mini-4x", "lite", "paper"):
            (lists / f"{name}-{scale}").write_text(list_runs(table, scale) + "\n")
    return folder


def calls_of(command, stage):
    """What a command as printed calls: [[program, argument, ...]]."""
    (stage / "log").write_text("")
    installed = stage / ".venv" / "installed"
    installed.unlink(missing_ok=True)
    if command != "make install":
        installed.touch()
    line = WHOLE.get(command, re.sub(r" \.\.\. ", " ", command))
    path = f"{stage / '.venv' / 'bin'}:/usr/local/bin:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-ec", f"{line}\nwait"],
        cwd=stage,
        env={"PATH": path, "HOME": str(stage), "JOBS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return [call.split("\t") for call in (stage / "log").read_text().splitlines()]


@pytest.mark.docs
@pytest.mark.parametrize("command", [name for name in all_commands() if name not in EXTENDED])
def test_what_a_command_calls_takes_its_options(command, stage, monkeypatch):
    if command.startswith("export "):
        return
    for name in re.findall(r"\b([A-Z_]+)=", command) if "make " in command else ():
        assert re.search(rf"^export .*\b{name}\b|\$\({name}\)|^{name} \?=", MAKEFILE, re.M), name
    calls = calls_of(command, stage)
    assert calls or command in CALL_NOTHING
    parse = argparse.ArgumentParser.parse_args

    def stop(parser, *given):
        raise Parsed(parse(parser, *given))

    for program, *arguments in calls:
        with monkeypatch.context() as patch:
            patch.setattr(argparse.ArgumentParser, "parse_args", stop)
            check_call(program, arguments, parse)


def check_call(program, arguments, parse):
    """The options of one call are those that its program takes."""
    if program == "torchrun":
        started = parse(get_args_parser(), arguments)
        assert started.module
        check_module(started.training_script, started.training_script_args)
    elif arguments[:2] == ["-m", "torch.distributed.run"]:
        check_call("torchrun", arguments[2:], parse)
    elif arguments[:2] == ["-m", "pip"]:
        check_call("pip", arguments[2:], parse)
    elif program == "sbatch":
        assert (ROOT / arguments[0]).is_file()
        check_module("scripts.train", arguments[1:])
    elif program == "pip":
        assert arguments[0] == "install"
        check_packages(name for name in arguments[1:] if not name.startswith("--"))
    elif program == "python":
        assert arguments[0] == "-m"
        check_module(arguments[1], arguments[2:])
    elif program == "docker":
        check_docker(*arguments)


def check_docker(verb, *arguments):
    """The image's own arguments are declared, and the target that it makes exists."""
    assert verb in ("build", "run")
    for argument in arguments[1:]:
        if re.fullmatch(r"[A-Z]+=\S+", argument) and verb == "build":
            name = argument.partition("=")[0]
            assert re.search(rf"^ARG {name}\b", (ROOT / "Dockerfile").read_text(), re.M), name
    if "make" in arguments:
        target = arguments[arguments.index("make") + 1]
        assert re.search(rf"^{re.sub('^reproduce-.*', 'reproduce-%', target)}:", MAKEFILE, re.M)


def check_module(module, arguments):
    """``python -m module`` reads these arguments; networks and tables that they name are there."""
    if module == "pytest":
        assert all((ROOT / name).exists() for name in arguments if name.startswith("tests/"))
        return
    with pytest.raises((Parsed, SystemExit)) as ended:
        importlib.import_module(module).main(arguments)
    if isinstance(ended.value, SystemExit):
        assert ended.value.code == 0, f"{module} {shlex.join(arguments)}"
        return
    (options,) = ended.value.args
    if (name := getattr(options, "run", "own/")) and not str(name).startswith("own/"):
        find_run(name)
    if hasattr(options, "table"):
        find_table(options.table)


def check_packages(names):
    """pyproject.toml declares a package, or the extra in ".[extra]"."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *(name for names in extras.values() for name in names)]
    known = {"pip", *(re.split(r"[><=~]", name)[0] for name in declared)}
    for name in names:
        extra = re.fullmatch(r"\.\[(\w+)\]", name)
        assert extra[1] in extras if extra else name in known, name
