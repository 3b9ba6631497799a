"""`SourceFile`: the bytes somebody uploaded, opened as JSON, YAML, XML, CSV or text without trusting them.

Nothing here unpickles, evaluates, expands entities or follows references. Every form has limits on size, nesting and
number of values, and every refusal is a `ProfileError` that names the file, the limit and the way out. What one reader
found out is kept: many importers look at the same file.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

import yaml

from costmodels.errors import ProfileError
from costmodels.profile_json import strict_json

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 60
MAX_VALUES = 3_000_000
MAX_LINES = 400_000
MAX_YAML_BYTES = 8 * 2**20
MAX_YAML_VALUES = 400_000  # the YAML reader takes seconds for that many
MAX_YAML_WORD = 1000  # an unquoted 1:59:59:... is a number to the base 60, built in quadratic time
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class SourceFile:
    """One uploaded file. Its name is untrusted text and decides nothing."""

    name: str
    data: bytes

    @cached_property
    def sha256(self) -> str:
        """Of the bytes as they came."""
        return sha256(self.data).hexdigest()

    @cached_property
    def text(self) -> str:
        """The file as UTF-8 text.

        Raises:
            ProfileError: too large, a pickle, an archive, or not UTF-8.
        """
        if len(self.data) > MAX_BYTES:
            raise self.refusal(f"has {len(self.data)} bytes; at most {MAX_BYTES} are read")
        if self.data[:2] in _PICKLES:
            raise self.refusal("is a pickle, which can run code and is never opened: export it as JSON or CSV")
        if self.data[:2] in (b"PK", b"\x1f\x8b"):
            raise self.refusal("is an archive: unpack it and give the files inside")
        try:
            return self.data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self.refusal(f"is not UTF-8 text (byte {error.start}): save it as text in UTF-8") from error

    @property
    def json(self) -> Any:
        """The file as JSON; raises ProfileError where it is none, nests too deeply, or holds NaN or repeated keys."""
        document, refusal = self._json
        if refusal is not None:
            raise refusal
        return document

    @property
    def json_or_none(self) -> Any:
        """The file as JSON, None where it is none: for the question whose file this is."""
        return self._json[0]

    @cached_property
    def yaml(self) -> Any:
        """The file as YAML of plain values; tags and aliases are refused, since they can build or blow up things."""
        if len(self.data) > MAX_YAML_BYTES:
            raise self.refusal(f"has {len(self.data)} bytes; YAML is read up to {MAX_YAML_BYTES}")
        try:
            self._check_yaml()
            return yaml.load(self.text, Loader=_PlainLoader)
        except ProfileError:
            raise
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise self.refusal(f"is not plain YAML: {' '.join(str(error).split())[:160]}") from error

    @cached_property
    def xml(self) -> ElementTree.Element:
        """The root of the file as XML; document types, and so entities, are refused."""
        parser, builder = expat.ParserCreate("utf-8"), ElementTree.TreeBuilder()
        depth = elements = 0

        def start(tag: str, attributes: dict[str, str]) -> None:
            nonlocal depth, elements
            depth, elements = depth + 1, elements + 1 + len(attributes)
            if depth > MAX_DEPTH or elements > MAX_VALUES:
                raise self.refusal(f"nests deeper than {MAX_DEPTH} or holds more than {MAX_VALUES} values")
            builder.start(tag, attributes)

        def end(tag: str) -> None:
            nonlocal depth
            depth -= 1
            builder.end(tag)

        def doctype(*_: Any) -> None:
            raise self.refusal("has a document type, whose entities can blow up: take it out")

        parser.StartElementHandler, parser.EndElementHandler = start, end
        parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, doctype
        parser.buffer_text = True
        try:
            parser.Parse(self.text.encode(), True)
            return builder.close()
        except ProfileError:
            raise
        except (expat.ExpatError, AssertionError, ValueError) as error:
            raise self.refusal(f"is not well-formed XML: {error}") from error

    def rows(self, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
        """Line number and stripped cells of every line that is not blank."""
        if self.text.count(delimiter) > MAX_VALUES:
            raise self.refusal(f"has more than {MAX_VALUES} cells")
        reader = csv.reader(io.StringIO(self.text, newline=""), delimiter=delimiter)
        try:
            for cells in reader:
                if reader.line_num > MAX_LINES:
                    raise self.refusal(f"has more than {MAX_LINES} lines")
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, [cell.strip() for cell in cells]
        except csv.Error as error:
            raise self.refusal(f"line {reader.line_num} is no CSV line: {error}") from error

    def refusal(self, what: str) -> ProfileError:
        """The error that says what is wrong with this file."""
        return ProfileError(f"file {self.name[:80]!r} {what}", (f"{self.name[:80]}: {what}",))

    @cached_property
    def _json(self) -> tuple[Any, ProfileError | None]:
        try:
            # every value but the first follows a comma or a bracket: counted before anything is built
            if sum(self.text.count(mark) for mark in ",[{") > MAX_VALUES:
                raise self.refusal(f"holds more than {MAX_VALUES} values: profile fewer runs")
            document = strict_json(self.text)
            self._check_depth(document)
        except ProfileError as refusal:
            return None, refusal
        except (ValueError, RecursionError) as error:
            return None, self.refusal(f"is not valid JSON: {str(error)[:120]}")
        return document, None

    def _check_depth(self, document: Any) -> None:
        level = [document]
        for _ in range(MAX_DEPTH + 1):
            nested = (one for one in level if isinstance(one, dict | list))
            level = [below for one in nested for below in (one.values() if isinstance(one, dict) else one)]
            if not level:
                return
        raise self.refusal(f"nests deeper than {MAX_DEPTH}")

    def _check_yaml(self) -> None:
        """Walk the file without building anything: the loader's own recursion is not limited."""
        depth = 0
        for number, event in enumerate(yaml.parse(self.text, Loader=_YamlLoader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise self.refusal("is not plain YAML: aliases are not read, write the value out")
            if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and len(event.value) > MAX_YAML_WORD:
                raise self.refusal(f"holds an unquoted word of more than {MAX_YAML_WORD} characters: quote it")
            if depth > MAX_DEPTH or number > MAX_YAML_VALUES:
                raise self.refusal(f"nests deeper than {MAX_DEPTH} or holds more than {MAX_YAML_VALUES} values")


class _PlainLoader(_YamlLoader):  # type: ignore[misc]
    """Plain values only, and no key twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            raise yaml.YAMLError("a key stands twice in one mapping")
        return mapping
