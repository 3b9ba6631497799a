"""The form of a new search: what it shows is the spec, it sends what REST takes, mistakes stand at their field."""

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from pydantic import TypeAdapter

from app.errors import Problem
from app.pages.search_form import FIELDS, LIMIT, POST, body_of, places, typed_of
from app.search.spec import Budget, Limit, Post, Recovery, SearchSpec, Task
from tests.app.pages.made import HOSTILE, Pages

PLAIN = SearchSpec(model="m", dataset="d", profiles=("p", "q"))
RICH = replace(
    PLAIN, name="a, b", batch=8, precision="int8", patterns=("block", "kernel"), pruners=("gmp",), sparsities=(0.25,),
    blocks=("block2x2", "block4x1"), post=(Post(kind="dkm", bits=3, dim=1),),
    frozen_layers=("a, b", "c"),
    limits=(
        Limit(profile="q", share=0.07), Limit(profile="p", latency_ms=1.5), Limit(profile="q", energy_mj=3.5),
        Limit(profile="p", weight_bytes=2e5),
    ),
    sampler="nsga2", trials=7, rungs=(0, 10), targets=(0.25, 0.5), keep=0.5, refit=False, pooled=True, seed=3,
    warm_start=("s1", "s2"),
    budget=Budget(recoveries=5, wall_s=60.5), acknowledge=("batch",), error_table="prior",
    task=Task(kind="classification", output=1, classes=("x y", "z"), mean=(0.5,), std=(0.25,), augment=("flip",)),
    recovery=Recovery(steps=40, optimizer="sgd", learning_rate=0.05, amp="bfloat16", distil=0.5),
)  # fmt: skip


class Form(HTMLParser):
    """What a browser would send of a form: names and values, in order."""

    def __init__(self, page: str, name: str) -> None:
        super().__init__()
        self.fields: list[tuple[str, str]] = []
        self._name, self._inside, self._select, self._area = name, False, "", ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag == "form":
            self._inside = said.get("id") == self._name
        if not self._inside:
            return
        name, value = said.get("name") or "", said.get("value") or ""
        if tag == "input" and (said.get("type") != "checkbox" or "checked" in said):
            self.fields.append((name, value))
        if tag == "select":
            self._select = name
        if tag == "option" and "selected" in said:
            self.fields.append((self._select, value))
        if tag == "textarea":
            self.fields.append((name, ""))
            self._area = name

    def handle_data(self, data: str) -> None:
        if self._area:
            self.fields[-1] = (self._area, self.fields[-1][1] + data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = ""
        if tag == "form":
            self._inside = False

    def typed(self, **changes: str | list[str] | None) -> dict[str, list[str]]:
        """The fields by name, some of them changed or left out."""
        found: dict[str, list[str]] = {}
        for name, value in self.fields:
            found.setdefault(name, []).append(value)
        for name, change in changes.items():
            place = name.replace("__", ".")
            if change is None:
                found.pop(place, None)
            else:
                found[place] = [change] if isinstance(change, str) else change
        return found


@pytest.fixture
def ready(pages: Pages) -> dict[str, Any]:
    """What a good search of the world's model on its measured device needs."""
    return {"model": pages.world.model, "dataset": pages.world.dataset, "profiles": [pages.world.profile]}


def send(pages: Pages, typed: dict[str, Any], wish: str = "start") -> Any:
    return pages.world.http.post("/searches/new", data=typed | {"do": wish}, follow_redirects=False)


@pytest.mark.parametrize(
    "spec",
    [PLAIN, RICH, replace(RICH, post=(Post(kind="int8"),), recovery=Recovery(epochs=2.5), rungs=(), vary=("steps",))],
)
def test_a_spec_comes_back_from_its_fields(spec: SearchSpec) -> None:
    assert TypeAdapter(SearchSpec).validate_python(body_of(typed_of(spec.to_json()))) == spec


def test_every_field_of_the_spec_is_in_the_form(pages: Pages) -> None:
    names = {name for name, _ in Form(pages.html("/searches/new"), "new").fields}
    page = pages.html("/searches/new")
    for name in [field.name for field in FIELDS if field.name != "warm_start"] + [*LIMIT, *POST]:
        assert name in names or f'name="{name}"' in page, name
    apart = {"extensions", "calibrations", "limits", "post"}
    known = {field.path[0] for field in FIELDS}
    assert set(PLAIN.to_json()) == known | apart
    for part in ("recovery", "task", "budget"):
        assert set(PLAIN.to_json()[part]) == {field.path[1] for field in FIELDS if field.path[0] == part}


def test_the_error_table_is_left_to_the_pruners_that_are_ticked(pages: Pages) -> None:
    fields = Form(pages.html("/searches/new"), "new").fields
    assert ("error_table", "auto") in fields
    ticked = [("pruners", "sparsegpt"), ("model", "m"), ("dataset", "d"), ("profiles", "p")]
    typed: dict[str, list[str]] = {}
    for name, value in [*fields, *ticked]:
        typed.setdefault(name, []).append(value)
    assert TypeAdapter(SearchSpec).validate_python(body_of(typed)).error_table == "reconstructed"


def test_the_form_of_a_search_starts_the_same_search(pages: Pages) -> None:
    first = pages.running(name="first", trials=7, limits=(Limit(profile=pages.world.profile, share=0.5),))
    form = Form(pages.html(f"/searches/new?like={first}"), "new")
    answer = send(pages, form.typed(name="second"))
    assert answer.status_code == 303, answer.text
    made = pages.json(answer.headers["location"].replace("/api/v1", ""))["spec"]
    assert made | {"name": "first", "calibrations": {}} == pages.json(f"/searches/{first}")["spec"]


def test_limits_beside_latency_are_kept_until_they_are_unticked(pages: Pages) -> None:
    limits = (Limit(profile=pages.modelled, weight_bytes=1e6), Limit(profile=pages.modelled, share=0.9))
    chosen = {"profiles": (pages.modelled,), "acknowledge": ("batch", "precision"), "limits": limits}
    first = pages.running(name="first", **chosen)
    page = pages.html(f"/searches/new?like={first}")
    assert "no trial above 1,000,000 bytes of weights on" in page
    shown = pages.html(f"/searches/{first}")
    assert shown.count("No trial is predicted above 1,000,000 bytes of weights on") == 1
    form = Form(page, "new")
    made = [
        pages.json(send(pages, typed).headers["location"].replace("/api/v1", ""))["spec"]["limits"]
        for typed in (form.typed(), form.typed(**{"limit.further": None}))
    ]
    assert [[limit["weight_bytes"] for limit in limits] for limits in made] == [[None, 1e6], [None]]
    for odd in ("energy_mj", "watts 3 p", "energy_mj x gone"):
        assert send(pages, form.typed(**{"limit.further": odd})).status_code in (303, 422)


def test_a_form_sent_twice_is_one_search_and_a_changed_one_another(pages: Pages, ready: dict[str, Any]) -> None:
    form = Form(pages.html("/searches/new"), "new")
    once, twice = (send(pages, form.typed(**ready)).headers["location"] for _ in range(2))
    other = send(pages, form.typed(**ready, seed="5")).headers["location"]
    assert once == twice != other


def test_an_estimate_starts_nothing(pages: Pages, ready: dict[str, Any]) -> None:
    pages.finished(profiles=(pages.world.profile,), batch=1)
    before = len(pages.json("/searches?limit=200")["items"])
    answer = send(pages, Form(pages.html("/searches/new"), "new").typed(**ready, trials="9"), "estimate")
    assert answer.status_code == 200
    same = pages.world.http.post("/api/v1/searches/estimate", json=pages.world.spec(trials=9)).json()
    assert "What it would take" in answer.text and f"trials <b>{same['trials']}</b>" in answer.text
    assert same["notes"][0] in answer.text
    expected = answer.text.split('aria-label="Expected front on bench"')[1].split("</table>")[0]
    levels = [level["quality"] for level in same["profiles"][0]["front"] if level["quality"]]
    assert levels and all(f">{100 * quality['p50']:.1f}%<" in expected for quality in levels)
    assert Form(answer.text, "new").typed()["trials"] == ["9"]
    assert len(pages.json("/searches?limit=200")["items"]) == before


@pytest.mark.parametrize(("field", "value", "place"), [
    ("trials", "many", "trials"), ("trials", "0", "trials"), ("sparsities", "0.5, 2", "sparsities"),
    ("nm", "1:4", "nm"), ("frozen_layers", "stim", "frozen_layers"), ("recovery__steps", "-1", "recovery.steps"),
    ("recovery__epochs", "x", "recovery.epochs"), ("rungs", "9, 3", "rungs"), ("profiles", None, "profiles"),
    ("batch", "64", "profiles"), ("patterns", None, "patterns"), ("model", "gone", "model"),
    ("post.bits", "99", "post"),
])  # fmt: skip
def test_a_mistake_stands_at_its_field(
    pages: Pages, ready: dict[str, Any], field: str, value: str | None, place: str
) -> None:
    typed = Form(pages.html("/searches/new"), "new").typed(**(ready | {field: value, "post.kind": "dkm"}))
    answer = send(pages, typed)
    assert answer.status_code == 422, answer.text
    assert f'id="wrong-{place.replace(".", "-")}-1"' in answer.text
    if value and field not in ("model", "frozen_layers"):
        assert Form(answer.text, "new").typed()[field.replace("__", ".")] == [value]


def test_a_limit_out_of_reach_stands_at_its_device(pages: Pages, ready: dict[str, Any]) -> None:
    typed = Form(pages.html("/searches/new"), "new").typed(**ready)
    typed["limit.share"] = ["0.01" if key == pages.world.profile else "" for key in typed["limit.profile"]]
    answer = send(pages, typed)
    assert answer.status_code == 422
    row = answer.text.split(f'id="f-limit-{pages.world.profile}"')[1].split("</tr>")[0]
    assert "cannot be met" in row and 'value="0.01"' in row
    estimated = send(pages, typed, "estimate")
    assert "cannot be met" in estimated.text and estimated.status_code == 200


def test_a_limit_on_a_device_that_is_not_searched_is_not_passed_over(pages: Pages, ready: dict[str, Any]) -> None:
    typed = Form(pages.html("/searches/new"), "new").typed(**ready)
    typed["limit.ms"] = ["0.1" if key == pages.modelled else "" for key in typed["limit.profile"]]
    answer = send(pages, typed)
    assert answer.status_code == 422
    assert "is not ticked" in answer.text.split(f'id="f-limit-{pages.modelled}"')[1].split("</tr>")[0]


def test_mistakes_without_a_field_are_said_on_top() -> None:
    assert places({}, Problem(409, "x", "no")) == {"": ["no"]}
    assert places({}, Problem(422, "x", "no", pointer="/calibrations/p")) == {"": ["no"]}
    assert places({}, Problem(422, "x", "no", pointer="/nm/0")) == {"nm": ["no"]}


def test_what_was_typed_stays_text(pages: Pages, ready: dict[str, Any]) -> None:
    typed = Form(pages.html("/searches/new"), "new").typed(**ready, name=HOSTILE, trials=HOSTILE, frozen_layers=HOSTILE)
    page = send(pages, typed).text
    assert "alert(" in page
    for markup in ("<script>alert", "<img", ">49<"):
        assert markup not in page


def test_it_shows_what_cannot_be_pruned_and_links_to_what_pays(pages: Pages) -> None:
    page = pages.html(f"/searches/new?model={pages.world.model}")
    assert "are the model&#39;s outputs" in page
    assert f'href="/profiles/{pages.world.profile}?model={pages.world.model}#pays"' in page
    looked = send(pages, {"model": pages.world.model, "name": "kept"}, "look")
    assert looked.status_code == 200 and 'value="kept"' in looked.text


def test_the_form_is_for_pages_of_this_service_alone(pages: Pages, ready: dict[str, Any]) -> None:
    answer = pages.world.http.post("/searches/new", data=ready, headers={"origin": "http://elsewhere.example"})
    assert answer.status_code == 403
