"""Texts and tables: columns found or named, splits honoured, words from training texts alone, bad rows named."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.search.errors import DatasetError
from app.search.samples.batches import Feed
from app.search.samples.dataset import SPLITS, Dataset, Prepared
from app.search.sources import prepare
from app.search.spec import Task
from app.search.tokenizing.words import SPECIAL, Words, cut
from tests.app.search.datasets import quiet, zipped

GOOD, BAD = ("a fine film", "what a joy"), ("dull , slow", "a bore .")
ROWS = [(str(n % 2), (BAD, GOOD)[n % 2][n // 2 % 2] + f" {n}") for n in range(40)]


def tsv(rows: list[tuple[str, str]], header: str = "") -> bytes:
    return (header + "".join(f"{a}\t{b}\n" for a, b in rows)).encode()


def read(folder: Path, content: bytes | dict[str, bytes], kind: str = "text", **options: Any) -> Prepared:
    path = folder / "upload"
    if isinstance(content, dict):
        zipped(path, content)
    else:
        path.write_bytes(content)
    return prepare(kind, path, {"length": 8, **options} if kind == "text" else options, quiet)


def words_of(prepared: Prepared, sample: int) -> list[str]:
    vocabulary = prepared.stated["tokenizer"]["vocabulary"]
    return [vocabulary[number] for number in prepared.inputs[sample]]


def test_texts_become_words_between_two_signs(tmp_path: Path) -> None:
    found = read(tmp_path, tsv(ROWS))
    assert found.classes == ("0", "1")
    assert found.labels.tolist() == [n % 2 for n in range(40)]
    sample = int(found.splits["train"][0])
    shown = words_of(found, sample)
    expected = ["[CLS]", *ROWS[sample][1].split(), "[SEP]"]
    assert shown == (expected + ["[PAD]"] * 8)[:8]
    mask = found.more_inputs["attention_mask"]
    assert mask[sample].tolist() == [1] * len(expected) + [0] * (8 - len(expected))
    meta = found.meta()
    assert [entry["name"] for entry in meta["inputs"]] == ["input_ids", "attention_mask"]
    assert meta["columns"] == {"text": 1, "label": 0}
    assert meta["vocabulary"] == meta["tokenizer"]["vocabulary"].index(shown[0]) - 2 + len(
        meta["tokenizer"]["vocabulary"]
    )
    assert meta["class_counts"]["train"] == np.bincount(found.labels[found.splits["train"]]).tolist()


def test_the_vocabulary_is_that_of_the_training_texts(tmp_path: Path) -> None:
    found = read(tmp_path, tsv(ROWS))
    train = {word for number in found.splits["train"] for word in cut(ROWS[number][1])}
    assert set(found.stated["tokenizer"]["vocabulary"]) - set(SPECIAL) == train
    unseen = int(found.splits["test"][0])
    assert words_of(found, unseen)[-2 - words_of(found, unseen).count("[PAD]")] == "[UNK]"  # its own number


def test_given_splits_are_kept_and_only_calibration_is_taken_from_train(tmp_path: Path) -> None:
    files = {"train.tsv": tsv(ROWS), "dev.tsv": tsv(ROWS[:10]), "test.tsv": tsv(ROWS[:6])}
    found = read(tmp_path, files)
    parts = {name: found.splits[name].tolist() for name in SPLITS}
    assert sorted(parts["train"] + parts["calibration"]) == list(range(40))
    assert (parts["validation"], parts["test"]) == (list(range(40, 50)), list(range(50, 56)))
    assert found.meta()["given_splits"] == ["test", "train", "validation"]
    halved = read(tmp_path, {"train.tsv": tsv(ROWS), "dev.tsv": tsv(ROWS[:10])})
    assert [len(halved.splits[name]) for name in SPLITS] == [36, 4, 5, 5]


def test_columns_are_found_by_header_or_named(tmp_path: Path) -> None:
    lines = "id,Sentence,label,note\n" + "".join(
        f'{n},"{text}, {n}",{label},x\n' for n, (label, text) in enumerate(ROWS)
    )
    usual = read(tmp_path, lines.encode())
    assert usual.meta()["columns"] == {"text": "Sentence", "label": "label"}
    named = read(tmp_path, lines.encode(), text="note", label=2)
    assert named.meta()["columns"] == {"text": "note", "label": "label"}
    with pytest.raises(
        DatasetError, match=r"the file has no column 'txt'; it has \['id', 'Sentence', 'label', 'note'\]"
    ):
        read(tmp_path, lines.encode(), text="txt")
    with pytest.raises(DatasetError, match="no column 7: it has 4"):
        read(tmp_path, lines.encode(), text=7)
    with pytest.raises(DatasetError, match=r'3 columns without names: say which .*"text"'):
        read(tmp_path, b"1\ta\tb\n2\tc\td\n")


def test_texts_may_have_numbers_to_predict(tmp_path: Path) -> None:
    found = read(tmp_path, tsv([(str(n / 4), text) for n, (_, text) in enumerate(ROWS)]), task="regression")
    assert found.meta()["targets"] == "numbers" and found.labels.dtype == np.float32
    assert found.labels[3] == 0.75
    train = found.labels[found.splits["train"]]
    assert found.meta()["target_variance"] == pytest.approx([train.var()], rel=1e-4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tsv([*ROWS[:7], ("1", "  ")]), "the file line 8 has an empty text: leave the row out"),
        (tsv([*ROWS[:7], ("", "text")]), "the file row 8 has no label"),
        (tsv(ROWS)[:-1] + b"\tmore\n", "line 40 has 3 cells, the first has 2"),
        (tsv(ROWS) + b"1\t\xff\xfe\n", "is no UTF-8 text .*: save it as UTF-8"),
        (tsv([("1", text) for _, text in ROWS]), "all samples are of one class, '1'"),
        (b"", "holds no rows"),
        (b"label\ttext\n", "there are no rows|split would be empty"),
        (
            tsv([(f"label {n}", "a longer text of words") for n in range(1500)]),
            "1500 different labels in 1500 rows, which are hardly classes",
        ),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(tmp_path, content)


def test_a_class_that_train_lacks_is_refused_and_one_that_is_not_judged_must_be_allowed(tmp_path: Path) -> None:
    more = tsv([*ROWS, ("2", "odd one")])
    with pytest.raises(DatasetError, match="train has no sample of '2', which validation or test have"):
        read(tmp_path, {"train.tsv": tsv(ROWS), "test.tsv": more})
    files = {"train.tsv": tsv([*ROWS, *[("2", f"odd {n}") for n in range(9)]]), "test.tsv": tsv(ROWS[:10])}
    with pytest.raises(DatasetError, match=r'no sample of \'2\', which train has: .*"missing_classes": "allow"'):
        read(tmp_path, files)
    allowed = read(tmp_path, files, missing_classes="allow")
    assert "validation has no sample of '2'" in allowed.notes


def test_two_files_for_one_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"val.tsv, valid.tsv: give one file, or one each|valid.tsv, val.tsv"):
        read(tmp_path, {"train.tsv": tsv(ROWS), "val.tsv": tsv(ROWS), "valid.tsv": tsv(ROWS)})
    with pytest.raises(DatasetError, match=r"\['train'\] alone"):
        read(tmp_path, {"train.tsv": tsv(ROWS)})
    with pytest.raises(DatasetError, match="holds no file that ends in"):
        read(tmp_path, {"a.bin": b""})
    with pytest.raises(DatasetError, match="a path that is not allowed"):
        read(tmp_path, {"../train.tsv": tsv(ROWS)})


def test_running_text_becomes_windows_with_what_comes_next(tmp_path: Path) -> None:
    lines = [f"word{n} word{n + 1} x" for n in range(60)]
    found = read(tmp_path, "\n".join(lines).encode(), task="language_modelling")
    assert found.targets == "tokens" and found.meta()["target_shape"] == [8]
    inputs, labels = np.asarray(found.inputs), np.asarray(found.labels)
    kept = labels != -100
    assert np.array_equal(labels[:, :-1][kept[:, 1:]], inputs[:, 1:][kept[:, 1:]])
    assert np.array_equal(np.asarray(found.more_inputs["attention_mask"]) == 1, kept)
    vocabulary = found.stated["tokenizer"]["vocabulary"]
    said = [vocabulary[n] for n in inputs[found.splits["train"]].reshape(-1) if n]
    running = [word for line in lines[:30] for word in (*line.split(), "[SEP]")]
    assert said == running[: len(said)] and len(running) - len(said) < 2
    whole = read(
        tmp_path, {f"{n}.txt": "\n".join(lines).encode() for n in ("train", "valid", "test")}, task="language_modelling"
    )
    assert len(whole.splits["validation"]) == len(whole.splits["test"])


def test_a_prepared_text_feeds_one_or_two_inputs(tmp_path: Path) -> None:
    from app.search.judging.fit import Taken

    read(tmp_path, tsv(ROWS)).write(tmp_path / "arrays.zip")
    data = Dataset(tmp_path / "arrays.zip")
    (ids, mask), labels = Feed(data, "train", Task()).read(np.array([0, 1]))
    assert (str(ids.dtype), ids.shape, labels.tolist()) == ("torch.int64", (2, 8), [0, 1])
    takes = (Taken(name="x", shape=(8,), dtype="int64"), Taken(name="m", shape=(8,), dtype="float32"))
    (_, second), _ = Feed(data, "train", Task(), takes=takes).read(np.array([0, 1]))
    assert str(second.dtype) == "torch.float32" and second.tolist() == mask.tolist()
    alone, _ = Feed(data, "train", Task(), takes=takes[:1]).read(np.array([0, 1]))
    assert alone.tolist() == ids.tolist()
    turned = (
        Taken(name="attention_mask", shape=(8,), dtype="int64"),
        Taken(name="input_ids", shape=(8,), dtype="int64"),
    )
    (first, _), _ = Feed(data, "train", Task(), takes=turned).read(np.array([0, 1]))
    assert first.tolist() == mask.tolist()


@given(st.lists(st.text("ab c.", max_size=12), min_size=1, max_size=8), st.integers(5, 9))
def test_words_keep_the_most_frequent(texts: list[str], most: int) -> None:
    found = Words.of(texts, most=most)
    counts = Counter(word for text in texts for word in cut(text))
    kept, left = set(found.vocabulary) - set(SPECIAL), set(counts) - set(found.vocabulary)
    assert found.size == len(SPECIAL) + min(most - len(SPECIAL), len(counts))
    assert not kept or not left or min(counts[w] for w in kept) >= max(counts[w] for w in left)
    for text in texts:
        assert [n == 1 for n in found.encode(text)] == [word not in kept for word in cut(text)]


NUMBERS = "a,b,kind\n" + "".join(f"{n},{n * n / 2},{'xyz'[n % 3]}\n" for n in range(45))


def test_tables_of_numbers(tmp_path: Path) -> None:
    found = read(tmp_path, NUMBERS.encode(), "table", label="kind")
    assert np.asarray(found.inputs[5]).tolist() == [5.0, 12.5] and found.classes == ("x", "y", "z")
    assert found.meta()["columns"] == {"numbers": ["a", "b"], "label": ["kind"]}
    several = read(tmp_path, NUMBERS.encode(), "table", label=["a", "b"], numbers=["b"], task="regression")
    assert several.labels.shape == (45, 2) and several.meta()["target_shape"] == [2]
    with pytest.raises(DatasetError, match="the file row 2 has the value 'x', which is no finite number"):
        read(tmp_path, NUMBERS.encode(), "table", label="a", task="regression")
    with pytest.raises(DatasetError, match="the file row 6 has the target 'nan'"):
        read(
            tmp_path, NUMBERS.replace("4,8.0", "nan,8.0").encode(), "table", label="a", numbers=["b"], task="regression"
        )
    with pytest.raises(DatasetError, match="target 0 is the same number in all of"):
        read(tmp_path, b"".join(b"%d,1\n" % n for n in range(40)), "table", task="regression")
    with pytest.raises(DatasetError, match=r'give the option ."task": "regression"'):
        read(tmp_path, NUMBERS.encode(), "table", label=["a", "b"])


def test_options_of_other_sources_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"unknown option 'length'; known are \['calibration', 'channels'"):
        prepare("images", None, {"length": 8}, quiet)


@pytest.mark.parametrize("start", ["\n\nsentence\tlabel\n", "\nlabel\tsentence\n"])
def test_a_header_behind_empty_lines_is_no_sample(tmp_path: Path, start: str) -> None:
    rows = ROWS if start.startswith("\nl") else [(text, label) for label, text in ROWS]
    found = read(tmp_path, tsv(rows, start))
    assert found.classes == ("0", "1") and len(found.labels) == 40


def test_a_header_of_several_lines_is_no_sample(tmp_path: Path) -> None:
    rows = "".join(f"{label},{text.replace(',', '')},x\n" for label, text in ROWS)
    found = read(tmp_path, f'label,text,"of\nmany lines"\n{rows}'.encode())
    assert found.classes == ("0", "1") and len(found.labels) == 40


def test_endless_words_are_no_part_of_the_vocabulary(tmp_path: Path) -> None:
    found = read(tmp_path, tsv([(label, f"{text} {'z' * 5000}") for label, text in ROWS]))
    assert max(map(len, found.stated["tokenizer"]["vocabulary"])) <= 100


def test_windows_of_one_long_line_follow_each_other(tmp_path: Path) -> None:
    long = " ".join(str(n) for n in range(1000))
    short = "1 2 3\n" * 20
    found = read(
        tmp_path, {"train.txt": f"{long}\n{short}".encode(), "test.txt": short.encode()}, task="language_modelling"
    )
    train = found.splits["train"]
    flat, after = (np.concatenate([rows[n] for n in train[:125]]) for rows in (found.inputs, found.labels))
    assert np.array_equal(flat[1:], after[:-1])
    assert [words_of(found, int(n))[0] for n in train[:3]] == ["0", "8", "16"]
