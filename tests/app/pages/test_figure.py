"""The server-drawn front: right places, right marks, and nothing from a name becomes markup."""

import re
from typing import Any
from xml.etree import ElementTree

from app.pages.figure import Axis, front_svg, latency_title


def point(number: int, latency_ms: float, accuracy: float, **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "latency_ms": latency_ms,
        "accuracy": accuracy,
        "predicted": True,
        "role": "searched",
        "page": f"/searches/s/trials/{number}",
        **more,
    }


def front(**changes: Any) -> dict[str, Any]:
    points = [point(2, 1.0, 0.80), point(3, 2.0, 0.95)]
    return {
        "profile": "p",
        "profile_name": "tiny",
        "source": "analytical",
        "batch": 64,
        "points": points,
        "trials": [*points, point(4, 2.5, 0.85)],
        "dense": point(0, 4.0, 0.97),
        "dense_recovered": point(1, 4.0, 0.98),
        "limits": [{"latency_ms": 3.0}],
    } | changes


def elements(svg: str, tag: str, cls: str | None = None) -> list[ElementTree.Element]:
    found = ElementTree.fromstring(svg).iter(tag)
    return [e for e in found if cls is None or e.get("class") == cls]


def test_every_trial_is_drawn_once_and_the_front_is_joined() -> None:
    svg = front_svg(front())
    assert len(elements(svg, "circle", "predicted")) == 2
    assert len(elements(svg, "circle", "dominated")) == 1
    (line,) = elements(svg, "polyline", "front")
    assert len((line.get("points") or "").split()) == 2
    assert [len(elements(svg, "line", c)) for c in ("dense", "dense_recovered", "limit")] == [1, 1, 1]


def test_faster_is_left_and_better_is_up() -> None:
    worse, better = elements(front_svg(front()), "circle", "predicted")
    assert float(worse.get("cx") or 0) < float(better.get("cx") or 0)
    assert float(worse.get("cy") or 0) > float(better.get("cy") or 0)


def test_measured_points_are_solid() -> None:
    svg = front_svg(front(points=[point(2, 1.0, 0.8, predicted=False)]))
    assert len(elements(svg, "circle", "measured")) == 1
    assert not elements(svg, "circle", "predicted")


def test_an_empty_front_says_so() -> None:
    svg = front_svg(front(points=[], trials=[], dense=None, dense_recovered=None))
    assert "No trial is complete yet" in svg


def test_a_hostile_profile_name_stays_text() -> None:
    svg = front_svg(front(profile_name='"><script>alert(1)</script>'))
    assert not re.search(r"<script", svg)
    ElementTree.fromstring(svg)


def test_a_modelled_axis_says_that_it_is_not_measured() -> None:
    assert "not measured" in latency_title(front())
    assert "measured profile" in latency_title(front(source="measured"))


def test_ticks_are_round_and_inside() -> None:
    axis = Axis(0.0, 7.3, 0.0, 100.0)
    assert axis.ticks() == [0.0, 2.0, 4.0, 6.0]
    assert axis(0.0) == 0.0 and axis(7.3) == 100.0
