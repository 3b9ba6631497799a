"""Tables that count cycles: the lines of a stranger's CSV as numbers, and cycles as milliseconds.

What is wrong with a line is noted and the reading goes on, so that all of it can be told at once (`cells.refuse`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from costmodels.importers.base import Given, printable
from costmodels.importers.cells import HEAD, number, quoted
from costmodels.importers.files import SourceFile
from costmodels.profile_checks import MAX_CLOCK_HZ

MAX_LAYERS = 20_000  # in one file; more is no network but an attempt at the reader


@dataclass(frozen=True)
class Line:
    """One line of a table: its number in the file and its cells by column; `problems` are those of the whole table."""

    at: int
    cells: Mapping[str, str]
    problems: list[str]

    def text(self, column: str) -> str:
        """A name."""
        found = printable(self.cells[column])
        return found or str(self._refuse(column, "a name"))

    def number(self, column: str) -> float:
        """A finite number from 0."""
        value = number(self.cells[column])
        return value if value is not None and value >= 0.0 else self._refuse(column, "a number from 0")

    def count(self, column: str, least: int = 0, most: int = 2**60) -> int:
        """A whole number from `least` to `most`."""
        value = number(self.cells[column])
        if value is not None and least <= value <= most and value == int(value):
            return int(value)
        return self._refuse(column, f"a whole number from {least} to {most}")

    def _refuse(self, column: str, what: str) -> int:
        self.problems.append(f"line {self.at}: {column!r} is {quoted(self.cells[column])}, not {what}: export it again")
        return 1  # stands in until all problems are known


def lines(file: SourceFile, required: tuple[str, ...], problems: list[str]) -> Iterator[Line]:
    """The lines under the header; columns in lower case, the first where one stands twice; lines cut short are noted.

    Raises:
        ProfileError: there is no header, it lacks a column, or there are too many lines.
    """
    rows = file.rows()
    names = [_column(cell) for cell in next(rows, (0, [""]))[1]]
    if missing := [column for column in required if column not in names]:
        raise file.refusal(f"has no column {', '.join(map(repr, missing))} in its first line: export it again")
    first = {name: index for index, name in reversed([*enumerate(names)]) if name}
    needed = max(first.values()) + 1
    for count, (at, cells) in enumerate(rows, start=1):
        if count > MAX_LAYERS:
            raise file.refusal(f"has more than {MAX_LAYERS} lines under its header: keep those of one network")
        if len(cells) < needed:
            problems.append(f"line {at} has {len(cells)} of {needed} cells: the file is cut off, export it again")
        else:
            yield Line(at, {name: cells[index] for name, index in first.items()}, problems)


def columns(file: SourceFile) -> frozenset[str]:
    """The columns that the first line of a CSV names; whatever else the file is, this does not raise."""
    start = file.text[:HEAD].lstrip().partition("\n")[0]
    return frozenset(map(_column, start.split(",")))


def clock_hz(file: SourceFile, given: Given, stated: float | None = None) -> float:
    """Cycles a second: what the person states, else what the file says.

    Raises:
        ProfileError: neither does, or the number is none of a clock.
    """
    found = given.clock_hz if given.clock_hz is not None else stated
    if found is None:
        raise file.refusal("counts cycles and does not say how many make a second: state the clock in hertz (clock_hz)")
    if number(found) is None or not 0.0 < found <= MAX_CLOCK_HZ:
        raise file.refusal(f"would need a clock in hertz above 0 and up to {MAX_CLOCK_HZ:g}, not {quoted(found)}")
    return found


def of_one(macs: float, batch: int | None) -> int | None:
    """Multiply-adds of one sample; None where there are none, the batch is unknown, or it does not divide them."""
    if macs < 1 or not isinstance(batch, int) or batch < 1 or macs % batch:
        return None
    return int(macs) // batch


def _column(cell: str) -> str:
    return " ".join(cell.split()).lower()
