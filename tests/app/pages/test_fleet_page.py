"""All devices at once, as a page: the numbers are REST's, and what cannot be met is said."""

import pytest

from tests.app.pages.made import Pages, Table


def cover(pages: Pages, search: str, shares: list[str], status: int = 200, **more: str) -> str:
    rows = [
        ("profile", list(pages.profiles)),
        ("share", shares),
        ("ms", ["", ""]),
        ("least", [more.pop("least", "")] * 2),
    ]
    answer = pages.world.http.get(f"/searches/{search}/fleet", params={**dict(rows), **more})
    assert answer.status_code == status, answer.text
    return answer.text


def test_the_worst_device_is_that_of_the_json(pages: Pages) -> None:
    search = pages.finished()
    _, *rows = Table(pages.html(f"/searches/{search}/fleet"), "worst")
    points = pages.json(f"/searches/{search}/fleet")["points"][::-1]
    assert [row[0] for row in rows] == [str(p["number"]) for p in points] and len(points) >= 2
    for row, p in zip(rows, points, strict=True):
        assert row[3] == f"{100 * p['share']:.1f}%"
        assert row[2] == ("bench" if p["profile"] == pages.world.profile else "eyeriss-v2")


def test_limits_are_met_by_the_fewest(pages: Pages) -> None:
    search = pages.finished()
    page = cover(pages, search, ["70", "10"])
    limits = [{"profile": p, "share": s} for p, s in zip(pages.profiles, (0.7, 0.1), strict=True)]
    found = pages.world.http.post(f"/api/v1/searches/{search}/fleet", json={"limits": limits}).json()
    _, *rows = Table(page, "served")
    assert [row[2] for row in rows] == [str(served["number"]) for served in found["limits"]]
    assert 'name="share" min="0.0001" max="100" step="any" value="70"' in page


@pytest.mark.parametrize(("shares", "more", "said"), [
    (["", ""], {}, "at least one device"), (["x", ""], {}, "&#39;x&#39; on bench is no number"),
    (["70", ""], {"k": "0"}, "k: "), (["70", ""], {"least": "99.9"}, ""),
    (["0.001", ""], {}, ""), (["500", ""], {}, "share"), (["nan", ""], {}, "share"),
])  # fmt: skip
def test_limits_that_cannot_be(pages: Pages, shares: list[str], more: dict[str, str], said: str) -> None:
    page = cover(pages, pages.finished(), shares, 422, **more)
    alert = page.split('role="alert">')[1].split("</p>")[0]
    assert said in alert and len(alert) > 10
    assert 'id="served"' not in page


def test_least_quality_is_typed_as_it_is_shown(pages: Pages) -> None:
    search = pages.finished()
    page = cover(pages, search, ["100", ""], least="95")
    _, (*_, quality) = Table(page, "served")
    assert float(quality.rstrip("%")) >= 95


def test_by_limit_and_before_there_is_anything(pages: Pages) -> None:
    assert "no complete trial yet" in pages.html(f"/searches/{pages.search()}/fleet")
    said = pages.html(f"/searches/{pages.finished()}/fleet?by=limit")
    assert "has no limit on these profiles" in said and 'id="limits"' in said
