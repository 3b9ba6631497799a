"""Lines of foreign tables, clocks, and multiply-adds of one sample."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodels.errors import ProfileError
from costmodels.importers import Given
from costmodels.importers.tables import MAX_LAYERS, clock_hz, columns, lines, of_one
from tests.costmodels.importers.excerpts import source


def test_the_first_of_two_columns_counts_and_case_and_blanks_do_not() -> None:
    file = source(" Name ,Run  Time, name,\na,1,b,\n\nc,2,d,\n")
    problems: list[str] = []
    assert columns(file) == {"name", "run time", ""}
    found = list(lines(file, ("name", "run time"), problems))
    assert [(line.at, line.text("name"), line.count("run time")) for line in found] == [(2, "a", 1), (4, "c", 2)]
    assert not problems


def test_every_wrong_cell_is_noted_with_its_line() -> None:
    problems: list[str] = []
    for line in lines(source("name,cycles\na,-1\nb,1_0\nc\n"), ("name", "cycles"), problems):
        assert line.number("cycles") == 1  # stands in
    assert [problem[:6] for problem in problems] == ["line 2", "line 3", "line 4"]
    assert "line 4 has 1 of 2 cells: the file is cut off" in problems[2]


def test_missing_columns_and_endless_tables_are_refused() -> None:
    with pytest.raises(ProfileError, match="has no column 'cycles', 'macs'"):
        list(lines(source("name\na\n"), ("name", "cycles", "macs"), []))
    with pytest.raises(ProfileError, match=f"more than {MAX_LAYERS} lines"):
        list(lines(source("name\n" + "a\n" * (MAX_LAYERS + 1)), ("name",), []))
    with pytest.raises(ProfileError, match="has no column 'name'"):
        list(lines(source(""), ("name",), []))


def test_what_the_person_states_wins_over_the_file() -> None:
    file = source("")
    assert clock_hz(file, Given(clock_hz=2e9), 1e9) == 2e9
    assert clock_hz(file, Given(), 1e9) == 1e9
    with pytest.raises(ProfileError, match="state the clock in hertz"):
        clock_hz(file, Given())


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 2**40), st.integers(1, 4096))
def test_one_sample_is_a_whole_share_or_unknown(macs: int, batch: int) -> None:
    assert of_one(macs * batch, batch) == macs
    assert of_one(macs, None) is None and of_one(macs, 0) is None and of_one(0, batch) is None
    assert batch == 1 or of_one(macs * batch + 1, batch) is None
