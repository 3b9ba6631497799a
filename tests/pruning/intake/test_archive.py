import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pruning.errors import IntakeError
from pruning.intake.archive import Archive, Limits, _Guarded
from pruning.intake.reader import read_exported_program
from tests.pruning.intake.payloads import edit_json, read_members, write_members

SMALL = Limits(total_bytes=1 << 20, members=10, json_bytes=1 << 12, ratio=10)


def build(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], packed: bool = False) -> Path:
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def refused(path: Path, match: str, limits: Limits = SMALL) -> None:
    with pytest.raises(IntakeError, match=match) as caught:
        Archive(path, limits)
    assert len(str(caught.value)) < 250


def test_reads_members_without_their_folder(tmp_path: Path) -> None:
    path = build(tmp_path / "a.zip", ("r/x", b"one"), ("r/d/y", b"two"), packed=True)
    with Archive(path, SMALL) as archive:
        assert archive.names == {"x", "d/y"}
        assert archive.read("d/y", 3) == b"two"
        with pytest.raises(IntakeError, match="limit is 2"):
            archive.read("x", 2)
        with pytest.raises(IntakeError, match="lacks its member"):
            archive.read("z", 10)


@pytest.mark.parametrize(
    "name",
    ["/r/x", "r/../x", "../x", "r//x", "r/./x", "r\\x", "C:/x", "r/a\x00b", "r/a\nb", "r/" + "x" * 600],
)
def test_paths_that_no_program_has(name: str, tmp_path: Path) -> None:
    path = build(tmp_path / "a.zip", ("r/abcdefgh", b"1"), ("r/y", b"1"))
    if len(name) > 100 or "\x00" not in name:
        info = zipfile.ZipInfo("r/z")
        info.filename = name  # past ZipInfo's own cleaning
        build(path, ("r/y", b"1"), (info, b"1"))
    else:
        raw = path.read_bytes().replace(b"r/abcdefgh", b"r/a\x00bcdefg")
        path.write_bytes(raw)
    refused(path, "has a path")


def test_two_members_of_one_name(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        build(tmp_path / "a.zip", ("r/x", b"1"), ("r/x", b"2"))
    refused(tmp_path / "a.zip", "two members of one name")


def test_members_in_several_folders(tmp_path: Path) -> None:
    refused(build(tmp_path / "a.zip", ("r/x", b"1"), ("s/x", b"2")), "one folder")
    refused(build(tmp_path / "b.zip"), "one folder")


def test_links_and_encryption(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("r/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(build(tmp_path / "a.zip", (link, b"/etc/passwd")), "is a link")
    path = build(tmp_path / "b.zip", ("r/x", b"1"))
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    refused(path, "encrypted")


def test_other_packing_methods(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("r/x", b"1")
    refused(tmp_path / "a.zip", "packed by a method")


def test_bombs(tmp_path: Path) -> None:
    refused(build(tmp_path / "a.zip", ("r/x", bytes(1 << 19)), packed=True), "unpacks to more than 10 times")
    wide = Limits(total_bytes=1 << 20, members=10, ratio=10_000)
    members = [(f"r/{n}", bytes(1 << 18)) for n in range(5)]
    refused(build(tmp_path / "b.zip", *members, packed=True), "unpacks to 1310720 bytes", wide)


def test_a_member_longer_than_it_says_is_not_unpacked_further(tmp_path: Path) -> None:
    path = build(tmp_path / "a.zip", ("r/x", bytes(200_000)), packed=True)
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    raw[entry + 24 : entry + 28] = struct.pack("<I", 10)
    path.write_bytes(raw)
    with Archive(path, SMALL) as archive, pytest.raises(IntakeError, match="damaged"):
        archive.read("x", 1 << 18)


def test_too_many_members_and_too_many_bytes(tmp_path: Path) -> None:
    refused(build(tmp_path / "a.zip", *((f"r/{n}", b"") for n in range(11))), "has 11 members")
    refused(build(tmp_path / "b.zip", ("r/x", bytes(1 << 21))), "the limit is 1048576")


def test_a_directory_is_not_read_when_it_is_larger_than_any_model_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build(tmp_path / "a.zip", *((f"r/{n:0400}", b"") for n in range(1000)))
    read: list[int] = []
    original = _Guarded.read

    def counting(file: _Guarded, size: int = -1) -> bytes:
        data = original(file, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(_Guarded, "read", counting)
    refused(path, "directory is larger")
    assert read and max(read) <= SMALL.members * (46 + 512)


def test_overlapping_members(tmp_path: Path) -> None:
    path = build(tmp_path / "a.zip", ("r/x", b"1" * 100), ("r/y", b"2" * 100))
    raw = bytearray(path.read_bytes())
    second = raw.rindex(b"PK\x01\x02")
    raw[second + 42 : second + 46] = struct.pack("<I", 0)  # both start at the first one's header
    path.write_bytes(raw)
    refused(path, "overlaps")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 0.99])
def test_cut_short(share: float, good: Path, tmp_path: Path) -> None:
    raw = good.read_bytes()
    path = tmp_path / "cut.pt2"
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(IntakeError):
        read_exported_program(path)


def test_damaged_bytes_are_noticed(good: Path, tmp_path: Path) -> None:
    members = read_members(good)
    weight = next(data for name, data in members.items() if name.endswith("weights/weight_0"))
    raw = good.read_bytes()
    path = tmp_path / "damaged.pt2"
    path.write_bytes(raw.replace(weight, bytes(len(weight))))
    with pytest.raises(IntakeError, match="damaged"):
        read_exported_program(path)


def _huge(members: dict[str, bytes]) -> None:
    name = next(name for name in members if name.endswith("models/model.json"))
    members[name] = members[name] + b" " * (1 << 20)


def _deep(members: dict[str, bytes]) -> None:
    name = next(name for name in members if name.endswith("models/model.json"))
    members[name] = b"[" * 200_000


def _gone(members: dict[str, bytes]) -> None:
    del members[next(name for name in members if name.endswith("weights/weight_1"))]


def _short(members: dict[str, bytes]) -> None:
    name = next(name for name in members if name.endswith("weights/weight_1"))
    members[name] = members[name][:-1]


def _repeated(members: dict[str, bytes]) -> None:
    name = next(name for name in members if name.endswith("models/model.json"))
    members[name] = members[name].replace(b'{"graph_module"', b'{"guards_code": [], "graph_module"', 1)


def _second(members: dict[str, bytes]) -> None:
    name = next(name for name in members if name.endswith("models/model.json"))
    members[name.replace("model.json", "other.json")] = members[name]


def _none(members: dict[str, bytes]) -> None:
    del members[next(name for name in members if name.endswith("models/model.json"))]


def _big_endian(members: dict[str, bytes]) -> None:
    members[next(name for name in members if name.endswith("byteorder"))] = b"big"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_huge, "the limit is 1000000"),
        (_deep, "nested too deeply|not valid JSON"),
        (_gone, "lacks its member"),
        (_short, "bytes and its file has"),
        (_repeated, "repeats a key"),
        (_second, "2 graphs: .model., .other.; say which"),
        (_none, "no exported program"),
        (_big_endian, "little-endian"),
    ],
)
def test_hostile_contents(change: Callable[[dict[str, bytes]], None], match: str, good: Path, tmp_path: Path) -> None:
    members = read_members(good)
    change(members)
    write_members(members, tmp_path / "bad.pt2")
    with pytest.raises(IntakeError, match=match):
        read_exported_program(tmp_path / "bad.pt2", Limits(json_bytes=1_000_000))


def test_too_many_nodes(good: Path) -> None:
    with pytest.raises(IntakeError, match="the limit is 3"):
        read_exported_program(good, Limits(nodes=3))


def test_extra_files_and_repacking_do_no_harm(good: Path, tmp_path: Path) -> None:
    members = read_members(good)
    root = next(iter(members)).partition("/")[0]
    members[f"{root}/extra/names.json"] = b"not json"
    members[f"{root}/data/aotinductor/model/x.so"] = b"\x7fELF"
    write_members(members, tmp_path / "a.pt2")
    assert read_exported_program(tmp_path / "a.pt2") == read_exported_program(good)
    edit_json(members, "models/model.json", lambda program: program.update(unknown={"a": 1}))
    build(tmp_path / "b.pt2", *members.items(), packed=True)
    assert read_exported_program(tmp_path / "b.pt2") == read_exported_program(good)
