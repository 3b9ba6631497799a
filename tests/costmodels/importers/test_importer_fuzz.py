"""Nothing but ProfileError comes out of an import, whatever goes in; what is accepted can be stored and read again.

Arbitrary bytes and documents, damaged excerpts of every tool, damaged real files, and files made to hurt: bombs, deep
nesting, endless runs of one character. A hang fails by the suite's timeout.
"""

import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodels.errors import ProfileError
from costmodels.importers import IMPORTERS, Given, SourceFile, import_profile
from costmodels.profile import Profile
from tests.costmodels.importers.excerpts import SHARED, source
from tests.costmodels.importers.hostile import HOSTILE, LONG, MANY
from tests.costmodels.importers.mutations import NUMBERS, VALUES, WORDS, mutated
from tests.costmodels.importers.seeds import SEEDS

STATED = Given(device="board", batch=1, precision="float32", clock_hz=1e9, layer="conv1")
LONGEST_MESSAGE = 4000
TOOLS = (None, *IMPORTERS)


def accepted(files: Sequence[SourceFile], stated: Given = STATED, tool: str | None = None) -> bool:
    """Whether the files are imported. If they are, the profile can be stored; if not, the reason can be shown."""
    try:
        profile = import_profile(files, stated, tool)
    except ProfileError as error:
        refusal = error
    else:
        stored = json.dumps(profile.to_json(), allow_nan=False).encode()
        assert Profile.from_json(json.loads(stored)).digest == profile.digest
        return True
    assert 0 < len(str(refusal)) <= LONGEST_MESSAGE
    for said in (str(refusal), *refusal.problems):
        said.encode()  # no lone surrogates: it goes into a response
    return False


def seed_files(name: str) -> list[SourceFile]:
    return [source(content, f"file{at}") for at, content in enumerate(SEEDS[name])]


def damaged(files: Sequence[SourceFile], random: Random) -> list[SourceFile]:
    at = random.randrange(len(files))
    return [SourceFile(f.name, mutated(f.data, random)) if i == at else f for i, f in enumerate(files)]


def test_every_importer_is_fuzzed_from_files_that_it_reads() -> None:
    assert set(IMPORTERS) <= {name.split()[0] for name in SEEDS}
    assert [name for name in SEEDS if name.split()[0] in IMPORTERS and not accepted(seed_files(name))] == []


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(TOOLS))
def test_arbitrary_bytes(data: bytes, tool: str | None) -> None:
    assert not accepted([SourceFile("upload", data)], tool=tool)


WORDS_OF_TOOLS = sorted(
    {word for files in SEEDS.values() for file in files for word in str(file).split() if len(word) < 30}
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(WORDS_OF_TOOLS) | st.text(max_size=5), max_size=40), st.sampled_from(" \n\t,;"))
def test_words_of_the_tools_in_any_order(words: list[str], joint: str) -> None:
    accepted([SourceFile("upload", joint.join(words).encode(errors="surrogatepass"))])


def keys_of(document: object) -> set[str]:
    below = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    return (set(document) if isinstance(document, dict) else set()).union(*map(keys_of, below))


JSON_SEEDS = [file for files in SEEDS.values() for file in files if isinstance(file, dict | list)]
KEYS = st.sampled_from(sorted(set().union(*map(keys_of, JSON_SEEDS))))
LEAVES = st.sampled_from([value for value in VALUES if not isinstance(value, dict | list)])
DOCUMENTS = st.recursive(
    LEAVES,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(KEYS | st.text(max_size=3), below, max_size=6),
    max_leaves=20,
)


@settings(max_examples=80, deadline=None)
@given(DOCUMENTS, st.randoms(use_true_random=False))
def test_documents_with_the_keys_of_the_tools(document: object, random: Random) -> None:
    seed = random.choice(JSON_SEEDS)
    accepted([SourceFile("upload", json.dumps(document).encode())])
    if isinstance(document, dict) and isinstance(seed, dict):
        accepted([source(seed | document)])
    if isinstance(document, list) and isinstance(seed, list):
        accepted([source([*seed, *document])])


CELLS = st.sampled_from([cell.decode(errors="ignore") for cell in (*NUMBERS, *WORDS) if len(cell) < 500])
TABLES = [file for files in SEEDS.values() for file in files if isinstance(file, str) and file.count(",") > 5]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(TABLES), st.lists(st.lists(CELLS, max_size=20), max_size=6))
def test_tables_with_the_headers_of_the_tools(table: str, lines: list[list[str]]) -> None:
    header = table.splitlines()[0]
    accepted([source("\n".join([header, *(",".join(cells) for cells in lines)]))])


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=40, deadline=None)
@given(random=st.randoms(use_true_random=False))
def test_damaged_excerpts(name: str, random: Random) -> None:
    accepted(damaged(seed_files(name), random))


TEXTS = st.sampled_from(["", " ", "\x00", "\ud800", "x" * 5000, "conv1", "=1+1"]) | st.text(max_size=5)
STATEMENTS = st.fixed_dictionaries(
    {
        "name": st.none() | TEXTS,
        "device": TEXTS,
        "batch": st.none() | st.sampled_from([-1, 0, 1, 7, 2**70, 10**400]),
        "precision": TEXTS,
        "clock_hz": st.none() | st.floats(),
        "network_latency_ms": st.none() | st.floats(),
        "layer": st.none() | TEXTS,
    }
)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(SEEDS)), STATEMENTS, st.sampled_from(TOOLS))
def test_whatever_is_stated_beside_good_files(name: str, stated: dict[str, Any], tool: str | None) -> None:
    try:
        given = Given(**stated)
    except ProfileError:
        return  # refused before any file is opened
    accepted(seed_files(name), given, tool)


@pytest.mark.parametrize("name", SEEDS)
def test_every_cut_of_an_excerpt(name: str) -> None:
    first, *others = seed_files(name)
    for kept in range(0, len(first.data), 1 + len(first.data) // 60):
        accepted([SourceFile(first.name, first.data[:kept]), *others])


def test_excerpts_of_two_tools_are_refused() -> None:
    names = [name for name in SEEDS if name.split()[0] in IMPORTERS]
    for first, second in zip(names, names[1:] + names[:1], strict=True):
        if first.split()[0] != second.split()[0]:
            assert not accepted([*seed_files(first), *seed_files(second)])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", SEEDS)
def test_endless_runs_of_one_character(name: str) -> None:
    """What makes a backtracking expression or a quadratic loop hang."""
    random = Random(name)
    first, *others = seed_files(name)
    for character in (b" ", b"\n", b"\t", b"0", b"a_", b"1:", b"-", b"a,"):
        at = random.randrange(len(first.data))
        run = character * (MANY // len(character))
        accepted([SourceFile(first.name, first.data[:at] + run + first.data[at:]), *others])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(name: str) -> None:
    assert not accepted([SourceFile("profile.json", HOSTILE[name])])


@pytest.mark.parametrize("tool", LONG)
def test_more_layers_than_a_profile_holds_are_refused_before_they_are_built(tool: str) -> None:
    with pytest.raises(ProfileError, match="at most 100000 are read"):
        import_profile([SourceFile("upload", LONG[tool])], STATED)


@pytest.mark.parametrize("upload", ["profile.json", "table.csv", "notes.txt", "../latency.yaml"])
def test_a_pickle_is_refused_under_any_name(upload: str) -> None:
    for name in ("a pickle", "a pickle that runs code", "an old pickle"):
        assert not accepted([SourceFile(upload, HOSTILE[name])])


@pytest.mark.parametrize("name", ["many entities", "YAML aliases", "a zip", "deep XML", "deep JSON lists"])
def test_bombs_take_no_memory(name: str) -> None:
    file = SourceFile("upload", HOSTILE[name])
    tracemalloc.start()
    try:
        assert not accepted([file])
        assert tracemalloc.get_traced_memory()[1] < 40 * len(HOSTILE[name]) + 2**22
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", [0, 257, 3])
def test_no_file_too_many_and_none_that_is_known(count: int) -> None:
    assert not accepted([SourceFile(f"file{n}", b"hello") for n in range(count)])


REAL_FOLDERS = ("profiles", "latency_tables")
REAL = sorted(
    str(p.relative_to(SHARED)) for folder in REAL_FOLDERS for p in (SHARED / folder).rglob("*") if p.is_file()
)
PAIRS = [
    ("tensorrt/a100_pytorch_resnet_fp16.profile.json", "tensorrt/a100_pytorch_resnet_fp16.graph.json"),
    ("openvino/resnet18_benchmark_average_counters_report.csv", "openvino/resnet18_exec_graph.xml"),
    (
        "vela/pretrainedResnet_quant.ethos-u85-256_per-layer.csv",
        "vela/pretrainedResnet_quant.ethos-u85-256_summary.csv",
    ),
    (
        "scale-sim/ws32_dense_calc__Resnet18_dense.COMPUTE_REPORT.csv",
        "scale-sim/topology_Resnet18.csv",
        "scale-sim/ws32_dense_calc.cfg",
    ),
]


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL or ["nothing"])
def test_damaged_real_files(name: str) -> None:
    """Large files get fewer goes: damage to a file is found by its size."""
    path = SHARED / name
    if not path.exists():
        pytest.skip("the real files are not beside this checkout")
    data, random = path.read_bytes(), Random(name)
    for _ in range(max(4, min(120, 2**21 // (1 + len(data))))):
        accepted([SourceFile(Path(name).name, mutated(data, random))])


@pytest.mark.shared
@pytest.mark.parametrize("names", PAIRS, ids=lambda names: names[0].split("/")[0])
def test_damaged_real_files_that_belong_together(names: tuple[str, ...]) -> None:
    paths = [SHARED / "profiles" / name for name in names]
    if not all(path.exists() for path in paths):
        pytest.skip("the real files are not beside this checkout")
    files, random = [SourceFile(path.name, path.read_bytes()) for path in paths], Random(names[0])
    assert accepted(files, Given(batch=1, device="board", precision="float32", clock_hz=1e9))
    for _ in range(200):
        accepted(damaged(files, random))
