"""Detectron's pickles load, whoever wrote them; what could run code is refused by name and does not
run.
"""

import codecs
import functools
import os
import pickle
import subprocess
from collections import OrderedDict, defaultdict

import numpy as np
import pytest

from data.errors import DataError
from data.formats.plain_pickle import load_plain_pickle

RNG = np.random.default_rng(0)
DETECTRON = {
    "blobs": {
        "conv1_w": RNG.random((4, 3, 2, 2), dtype=np.float32),
        "conv1_b": RNG.random(4),
        "empty": np.zeros((0, 4), dtype=np.float32),
        "transposed": np.arange(6).reshape(2, 3).T,
        "permuted": np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0),
        "flags": np.array([True, False]),
        "names": np.array(["ab", "c"]),
        "bytes": np.array([b"ab", b"c"]),
        "big_endian": np.arange(3, dtype=">f4"),
        "objects": np.array(["a", None, 1], dtype=object),
        "none_dimensional": np.array(2.5),
    },
    "cfg": "MODEL:\n  TYPE: generalized_rcnn  # é\n",
    "lr": np.float32(0.5),
    "step": np.int64(7),
    "yes": np.bool_(True),
    "label": np.str_("hi"),
    "plain": (1, -2.5, 1j, None, True, b"", b"\x80\xff", [2**70], {3}, frozenset({4})),
    "ordered": OrderedDict(b=1, a=2),
}


def write(folder, content, protocol=2):
    path = folder / "file.pkl"
    path.write_bytes(
        content if isinstance(content, bytes) else pickle.dumps(content, protocol=protocol)
    )
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_plain_content_comes_back(tmp_path, protocol):
    found = load_plain_pickle(write(tmp_path, DETECTRON, protocol))
    np.testing.assert_equal(found, DETECTRON)
    assert type(found["lr"]) is np.float32
    assert isinstance(found["ordered"], OrderedDict)
    assert {type(blob) for blob in found["blobs"].values()} == {np.ndarray}
    found["blobs"]["conv1_w"] += 1  # its own memory, to write on


def numpy_1(pickled):
    """The same pickle with the module name that NumPy 1 and Python 2 write (protocols 0 to 3 hold
    it as a line).
    """
    return pickled.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


@pytest.mark.parametrize("protocol", range(4))
def test_the_module_names_of_numpy_1(tmp_path, protocol):
    pickled = numpy_1(pickle.dumps(DETECTRON, protocol=protocol))
    np.testing.assert_equal(load_plain_pickle(write(tmp_path, pickled)), DETECTRON)


def python_2_array(values):
    """What Python 2 writes for {"w": float32 values}: byte strings (opcode U) where Python 3 has
    text and bytes.
    """
    raw = np.asarray(values, dtype="<f4").tobytes()
    text = lambda content: b"U" + bytes([len(content)]) + content  # noqa: E731
    dtype = (
        b"cnumpy\ndtype\n("
        + text(b"f4")
        + b"K\x00K\x01tR(K\x03"
        + text(b"<")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85"
        + text(b"b")
        + b"tR(K\x01K"
        + bytes([len(values)])
        + b"\x85"
        + dtype
        + b"\x89"
        + text(raw)
        + b"tb"
    )
    return b"\x80\x02}(" + text(b"w") + array + text(b"cfg") + text("é".encode("latin1")) + b"u."


@pytest.mark.fault("R51")
def test_files_of_python_2(tmp_path):
    found = load_plain_pickle(write(tmp_path, python_2_array([1.5, -2.0, 3e8])))
    assert found["w"].tolist() == [1.5, -2.0, 3e8]
    assert found["cfg"] == "é"


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *given):
        self.call = function, given

    def __reduce__(self):
        return self.call


def malicious(mark):
    """{forbidden name: an object whose pickle calls it and leaves the file ``mark``}."""
    touch = f"touch {mark}"
    code = f"open({str(mark)!r}, 'w')"
    return {
        f"{os.system.__module__}.system": Call(os.system, touch),  # posix
        "builtins.eval": Call(eval, code),
        "builtins.exec": Call(exec, code),
        "io.open": Call(open, str(mark), "w"),
        "builtins.getattr": Call(getattr, "text", "upper"),
        "subprocess.Popen": Call(subprocess.Popen, ["touch", str(mark)]),
        "functools.partial": functools.partial(os.system, touch),
        "numpy.load": Call(np.load, str(mark)),
        "numpy.fromfile": Call(np.fromfile, str(mark)),
        "numpy.memmap": Call(np.memmap, str(mark), "i1", "w+", 0, (4,)),
        "numpy.random._pickle.__randomstate_ctor": np.random.RandomState(0),
        "numpy.ma.core._mareconstruct": np.ma.array([1.0]),
        "_codecs.decode": Call(codecs.decode, b"", "hex"),
        "collections.defaultdict": defaultdict(list),
    }


OLD_NAMES = {"builtins": "__builtin__", "subprocess": "commands"}  # of modules, in protocols 0 to 2


@pytest.mark.fault("R51")
@pytest.mark.parametrize("name", malicious("x"))
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_other_globals_are_refused_by_name_and_not_run(tmp_path, name, protocol):
    mark = tmp_path / "mark"
    item = malicious(mark)[name]
    module, _, function = name.rpartition(".")
    names = {name, f"{OLD_NAMES.get(module)}.{function}"}
    for content in (
        item,
        {"blobs": {"w": np.zeros(2), "x": [item]}},
        np.array([item, 1], dtype=object),
    ):
        with pytest.raises(DataError, match="which could run code; it was not loaded") as refused:
            load_plain_pickle(write(tmp_path, content, protocol))
        assert any(f"file.pkl asks for {known}, " in str(refused.value) for known in names)
        assert not mark.exists()


def glob(module, name):
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


@pytest.mark.parametrize(
    ("pickled", "name"),
    [
        (glob("os", "system"), "os.system"),
        (glob("numpy.f2py", "compile"), "numpy.f2py.compile"),
        (glob("numpy", "ndarray.tofile"), "numpy.ndarray.tofile"),  # a path through what is allowed
        (b"(S'echo hi'\nios\nsystem\n", "os.system"),  # opcode INST
        (b"(cos\nsystem\nS'echo hi'\no", "os.system"),  # opcode OBJ
        (b"\x8c\x02os\x8c\x06system\x93", "os.system"),  # opcode STACK_GLOBAL
    ],
)
def test_names_that_only_a_handwritten_file_has(tmp_path, pickled, name):
    with pytest.raises(DataError, match=f"asks for {name}, "):
        load_plain_pickle(write(tmp_path, b"\x80\x04" + pickled + b"."))


def dtype(code, state=b""):
    """Opcodes of numpy.dtype(code, False, True) and, if given, of a state for it."""
    return (
        glob("numpy", "dtype") + b"(V" + code + b"\nI00\nI01\ntR" + (state + b"b" if state else b"")
    )


def array(state):
    """Opcodes of an empty array and a state for it."""
    empty = (
        glob("numpy._core.multiarray", "_reconstruct")
        + b"("
        + glob("numpy", "ndarray")
        + b"K\x00\x85C\x01btR"
    )
    return empty + state + b"b"


# a field of objects, flags that deny it
POINTERS = b"(K\x03V|\nN(Va\nt}Va\n(" + dtype(b"O8") + b"K\x00tsK\x08K\x01K\x00t"


@pytest.mark.parametrize(
    "pickled",
    [
        dtype(b"V8"),
        dtype(b"M8[s]"),
        dtype(b"f4,O"),
        dtype(b"f8", POINTERS),
        dtype(b"f8", b"(K\x03V<\nNNNK\x40K\x08K\x00t"),  # 64 bytes a number
        # objects without the flag
        dtype(b"O8", b"(K\x03V|\nNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"),
        dtype(b"f8", b"(K\x03V!\nNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"),
        dtype(b"f8", b"}"),
        glob("collections", "OrderedDict")
        + b")R}Vitems\nK\x01sb",  # a state of anything but arrays
        glob("numpy._core.multiarray", "_reconstruct") + b"}V__defaults__\nK\x01sb",
        glob("numpy._core.multiarray", "_reconstruct")
        + b"("
        + glob("collections", "OrderedDict")
        + b"K\x00\x85Vb\ntR",
        glob("numpy._core.multiarray", "scalar") + b"(" + dtype(b"O8") + b"C\x08abcdefghtR",
        glob("numpy._core.multiarray", "scalar") + b"(" + dtype(b"f8") + b"C\x04abcdtR",
        glob("numpy._core.numeric", "_frombuffer") + b"(K\x01" + dtype(b"f8") + b"K\x01\x85VC\ntR",
        glob("_codecs", "encode") + b"(Vabc\nVzlib\ntR",
        # one object by its shape, none in its list
        array(b"(K\x01K\x01\x85" + dtype(b"O8") + b"\x89]t"),
        array(b"(K\x01M\x10\x27\x85" + dtype(b"O8") + b"\x89](K\x01K\x02et"),
        array(b"(K\x01K\x01\x85" + dtype(b"O8") + b"\x89C\x08abcdefght"),
        array(b"(K\x01K\x01\x85" + dtype(b"f8") + b"\x89](K\x01et"),
        array(b"(K\x01K\x01" + dtype(b"f8") + b"\x89C\x08abcdefght"),
        array(b"(K\x01J\xff\xff\xff\xff\x85" + dtype(b"O8") + b"\x89]t"),
        array(b"K\x01"),
    ],
)
def test_types_that_lie_about_their_memory_are_refused(tmp_path, pickled):
    with pytest.raises(DataError, match=r"file\.pkl asks for .* it was not loaded"):
        load_plain_pickle(write(tmp_path, b"\x80\x04" + pickled + b"."))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        b"\x80\x04",
        b"\x80\x02]q\x00(",
        b"PK\x03\x04",
        b"\x82\x01.",
        b"\x80\x04K\x01Q.",  # a reference to something outside
        # the type is no function here
        glob("numpy", "ndarray") + b"(J\x00\x00\x00\x40tR.",
    ],
)
def test_what_is_no_pickle_is_a_sentence(tmp_path, content):
    with pytest.raises(
        DataError, match=r"file\.pkl is no pickle, or a damaged one \(.*\); fetch it again\.$"
    ):
        load_plain_pickle(write(tmp_path, content))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_every_beginning_of_a_file_is_a_sentence(tmp_path, protocol):
    whole = pickle.dumps(
        {"blobs": {"w": np.arange(4.0), "o": np.array([None, "a"])}, "cfg": "x"}, protocol=protocol
    )
    for end in range(len(whole)):
        # a name cut short
        with pytest.raises(DataError, match=r"no pickle, or a damaged one|asks for [a-z._]*, "):
            load_plain_pickle(write(tmp_path, whole[:end]))


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match=r"none\.pkl does not exist"):
        load_plain_pickle(tmp_path / "none.pkl")
    with pytest.raises(DataError, match="cannot be read"):
        load_plain_pickle(tmp_path)
