"""The server-drawn front: right places, right marks, and nothing from a name becomes markup."""

import re
from typing import Any
from xml.etree import ElementTree

from app.pages.figure import Axis, front_svg, latency_title


def point(number: int, latency_ms: float, value: float, **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "latency_ms": latency_ms,
        "value": value,
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
        "metric": "accuracy",
        "better": "higher",
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
    (dots,) = elements(svg, "path", "dominated")
    assert (dots.get("d") or "").count("M") == 1
    (line,) = elements(svg, "polyline", "front")
    assert len((line.get("points") or "").split()) == 2
    assert [len(elements(svg, "line", c)) for c in ("dense", "dense_recovered", "limit")] == [1, 1, 1]
    assert len(elements(svg, "text")) == len([e for e in elements(svg, "text") if e.text])


def test_ten_thousand_dominated_trials_stay_one_element() -> None:
    crowd = [point(n, 1.0 + n / 5000, 0.5 + 0.2 * (n % 97) / 97) for n in range(10, 10_010)]
    svg = front_svg(front(trials=crowd))
    (dots,) = elements(svg, "path", "dominated")
    assert (dots.get("d") or "").count("M") == 10_000
    assert len(list(ElementTree.fromstring(svg).iter())) < 100


def test_a_limit_beyond_the_figure_is_left_out() -> None:
    assert not elements(front_svg(front(limits=[{"latency_ms": 1e6}])), "line", "limit")


def test_an_error_bar_is_one_standard_error_each_way_and_stays_inside() -> None:
    points = [point(2, 1.0, 0.80, standard_error=0.02), point(3, 2.0, 0.99, standard_error=0.5)]
    svg = front_svg(front(points=points, trials=[*points, point(4, 3.0, 0.5)]))
    first, second = elements(svg, "line", "error")
    circle = elements(svg, "circle", "predicted")[0]
    middle = (float(first.get("y1") or 0) + float(first.get("y2") or 0)) / 2
    assert abs(middle - float(circle.get("cy") or 0)) < 0.2
    assert 0 < float(second.get("y2") or 0) < float(second.get("y1") or 0) < 440


def test_faster_is_left_and_better_is_up() -> None:
    worse, better = elements(front_svg(front()), "circle", "predicted")
    assert float(worse.get("cx") or 0) < float(better.get("cx") or 0)
    assert float(worse.get("cy") or 0) > float(better.get("cy") or 0)


def test_better_is_up_also_where_it_is_lower_and_values_are_no_shares() -> None:
    points = [point(2, 1.0, 31.0), point(3, 2.0, 24.0)]
    dense = {"dense": point(0, 4.0, 22.0), "dense_recovered": None}
    svg = front_svg(front(points=points, trials=points, metric="perplexity", better="lower", **dense))
    worse, better = elements(svg, "circle", "predicted")
    assert float(worse.get("cy") or 0) > float(better.get("cy") or 0)
    said = [text.text or "" for text in elements(svg, "text")]
    assert "perplexity (validation)" in said and not any("%" in text for text in said)
    assert max(float(text.get("y") or 0) for text in elements(svg, "text")) <= 440


def test_measured_points_are_solid() -> None:
    made = point(2, 1.0, 0.8, measured_ms=5.5, measured_spread_ms=0.5, shipped={"at": "now"})
    svg = front_svg(front(points=[made], trials=[made, point(3, 2.0, 0.7)]))
    (hollow,), (solid,) = elements(svg, "circle", "predicted"), elements(svg, "circle", "measured")
    assert float(hollow.get("cx") or 0) < float(solid.get("cx") or 0) < 860
    assert hollow.get("cy") == solid.get("cy")
    (spread,) = elements(svg, "line", "spread")
    assert float(spread.get("x1") or 0) < float(solid.get("cx") or 0) < float(spread.get("x2") or 0)
    assert len(elements(svg, "text", "shipped")) == 1
    assert "solid: measured" in latency_title(front(trials=[made]))


def test_trials_of_a_lower_fidelity_are_fainter_dots_of_their_own() -> None:
    svg = front_svg(front(stopped=[point(7, 9.0, 0.3), point(8, 1.0, 0.4)]))
    (dots,) = elements(svg, "path", "stopped")
    assert (dots.get("d") or "").count("M") == 2
    (dominated,) = elements(svg, "path", "dominated")
    assert (dominated.get("d") or "").count("M") == 1


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
