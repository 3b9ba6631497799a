"""WordPiece against worked examples, and against `tokenizers` itself where that is installed."""

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.errors import DatasetError
from app.search.tokenizing import framed
from app.search.tokenizing.wordpiece import SPECIAL, WordPiece, from_json, from_vocabulary

LETTERS = [*"abcdefghijklmnopqrstuvwxyzé0123456789", *".,;:!?'$+<=>^`|~-_()ßσς中国İ"]
PIECES = [
    "un",
    "##aff",
    "##able",
    "##ing",
    "run",
    "##n",
    "the",
    "film",
    "##s",
    "caf",
    "##é",
    "cafe",
    "Run",
    "ab",
    "##b",
]
VOCABULARY = [*SPECIAL, *PIECES, *LETTERS, *(f"##{letter}" for letter in LETTERS)]


def document(**normalizer: Any) -> dict[str, Any]:
    """A `tokenizer.json` as transformers saves one, without the parts that are not read."""
    rules = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    words = {word: number for number, word in enumerate(VOCABULARY)}
    return {
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": words,
        },
        "normalizer": {"type": "BertNormalizer", **rules, **normalizer},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
    }  # fmt: skip


def pieces(tokenizer: WordPiece, text: str) -> list[str]:
    return [VOCABULARY[number] for number in tokenizer.encode(text)]


def test_words_are_cut_longest_first() -> None:
    bert = from_vocabulary("\n".join(VOCABULARY) + "\n")
    assert bert.size == len(VOCABULARY)
    assert pieces(bert, "The unaffable runs.") == ["the", "un", "##aff", "##able", "run", "##s", "."]
    assert pieces(bert, "Café, don't") == ["cafe", ",", "d", "##o", "##n", "'", "t"]
    assert pieces(bert, "ab中国\u200bun\x00s\t\ufffdx") == ["ab", "中", "国", "un", "##s", "x"]
    assert pieces(bert, "run" + "n" * 120) == ["[UNK]"]
    assert pieces(bert, "run § [MASK] [mask]")[:3] == ["run", "[UNK]", "[MASK]"]
    cased = from_vocabulary("\n".join(VOCABULARY), lowercase=False)
    assert pieces(cased, "Run Café") == ["Run", "[UNK]"]
    assert bert.stated() == {"kind": "wordpiece", "lowercase": True, "strip_accents": True}


def test_a_text_is_framed_cut_and_padded() -> None:
    bert = from_vocabulary("\n".join(VOCABULARY))
    row, whole = framed(bert, "the film", 6)
    assert ([VOCABULARY[n] for n in row], whole) == (["[CLS]", "the", "film", "[SEP]", "[PAD]", "[PAD]"], 4)
    row, whole = framed(bert, "the film the film", 5)
    assert ([VOCABULARY[n] for n in row], whole) == (["[CLS]", "the", "film", "the", "[SEP]"], 6)


def test_both_files_say_the_same() -> None:
    one, other = from_vocabulary("\n".join(VOCABULARY)), from_json(json.dumps(document()))
    for text in ("The café runs, unaffable!", "中国 x"):
        assert one.encode(text) == other.encode(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"tokenizer.json cannot be read \(JSONDecodeError\)"),
        ("[" * 9000, "cannot be read"),
        ("[]", "cannot be read"),
        (json.dumps({}), "cannot be read"),
        (json.dumps(document() | {"model": {"type": "BPE"}}), "the tokenizer's model is 'BPE'; only WordPiece is read"),
        (json.dumps(document() | {"normalizer": None}), "normalizer is 'None'; only BertNormalizer"),
        (json.dumps(document() | {"model": document()["model"] | {"vocab": {"a": 0}}}), r"vocabulary has no \[PAD\]"),
        (json.dumps(document() | {"model": document()["model"] | {"vocab": {"a": "0"}}}), "words without a number"),
    ],
)
def test_other_tokenizers_are_refused_with_their_part(text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        from_json(text)


def _settled(letter: str) -> bool:
    """Whether its category is the same in an old Unicode: both sides have tables of different years."""
    return unicodedata.ucd_3_2_0.category(letter) == unicodedata.category(letter)


@pytest.fixture(scope="module")
def oracle() -> Any:
    return pytest.importorskip("tokenizers", reason="the independent WordPiece is not installed")


@pytest.mark.parametrize(
    "rules", [{}, {"lowercase": False}, {"strip_accents": True, "lowercase": False}, {"handle_chinese_chars": False}]
)
@settings(max_examples=150, deadline=None)
@given(
    text=st.text(
        st.one_of(
            st.sampled_from("".join(LETTERS) + "  \t\n ABCÉǺ"),
            st.characters(max_codepoint=0x2FFFF, codec="utf-8").filter(_settled),
        ),
        max_size=30,
    )
)
def test_it_says_what_tokenizers_says(oracle: Any, rules: dict[str, Any], text: str) -> None:
    whole = document(**rules)
    theirs = oracle.Tokenizer.from_str(json.dumps({**whole, "version": "1.0", "added_tokens": []}))
    assert from_json(json.dumps(whole)).encode(text) == theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("longest", ["1e999", "1000000000", "0"])
def test_a_tokenizer_that_would_look_forever_is_refused(longest: str) -> None:
    words = '{"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}'
    model = f'{{"type": "WordPiece", "vocab": {words}, "max_input_chars_per_word": {longest}}}'
    rest = (
        '"normalizer": {"type": "BertNormalizer", "lowercase": true, "handle_chinese_chars": true, "clean_text": true}'
    )
    with pytest.raises(DatasetError, match=r"tokenizer\.json"):
        from_json(f'{{"model": {model}, {rest}, "pre_tokenizer": {{"type": "BertPreTokenizer"}}}}')
