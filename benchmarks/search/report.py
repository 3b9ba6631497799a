"""The results as Markdown: one summary a problem, accuracy at latency bands, paired comparisons, and the bars.

Noise is the standard deviation of one plan's accuracy over recovery seeds. A pair is the same search seed and the same
recovery seed (a method that draws nothing has one search seed, which is paired with all of the other's). Intervals are
95 % of the mean over the pairs by Student's t; pairs of one search seed share a plan, so they are narrower than
independent ones would be.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import sqrt
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student

from benchmarks.search.row import Row

OURS, UNIFORM = "ours", "uniform"
_RAW = ("random", "Optuna NSGA-II", "pymoo NSGA-II", "TPE independent", "TPE multivariate", "GP")
Rows = Sequence[Row]


def report(rows: Iterable[Row], seeds: int) -> Iterator[str]:
    """Everything that is known of each problem."""
    problems: dict[str, list[Row]] = {}
    for row in rows:
        if row.seed < seeds:
            problems.setdefault(row.problem, []).append(row)
    for name, found in problems.items():
        methods = {m: [r for r in found if r.method == m] for m in dict.fromkeys(r.method for r in found)}
        yield f"### {name}\n"
        yield summary(methods)
        if any(band["accuracy"] for row in found for band in row.bands.values()):
            yield bands(methods, "accuracy")
            yield bands(methods, "loss")
            yield comparisons(methods)
            yield "\n".join(f"- {line}" for line in bars(methods)) + "\n"


def summary(methods: Mapping[str, Rows]) -> str:
    """Hypervolumes and what they cost; best on test first."""
    lines = [
        "| method | runs | evaluations | passes (of them table) | hypervolume, validation | on test "
        "| passes to 90, 95, 99 % of its own | wall, s |",
        "|---" * 8 + "|",
    ]
    for method, rows in sorted(methods.items(), key=lambda pair: -mean(r.hv_test for r in pair[1])):
        passes = f"{mean(r.passes for r in rows):.0f} ({mean(r.table_passes for r in rows):.0f})"
        reach = ", ".join(f"{mean(getattr(r, f'passes_to_{s}') for r in rows):.0f}" for s in (90, 95, 99))
        cells = (
            method,
            str(len(rows)),
            f"{mean(r.evaluations for r in rows):.0f}",
            passes,
            _spread([r.hv_validation for r in rows], 4),
            _spread([r.hv_test for r in rows], 4),
            reach,
            f"{mean(r.wall_s for r in rows):.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def bands(methods: Mapping[str, Rows], what: str) -> str:
    """Test accuracy in percent, or loss, of the plan chosen on validation within each latency."""
    names = sorted({band for rows in methods.values() for row in rows for band in row.bands}, key=float, reverse=True)
    title = "test accuracy, %" if what == "accuracy" else "test loss"
    lines = [f"| {title}, at most | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for method, rows in methods.items():
        cells = []
        for band in names:
            values = [value for row in rows for value in row.bands.get(band, {}).get(what, ())]
            scaled = [100 * v for v in values] if what == "accuracy" else values
            missed = sum(band not in row.bands for row in rows)
            cells.append(_spread(scaled, 1 if what == "accuracy" else 3) + (f" ({missed} missed)" if missed else ""))
        lines.append(f"| {method} | {' | '.join(cells)} |")
    lines += ["", f"Noise: {noise(methods):.2f} points of accuracy, one plan over recovery seeds.", ""]
    return "\n".join(lines)


def noise(methods: Mapping[str, Rows]) -> float:
    """Standard deviation of one plan's accuracy over recovery seeds, in points, pooled over all plans."""
    variances = {}
    for rows in methods.values():
        for row in rows:
            for cell in row.bands.values():
                if len(cell["accuracy"]) > 1:
                    variances[cell["plan"]] = stdev(100 * a for a in cell["accuracy"]) ** 2
    return sqrt(mean(variances.values())) if variances else float("nan")


def comparisons(methods: Mapping[str, Rows]) -> str:
    """Ours minus each other, in points of test accuracy, with its interval and number of pairs; losses too."""
    names = sorted({band for row in methods.get(OURS, ()) for band in row.bands}, key=float, reverse=True)
    lines = [f"| ours minus, points | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for method, rows in methods.items():
        if method != OURS:
            told = [_interval(pairs(methods.get(OURS, ()), rows, band)) for band in names]
            lines.append(f"| {method} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def pairs(ours: Rows, others: Rows, band: str) -> list[float]:
    """Differences of accuracy in points, search seed by search seed and recovery seed by recovery seed."""
    found: list[float] = []
    for row in ours:
        alike = [other for other in others if other.seed == row.seed] or list(others[:1])
        for other in alike:
            mine, theirs = (r.bands.get(band, {}).get("accuracy", ()) for r in (row, other))
            found += [100 * (a - b) for a, b in zip(mine, theirs, strict=False)]
    return found


def bars(methods: Mapping[str, Rows]) -> Iterator[str]:
    """What is claimed, and whether it holds in these rows."""
    ours = methods.get(OURS)
    if not ours:
        return
    volume = mean(row.hv_test for row in ours)
    plain = {m: rows for m, rows in methods.items() if m.startswith(UNIFORM)}
    if plain:
        best = max(plain, key=lambda m: mean(r.hv_validation for r in plain[m]))
        yield f"hypervolume on test: {_times(volume, plain[best])} {best}, the best uniform"
    raw = {m: rows for m, rows in methods.items() if m in _RAW}
    if raw:
        best = max(raw, key=lambda m: mean(r.hv_validation for r in raw[m]))
        yield f"hypervolume on test: {_times(volume, raw[best])} {best}, the best raw sampler"
    yield from _against_uniform(ours, plain, noise(methods))
    rivals = {m: rows for m, rows in methods.items() if not m.startswith(OURS)}
    if rivals:
        yield _half(ours, rivals)


def _against_uniform(ours: Rows, plain: Mapping[str, Rows], floor: float) -> Iterator[str]:
    """Band by band, against the uniform that is best on validation hypervolume's own terms: accuracy there."""
    names = sorted({band for row in ours for band in row.bands}, key=float, reverse=True)
    for band in names:
        scored = {m: [a for r in rows for a in r.bands.get(band, {}).get("accuracy", ())] for m, rows in plain.items()}
        scored = {m: values for m, values in scored.items() if values}
        if scored:
            best = max(scored, key=lambda m: mean(scored[m]))
            gain = _interval(pairs(ours, plain[best], band))
            yield f"at {band}: {gain} points over {best}, the best uniform there (noise {floor:.2f})"


def _half(ours: Rows, rivals: Mapping[str, Rows]) -> str:
    """On test, of fronts chosen on validation; seed by seed, for a recovery seed that is bad is bad for everyone."""
    best = max(rivals, key=lambda m: mean(r.hv_test for r in rivals[m]))
    goals = {row.seed: row.hv_test for row in rivals[best]}
    parts = []
    for row in ours:
        goal = goals.get(row.seed, mean(goals.values()))
        at = next((passes for passes, _, _, told in row.course if told >= goal), None)
        parts.append(f"{goal:.4f} " + ("never" if at is None else f"after {at / row.budget:.2f}"))
    return f"reaches {best}'s final hypervolume on test, seed by seed, of the budget: {', '.join(parts)}"


def _times(volume: float, rows: Rows) -> str:
    theirs = mean(row.hv_test for row in rows)
    return f"{volume / theirs:.2f} x" if theirs else f"{volume:.3f}, and 0 is that of"


def _interval(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:+.1f}" if values else "–"
    half = float(student.ppf(0.975, len(values) - 1)) * stdev(values) / sqrt(len(values))
    return f"{mean(values):+.1f} ± {half:.1f} ({len(values)})"


def _spread(values: Sequence[Any], digits: int) -> str:
    if not values:
        return "–"
    told = f"{mean(values):.{digits}f}"
    return f"{told} ± {stdev(values):.{digits}f}" if len(values) > 1 else told
