"""Every command that README.md and docs/*.md print, and how each is tested.

``commands()`` finds them: the lines of shell blocks, and code in the text that begins as a command
does. Each is in EXECUTED, which says at what tiny size it is run, or matches a pattern of REASONS,
which says why it is not. All of them, those too, are started as printed with stand-ins for what
they call, whose options are then parsed (tests/test_docs_commands.py).
"""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ANY_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
BEGINS = re.compile(
    r"(?:[A-Z_]+=\S+ )*(?:(?:\.venv/bin/)?python3? -m|make|torchrun|pip install|sbatch|source"
    r"|label-studio-converter|docker|git clone|bash|experiments/\S+\.sh|scripts\.\w+ (?=-))\s?\S"
)
# what stands for a whole command in the text -> that command
WHOLE = {
    "make reproduce-<table>": "make reproduce-table1",
    "scripts.detect --interval 0.9": "python -m scripts.detect RUN PHOTO --out DIR --interval 0.9",
    "torchrun --standalone": "torchrun --standalone -m scripts.train kl_loss/vgg16_coco",
    "torchrun --max-restarts N": "torchrun --max-restarts 1 -m scripts.train kl_loss/vgg16_coco",
}

DEMO = "runs/demo/own/demo/coco/seed0"  # what `make demo` trains; has enough detections
SCENES = "runs/demo/scenes/coco"
OWN = "runs/own/small/photos/seed0"
PHOTO = f"{SCENES}/val/*0.*"
# a command as printed -> what is run, in this order, in the tree that tests/test_docs_run.py makes
EXECUTED = {
    "make help": "make help",
    "mkdir -p datasets runs": "mkdir -p datasets runs",
    "source .venv/bin/activate": "source .venv/bin/activate",
    "make doctor": "make doctor",
    "make demo": "make demo EPOCHS=3 TRAIN=160",
    "python -m scripts.train --help": "python -m scripts.train --help",
    "make train DATA=DIR": "make train DATA=photos WEIGHTS=none EPOCHS=1",
    "make train DATA=...": "make train DATA=photos WEIGHTS=none EPOCHS=1",
    "make train DATA=BCCD EPOCHS=9": "make train DATA=photos WEIGHTS=none EPOCHS=1",
    "python -m scripts.train own/small --data DIR": (
        "python -m scripts.train own/small --data photos --weights none --epochs 1"
    ),
    "python -m scripts.train own/small --data DIR --from runs/own/small/OTHER/seed0/best.pt": (
        f"python -m scripts.train own/small --data others --from {OWN}/best.pt --epochs 1"
    ),
    "python -m scripts.score runs/own/small/NAME/seed0 --data DIR": (
        f"python -m scripts.score {OWN} --data photos"
    ),
    "python -m scripts.detect runs/own/small/NAME/seed0 PHOTO_OR_FOLDER --out found": (
        f"python -m scripts.detect {OWN} photos/val --out found"
    ),
    "python -m scripts.detect RUN_FOLDER_OR_CHECKPOINT IMAGE_OR_FOLDER ... --out DIR": (
        f"python -m scripts.detect {OWN}/best.pt photos/val 'photos/train/*1.*' --out found2"
    ),
    "scripts.detect --interval 0.9": (
        f"python -m scripts.detect {DEMO} {PHOTO} --interval 0.9 --out found3"
    ),
    "python -m scripts.calibrate RUN_FOLDER --data DIR": (
        f"python -m scripts.calibrate {DEMO} --data {SCENES}"
    ),
    "python -m scripts.calibrate runs/own/small/NAME/seed0 --data DIR": (
        f"python -m scripts.calibrate {DEMO} --data {SCENES} --split val"
    ),
    "python -m scripts.calibrate runs/own/small/NAME/seed0 --data DIR --split val "
    "--report-split test": (
        f"python -m scripts.calibrate {DEMO} --data unseen/coco --split train --report-split val"
    ),
    "python -m scripts.export_weights RUN_FOLDER": f"python -m scripts.export_weights {DEMO}",
    "python -m scripts.score runs/mine/paper/kl_loss/vgg16_voc_kl/seed0 --data DIR": (
        f"python -m scripts.score {DEMO} --data {SCENES}"
    ),
    "python -m scripts.score step-00070000.pt --data DIR --split val": (
        f"python -m scripts.score $(ls {DEMO}/step-*.pt | tail -1) --data {SCENES} --split val "
        "--out scored"
    ),
    "python -m scripts.score results.json --annotations FILE --images DIR": (
        "python -m scripts.score scored/detections.json --images "
        f"{SCENES}/val --annotations {SCENES}/annotations/instances_val.json --out scored2"
    ),
    "python -m data.validate --root DIR": "python -m data.validate --root photos",
    "python -m data.validate --annotations FILE --images FOLDER": (
        "python -m data.validate --annotations photos/annotations/instances_val.json "
        "--images photos/val"
    ),
    "python -m data.validate --layout coco --root DIR --splits train,val": (
        "python -m data.validate --layout coco --root photos --splits train,val"
    ),
    "python -m data.mini.ambiguous --out DIR": (
        "python -m data.mini.ambiguous --out rendered --train 2 --val 1"
    ),
    "python -m scripts.training_days": "python -m scripts.training_days",
    "python -m scripts.claims": "python -m scripts.claims",
    "make reproduce-table1 PAPERS=kl_loss": "make reproduce-table1 PAPERS=kl_loss",
    "python -m scripts.curves kl_loss/table5 --scale lite": (
        "python -m scripts.curves kl_loss/table1 --scale mini"
    ),
    "make report": "make report",
    "make report OUT=runs": "make report OUT=runs",
}
# commands of docs/extending.md, which work after its changes: tests/test_docs_extending.py
EXTENDED = (
    "python -m scripts.train kl_loss/vgg16_voc_laplace --scale mini",
    "make reproduce-losses",
)
# a pattern that fits whole commands -> why they are not run, but with stand-ins alone
REASONS = {
    r"(?!make reproduce-table1 PAPERS=kl_loss$)make reproduce-\S+( PAPERS=\w+)?( LENGTH=4)?": (
        "trains for minutes to hours; one table is run"
    ),
    r"(for table in .*)?make reproduce-.*SCALE=(lite|paper).*": "VOC or COCO, and a GPU or hours",
    r"make train .*GPUS=2": "two GPUs; tests/scripts/test_torchrun.py trains with two processes",
    r"([A-Z_]+=\S+ )?torchrun .*": "several GPUs; tests/scripts/test_torchrun.py has two processes",
    r"GPUS=2 experiments/\S+\.sh": "minutes; tests/scripts/test_torchrun.py uses two processes",
    r"export \w+=1": "a setting for the command that follows",
    r"sbatch .*": "SLURM; tests/experiments/test_shell_scripts.py runs the script with stand-ins",
    r"SCALE=paper experiments/\S+\.sh": "VOC, and a network that takes days",
    r"python -m scripts\.train kl_loss/\S+ --scale paper.*": "VOC or COCO, and a GPU",
    r"python -m scripts\.get_data .*": "downloads gigabytes; tests/scripts/test_get_data.py",
    r"python -m scripts\.submit .*": "COCO; tests/scripts/test_submit.py",
    r"python -m scripts\.full_size.*": "gigabytes of memory; tests/scripts/test_full_size.py",
    r"python -m scripts\.convert_weights model\.pkl": (
        "a file of another project; tests/scripts/test_convert_weights.py"
    ),
    r"python -m scripts\.detect model\.converted\.pt .*": (
        "a file of another project; tests/scripts/test_convert_weights.py"
    ),
    r"make (test|test-faults|test-docs|lint)": "the tests themselves",
    r"\.venv/bin/python -m pytest .*": "the tests themselves",
    r"make install|pip install .*": "downloads packages; that they are declared is checked",
    r"make benchmark.*|python -m scripts\.speed .*": "minutes; tests/scripts/test_speed.py",
    r"make explore.*|python -m scripts\.explore .*": "tests/scripts/test_explore.py does",
    r"python -m scripts\.export .*": "tests/scripts/test_export.py does",
    r"python -m scripts\.shares .*": "tests/scripts/test_shares.py does",
    r"docker (build|run) .*": "a docker daemon; tests/test_docker.py reads the Dockerfile",
    r"make tensorboard": "serves pages until it is stopped",
    r"label-studio-converter .*": "another program",
}


def lines_of(block: str) -> list[str]:
    """The commands of a shell block, without comments; a comment may name another ("# or: ...")."""
    found = []
    for line in re.sub(r" *\\\n *", " ", block).splitlines():
        command, _, comment = line.partition(" #")
        if not line.startswith("#"):
            found.append(command.strip())
        if comment.strip().startswith("or: "):
            found.append(comment.strip().removeprefix("or: "))
    return [command for command in found if command]


def commands_in(text: str) -> list[str]:
    """The commands of a page, each once, in their order."""
    blocks = [line for block in BLOCK.findall(text) for line in lines_of(block)]
    spans = re.findall(r"`([^`\n]+)`", ANY_BLOCK.sub("", text))
    return list(dict.fromkeys([*blocks, *filter(BEGINS.match, spans)]))


def commands() -> dict[str, list[str]]:
    """{page: its commands}."""
    return {path.relative_to(ROOT).as_posix(): commands_in(path.read_text()) for path in PAGES}


@cache
def all_commands() -> list[str]:
    """The commands of all pages, each once."""
    return list(dict.fromkeys(command for found in commands().values() for command in found))


def reasons_for(command: str) -> list[str]:
    """Why a command is not run; empty for one that has no reason."""
    if command in EXTENDED:
        return ["run by tests/test_docs_extending.py"]
    return [reason for pattern, reason in REASONS.items() if re.fullmatch(pattern, command)]
