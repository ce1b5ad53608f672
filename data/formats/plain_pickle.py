"""Reads pickles that hold data and nothing else: containers, numbers, strings, bytes, NumPy arrays.

Detectron and Detectron2 publish weights and proposals as pickles, and a pickle may call any
function of any installed module. Here a global name is looked up in a short table of our own
functions, so that no other one can be reached, and the two NumPy types that take a state of their
own (``BUILD``) are the only ones that may: a state is checked before NumPy sees it, because a data
type that lies about its size or its pointers makes NumPy read foreign memory.
"""

import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, TypeGuard

import numpy as np
from numpy.typing import NDArray

from data.errors import DataError

# numbers, strings, objects (which the table limits as well)
DTYPE = re.compile(r"[<>=|]?(?:[biufcSU]\d*|O\d*|\?)")
BUILD = pickle.BUILD[0]


class _Refused(Exception):
    """What a pickle asks for and must not have; the message names it."""


class _NDArray:
    """Stands for numpy.ndarray, which a pickle names as the type of what `_reconstruct` makes."""


def _reconstruct(kind: object, shape: object, code: object) -> NDArray[Any]:
    """An empty array whose state follows; as numpy.core.multiarray._reconstruct, for plain arrays
    only.
    """
    if kind is not _NDArray:
        raise _Refused("an array type other than numpy.ndarray")
    return np.empty(0, dtype=np.int8)


def _dtype(name: object, align: object = False, copy: object = False) -> np.dtype[Any]:
    """A data type of its own, whose byte order may follow as its state."""
    if not isinstance(name, str) or not DTYPE.fullmatch(name):
        raise _Refused(f"the array data type {name!r}")
    return np.dtype(np.dtype(name), copy=True)


def _frombuffer(
    buffer: object, dtype: object, shape: Any, order: Any, axis_order: Any = None
) -> NDArray[Any]:
    """An array from its bytes (protocol 5)."""
    if not isinstance(buffer, bytes | bytearray) or not isinstance(dtype, np.dtype):
        raise _Refused("an array on memory that is not its own")
    array = np.frombuffer(buffer, dtype=dtype)
    if order == "K" and axis_order is not None:
        return array.reshape(shape).transpose(axis_order)
    return array.reshape(shape, order=order)


def _scalar(dtype: object, content: object = b"") -> Any:
    """A NumPy scalar from its bytes; Python 2 wrote them as a string."""
    content = content.encode("latin1") if isinstance(content, str) else content
    if (
        not isinstance(dtype, np.dtype)
        or dtype.hasobject
        or not isinstance(content, bytes)
        or (len(content) != dtype.itemsize)
    ):
        raise _Refused("a NumPy scalar that is no number or string")
    return np.frombuffer(content, dtype=dtype, count=1)[0] if content else dtype.type()


def _encode(text: object, encoding: object = "latin1") -> bytes:
    """bytes, which protocols 0 to 2 write as a string in Latin-1."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused(f"the encoding {encoding!r}")
    return text.encode("latin1")


def _check_keys(keys: Iterable[object]) -> None:
    """Refuses keys and elements of sets that are not single values: Python's hash of tuples in
    tuples can take the whole stack, or forever.
    """
    for key in keys:
        if not isinstance(key, str | bytes | int | float | complex | np.generic | None):
            raise _Refused(f"a key of the type {type(key).__name__}")


def _ordered(pairs: Iterable[Any] = ()) -> OrderedDict[Any, Any]:
    """An OrderedDict, to which Python 2 gives its (key, value) pairs at once."""
    pairs = list(pairs)
    _check_keys(key for key, _ in pairs)
    return OrderedDict(pairs)


def _set(items: Iterable[Any] = ()) -> set[Any]:
    items = list(items)
    _check_keys(items)
    return set(items)


def _frozenset(items: Iterable[Any] = ()) -> frozenset[Any]:
    return frozenset(_set(items))


def _no_bytes() -> bytes:
    """b"", which protocols 0 to 2 write as a call."""
    return b""


ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    **{(f"numpy.{core}.multiarray", name): function for core in ("core", "_core")
       for name, function in (("_reconstruct", _reconstruct), ("scalar", _scalar))},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
    ("numpy", "ndarray"): _NDArray, ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode, ("collections", "OrderedDict"): _ordered,
    **{
        (module, name): function
        for module in ("builtins", "__builtin__")
        for name, function in (("set", _set), ("frozenset", _frozenset), ("complex", complex))
    },
    **{(module, "bytes"): _no_bytes for module in ("builtins", "__builtin__")},
}  # fmt: skip


def _check_state(owner: object, state: object) -> None:
    """Refuses a ``state`` that a plain data type or array must not take."""
    if isinstance(owner, np.ndarray):
        _check_array_state(state)
    elif isinstance(owner, np.dtype):
        _check_dtype_state(owner, state)
    else:
        raise _Refused(f"a state of its own for {type(owner).__name__}")


def _check_array_state(state: object) -> None:
    """Refuses all but (perhaps a version,) shape, data type, order and as much content as that.

    NumPy compares the size of bytes with the shape, but reads a list of objects to the end that the
    shape claims.
    """
    parts = state[-4:] if isinstance(state, tuple) and len(state) in (4, 5) else (None,) * 4
    shape, dtype, _, content = parts
    if not _is_shape(shape) or not isinstance(dtype, np.dtype):
        raise _Refused("an array whose shape or data type is none")
    if not dtype.hasobject:
        if not isinstance(content, bytes | str):
            raise _Refused("an array whose content is not bytes")
    elif type(content) is not list or len(content) != math.prod(shape):
        raise _Refused("an array of objects that has not as many as its shape says")


def _is_shape(value: object) -> TypeGuard[tuple[int, ...]]:
    if not isinstance(value, tuple):
        return False
    return all(type(size) is int and size >= 0 for size in value)


def _has_byte_order(state: object) -> TypeGuard[tuple[Any, ...]]:
    """Whether a state is (3, byte order, three parts of a structure, size, alignment, flags)."""
    if not isinstance(state, tuple) or len(state) != 8:
        return False
    return state[0] == 3 and state[1] in ("<", ">", "=", "|")


def _check_dtype_state(dtype: np.dtype[Any], state: object) -> None:
    """Refuses a ``state`` that says more than the byte order of a plain data type."""
    if not _has_byte_order(state):
        raise _Refused(f"a state of the array data type {dtype} that is not a byte order")
    _, _, *structure, size, alignment, flags = state
    if any(part is not None for part in structure):
        raise _Refused("a structured array data type")
    same_memory = size in (-1, dtype.itemsize) and alignment in (-1, dtype.alignment)
    allowed_flags = (dtype.flags,) if dtype.hasobject else (0, dtype.flags)
    if not same_memory or flags not in allowed_flags:
        raise _Refused(f"a state of the array data type {dtype} that contradicts the type")


class _PlainUnpickler(pickle._Unpickler):
    """The unpickler written in Python: the one in C has no place to look at a state before it is
    taken.
    """

    stack: list[Any]
    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise _Refused(f"{module}.{name}")
        return ALLOWED[module, name]

    def load_build(self) -> None:
        _check_state(self.stack[-2], self.stack[-1])
        super().load_build()  # type: ignore[misc]

    dispatch[BUILD] = load_build

    def load_setitem(self) -> None:
        _check_keys(self.stack[-2:-1])
        super().load_setitem()  # type: ignore[misc]

    dispatch[pickle.SETITEM[0]] = load_setitem

    # of these the stack holds what follows the last mark

    def load_setitems(self) -> None:
        _check_keys(self.stack[::2])
        super().load_setitems()  # type: ignore[misc]

    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_dict(self) -> None:
        _check_keys(self.stack[::2])
        super().load_dict()  # type: ignore[misc]

    dispatch[pickle.DICT[0]] = load_dict

    def load_additems(self) -> None:
        _check_keys(self.stack)
        super().load_additems()  # type: ignore[misc]

    dispatch[pickle.ADDITEMS[0]] = load_additems

    def load_frozenset(self) -> None:
        _check_keys(self.stack)
        super().load_frozenset()  # type: ignore[misc]

    dispatch[pickle.FROZENSET[0]] = load_frozenset


def load_plain_pickle(path: Path | str) -> Any:
    """The content of a pickle of any protocol, of Python 2 as well (its strings become ``str``, by
    Latin-1).

    Raises:
        DataError: the file is missing, is no pickle or ends early, or it asks for anything but
            plain containers, numbers, strings, bytes and NumPy arrays; the sentence names what it
            asks for, and none of it was run.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _load(file)
    except FileNotFoundError as error:
        raise DataError(f"The file {path} does not exist; give the path of a .pkl file.") from error
    except _Refused as error:
        raise DataError(
            f"{path} asks for {error}, which a file of plain arrays does not need and which could"
            " run code; it was not loaded: get the file from its authors, or save its arrays"
            " again in plain dicts and lists."
        ) from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); give a file that you may read."
        ) from error
    except Exception as error:  # bytes that are no pickle make an unpickler raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{path} is no pickle, or a damaged one ({reason}); fetch it again."
        ) from error


def _load(file: BinaryIO) -> Any:
    return _PlainUnpickler(file, encoding="latin1").load()
