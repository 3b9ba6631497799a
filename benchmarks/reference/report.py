"""Tables of the reference searches: each front beside its two dense models, and predictions beside measurements."""

from collections.abc import Iterator
from typing import Any

from app.client import Client

Json = dict[str, Any]


def report(client: Client) -> Iterator[str]:
    """Markdown of every reference search that a service has."""
    found = [s for s in client.pages("searches") if s["name"].startswith("reference: ") and s["state"] == "succeeded"]
    for search in sorted(found, key=lambda s: s["id"]):
        yield from _search(client, client.get_search(search["id"]))


def _search(client: Client, search: Json) -> Iterator[str]:
    yield f"### {search['name'].removeprefix('reference: ')}\n"
    for profile in search["profiles"]:
        front = client.get_front(search["id"], profile)
        yield f"{front['profile_name']} ({front['source']}), batch {front['batch']}:\n"
        yield "| model | share of dense latency | predicted ms | validation | test |"
        yield "|---|---|---|---|---|"
        yield _row("dense, as uploaded", front["dense"])
        yield _row("dense, same recovery", front["dense_recovered"])
        for point in front["points"]:
            if point["role"] == "searched":
                yield _row(f"trial {point['number']}: {point['pruner']}, {_patterns(point)}", point)
        yield ""
    rows = list(_verified(client, search))
    if rows:
        yield "| trial | predicted ms | measured ms (ONNX Runtime) | off | dense measured in turns, ms | ratio |"
        yield "|---|---|---|---|---|---|"
        yield from rows
        yield ""


def _patterns(point: Json) -> str:
    return ", ".join(f"{kind} on {count}" for kind, count in point["patterns"].items())


def _row(name: str, point: Json | None) -> str:
    if point is None:
        return f"| {name} | – | – | – | – |"
    validation = f"{100 * point['accuracy']:.1f} ± {100 * point['accuracy_standard_error']:.1f}"
    test = f"{100 * point['test_accuracy']:.1f} ± {100 * point['test_standard_error']:.1f}"
    return f"| {name} | {point['latency_share']:.2f} | {point['latency_ms']:.4g} | {validation} | {test} |"


def _verified(client: Client, search: Json) -> Iterator[str]:
    for item in client.get_front(search["id"], search["profiles"][0])["trials"]:
        trial = client.get_trial(search["id"], item["number"])
        for found in trial["measurements"]:
            origin = found["origin"]
            if origin.get("by") == "verify" and found["profile"]:
                predicted_ms = next(c["latency_ms"] for c in trial["costs"] if c["profile"] == found["profile"])
                measured = f"{found['value']:.4g} ± {origin['std_ms']:.2g}"
                off = f"{100 * (predicted_ms / found['value'] - 1):+.1f} %"
                ratio = f"{found['value'] / origin['dense_ms']:.3f}"
                note = " (busy machine)" if origin["warning"] else ""
                yield (
                    f"| {item['number']} | {predicted_ms:.4g} | {measured}{note} | {off} | {origin['dense_ms']:.4g} | "
                    f"{ratio} |"
                )
