"""What Python's JSON reader accepts and JSON does not allow, or leaves open: refused."""

from typing import Any


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; for ``object_pairs_hook``.

    Raises:
        ValueError: a key occurs twice, so that readers disagree about its value.
    """
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} occurs twice in one object")
    return result


def refuse_constant(constant: str) -> float:
    """Refuses NaN and Infinity; for ``parse_constant``.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{constant} is not a JSON number")
