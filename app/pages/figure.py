"""The front as an SVG drawn on the server: what the page shows before its script runs, without it, and in reports.

Marks, here and in the script's figure: hollow = predicted latency, solid = measured; the line joins the front;
faint dots are dominated trials; a cross is the dense model as uploaded, a plus the dense model with the trials' recovery.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from markupsafe import Markup, escape

_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 18, 16, 50


@dataclass(frozen=True)
class Axis:
    """A linear scale from data to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return round(self.start + (value - self.low) / span * (self.end - self.start), 1)

    def ticks(self, about: int = 6) -> list[float]:
        """Round numbers inside the scale, about as many as asked for."""
        raw = (self.high - self.low) / about or 1.0
        magnitude: float = 10.0 ** floor(log10(raw))
        step = next(s * magnitude for s in (1, 2, 5, 10) if s * magnitude >= raw)
        first = ceil(self.low / step)
        return [n * step for n in range(first, floor(self.high / step) + 1)]


def front_svg(front: Mapping[str, Any], width: int = 860, height: int = 440) -> Markup:
    """Draw one device's front.

    Args:
        front: the JSON of `GET /searches/{id}/front?profile=`.
        width: of the drawing, in pixels.
        height: likewise.

    Returns:
        An `<svg>` element; an empty frame with a sentence while there is nothing to draw.
    """
    shown = _drawable(front)
    if not shown:
        return Markup(
            '<svg viewBox="0 0 {} {}" role="img" aria-label="no trial is complete yet">'
            '<text class="quiet" x="50%" y="50%" text-anchor="middle">No trial is complete yet.</text></svg>'
        ).format(width, height)
    x, y = _scales(shown, width, height)
    parts = [_frame(x, y, front, height), _lines(front, x, y), _marks(front, x, y)]
    label = f"accuracy against latency on {front['profile_name']}, {len(front['points'])} points on the front"
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, label, Markup("").join(parts)
    )


def _drawable(front: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    baselines = [front[key] for key in ("dense", "dense_recovered") if front.get(key)]
    points = [*front["trials"], *front["points"], *baselines]
    return [p for p in points if p.get("accuracy") is not None and p.get("latency_ms") is not None]


def _scales(points: Sequence[Mapping[str, Any]], width: int, height: int) -> tuple[Axis, Axis]:
    slowest = max(p["latency_ms"] for p in points)
    worst, best = min(p["accuracy"] for p in points), max(p["accuracy"] for p in points)
    room = max(best - worst, 0.02) * 0.08
    x = Axis(0.0, slowest * 1.05, _LEFT, width - _RIGHT)
    return x, Axis(max(0.0, worst - room), min(1.0, best + room), height - _BOTTOM, _TOP)


def _frame(x: Axis, y: Axis, front: Mapping[str, Any], height: int) -> Markup:
    rows = [
        Markup(
            '<line class="grid" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/><text x="{0}" y="{3}" text-anchor="middle">{4:g}</text>'
        ).format(x(t), y.start, y.end, y.start + 18, t)
        for t in x.ticks()
    ]
    rows += [
        Markup(
            '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/><text x="{3}" y="{4}" text-anchor="end">{5:.0%}</text>'
        ).format(x.start, x.end, y(t), x.start - 8, y(t) + 4, t)
        for t in y.ticks()
    ]
    rows.append(
        Markup('<text class="title" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            (x.start + x.end) / 2, height - 8, latency_title(front)
        )
    )
    rows.append(
        Markup(
            '<text class="title" transform="translate(14 {}) rotate(-90)" text-anchor="middle">{}</text>'
        ).format((y.start + y.end) / 2, "accuracy (validation)")
    )
    return Markup("").join(rows)


def latency_title(front: Mapping[str, Any]) -> str:
    """The latency axis in words: what it is, and what it rests on."""
    basis = (
        "from a measured profile"
        if front["source"] == "measured"
        else f"{front['source']} model, not measured"
    )
    return f"predicted latency, ms at batch {front['batch']} ({basis})"


def _lines(front: Mapping[str, Any], x: Axis, y: Axis) -> Markup:
    parts = []
    for key in ("dense", "dense_recovered"):
        if front.get(key) and front[key].get("accuracy") is not None:
            parts.append(
                Markup('<line class="{}" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
                    key, x.start, x.end, y=y(front[key]["accuracy"])
                )
            )
    for limit in front.get("limits", []):
        parts.append(
            Markup('<line class="limit" x1="{x}" x2="{x}" y1="{}" y2="{}"/>').format(
                y.start, y.end, x=x(limit["latency_ms"])
            )
        )
    path = " ".join(f"{x(p['latency_ms'])},{y(p['accuracy'])}" for p in front["points"])
    parts.append(Markup('<polyline class="front" points="{}"/>').format(path))
    return Markup("").join(parts)


def _marks(front: Mapping[str, Any], x: Axis, y: Axis) -> Markup:
    on_front = {p["number"] for p in front["points"]}
    marks = [
        Markup('<circle class="dominated" cx="{}" cy="{}" r="3"/>').format(
            x(t["latency_ms"]), y(t["accuracy"])
        )
        for t in front["trials"]
        if t["number"] not in on_front
    ]
    for p in front["points"]:
        said = f"trial {p['number']}: {p['accuracy']:.1%} at {p['latency_ms']:.4g} ms"
        marks.append(
            Markup(
                '<a href="{}"><circle class="{}" cx="{}" cy="{}" r="5"><title>{}</title></circle></a>'
            ).format(
                p["page"],
                "predicted" if p["predicted"] else "measured",
                x(p["latency_ms"]),
                y(p["accuracy"]),
                escape(said),
            )
        )
    for key, mark in (("dense", "×"), ("dense_recovered", "+")):
        if front.get(key) and front[key].get("accuracy") is not None:
            point = front[key]
            marks.append(
                Markup('<text class="baseline" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                    x(point["latency_ms"]), y(point["accuracy"]) + 5, mark
                )
            )
    return Markup("").join(marks)
