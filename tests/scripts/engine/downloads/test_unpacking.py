"""Archives that would write elsewhere, or fill the disk: refused before anything is written."""

import gzip
import io
import stat
import tarfile
import zipfile

import pytest

from data.errors import DataError
from scripts.engine.downloads import unpacking
from scripts.engine.downloads.unpacking import unpack


def refused(path, sentence):
    """Checks that an archive is refused with a sentence, and that nothing is written."""
    out = path.parent / "out"
    with pytest.raises(DataError, match=rf"{path.name} cannot be unpacked .*{sentence}"):
        unpack(path, out)
    assert sorted(file.name for file in path.parent.rglob("*")) == [path.name]


def tar_of(path, *members, mode="w"):
    """A tar file of TarInfo, or of names of empty files."""
    with tarfile.open(path, mode) as archive:
        for member in members:
            if isinstance(member, str):
                archive.addfile(tarfile.TarInfo(member), io.BytesIO())
            else:
                archive.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def zip_of(path, *members, packing=zipfile.ZIP_STORED):
    """A zip file of (name or ZipInfo, content)."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def special(kind, goal=""):
    member = tarfile.TarInfo("special")
    member.type, member.linkname = kind, goal
    return member


@pytest.mark.fault("R52")
@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil", "c:evil"])
def test_names_that_leave_the_folder(tmp_path, name):
    refused(zip_of(tmp_path / "a.zip", ("good", "x"), (name, "x")), "outside of the folder")


@pytest.mark.parametrize("name", ["../evil", "/evil", "VOCdevkit/../../evil"])
def test_names_in_a_tar_that_leave_the_folder(tmp_path, name):
    refused(tar_of(tmp_path / "a.tar", "good", name), "outside of the folder")


@pytest.mark.fault("R52")
@pytest.mark.parametrize(
    "member",
    [
        special(tarfile.SYMTYPE, "/etc"),
        special(tarfile.SYMTYPE, "good"),
        special(tarfile.LNKTYPE, "good"),
        special(tarfile.CHRTYPE),
        special(tarfile.BLKTYPE),
        special(tarfile.FIFOTYPE),
    ],
)
def test_links_and_devices_in_a_tar(tmp_path, member):
    refused(tar_of(tmp_path / "a.tar", "good", member), "'special' is a link or a device")


@pytest.mark.fault("R52")
@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip(tmp_path, kind):
    member = zipfile.ZipInfo("special")
    member.external_attr = (kind | 0o777) << 16
    refused(zip_of(tmp_path / "a.zip", ("good", "x"), (member, "/etc")), "is a link or a device")


@pytest.mark.fault("R52")
def test_bombs(tmp_path):
    """A zip, and a tar packed by gzip, of which 50 KB are 20 MB."""
    (tmp_path / "zip").mkdir()
    content = ("zeros", bytes(20_000_000))
    refused(
        zip_of(tmp_path / "zip" / "a.zip", content, packing=zipfile.ZIP_DEFLATED), "no data set"
    )
    (tmp_path / "tar").mkdir()
    member = tarfile.TarInfo("zeros")
    member.size = 20_000_000
    with tarfile.open(tmp_path / "tar" / "a.tar", "w:gz") as archive:
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    refused(tmp_path / "tar" / "a.tar", "no data set")


def test_a_tar_that_promises_more_than_it_has(tmp_path):
    header = tarfile.TarInfo("huge")
    header.size = 10**15
    (tmp_path / "a.tar").write_bytes(header.tobuf() + bytes(1024))
    refused(tmp_path / "a.tar", "no data set")


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MOST_FILES", 3)
    refused(tar_of(tmp_path / "a.tar", *"abcd"), "more than 3 files")


def test_a_disk_without_room(tmp_path, monkeypatch):
    free = unpacking.shutil._ntuple_diskusage(100, 100, 0)
    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda _: free)
    path = zip_of(tmp_path / "a.zip", ("good", "x"))
    with pytest.raises(DataError, match=r"unpacks to more than the 0\.0 GB that are free"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", gzip.compress(b"no tar", mtime=0), b"PK\3\4" * 20],
    ids=["empty", "text", "gzip", "zip"],
)
def test_what_is_no_archive(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, "")


def test_damaged_and_encrypted_members(tmp_path):
    path = zip_of(tmp_path / "a.zip", ("a", "x" * 1000), packing=zipfile.ZIP_DEFLATED)
    whole = path.read_bytes()
    path.write_bytes(whole[:33] + bytes([whole[33] ^ 255]) + whole[34:])
    with pytest.raises(DataError, match=r"a\.zip cannot be unpacked"):
        unpack(path, tmp_path / "out")
    encrypted = bytearray(whole)
    encrypted[whole.index(b"PK\1\2") + 8] |= 1
    encrypted[6] |= 1
    path.write_bytes(encrypted)
    with pytest.raises(DataError, match=r"a\.zip cannot be unpacked .*encrypted"):
        unpack(path, tmp_path / "out2")


def test_what_is_fine(tmp_path):
    folder = tarfile.TarInfo("VOCdevkit")
    folder.type = tarfile.DIRTYPE
    unpack(tar_of(tmp_path / "a.tar", folder, "VOCdevkit/a.xml"), tmp_path / "tar")
    assert (tmp_path / "tar" / "VOCdevkit" / "a.xml").is_file()
    unpack(zip_of(tmp_path / "a.zip", ("train2017/", ""), ("train2017/a.jpg", "x")), tmp_path / "z")
    assert (tmp_path / "z" / "train2017" / "a.jpg").read_text() == "x"
