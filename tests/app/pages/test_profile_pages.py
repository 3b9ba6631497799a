"""The pages of profiles as HTML: the same as the JSON, what is ambiguous as a form, names that would be markup."""

import re

import pytest

from app.pages.words import interval, milliseconds
from costmodels.profile import ProfileLayer, ProfileRow
from tests.app.api.world import MODEL, measured_profile
from tests.app.pages.made import ACCELERATOR, HOSTILE, Pages, Table


def test_the_list_leads_to_each_profile(pages: Pages) -> None:
    page = pages.html("/profiles")
    for item in pages.json("/profiles")["items"]:
        assert f'href="/profiles/{item["id"]}"' in page
    assert '<span class="chip modelled">analytical</span>' in page
    assert '<a href="/profiles" aria-current="page">' in page
    assert "No older profiles" in pages.html("/profiles?after=00000000-0000-7000-8000-000000000000")


def test_a_profile_says_what_it_is_and_asks_for_a_model(pages: Pages) -> None:
    page = pages.html(f"/profiles/{pages.world.profile}")
    assert "device <b>board</b>" in page and "batch <b>1</b>" in page
    assert [row[0] for row in Table(page, "layers")] == ["Layer", "stem", "body", "head"]
    assert [row[3:] for row in Table(page, "layers")][1:] == [["1", "1"], ["4", "2"], ["0.5", "0"]]
    assert f'<option value="{pages.world.model}">net</option>' in page
    assert 'id="payoffs"' not in page and 'id="matched"' not in page


@pytest.mark.parametrize("device", [0, 1])
def test_fit_and_payoffs_are_those_of_the_json(pages: Pages, device: int) -> None:
    profile, model = pages.profiles[device], pages.world.model
    page = pages.html(f"/profiles/{profile}?model={model}")
    pays = pages.json(f"/profiles/{profile}/pays?model={model}")
    head, *rows = Table(page, "payoffs")
    assert head == ["Layer", *pays["kinds"]]
    cells = {(row[0], kind): cell for row in rows for kind, cell in zip(head[1:], row[1:], strict=True)}
    words = {"pays": "pays", "never": "never", "cannot": "cannot"}
    assert len(cells) == len(pays["items"]) == 4 * len(MODEL.layers)
    for item in pays["items"]:
        word = words.get(item["verdict"]) or f"from {100 * item['from_sparsity']:.0f}%"
        assert cells[item["layer"], item["kind"]] == f"{word} {item['reason']}"
    found = pages.json(f"/profiles/{profile}/match?model={model}")
    if found["macs_share"] is None:
        assert "there is nothing to match" in page and ACCELERATOR in page
        return
    for row, layer in zip(list(Table(page, "matched"))[1:], found["layers"], strict=True):
        assert row == [
            f"{layer['name']} {layer['op']}",
            layer["rule"],
            f"{100 * layer['macs_share']:.1f}%",
            milliseconds(layer["dense_ms"]),
            f"{100 * layer['time_share']:.1f}%",
            ", ".join(layer["partners"]),
        ]


def test_what_is_ambiguous_is_a_form_and_an_answer_a_new_profile(pages: Pages) -> None:
    profile, model = pages.ambiguous(), pages.world.model
    page = pages.html(f"/profiles/{profile}?model={model}")
    assert "needs your word" in page and "--acknowledge ambiguity" in page
    assert 'name="ours" value="stem"' in page and '<option value="stem + add">' in page
    answer = pages.world.http.post(
        f"/profiles/{profile}/aliases",
        data={"model": model, "ours": ["stem"], "theirs": ["stem + add"]},
        follow_redirects=False,
    )
    assert answer.status_code == 303
    settled = pages.html(answer.headers["location"])
    assert "good for a search" in settled and 'id="ambiguous"' not in settled
    assert f'<a href="/profiles/{profile}">' in settled
    nothing = pages.world.http.post(
        f"/profiles/{profile}/aliases", data={"model": model, "ours": ["stem"], "theirs": [""]}
    )
    assert nothing.status_code == 422 and "Choose at least one layer" in nothing.text
    foreign = pages.world.http.post(f"/profiles/{profile}/aliases", headers={"Origin": "https://else.where"})
    assert foreign.status_code == 403


def test_a_profile_that_covers_too_little_says_so(pages: Pages) -> None:
    poor = pages.world.add_profile(measured_profile(rows=(ProfileRow(layer="pool", latency_ms=1.0),)))
    page = pages.html(f"/profiles/{poor}?model={pages.world.model}")
    assert '<span class="chip refused">refused</span>' in page and "at least 80% is needed" in page
    assert "covers too little of net to price it" in page


def test_warnings_come_first(pages: Pages) -> None:
    rows = (*measured_profile().rows, ProfileRow(layer="stem", pattern="unstructured@0.5", latency_ms=3.0))
    page = pages.html(f"/profiles/{pages.world.add_profile(measured_profile(rows=rows))}")
    assert page.index("more zeros take longer") < page.index("Where it comes from")


def test_calibration_stands_with_its_points_and_on_the_search(pages: Pages) -> None:
    made = pages.calibrated()
    page = pages.html(f"/profiles/{pages.world.profile}")
    assert f"Version {made['version']}: {made['method']}" in page and "outside 0.6 ... 1.1" in page
    for point in made["points"]:
        for key in ("predicted_ms", "calibrated_ms", "measured_ms"):
            assert f">{milliseconds(point[key])}<" in page
    search = pages.finished(calibrations={pages.world.profile: made["id"], pages.modelled: None})
    shown = " ".join(pages.html(f"/searches/{search}").split())
    assert f"Calibrated with version {made['version']}, from 2 points." in shown
    assert "outside 0.6 ... 1.1" in shown
    assert f'href="/profiles/{pages.world.profile}?model={pages.world.model}"' in shown
    point = pages.json(f"/searches/{search}/front")["points"][0]
    assert f"{interval(point['low_ms'], point['high_ms'])}</title>" in shown
    assert f'href="/profiles/{pages.modelled}?model=' in pages.html(f"/searches/{search}/trials/3")


def test_names_of_profiles_stay_text_and_nothing_is_inline(pages: Pages) -> None:
    name = "".join(letter for letter in HOSTILE if letter.isprintable())
    layers = (ProfileLayer(name=name, members=("stem", name + "2")), ProfileLayer(name="stem;" + name))
    rows = tuple(ProfileRow(layer=layer.name, latency_ms=1.0) for layer in layers)
    fields = dict.fromkeys(("name", "device", "note", "runtime", "tool"), name)
    made = pages.world.add_profile(measured_profile(layers=layers, rows=rows, **fields))
    page = pages.html(f"/profiles/{made}?model={pages.world.model}") + pages.html("/profiles")
    pages.calibrated()
    page += pages.html(f"/profiles/{pages.world.profile}")
    assert "<script" not in page and "<img" not in page and "{{7*7}}" in page
    assert not re.search(r"<[^>]+ (style|on\w+)=", page)


def test_a_profile_that_waits_or_was_refused(pages: Pages) -> None:
    wish = pages.world.http.post("/api/v1/profiles", json={"measure": {"model": pages.world.model}}).json()["id"]
    page = pages.html(f"/profiles/{wish}?model={pages.world.model}")
    assert '<span class="chip requested">requested</span>' in page and 'id="match"' not in page
