"""The front as an SVG drawn on the server: what the page shows before its script runs, without it, and in reports.

Marks, here and in the script's figure: hollow = predicted latency; solid = measured, tied to its prediction by a thin
line; the line joins the front as predicted, with one standard error; better is up; faint dots are dominated trials,
fainter ones ended at a lower fidelity; a star was shipped; a cross is the dense model as uploaded, a plus the dense
model with the trials' recovery.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from markupsafe import Markup

from app.pages.words import interval, is_share, metric_words, milliseconds, reading

_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 18, 16, 50
BASELINES = (("dense", "×"), ("dense_recovered", "+"))


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
            '<svg viewBox="0 0 {} {}" role="img" aria-label="No trial is complete yet">'
            '<text class="title" x="50%" y="50%" text-anchor="middle">No trial is complete yet.</text></svg>'
        ).format(width, height)
    x, y = _scales(front, width, height)
    parts = [_frame(x, y, front, height), _lines(front, x, y), _marks(front, x, y)]
    what = metric_words(front["metric"])
    label = f"{what} against latency on {front['profile_name']}, {len(front['points'])} points on the front"
    label = label[0].upper() + label[1:]
    return Markup('<svg viewBox="0 0 {} {}" role="group" aria-label="{}">{}</svg>').format(
        width, height, label, Markup("").join(parts)
    )


def latency_title(front: Mapping[str, Any]) -> str:
    """The latency axis in words: what it is, and what it rests on."""
    if measured_points(front):
        return f"latency, ms at batch {front['batch']} (hollow: predicted, {basis(front)}; solid: measured)"
    return f"predicted latency, ms at batch {front['batch']} ({basis(front)})"


def basis(front: Mapping[str, Any]) -> str:
    """What the latencies of a profile rest on, honestly."""
    return "from a measured profile" if front["source"] == "measured" else f"{front['source']} model, not measured"


def _drawable(front: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    baselines = [front[key] for key, _ in BASELINES if front.get(key)]
    return [*front["trials"], *front["points"], *front.get("stopped", ()), *baselines]


def measured_points(front: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The complete trials whose latency was measured on this device."""
    return [point for point in front["trials"] if point.get("measured_ms") is not None]


def _scales(front: Mapping[str, Any], width: int, height: int) -> tuple[Axis, Axis]:
    points = _drawable(front)
    slowest = max(max(p["latency_ms"], p.get("measured_ms") or 0.0) for p in points)
    x = Axis(0.0, slowest * 1.05, _LEFT, width - _RIGHT)
    low, high = min(p["value"] for p in points), max(p["value"] for p in points)
    if is_share(front["metric"]):
        room = max(high - low, 0.02) * 0.08
        return x, Axis(max(0.0, low - room), min(1.0, high + room), height - _BOTTOM, _TOP)
    room = max(high - low, abs(high) * 0.02, 1e-6) * 0.08
    ends = (height - _BOTTOM, _TOP) if front["better"] == "higher" else (_TOP, height - _BOTTOM)
    return x, Axis(low - room, high + room, *ends)


def _frame(x: Axis, y: Axis, front: Mapping[str, Any], height: int) -> Markup:
    column = Markup(
        '<line class="grid" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>'
        '<text x="{0}" y="{3}" text-anchor="middle">{4:.6g}</text>'
    )
    row = Markup(
        '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/><text x="{3}" y="{4}" text-anchor="end">{5}</text>'
    )
    title = Markup('<text class="title" x="{}" y="{}" text-anchor="middle">{}</text>')
    upright = Markup('<text class="title" transform="translate(14 {}) rotate(-90)" text-anchor="middle">{}</text>')
    parts = [column.format(x(t), y.start, y.end, max(y.start, y.end) + 18, t) for t in x.ticks()]
    share = is_share(front["metric"])
    ticks = [(t, f"{100 * t:.6g}%" if share else f"{t:.6g}") for t in y.ticks()]
    parts += [row.format(x.start, x.end, y(t), x.start - 8, y(t) + 4, said) for t, said in ticks]
    parts.append(title.format((x.start + x.end) / 2, height - 8, latency_title(front)))
    parts.append(upright.format((y.start + y.end) / 2, f"{metric_words(front['metric'])} (validation)"))
    return Markup("").join(parts)


def _lines(front: Mapping[str, Any], x: Axis, y: Axis) -> Markup:
    parts = []
    for key, _ in BASELINES:
        if front.get(key):
            line = Markup('<line class="{}" x1="{}" x2="{}" y1="{y}" y2="{y}"/>')
            parts.append(line.format(key, x.start, x.end, y=y(front[key]["value"])))
    for limit in front["limits"]:
        if limit["latency_ms"] <= x.high:
            line = Markup('<line class="limit" x1="{x}" x2="{x}" y1="{}" y2="{}"/>')
            parts.append(line.format(y.start, y.end, x=x(limit["latency_ms"])))
    path = " ".join(f"{x(p['latency_ms'])},{y(p['value'])}" for p in front["points"])
    parts.append(Markup('<polyline class="front" points="{}"/>').format(path))
    return Markup("").join(parts)


def _marks(front: Mapping[str, Any], x: Axis, y: Axis) -> Markup:
    """Dominated trials are one path of dots of no length: ten thousand of them stay one light element."""
    aside = {p["number"] for p in front["points"]} | {front[key]["number"] for key, _ in BASELINES if front.get(key)}
    dominated = [t for t in front["trials"] if t["number"] not in aside]
    marks = [_dots("stopped", front.get("stopped", ()), x, y), _dots("dominated", dominated, x, y)]
    for key, mark in BASELINES:
        if point := front.get(key):
            text = Markup('<text class="baseline {}" x="{}" y="{}" text-anchor="middle">{}</text>')
            marks.append(text.format(key, x(point["latency_ms"]), y(point["value"]) + 6, mark))
    marks += [_point(p, front["metric"], x, y) for p in front["points"]]
    marks += [_measured(p, front["metric"], x, y) for p in measured_points(front)]
    star = Markup('<text class="shipped" x="{}" y="{}" text-anchor="middle">★</text>')
    marks += [star.format(x(p["latency_ms"]), y(p["value"]) - 10) for p in front["trials"] if p.get("shipped")]
    return Markup("").join(marks)


def _dots(kind: str, found: Sequence[Mapping[str, Any]], x: Axis, y: Axis) -> Markup:
    dots = "".join(f"M{x(t['latency_ms'])} {y(t['value'])}h0" for t in found)
    return Markup('<path class="{}" d="{}"/>').format(kind, dots)


def _point(p: Mapping[str, Any], metric: str, x: Axis, y: Axis) -> Markup:
    error = p.get("standard_error") or 0.0
    low, high = max(p["value"] - error, y.low), min(p["value"] + error, y.high)
    said = f"trial {p['number']}: {reading(p['value'], metric)} at {milliseconds(p['latency_ms'])} ms predicted"
    said = f"{said} {interval(p.get('low_ms'), p.get('high_ms'))}".strip()
    return Markup(
        '<line class="error" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/><a href="{page}" aria-label="{said}">'
        '<circle class="predicted" cx="{x}" cy="{y}" r="5"><title>{said}</title></circle></a>'
    ).format(
        x=x(p["latency_ms"]),
        y=y(p["value"]),
        low=y(low),
        high=y(high),
        page=p["page"],
        said=said,
    )


def _measured(p: Mapping[str, Any], metric: str, x: Axis, y: Axis) -> Markup:
    """The same trial again where it was measured, tied to where it was predicted."""
    spread_ms = p.get("measured_spread_ms") or 0.0
    said = f"trial {p['number']}: {reading(p['value'], metric)} at {milliseconds(p['measured_ms'])} ms"
    return Markup(
        '<line class="tie" x1="{predicted}" x2="{x}" y1="{y}" y2="{y}"/>'
        '<line class="spread" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/><a href="{page}" aria-label="{said}">'
        '<circle class="measured" cx="{x}" cy="{y}" r="4"><title>{said}</title></circle></a>'
    ).format(
        predicted=x(p["latency_ms"]),
        x=x(p["measured_ms"]),
        y=y(p["value"]),
        low=x(max(p["measured_ms"] - spread_ms, x.low)),
        high=x(min(p["measured_ms"] + spread_ms, x.high)),
        page=p["page"],
        said=f"{said} ± {milliseconds(spread_ms)} measured",
    )
