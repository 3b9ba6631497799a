"""The passport as a page: its claims are those of the JSON, a failed hop says why, a form asks for files."""

import json
from dataclasses import replace
from typing import Any

import pytest

from app.search.exports.passport import Difference, FileFacts, Hop, LayerProof, Passport
from app.search.trial import Failure, Measurement
from app.store import trial_requests
from tests.app.api.world import API
from tests.app.pages.made import HOSTILE, Pages, Table


def passport(search: str) -> Passport:
    """One with all hops of which ONNX failed."""
    reading = Measurement(
        metric="accuracy", value=0.9612, standard_error=0.0123, samples=360, seed=5, fidelity=6, split="test"
    )
    moved = Difference(against="smaller", absolute=2.5e-6, relative=5e-7, samples=128)
    layer = LayerProof(
        name=HOSTILE,
        pattern="keep2of4",
        shape_before=(8, 8, 3, 3),
        shape=(8, 4, 3, 3),
        weights=288,
        promised_zeros=144,
        zeros={"smaller": 144, "pt2": 144},
        holds=True,
        groups=72,
        valid_groups={"pt2": 72},
    )
    failure = Failure(code="export", reason=f"no form of aten.conv2d at {HOSTILE}")
    return Passport(
        search=search,
        number=3,
        role="searched",
        plan={"pruner": "pdp", "settings": {}, "patterns": {}},
        recovery_steps=200,
        hops=(
            Hop(name="masked", state="done"),
            Hop(name="smaller", state="done", difference=replace(moved, against="masked")),
            Hop(
                name="pt2",
                state="done",
                difference=moved,
                readings=(reading,),
                file=FileFacts(kind="model", sha256="a" * 64, bytes=123456, deflated_bytes=65432),
            ),
            Hop(name="onnx", state="failed", failure=failure),
        ),
        layers=(layer,),
        unprunable={"head": "are the model's outputs"},
        sizes={
            "macs": [1000, 500],
            "parameters": [400, 200],
            "nonzero_parameters": 100,
            "tensor_bytes": [1600, 800],
            "coded_bytes": {"32": {"dense": 800, "best": 500}},
        },
        latency={
            "predicted": [
                {"name": "board", "latency_ms": 1.5, "low_ms": 1.0, "high_ms": 2.0, "sources": {"measured": 1.0}}
            ],
            "measured": [],
        },
        measurements=(reading,),
        hashes={"plan": "b" * 64, "model": "a" * 64},
        versions={"torch": "2.13.0"},
        seeds={"trial": 5, "search": 0},
        commands=(f"espalier export {search} 3 --format onnx --out DIRECTORY",),
    )


def trial_with(pages: Pages, *, has_passport: bool) -> str:
    """The page's address of a complete trial."""
    search = pages.running()
    made = pages.some_trials()
    files = {"weights": "0" * 64}
    if has_passport:
        document = json.dumps(passport(search).to_json()).encode()
        files["passport"] = pages.world.artefact(document, "passport")
    pages.record(search, [*made[:3], made[3].evolve(files=files), made[4]])
    pages.end(search)
    return f"/searches/{search}/trials/3"


def test_every_claim_is_on_the_page(pages: Pages) -> None:
    trial = trial_with(pages, has_passport=True)
    page = pages.html(f"{trial}/passport")
    head, *hops = Table(page, "hops")
    assert len(head) == 7 and [row[1] for row in hops] == ["done", "done", "done", "failed", ""]
    assert "2.5e-06" in hops[2][2] and "against smaller" in hops[2][2]
    assert hops[2][4].startswith("96.1 ± 1.2%") and hops[2][5:] == ["123,456", "65,432"]
    _, (name, pattern, shape, promised, in_pt2, groups, held) = Table(page, "layers")
    assert (name, pattern, shape) == (HOSTILE, "keep2of4", "8×8×3×3 → 8×4×3×3")
    assert (promised, in_pt2, groups, held) == ("144 of 288", "144", "72 of 72", "yes")
    assert "1 of 4 hops failed" in page and "aten.conv2d" in page and "b" * 64 in page
    assert "1.5" in page and "(1–2)" in page and "100% measured" in page
    assert HOSTILE not in page  # only as text
    assert pages.json(f"{trial}/passport")["hops"][3]["state"] == "failed"
    assert f'href="{trial}/passport">Passport</a>' in pages.html(trial)


def test_a_form_asks_for_files_and_the_page_says_what_is_under_way(pages: Pages) -> None:
    trial = trial_with(pages, has_passport=False)
    page = pages.html(f"{trial}/passport")
    assert "Nothing has been exported" in page and page.count('type="checkbox"') == 4
    assert "Other files, with passport" in pages.html(trial)
    none = pages.world.http.post(f"{trial}/passport", data={}, follow_redirects=False)
    assert none.status_code == 422 and "Tick at least one" in none.text
    asked = pages.world.http.post(f"{trial}/passport", data={"formats": ["onnx", "state"]}, follow_redirects=False)
    assert (asked.status_code, asked.headers["location"]) == (303, f"{trial}/passport")
    assert "onnx, state, asked for" in pages.html(f"{trial}/passport")
    request: Any = pages.json(f"{trial}/requests")["items"][0]
    with pages.world.service.database.begin() as s:
        trial_requests.set_failed(s, request["id"], {"code": "damaged_file", "reason": "The weights are not those"})
    assert "The weights are not those" in pages.html(f"{trial}/passport")


@pytest.mark.parametrize("number", [5, 99])
def test_a_trial_without_weights_offers_nothing(pages: Pages, number: int) -> None:
    search = pages.finished()
    if number == 99:
        assert pages.world.http.get(f"/searches/{search}/trials/99/passport").status_code == 404
        return
    page = pages.html(f"/searches/{search}/trials/{number}/passport")
    assert "<form" not in page and "left no weights" in page
    assert pages.world.http.get(f"{API}/searches/{search}/trials/5/passport").json()["code"] == "no_passport"
