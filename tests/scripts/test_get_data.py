import contextlib
import hashlib
import http.server
import io
import socket
import tarfile
import threading
import time
import zipfile

import pytest

from data.errors import DataError
from data.voc import find_voc_root
from scripts import get_data
from scripts.engine.downloads import downloads
from scripts.engine.downloads.archives import Archive, Part
from scripts.engine.downloads.downloads import get


class Host:
    """Serves one file on 127.0.0.1: breaks off after ``breaks`` bytes of each of the first answers;
    ``ranges`` False ignores Range; ``to`` redirects there; ``drip`` sends so many bytes at a time
    with pauses of 20 ms; ``length`` False does not say how many there are. ``asked`` lists the
    Range header of each request."""

    def __init__(
        self, content, breaks=(), ranges=True, status=None, to=None, drip=None, length=True
    ):
        self.asked, breaks = [], list(breaks)
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                wish = self.headers.get("Range")
                host.asked.append(wish)
                if status:
                    self.send_error(status)
                    return
                if to:
                    self.send_response(302)
                    self.send_header("Location", to)
                    self.end_headers()
                    return
                start = int(wish[6:-1]) if wish and ranges else 0
                if start >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.end_headers()
                    return
                self.send_response(206 if wish and ranges else 200)
                if wish and ranges:
                    self.send_header(
                        "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                    )
                if length:
                    self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                body = content[start:]
                if drip:
                    self.drip(body)
                    return
                self.wfile.write(body[: breaks.pop(0)] if breaks else body)

            def drip(self, body):
                with contextlib.suppress(OSError):  # whoever asked has gone
                    for place in range(0, len(body), drip):
                        self.wfile.write(body[place : place + drip])
                        time.sleep(0.02)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_address[1]}"

    def url(self, name):
        return f"http://{self.address}/{name}"


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloads, "PAUSE_S", 0.0)
    monkeypatch.setattr(downloads, "SCHEMES", ("http",))  # the hosts here have no certificate
    hosts = []

    def start(*arguments, **options):
        hosts.append(Host(*arguments, **options))
        return hosts[-1]

    yield start
    for host in hosts:
        host.server.shutdown()
        host.server.server_close()


def tar(files):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


TRAINVAL = tar(
    {
        "VOCdevkit/VOC2007/Annotations/a.xml": b"<a/>",
        "VOCdevkit/VOC2007/ImageSets/Main/trainval.txt": b"a\n",
    }
)
TEST = tar(
    {
        "VOCdevkit/VOC2007/Annotations/b.xml": b"<b/>",
        "VOCdevkit/VOC2007/ImageSets/Main/test.txt": b"b\n",
    }
)
GIVES = (("VOCdevkit/VOC2007", "VOCdevkit/VOC2007"),)


def archive(name, content, *urls):
    return Archive(name=name, md5=hashlib.md5(content).hexdigest(), urls=urls)


def part(content, *urls):
    return Part(archives=(archive("a.tar", content, *urls),), gives=GIVES)


def test_two_archives_become_one_voc_folder_and_a_second_call_asks_for_nothing(
    serve, tmp_path, capsys
):
    hosts = serve(TRAINVAL), serve(TEST)
    both = Part(
        gives=GIVES,
        archives=(
            archive("trainval.tar", TRAINVAL, hosts[0].url("trainval.tar")),
            archive("test.tar", TEST, hosts[1].url("test.tar")),
        ),
    )
    for _ in range(2):
        get(both, tmp_path, keep_archives=False)
    assert [len(host.asked) for host in hosts] == [1, 1]
    assert find_voc_root(tmp_path, 2007) == tmp_path / "VOCdevkit" / "VOC2007"
    assert sorted(p.name for p in (tmp_path / "VOCdevkit/VOC2007/ImageSets/Main").iterdir()) == [
        "test.txt",
        "trainval.txt",
    ]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    assert list((tmp_path / "archives").iterdir()) == []
    assert "there already" in capsys.readouterr().out


def test_only_the_wanted_members_of_a_zip_get_a_place(serve, tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as content:
        content.writestr("annotations/instances_val2017.json", "{}")
        content.writestr("annotations/captions_val2017.json", "{}")
    host = serve(file.getvalue())
    goal = "coco/annotations/instances_val2017.json"
    get(
        Part(
            archives=(archive("a.zip", file.getvalue(), host.url("a.zip")),),
            gives=((goal[5:], goal),),
        ),
        tmp_path,
        True,
    )
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*")) if p.is_file()] == [
        "archives/a.zip",
        goal,
    ]


@pytest.mark.fault("R53")
def test_a_broken_connection_is_resumed_where_it_broke(serve, tmp_path):
    host = serve(TRAINVAL, breaks=(1000, 3000))
    get(part(TRAINVAL, host.url("a.tar")), tmp_path, keep_archives=True)
    assert host.asked == [None, "bytes=1000-", "bytes=4000-"]
    assert (tmp_path / "archives" / "a.tar").read_bytes() == TRAINVAL


@pytest.mark.fault("R53")
def test_a_server_that_ignores_ranges_is_asked_from_the_start(serve, tmp_path):
    host = serve(TRAINVAL, breaks=(1000,), ranges=False)
    get(part(TRAINVAL, host.url("a.tar")), tmp_path, keep_archives=True)
    assert host.asked == [None, "bytes=1000-"]
    assert (tmp_path / "archives" / "a.tar").read_bytes() == TRAINVAL


@pytest.mark.fault("R53")
@pytest.mark.parametrize("left", [TRAINVAL, TRAINVAL + b"too long"])
def test_a_part_file_that_is_complete_or_too_long(serve, tmp_path, left):
    """416 means complete if the length is right, else the download begins anew."""
    host = serve(TRAINVAL)
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "a.tar.part").write_bytes(left)
    get(part(TRAINVAL, host.url("a.tar")), tmp_path, keep_archives=True)
    assert host.asked == [f"bytes={len(left)}-"] + [None] * (left != TRAINVAL)
    assert (tmp_path / "archives" / "a.tar").read_bytes() == TRAINVAL


@pytest.mark.fault("R53")
def test_a_wrong_hash_is_deleted_and_reported(serve, tmp_path):
    host = serve(TRAINVAL[:-1] + b"x")
    with pytest.raises(
        DataError, match=r"a\.tar: the MD5 of the download is [0-9a-f]{32} and should be .* deleted"
    ):
        get(part(TRAINVAL, host.url("a.tar")), tmp_path, keep_archives=True)
    assert list((tmp_path / "archives").iterdir()) == []
    assert not (tmp_path / "VOCdevkit").exists()


def test_the_second_host_is_asked_when_the_first_has_nothing(serve, tmp_path):
    first, second = serve(b"", status=404), serve(TRAINVAL)
    get(part(TRAINVAL, first.url("a.tar"), second.url("a.tar")), tmp_path, keep_archives=False)
    assert (len(first.asked), len(second.asked)) == (1, 1)
    assert (tmp_path / GIVES[0][1]).is_dir()


@pytest.mark.fault("R70")
def test_without_network_the_sentence_names_host_url_and_path_and_a_file_put_there_is_used(
    serve, tmp_path, monkeypatch, capsys
):
    host = serve(b"")
    host.server.shutdown()
    host.server.server_close()  # the port is closed now: connection refused
    url, path = host.url("a.tar"), tmp_path / "archives" / "a.tar"
    monkeypatch.setattr(get_data, "DATASETS", {"voc2007": (part(TRAINVAL, url),)})
    call = ["voc2007", "--out", str(tmp_path)]
    assert get_data.main(call) == 2
    said = capsys.readouterr().err
    assert f"cannot reach {host.address}" in said
    assert f"download {url} by hand to {path} and run again" in said
    path.write_bytes(b"half")
    assert get_data.main(call) == 2
    assert "remove it and run again" in capsys.readouterr().err
    assert path.read_bytes() == b"half"  # somebody's file: not deleted
    path.write_bytes(TRAINVAL)
    assert get_data.main(call) == 0
    assert (tmp_path / GIVES[0][1]).is_dir()


def test_a_disk_that_is_too_small_is_named_before_anything_is_written(serve, tmp_path, monkeypatch):
    host = serve(TRAINVAL)
    monkeypatch.setattr(
        downloads.shutil, "disk_usage", lambda _: downloads.shutil._ntuple_diskusage(100, 90, 10)
    )
    with pytest.raises(DataError, match="free some space"):
        get(part(TRAINVAL, host.url("a.tar")), tmp_path, keep_archives=True)


@pytest.mark.fault("R52")
def test_an_archive_that_is_refused_leaves_nothing_unpacked(serve, tmp_path):
    content = tar({"VOCdevkit/VOC2007/a": b"x", "../evil": b"x"})
    host = serve(content)
    with pytest.raises(DataError, match=r"a\.tar cannot be unpacked .*outside"):
        get(part(content, host.url("a.tar")), tmp_path / "out", keep_archives=True)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tar", "archives", "out"]


@pytest.mark.fault("R54")
def test_only_https_is_asked(tmp_path):
    with pytest.raises(DataError, match=r"leads to http://127\.0\.0\.1:9/a\.tar, and only https"):
        get(part(TRAINVAL, "http://127.0.0.1:9/a.tar"), tmp_path, keep_archives=True)
    assert list((tmp_path / "archives").iterdir()) == []
    assert all(
        url.startswith("https://")
        for parts in get_data.DATASETS.values()
        for one in parts
        for archive in one.archives
        for url in archive.urls
    )


@pytest.mark.fault("R54")
@pytest.mark.parametrize("to", ["https://127.0.0.1:9/a.tar", "ftp://127.0.0.1/"])
def test_a_redirect_to_another_scheme_is_not_followed(serve, tmp_path, to):
    """Here the only safe scheme is http; elsewhere it is https."""
    host = serve(b"", to=to)
    with pytest.raises(DataError, match=f"leads to {to}, and only https is followed"):
        get(part(TRAINVAL, host.url("a.tar")), tmp_path, keep_archives=True)
    assert len(host.asked) == 1
    assert list((tmp_path / "archives").iterdir()) == []


def test_a_redirect_to_the_same_scheme_is_followed(serve, tmp_path):
    goal = serve(TRAINVAL)
    host = serve(b"", to=goal.url("elsewhere.tar"))
    get(part(TRAINVAL, host.url("a.tar")), tmp_path, keep_archives=True)
    assert (tmp_path / "archives" / "a.tar").read_bytes() == TRAINVAL


def test_a_server_that_is_too_slow_is_left_and_continued(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(downloads, "LEAST_SPEED", 10**6)
    slow = serve(TRAINVAL, drip=10)
    part_file = tmp_path / "a.tar.part"
    with pytest.raises(TimeoutError, match=r"\d+ bytes in \d+ s are too slow"):
        downloads.receive(slow.url("a.tar"), part_file)
    have = part_file.stat().st_size
    assert 0 < have < len(TRAINVAL)
    fast = serve(TRAINVAL)
    assert downloads.receive(fast.url("a.tar"), part_file)
    assert fast.asked == [f"bytes={have}-"]
    assert part_file.read_bytes() == TRAINVAL


@pytest.mark.parametrize("length", [True, False])
def test_a_server_that_sends_more_than_any_archive_has(serve, tmp_path, monkeypatch, length):
    monkeypatch.setattr(downloads, "MOST_BYTES", 5000)
    host = serve(TRAINVAL, length=length)
    with pytest.raises(DataError, match="more than any data set here has"):
        get(part(TRAINVAL, host.url("a.tar")), tmp_path, keep_archives=True)
    assert [path.name for path in (tmp_path / "archives").iterdir()] in ([], ["a.tar.part"])


def test_every_data_set_lands_where_the_data_layer_reads():
    assert set(get_data.DATASETS) == {"voc2007", "voc2012", "coco2014", "coco2017", "coco2017test"}
    goals = {
        name: [goal for p in parts for _, goal in p.gives]
        for name, parts in get_data.DATASETS.items()
    }
    assert goals["voc2012"] == ["VOCdevkit/VOC2012"]
    assert sorted(goals["coco2014"]) == [
        "coco/annotations/instances_train2014.json",
        "coco/annotations/instances_val2014.json",
        "coco/train2014",
        "coco/val2014",
    ]
    archives = [a for parts in get_data.DATASETS.values() for p in parts for a in p.archives]
    assert len(archives) == 11
    assert all(
        len(a.md5) == 32 and all(url.endswith("/" + a.name) for url in a.urls) for a in archives
    )


def test_what_a_killed_download_left_unpacked_is_removed(serve, tmp_path, capsys):
    left = tmp_path / f".unpacking.{2**22 + 1}@{socket.gethostname()}.tmp"
    (left / "VOCdevkit").mkdir(parents=True)
    host = serve(TRAINVAL)
    get(part(TRAINVAL, host.url("a.tar")), tmp_path, keep_archives=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["VOCdevkit", "archives"]
    assert "removed 1 temporary files of processes that were killed" in capsys.readouterr().out
