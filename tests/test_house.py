"""Who may import whom: data and losses know nobody, models and postprocess never see each other,
scripts are on top.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("data", "losses", "models", "postprocess", "experiments", "scripts")
ALLOWED = {
    "data": {"data"},
    "losses": {"losses"},
    "models": {"models", "losses", "data.boxes", "data.records"},
    "postprocess": {"postprocess", "data.boxes", "data.records"},
    # the records that configure the code, no code
    "experiments": {
        "experiments",
        "data.config",
        "models.build",
        "models.backbones.base",
        "models.rpn",
        "models.roi",
        "models.mask",
        "models.iou_net",
        "models.pooling.pool",
        "postprocess.pipeline",
        "postprocess.config",
        "postprocess.qubo",
        "postprocess.box_voting",
        "postprocess.refine",
    },
    "scripts": set(LAYERS),
}
ONLY_IN = {"pycocotools": "data/", "tensorboard": "scripts/", "torch.utils.tensorboard": "scripts/"}
FILES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def imported(tree):
    """What a file imports; ``from a import b`` gives a.b, where b may be a module or a name in a,
    and a unless a is a layer.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            if node.module not in LAYERS:
                yield node.module


def within(name, prefixes):
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down_only(path):
    modules = list(imported(ast.parse(path.read_text())))
    layer = path.relative_to(ROOT).parts[0]
    wrong = [name for name in modules if within(name, LAYERS) and not within(name, ALLOWED[layer])]
    assert not wrong, f"{name_of(path)} may not import {wrong}"
    assert not within("tests", modules)
    for package, place in ONLY_IN.items():
        used = [name for name in modules if within(name, [package])]
        assert not used or name_of(path).startswith(place), f"{name_of(path)} imports {used}"
    if layer == "losses":
        outside = [name for name in modules if not within(name, ["torch", "losses"])]
        assert not outside, f"{name_of(path)} imports {outside}"
    if layer == "experiments":
        assert not within("torch", modules)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_are_absolute_and_at_the_top(path):
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            where = f"{name_of(path)}:{node.lineno}"
            assert id(node) in top, f"{where} is not at the top of the file"
            assert not getattr(node, "level", 0), f"{where} is relative"
            assert all(alias.name != "*" for alias in node.names), f"{where} imports *"


def test_there_are_no_cycles():
    graph = {
        name_of(path)[:-3].replace("/", "."): set(imported(ast.parse(path.read_text())))
        for path in FILES
    }
    graph = {name: targets & graph.keys() for name, targets in graph.items()}
    while leaves := {name for name, targets in graph.items() if not targets}:
        graph = {name: targets - leaves for name, targets in graph.items() if name not in leaves}
    assert not graph, f"these import each other: {sorted(graph)}"


def test_the_folders_of_the_engine_do_not_import_each_other_in_a_circle():
    """Each of its files that lies in no folder counts as one folder, "engine"."""
    engine = ROOT / "scripts" / "engine"
    graph = {}
    for path in engine.rglob("*.py"):
        modules = [name.split(".") for name in imported(ast.parse(path.read_text()))]
        targets = {
            name[2] if (engine / name[2]).is_dir() else "engine"
            for name in modules
            if name[:2] == ["scripts", "engine"] and len(name) > 2
        }
        parts = path.relative_to(engine).parts
        folder = parts[0] if len(parts) > 1 else "engine"
        graph[folder] = graph.get(folder, set()) | (targets - {folder})
    while leaves := {name for name, targets in graph.items() if not targets}:
        graph = {name: targets - leaves for name, targets in graph.items() if name not in leaves}
    assert not graph, f"these folders import each other: {graph}"


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name in ("runs.py", "rows.py")], ids=name_of
)
def test_runs_and_rows_are_declarations(path):
    """An ablation is one ``replace`` of one literal: no functions, loops or conditions."""
    logic = (
        ast.FunctionDef,
        ast.ClassDef,
        ast.Lambda,
        ast.For,
        ast.While,
        ast.If,
        ast.ListComp,
        ast.DictComp,
        ast.GeneratorExp,
        ast.AugAssign,
    )
    found = [
        node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, logic)
    ]
    assert not found, f"{name_of(path)}: lines {found}"
    assert ast.get_docstring(ast.parse(path.read_text()))


NAMED = re.compile(r"(?<![\w/.*}>`-])[\w/]+\.py\b")
ELSEWHERE = ("runs.py", "py_cpu_nms.py")  # of each paper, and of KL Loss's authors


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_that_a_docstring_names_is_there(path):
    """By its path from the root of the repository, or beside the file."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, documented)]
    named = {name for node in nodes for name in NAMED.findall(ast.get_docstring(node) or "")}
    for name in named - {*ELSEWHERE}:
        place = ROOT if "/" in name else path.parent
        assert (place / name).is_file(), f"{name_of(path)} names {name}"


def test_packages_have_no_code_in_init():
    assert not [
        name_of(path) for path in FILES if path.name == "__init__.py" and path.stat().st_size
    ]


COMMANDS = [
    path for path in FILES if path.parent == ROOT / "scripts" and path.name != "__init__.py"
]


def names_in(tree):
    """Every name, attribute and imported name of a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", COMMANDS, ids=name_of)
def test_every_file_of_scripts_is_a_command(path):
    """It has ``main`` and runs it; ``ls scripts/*.py`` is the list of what a person can run."""
    tree = ast.parse(path.read_text())
    assert "main" in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    blocks = [ast.unparse(node.test) for node in tree.body if isinstance(node, ast.If)]
    assert "__name__ == '__main__'" in blocks
    assert ast.get_docstring(tree)
    assert len(path.read_text().splitlines()) <= 120, (
        f"{name_of(path)}: the library behind a command is in scripts/engine"
    )


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_imports_a_command(path):
    commands = {f"scripts.{command.stem}" for command in COMMANDS}
    wrong = [name for name in imported(ast.parse(path.read_text())) if within(name, commands)]
    assert not wrong, f"{name_of(path)} imports the command {wrong}"


@pytest.mark.parametrize(
    "path", [path for path in FILES if name_of(path).startswith("scripts/")], ids=name_of
)
def test_options_are_records_below_main(path):
    """What was said on the command line becomes a typed record in ``main``: nothing else knows a
    Namespace.
    """
    tree = ast.parse(path.read_text())
    body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.FunctionDef) and node.name == "main")
    ]
    if path not in COMMANDS:
        body = tree.body
    assert "Namespace" not in names_in(ast.Module(body=body, type_ignores=[])), name_of(path)


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if name_of(path).startswith(("scripts/engine/", "scripts/reports/"))],
    ids=name_of,
)
def test_reports_render_and_the_engine_measures(path):
    """Reports know where results lie, and no network; the engine knows no report."""
    modules = list(imported(ast.parse(path.read_text())))
    if "engine" in path.parts:
        wrong = [name for name in modules if within(name, ["scripts.reports"])]
        assert not wrong, f"{name_of(path)} may not import {wrong}"
        return
    allowed = [
        "scripts.reports",
        "scripts.engine.files",
        "scripts.engine.places",
        "scripts.engine.tensorboard.reliability_axes",  # diagrams that TensorBoard shows as well
        "experiments",
        "data",
        "postprocess",
    ]
    wrong = [name for name in modules if within(name, LAYERS) and not within(name, allowed)]
    assert not wrong, f"{name_of(path)} may not import {wrong}"
    networks = [name for name in modules if within(name, ["torch.nn", "torchvision"])]
    assert not networks, f"{name_of(path)} renders, it runs no network: {networks}"
