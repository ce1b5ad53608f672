"""Frozen records from the plain values that a checkpoint keeps of them."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

Record = TypeVar("Record")


def saved_record(kind: type[Record], saved: dict[str, Any], path: Path) -> Record:
    """The record that a checkpoint keeps as plain values: records are dicts, tuples are lists.

    Args:
        kind: the class of the record.
        saved: what ``asdict`` and JSON made of it.
        path: of the checkpoint, for the message.

    Raises:
        ValueError: a field that this version of the code does not know, one that is missing, or a
            value that is of no use.
    """
    if not isinstance(saved, dict):
        raise ValueError(
            f"The checkpoint {path} has a {type(saved).__name__} in the place of a "
            f"{kind.__name__}; give a step-*.pt of scripts.train."
        )
    hints = get_type_hints(kind)
    unknown = sorted(saved.keys() - {field.name for field in fields(kind)})  # type: ignore[arg-type]
    if unknown:
        raise ValueError(
            f"The checkpoint {path} has {kind.__name__} fields that this version does not know "
            f"({', '.join(unknown)}); use the version of the code that trained it."
        )
    values = {name: saved_value(hints[name], value, path) for name, value in saved.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(
            f"The checkpoint {path} has no usable {kind.__name__} ({error}); give a step-*.pt of "
            "scripts.train."
        ) from error


def saved_value(hint: Any, value: Any, path: Path) -> Any:
    """One field of a record; ``hint`` is its annotation, maybe ``Record | None``."""
    if isinstance(value, list):
        return tuple(value)
    records = [part for part in (hint, *get_args(hint)) if is_dataclass(part)]
    if isinstance(value, dict) and records:
        return saved_record(records[0], value, path)  # type: ignore[arg-type]
    return value
