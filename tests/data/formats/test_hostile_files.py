"""Pickles and archives of arrays that someone made to do harm: refused with a sentence."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from data.errors import DataError
from data.formats.plain_pickle import load_plain_pickle
from data.formats.saved_proposals import load_proposals, saved_key

GOOD = {
    "ids": np.array(["1"]),
    "integer": np.array([True]),
    "counts": np.array([1]),
    "boxes": np.ones((1, 4), np.float32),
    "scores": np.ones(1, np.float32),
    "key": np.array("k"),
}
DEEP = b"N" + b"\x85" * 2000  # a tuple in a tuple in a tuple


class Harm:
    """Leaves a file where it is unpickled by a reader that runs what it asks for."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def npy(shape, kind="<f4", content=b""):
    """A file of NumPy whose header claims ``shape``."""
    header = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


def proposals(path, packing=zipfile.ZIP_STORED, **members):
    """A file of proposals, some of its members replaced by other bytes."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, array in GOOD.items():
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(f"{name}.npy", members.get(name, content.getvalue()))
    return path


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"boxes": npy("(1000000000000, 4)")}, "Unable to allocate"),
        ({"key": npy("(1000000000000,)", "<U9")}, "Unable to allocate"),
        ({"boxes": npy("(4611686018427387904, 4)")}, "cannot reshape"),
        ({"boxes": npy("(-1, 4)")}, "negative dimensions"),
        ({"boxes": npy("(" * 3000 + ")" * 3000)}, "Cannot parse header"),
        ({"boxes": b"no array"}, "other things than arrays"),
    ],
)
def test_arrays_that_lie_about_their_size(tmp_path, members, sentence):
    with pytest.raises(DataError, match=rf"p\.npz .*{sentence}.*compute it again"):
        load_proposals(proposals(tmp_path / "p.npz", **members))
    assert saved_key(tmp_path / "p.npz") == (None if "key" in members else "k")


def test_an_archive_that_unpacks_to_much_more(tmp_path):
    bomb = npy("(2500000, 4)", content=b"\0" * 40_000_000)
    path = proposals(tmp_path / "p.npz", zipfile.ZIP_DEFLATED, boxes=bomb)
    with pytest.raises(DataError, match=r"p\.npz .*would unpack to 40,"):
        load_proposals(path)
    assert saved_key(path) is None


@pytest.mark.parametrize("flag", ["encrypted", "method"])
def test_members_that_cannot_be_unpacked(tmp_path, flag):
    path = proposals(tmp_path / "p.npz")
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\1\2", 8), (b"PK\3\4", 6)):  # the two places of a member's flags
        place = -1
        while (place := content.find(mark, place + 1)) >= 0:
            content[place + at + (0 if flag == "encrypted" else 2)] = (
                1 if flag == "encrypted" else 99
            )
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"p\.npz .*(encrypted|not supported)"):
        load_proposals(path)


def test_pickled_objects_in_an_archive(tmp_path):
    np.savez(tmp_path / "p.npz", **{**GOOD, "key": np.array([Harm(tmp_path / "marker")])})
    with pytest.raises(DataError, match=r"p\.npz .*allow_pickle=False"):
        load_proposals(tmp_path / "p.npz")
    assert not (tmp_path / "marker").exists()


def test_counts_whose_sum_overflows(tmp_path):
    many = {"ids": np.array(list("12345")), "integer": np.ones(5, dtype=bool)}
    np.savez(tmp_path / "p.npz", **{**GOOD, **many, "counts": np.array([2**62] * 4 + [1])})
    with pytest.raises(DataError, match=r"p\.npz is damaged: .* sum to 18446744073709551617"):
        load_proposals(tmp_path / "p.npz")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"bbox_mode": np.array([0, 1])}, r"has bbox_mode array\(\[0, 1\]\)"),
        ({"ids": np.array(1)}, "has ids that are no list"),
        ({"ids": [10**5000]}, "an integer of more than 64 bits"),
        ({"boxes": [[[10**400] * 4]]}, "that are no numbers"),
    ],
)
def test_others_proposals(tmp_path, changed, sentence):
    content = {"ids": [1], "boxes": [np.ones((1, 4))], "scores": [np.ones(1)], **changed}
    (tmp_path / "p.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=rf"p\.pkl .*{sentence}"):
        load_proposals(tmp_path / "p.pkl")


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_calls_is_not_run(tmp_path, protocol):
    content = pickle.dumps({"ids": [Harm(tmp_path / "marker")]}, protocol)
    (tmp_path / "p.pkl").write_bytes(content)
    with pytest.raises(DataError, match=r"p\.pkl asks for posix\.mkdir, .*was not loaded"):
        load_plain_pickle(tmp_path / "p.pkl")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}" + DEEP + b"Ns.",  # a dict, one entry
        b"\x80\x02}(" + DEEP + b"Nu.",  # a dict, many entries
        b"\x80\x02(" + DEEP + b"Nd.",  # a dict from a mark
        b"\x80\x04\x8f(" + DEEP + b"\x90.",  # a set
        b"\x80\x04(" + DEEP + b"\x91.",  # a frozenset
        b"\x80\x02cbuiltins\nset\n]" + DEEP + b"a\x85R.",  # the same by a call
        b"\x80\x02cbuiltins\nfrozenset\n]" + DEEP + b"a\x85R.",
        b"\x80\x02ccollections\nOrderedDict\n]" + DEEP + b"N\x86a\x85R.",
    ],
)
def test_tuples_in_tuples_are_no_keys(tmp_path, content):
    """Python's hash of one takes the whole stack, and ends the process."""
    (tmp_path / "p.pkl").write_bytes(content)
    with pytest.raises(DataError, match=r"p\.pkl asks for a key of the type tuple"):
        load_plain_pickle(tmp_path / "p.pkl")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"a",  # promises 4 EB
        b"\x80\x04\x95" + (2**62).to_bytes(8, "little") + b"N.",
        b"\x80\x02\x8b\xff\xff\xff\x7f1",
        b"Pabc\n.",  # an object that lies elsewhere
        b"\x80\x02\x82\x01.",  # one of Python's registry of extensions
    ],
)
def test_bytes_that_are_no_pickle(tmp_path, content):
    (tmp_path / "p.pkl").write_bytes(content)
    with pytest.raises(DataError, match=r"p\.pkl is no pickle, or a damaged one"):
        load_plain_pickle(tmp_path / "p.pkl")
