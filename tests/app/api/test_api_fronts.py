"""Fronts as JSON and as a spreadsheet."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.csvtext import csv_text, safe_cell
from app.store import searches
from tests.app.api.world import API, World


def test_the_front_has_the_undominated_and_the_list_has_all(world: World) -> None:
    search = world.finished_search()
    front = world.http.get(f"{API}/searches/{search}/front").json()
    assert (front["profile"], front["profile_name"], front["source"]) == (world.profile, "bench", "measured")
    numbers = [point["number"] for point in front["points"]]
    assert 4 not in numbers and {2, 3} <= set(numbers)
    latencies = [point["latency_ms"] for point in front["points"]]
    accuracies = [point["accuracy"] for point in front["points"]]
    assert latencies == sorted(latencies) and accuracies == sorted(accuracies)
    assert [point["number"] for point in front["trials"]] == [0, 1, 2, 3, 4]
    assert front["dense"]["latency_share"] == 1.0
    assert front["dense_recovered"]["accuracy"] == 0.98
    assert front["points"][0]["test_accuracy"] == pytest.approx(front["points"][0]["accuracy"] - 0.01)
    assert front["points"][0]["page"] == f"/searches/{search}/trials/{numbers[0]}"


def test_limits_are_drawn_where_they_are(world: World) -> None:
    limits = ({"profile": world.profile, "share": 0.5},)
    from app.search.spec import Limit

    search = world.finished_search(limits=tuple(Limit(**limit) for limit in limits))
    front = world.http.get(f"{API}/searches/{search}/front").json()
    assert front["limits"] == [{"latency_ms": pytest.approx(2.75), "share": 0.5}]


def test_a_front_before_the_first_trial_is_empty(world: World) -> None:
    front = world.http.get(f"{API}/searches/{world.search()}/front").json()
    assert (front["points"], front["trials"], front["dense"]) == ([], [], None)


def test_the_bound_of_the_profile_stands_beside_it(world: World) -> None:
    search = world.finished_search()
    with world.service.database.begin() as session:
        searches.set_bound(session, search, {world.profile: [{"latency_ms": 1.0, "error": 0.1}]})
    assert world.http.get(f"{API}/searches/{search}/front").json()["bound"] == [{"latency_ms": 1.0, "error": 0.1}]


def test_a_profile_that_is_not_the_searchs(world: World) -> None:
    answer = world.http.get(f"{API}/searches/{world.finished_search()}/front?profile=other")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_front")


def test_the_spreadsheet_has_every_trial(world: World) -> None:
    search = world.finished_search()
    answer = world.http.get(f"{API}/searches/{search}/front.csv?profile={world.profile}")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="front-bench.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["number"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert rows[4]["on_front"] == "False"
    assert float(rows[2]["latency_ms"]) == pytest.approx(3.3)
    assert rows[3]["patterns"] == "channel 1; unstructured 1"


@given(st.text(max_size=12))
def test_no_text_cell_is_a_formula(text: str) -> None:
    cell = safe_cell(text)
    assert isinstance(cell, str)
    assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell in (text, "'" + text)


@given(
    st.lists(st.tuples(st.text(st.characters(exclude_characters="\r\n\x00")), st.floats(allow_nan=False)), max_size=4)
)
def test_a_spreadsheet_reads_back(rows: list[tuple[str, float]]) -> None:
    read = list(csv.reader(io.StringIO(csv_text(("name", "value"), rows), newline="")))
    assert read[0] == ["name", "value"]
    assert [(row[0], float(row[1])) for row in read[1:]] == [(str(safe_cell(name)), value) for name, value in rows]
