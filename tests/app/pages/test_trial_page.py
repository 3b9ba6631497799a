"""The page of a trial as a place to act: it measures, ships and takes back as REST does, and says what was measured."""

import pytest

from app.store import trial_requests
from tests.app.pages.made import Pages, Table


def send(pages: Pages, path: str, status: int = 303, **fields: object) -> str:
    answer = pages.world.http.post(path, data=fields, follow_redirects=False)
    assert answer.status_code == status, answer.text
    return answer.text


def test_what_was_measured_stands_beside_its_prediction_with_its_origin(pages: Pages) -> None:
    search = pages.explored()
    trial = pages.json(f"/searches/{search}/trials/3")
    page = pages.html(f"/searches/{search}/trials/3")
    _, timed = Table(page, "timed")
    assert timed[0] == "ONNX Runtime onnxruntime 1.20, 1 thread, on board the clock was not steady"
    assert timed[1:6] == ["1", "1.75 ± 0.05 median of 40", "5.25 ± 0.1", "33.3%", "571"]
    (cost,) = [cost for cost in trial["costs"] if cost["profile"] == pages.world.profile]
    assert float(timed[6].split()[0]) == pytest.approx(cost["latency_ms"], rel=1e-3)
    _, posted = Table(page, "posted")
    assert posted[:3] == ["accuracy, test", "88.5 ± 0.4%", "5,000"]
    assert posted[3].endswith("by the lab 2026-08-01 09:00 UTC")
    assert "<script>alert" not in page and "in release 7" in page
    assert list(Table(page, "quality"))[1][1:] == ["90.0 ± 1.0%", "89.0 ± 1.0%"], "a posted number moves nothing"


def test_throughput_is_that_of_the_profiles_batch(pages: Pages) -> None:
    search = pages.finished()
    _, *rows = Table(pages.html(f"/searches/{search}/trials/3"), "devices")
    for row, device, batch in zip(rows, pages.json(f"/searches/{search}/trials/3")["devices"], (1, 64), strict=True):
        assert device["throughput_per_s"] == pytest.approx(1000 * batch / device["after_ms"])
        assert float(row[4].replace(",", "")) == pytest.approx(device["throughput_per_s"], rel=0.01)


def test_energy_and_weights_are_predicted_where_the_device_can_say(pages: Pages) -> None:
    search = pages.finished()
    trial = pages.json(f"/searches/{search}/trials/3")
    _, *rows = Table(pages.html(f"/searches/{search}/trials/3"), "resources")
    for row, device in zip(rows, trial["devices"], strict=True):
        cells = (device["before_mj"], device["after_mj"], device["before_weight_bytes"], device["after_weight_bytes"])
        said = [row[index].replace(",", "") for index in (1, 2, 4, 5)]
        for cell, text in zip(cells, said, strict=True):
            assert text == "–" if cell is None else float(text) == pytest.approx(cell, rel=1e-3)
    assert {row[1] for row in rows} == {"–"} and any(row[5] != "–" for row in rows)


def test_a_measurement_is_asked_for_and_its_failure_is_said(pages: Pages) -> None:
    search = pages.finished()
    path = f"/searches/{search}/trials/3"
    send(pages, f"{path}/verify", backends=["onnxruntime", "eager"], threads="2", budget_s="1.5")
    (asked,) = pages.json(f"{path}/requests")["items"]
    assert asked["body"] == {
        "backends": ["onnxruntime", "eager"], "threads": 2, "budget_s": 1.5, "device": "cpu", "precision": "float32",
        "batch": 64,
    }  # fmt: skip
    assert "onnxruntime, eager, asked for" in pages.html(path)
    with pages.world.service.database.begin() as session:
        rows = [{"backend": "eager", "failure": "no such operator"}]
        trial_requests.set_ready(session, asked["id"], result={"rows": rows}, files={})
    assert "PyTorch, eager: no such operator" in pages.html(path)


@pytest.mark.parametrize(("fields", "said"), [
    ({}, "backends"), ({"backends": "eager", "threads": "0"}, "threads"),
    ({"backends": "eager", "threads": "x"}, "threads"), ({"backends": "abacus"}, "backends"),
    ({"backends": "eager", "budget_s": "1e9"}, "budget s"),
])  # fmt: skip
def test_a_wrong_wish_comes_back_with_the_reason(pages: Pages, fields: dict[str, str], said: str) -> None:
    search = pages.finished()
    page = send(pages, f"/searches/{search}/trials/3/verify", 422, **fields)
    assert f'role="alert">{said}: ' in page
    assert pages.json(f"/searches/{search}/trials/3/requests")["items"] == []


def test_what_did_not_complete_is_neither_measured_nor_shipped(pages: Pages) -> None:
    search = pages.finished()
    assert "is failed" in send(pages, f"/searches/{search}/trials/5/verify", 422, backends="eager")
    assert "only a complete trial is shipped" in send(pages, f"/searches/{search}/trials/5/ship", 422, note="x")
    page = pages.html(f"/searches/{search}/trials/5")
    assert "/verify" not in page and "/ship" not in page


def test_shipped_and_taken_back(pages: Pages) -> None:
    search = pages.finished()
    path = f"/searches/{search}/trials/2"
    send(pages, f"{path}/ship", note="<b>release 8</b>")
    assert pages.json(path)["shipped"]["note"] == "<b>release 8</b>"
    assert "&lt;b&gt;release 8&lt;/b&gt;" in pages.html(path)
    assert '<text class="shipped"' in pages.html(f"/searches/{search}")
    send(pages, f"{path}/unship")
    assert pages.json(path)["shipped"] is None


def test_every_fidelity_is_a_row(pages: Pages) -> None:
    search = pages.running()
    made = pages.some_trials()
    measured = made[2].measurements
    low = [m.__class__(**{**vars(m), "fidelity": 20, "value": 0.5}) for m in measured]
    loss = measured[0].__class__(**{**vars(measured[0]), "metric": "loss", "value": 0.25})
    pages.record(search, [*made[:2], made[2].evolve(measurements=(*low, *measured, loss))])
    rows = list(Table(pages.html(f"/searches/{search}/trials/2"), "fidelities"))[1:]
    assert rows == [["20", "–", "50.0 ± 1.0%"], ["200", "0.25 ± 0.01", "96.0 ± 1.0%"]]
