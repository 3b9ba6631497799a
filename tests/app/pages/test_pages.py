"""The pages as HTML, without a browser: every state, the tables against the JSON, and names that would be markup."""

from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.pages.words import interval, plus_minus
from app.search.spec import Limit
from app.search.trial import Failure
from app.settings import Settings
from app.store import models, searches
from pruning.plan import PruningPlan
from tests.app.pages.made import HOSTILE, Pages, Table, hostile_model, plan


def test_the_root_leads_to_the_searches(fresh: Pages) -> None:
    page = fresh.html("/")
    assert "No search yet" in page
    assert "<table" not in page


def test_the_list_says_what_the_api_says(pages: Pages) -> None:
    pages.finished(name="elder")
    failed = pages.running(name="younger")
    pages.end(failed, "failed", Failure(code="score", reason="scoring found no data"))
    page = pages.html("/searches")
    assert page.index("younger") < page.index("elder")
    assert "scoring found no data" in page
    listed = pages.json("/searches")["items"][1]["progress"]
    assert f"{listed['done']} of {listed['total']}" in page
    assert f"{100 * listed['best_accuracy']:.1f}%" in page


def test_a_long_list_is_paged(fresh: Pages) -> None:
    for number in range(52):
        fresh.search(name=f"search number {number:02d}")
    page = fresh.html("/searches")
    assert "search number 51" in page and "search number 01" not in page
    older = page.split('href="/searches?after=')[1].split('"')[0]
    assert "search number 01" in fresh.html(f"/searches?after={older}")


@pytest.mark.parametrize("device", [0, 1])
def test_the_table_is_the_front_of_the_json(pages: Pages, device: int) -> None:
    search = pages.finished()
    profile = pages.profiles[device]
    front = pages.json(f"/searches/{search}/front?profile={profile}")
    page = pages.html(f"/searches/{search}?profile={profile}")
    rows = list(Table(page, "front-rows"))
    points = front["points"][::-1]
    assert len(points) >= 2
    assert [row[0] for row in rows] == [str(p["number"]) for p in points]
    for row, p in zip(rows, points, strict=True):
        assert float(row[1].split()[0]) == pytest.approx(p["latency_ms"], rel=0.006)
        assert row[1].split()[1] == interval(p["low_ms"], p["high_ms"]) != ""
        assert row[2] == f"{100 * p['latency_share']:.1f}%"
        assert float(row[3].replace(",", "")) == pytest.approx(p["throughput_per_s"], rel=0.01)
        assert row[4] == plus_minus(p["value"], p["standard_error"])
        assert row[5] == plus_minus(p["test_value"], p["test_standard_error"])
    for link in (p["files"]["weights"] for p in points):
        assert f'href="{link}"' in page


def test_every_trial_is_in_the_second_table(pages: Pages) -> None:
    search = pages.running()
    waiting = pages.trial(6, plan(6), 0.1).evolve(state="queued")
    pages.record(search, [*pages.some_trials(), pages.failed_trial(5), waiting])
    rows = list(Table(pages.html(f"/searches/{search}"), "trial-rows"))
    assert [(row[0], row[1].split()[0]) for row in rows] == [
        ("6", "queued"), ("5", "failed"), ("4", "complete"), ("3", "complete"), ("2", "complete"), ("1", "complete"),
        ("0", "complete"),
    ]  # fmt: skip
    assert "the loss became NaN at step 3" in rows[1][1]
    assert rows[-1][5] == "dense as uploaded"


def test_of_many_trials_the_newest_are_shown(pages: Pages) -> None:
    search = pages.running(trials=500)
    pages.record(search, [pages.failed_trial(number) for number in range(2, 300)])
    numbers = [int(row[0]) for row in Table(pages.html(f"/searches/{search}"), "trial-rows")]
    assert numbers == list(range(299, 100, -1))


def test_a_modelled_device_is_marked_and_a_measured_one_is_not_called_measured_latency(pages: Pages) -> None:
    search = pages.finished()
    modelled = pages.html(f"/searches/{search}?profile={pages.modelled}")
    assert "analytical model, not measured" in modelled
    assert '<span class="chip modelled">analytical</span>' in modelled
    measured = pages.html(f"/searches/{search}")
    assert "predicted latency, ms at batch 1 (from a measured profile)" in measured
    assert "the same trial, measured" not in measured
    assert measured.count('class="chip modelled"') == 1


def test_measured_stands_beside_predicted_and_what_did_not_get_far_is_counted(pages: Pages) -> None:
    search = pages.explored()
    front = pages.json(f"/searches/{search}/front")
    (point,) = [p for p in front["points"] if p["number"] == 3]
    assert (point["measured_ms"], point["measured_spread_ms"]) == (1.75, 0.01)
    assert point["throughput_per_s"] == pytest.approx(1000 / point["latency_ms"])
    assert [(p["number"], p["fidelity"]) for p in front["stopped"]] == [(5, 200)]
    assert 5 not in [p["number"] for p in front["trials"]]
    page = pages.html(f"/searches/{search}")
    (row,) = [row for row in Table(page, "front-rows") if row[0] == "★ 3"]
    assert float(row[1].split()[0]) == pytest.approx(point["latency_ms"], rel=0.006)
    assert row[2] == "1.75 ± 0.01"
    assert page.count('class="measured"') == 2 and page.count('<text class="shipped"') == 1  # the other is the legend's
    assert "the same trial, measured" in page and "1 ended at a lower fidelity" in page
    assert "<b>2</b> infeasible" in page and "<b>1</b> stopped early" in page
    assert "2 trials: the loss became NaN at step 3" in page
    other = pages.json(f"/searches/{search}/front?profile={pages.modelled}")
    assert all(p["measured_ms"] is None for p in other["trials"])


def test_the_bound_the_end_and_the_estimate_are_said(pages: Pages) -> None:
    search = pages.explored()
    page = pages.html(f"/searches/{search}")
    assert "all 24 trials have been run" in page
    _, gap = Table(page, "gaps")
    assert gap == ["3", "2.1", "0.3100", "0.2500", "+0.0600"]
    assert "is predicted to beat" in page
    _, time, trials, *_ = Table(page, "estimate")
    assert time[1] == "2 min (60 s – 4 min)" and trials == ["trials", "24", "8"]
    assert 'id="gaps"' not in pages.html(f"/searches/{search}?profile={pages.modelled}")
    assert pages.json(f"/searches/{search}")["ending"]["because"] == "trials"


def test_before_its_end_a_search_says_the_bound_alone(pages: Pages) -> None:
    search = pages.running()
    with pages.world.service.database.begin() as session:
        searches.set_bound(session, search, {pages.world.profile: [{"latency_ms": 2.0, "error": 0.05}]})
        pages.world.tell(session, search, "ended", {"because": "trials", "text": "all 24 trials have been run"})
    page = pages.html(f"/searches/{search}")
    assert "predicted to lose less than 0.05" in page and "all 24 trials" not in page


def test_a_search_without_trials(pages: Pages) -> None:
    page = pages.html(f"/searches/{pages.search()}")
    assert "No trial is complete yet." in page
    assert "Nothing yet: no trial is complete." in page
    assert 'id="cancel"' in page and "<noscript>" in page


def test_a_running_search_shows_phase_progress_and_what_failed(pages: Pages) -> None:
    search = pages.running(trials=10)
    pages.record(search, [*pages.some_trials(), pages.failed_trial(5)])
    page = " ".join(pages.html(f"/searches/{search}").split())
    assert 'phase <b id="phase">trials</b>' in page
    assert 'trials <b id="done">6</b> of 12, <b>1</b> failed' in page
    assert '<progress max="12" value="6"' in page
    assert 'time left <b id="left">' in page


def test_a_search_that_is_being_cancelled_and_one_that_was(pages: Pages) -> None:
    search = pages.running()
    pages.world.http.post(f"/api/v1/searches/{search}/cancel")
    page = pages.html(f"/searches/{search}")
    assert 'id="state">cancelling</span>' in page
    assert 'id="cancel" type="button" disabled' in page
    pages.end(search, "cancelled")
    page = pages.html(f"/searches/{search}")
    assert 'id="state">cancelled</span>' in page
    assert 'id="cancel"' not in page and "<progress" not in page
    assert "No trial was completed." in page


def test_a_failed_search_says_why_to_everybody(pages: Pages) -> None:
    search = pages.running()
    reason = "the data's samples are 3 x 8 x 8, but the model takes 1 x 8 x 8"
    pages.end(search, "failed", Failure(code="dataset_mismatch", reason=reason))
    page = pages.html(f"/searches/{search}").replace("&#39;", "'")
    assert f"<b>dataset mismatch</b><br>{reason}" in page


def test_limits_and_reach_are_said(pages: Pages) -> None:
    search = pages.finished(limits=(Limit(profile=pages.world.profile, share=0.5),))
    with pages.world.service.database.begin() as session:
        reachable = {pages.world.profile: {"lowest_ms": 2.75, "dense_ms": 5.5}}
        dropped = [{"layer": "head", "pattern": "keep2of4", "reason": "no device rewards it"}]
        searches.set_space(session, search, {"units": [{}], "dropped": dropped, "reachable": reachable})
    page = pages.html(f"/searches/{search}")
    assert '<line class="limit"' in page and "limit of this search" in page
    assert "No plan of this search is predicted below 2.75 ms, 50.0% of dense." in page
    assert "1 units searched; 1 options dropped" in page and "no device rewards it" in page


def test_the_page_of_a_trial_is_its_json(pages: Pages) -> None:
    search = pages.finished()
    trial = pages.json(f"/searches/{search}/trials/3")
    page = pages.html(f"/searches/{search}/trials/3")
    _, *layers = Table(page, "layers")
    assert len(layers) == len(trial["layers"]) == 3
    for row, layer in zip(layers, trial["layers"], strict=True):
        assert row[0] == f"{layer['name']} {layer['op']}" and row[1] == layer["pattern"]
        assert row[2] == f"{100 * layer['sparsity']:.1f}%"
        for cell, profile in zip(row[5:], pages.profiles, strict=True):
            before, after = (float(word) for word in cell.split()[:3:2])
            assert before == pytest.approx(layer["latency"][profile]["before_ms"], rel=1e-3)
            assert after == pytest.approx(layer["latency"][profile]["after_ms"], rel=1e-3)
            assert layer["latency"][profile]["source"] in cell and layer["latency"][profile]["derivation"] in cell
    _, *devices = Table(page, "devices")
    for row, device in zip(devices, trial["devices"], strict=True):
        assert float(row[2].split()[0]) == pytest.approx(device["after_ms"], rel=0.006)
        assert row[2].split()[1] == interval(device["low_ms"], device["high_ms"]) != ""
    assert "pdp" in page and "tau 0.1" in page
    assert "exact zeros: <b>yes</b>" in page
    assert list(Table(page, "quality"))[1][1:] == ["90.0 ± 1.0%", "89.0 ± 1.0%"]
    assert f'href="{trial["links"]["weights"]}"' in page and f'href="{trial["links"]["self"]}"' in page


def test_pages_of_trials_that_have_not_run_or_did_not_work(pages: Pages) -> None:
    search = pages.running()
    waiting = pages.trial(6, plan(6), 0.1).evolve(state="queued")
    pages.record(search, [*pages.some_trials(), pages.failed_trial(5), waiting])
    failed = pages.html(f"/searches/{search}/trials/5")
    assert "the loss became NaN at step 3" in failed and 'id="quality"' not in failed
    queued = pages.html(f"/searches/{search}/trials/6")
    assert '<span class="chip queued">' in queued
    assert [row[2] for row in list(Table(queued, "layers"))[1:]] == ["–"] * 3


def test_names_stay_text(pages: Pages) -> None:
    with pages.world.service.database.begin() as session:
        project = pages.world.service.project_id
        made = models.add(session, project_id=project, name=HOSTILE, upload_digest="0" * 64)
        models.set_ready(
            session, made.id, graph_digest="1" * 64, weights_digest="2" * 64, spec=hostile_model().to_json()
        )
    search = pages.running(name=HOSTILE, model=made.id)
    broken = pages.trial(2, PruningPlan(pruner="magnitude"), 0.9)
    broken = replace(broken, state="failed", measurements=(), failure=Failure(code="x_y", reason=HOSTILE))
    pages.record(search, [broken])
    with pages.world.service.database.begin() as session:
        dropped = [{"layer": HOSTILE, "pattern": "dense", "reason": HOSTILE}]
        searches.set_space(session, search, {"units": [], "dropped": dropped, "reachable": {}})
    pages.end(search, "failed", Failure(code="x_y", reason=HOSTILE))
    for path in ("/searches", f"/searches/{search}", f"/searches/{search}/trials/2"):
        page = pages.html(path)
        assert "alert(" in page, "the test shows nothing if the name is not there"
        for markup in ("<script>alert", "<img", "onerror=alert(1)>", ">49<"):
            assert markup not in page, path


@pytest.mark.parametrize("path", ["x", "x/trials/1", "x?profile=y"])
def test_what_is_not_there(pages: Pages, path: str) -> None:
    answer = pages.world.http.get(f"/searches/{path}")
    assert answer.status_code == 404
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", ["{}?profile=none", "{}/trials/99", "{}/trials/-1", "{}/trials/x", "%00"])
def test_wrong_parts_of_a_search(pages: Pages, path: str) -> None:
    answer = pages.world.http.get(f"/searches/{path.format(pages.search())}")
    assert answer.status_code in (404, 422)


def test_scripts_are_files_of_ours_and_nothing_comes_from_elsewhere(pages: Pages) -> None:
    search = pages.finished()
    for path in ("/searches", f"/searches/{search}", f"/searches/{search}/trials/2"):
        page = pages.html(path)
        assert "http://" not in page and "https://" not in page and "//" not in page.replace("</", "").split("<body")[0]
        ours = page.count('<script src="/static/') + page.count('<script type="application/json"')
        assert page.count("<script") == ours
        assert " onclick=" not in page
    for name in ("espalier.css", "front.js", "plotly-basic.min.js", "plotly-basic.LICENSE"):
        assert pages.world.http.get(f"/static/{name}").status_code == 200


def test_pages_need_the_token_like_everything_else(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", token="a-token-of-sixteen-letters")
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8765") as http:
        for path in ("/", "/searches", "/static/front.js"):
            assert http.get(path).status_code == 401
        assert http.get("/searches", auth=("anybody", "a-token-of-sixteen-letters")).status_code == 200
