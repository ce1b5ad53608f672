"""Writes a trained network as one file to share: python -m scripts.export_weights CHECKPOINT

A safetensors file has the weights, the network's configuration, its classes and the factors of its
sigmas, and no optimizer: a third of a step-*.pt. It cannot run code when it is read. It is a
checkpoint to scripts.detect, scripts.score, scripts.train --from and the detector in Python.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.engine.command import command_parser, exit_code
from scripts.engine.run_folder.checkpoint import checkpoint_of, load_checkpoint
from scripts.engine.run_folder.safetensors_file import SUFFIX, write_safetensors


def export(checkpoint: Path, out: Path | None) -> None:
    """Writes the file and says how large it is.

    Raises:
        ValueError: the checkpoint cannot be read, or the file would have another ending.
    """
    source = checkpoint_of(checkpoint)
    path = out or source.with_suffix(SUFFIX)
    if path.suffix != SUFFIX:
        raise ValueError(f"--out {path} does not end in {SUFFIX}, by which the file is recognized.")
    write_safetensors(path, load_checkpoint(source))
    print(f"{source} -> {path}, {path.stat().st_size / 1e6:.0f} MB")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("export_weights", __doc__)
    parser.add_argument("checkpoint", type=Path, help="or a run's folder: its best.pt")
    parser.add_argument(
        "--out", type=Path, metavar=f"FILE{SUFFIX}", help="default: beside the checkpoint"
    )
    given = parser.parse_args(arguments)
    return exit_code(lambda: export(given.checkpoint, given.out))


if __name__ == "__main__":
    sys.exit(main())
