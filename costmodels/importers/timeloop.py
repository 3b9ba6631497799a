"""Timeloop with Accelergy: stats.txt, one file a layer, and the problem YAML that says which layer it was.

Of the statistics the summary is read (cycles, energy, computes) and how many words of each operand the outermost
level holds: dense counts, by which a problem finds its statistics whatever the files are called. Versions before
sparse modelling write `Computes` for `Algorithmic Computes`. Without a problem the layer is known by counts alone.

Where a problem states weights with zeros, the row is of that sparsity and the dense run of the same layer must be
given too. Statistics alone do not tell zeros in weights from zeros in inputs: a note says how much was left out.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import permutations

from costmodels.importers.base import Files, Given, Importer, build, printable, unique
from costmodels.importers.cells import HEAD, number, refuse
from costmodels.importers.files import SourceFile
from costmodels.importers.tables import clock_hz, of_one
from costmodels.importers.timeloop_problem import Problem, is_problem, read_problem
from costmodels.profile import Profile, ProfileLayer, ProfileRow

_ENERGY = re.compile(r"^Energy: (\S{1,40}) ([pnum]?J)\b", re.MULTILINE)
_CYCLES = re.compile(r"^Cycles: (\S{1,40})", re.MULTILINE)
_COMPUTES = re.compile(r"^(Algorithmic |Actual |)Computes = (\S{1,40})", re.MULTILINE)
_OPERAND = re.compile(r"^[ \t]{1,12}(\w{1,40}):[ \t]{0,8}\r?$|\bPartition size[ \t]{1,80}: (\d{1,18})\b", re.MULTILINE)
_MILLIJOULE = {"pJ": 1e-9, "nJ": 1e-6, "uJ": 1e-3, "mJ": 1.0, "J": 1e3}
_SHOWN = 5
_ENDING = re.compile(r"\.(?:txt|stats|timeloop-mapper|timeloop-model)$")


@dataclass(frozen=True)
class _Run:
    """What one stats.txt says; words of weights and outputs are None where it has no operands of those names."""

    file: SourceFile
    cycles: float
    energy_mj: float | None
    computes: float
    carried_out: float
    weights: int | None
    outputs: int | None
    problem: Problem | None = None

    @property
    def pattern(self) -> str:
        """Of the weights, as the problem states it."""
        return self.problem.pattern if self.problem else "dense"

    @property
    def density(self) -> float:
        """Share of multiply-adds that meet two non-zeros; not below 1 where no problem says it."""
        return self.problem.weights_density * self.problem.inputs_density if self.problem else 1.0

    @property
    def counts(self) -> tuple[object, ...]:
        """What runs of one layer have in common."""
        return (self.computes, self.weights, self.outputs)

    def is_of(self, problem: Problem) -> bool:
        """Whether the counts are those of the problem."""
        ours = (self.weights, self.outputs)
        same = all(mine in (None, theirs) for mine, theirs in zip(ours, problem.counts or ours, strict=True))
        return same and self.computes == problem.computes


def _role(file: SourceFile) -> str | None:
    head = file.text[:HEAD]
    if head.lstrip().startswith("Buffer and Arithmetic Levels") or re.search(r"^Summary Stats\r?$", head, re.MULTILINE):
        return "stats"
    return "problem" if is_problem(file) else None


def _read(files: Files, given: Given) -> Profile:
    runs = [_run(file) for file in files["stats"]]
    runs = _with_problems(runs, [read_problem(file) for file in files.get("problem", ())])
    batch = _batch(runs)
    hz = clock_hz(runs[0].file, given)
    dense = [run for run in runs if run.pattern == "dense"]
    layers = unique(_layer(run, given, len(dense), batch) for run in dense)
    named = [(layer.name, run) for layer, run in zip(layers, dense, strict=True)]
    rows = [
        ProfileRow(layer=name, pattern=run.pattern, latency_ms=run.cycles / hz * 1e3, energy_mj=run.energy_mj)
        for name, run in [*named, *_sparse(runs, named)]
    ]
    return build(
        files,
        given,
        layers,
        rows,
        source="simulated",
        tool="timeloop",
        batch=batch,
        original_unit="cycles",
        clock_hz=hz,
        note=_note(named),
    )


def _run(file: SourceFile) -> _Run:
    summary = file.text[at:] if (at := file.text.rfind("\nSummary Stats")) >= 0 else ""
    computes = {match[1].strip(): number(match[2]) for match in _COMPUTES.finditer(summary)}
    cycles, energy = _CYCLES.search(summary), _ENERGY.search(summary)
    values = {
        "Cycles": number(cycles[1]) if cycles else None,
        "Energy": number(energy[1]) if energy else 0.0,
        "Algorithmic Computes": computes.get("Algorithmic", computes.get("")),
    }
    values["Actual Computes"] = computes.get("Actual", values["Algorithmic Computes"])
    refuse(file, [problem for name, value in values.items() if (problem := _wrong(name, value, name != "Energy"))])
    found = {name: value or 0.0 for name, value in values.items()}
    operands = _operands(file.text)
    return _Run(
        file,
        found["Cycles"],
        found["Energy"] * _MILLIJOULE[energy[2]] if energy else None,
        found["Algorithmic Computes"],
        found["Actual Computes"],
        operands.get("Weights"),
        operands.get("Outputs"),
    )


def _wrong(name: str, value: float | None, is_positive: bool) -> str:
    if value is None:
        return f"Summary Stats has no {name}, or no number: the file is cut off, or the mapper found no mapping"
    return f"Summary Stats: {name} is {value:g}" if value < 0.0 or (is_positive and value == 0.0) else ""


def _operands(text: str) -> dict[str, int]:
    """Words of each operand where most of it is held: the outermost level holds all."""
    found: dict[str, int] = defaultdict(int)
    operand = ""
    for match in _OPERAND.finditer(text):
        if match[1]:
            operand = match[1]
        elif operand:
            found[operand] = max(found[operand], int(match[2]))
    return found


def _with_problems(runs: list[_Run], problems: list[Problem]) -> list[_Run]:
    """Each problem goes to statistics with its counts, those of zeros to runs that left computes out; else in order."""
    found = list(runs)
    for problem in problems:
        free = [index for index, run in enumerate(found) if run.problem is None and run.is_of(problem)]
        if not free:
            raise problem.file.refusal(
                "is of none of the statistics given: no run has its computes, weights and outputs"
            )
        alike = [index for index in free if (found[index].carried_out < found[index].computes) == problem.has_zeros]
        index = (alike or free)[0]
        found[index] = replace(found[index], problem=problem)
    for one, other in permutations(found, 2):
        if one.counts == other.counts and one.density < other.density and one.carried_out > other.carried_out:
            raise one.file.refusal(
                "carried out more than a run with more non-zeros: give problems in the order of their statistics"
            )
    return found


def _sparse(runs: list[_Run], named: list[tuple[str, _Run]]) -> list[tuple[str, _Run]]:
    """The runs of sparse weights, each with the name of the dense run of its layer; among equals in order."""
    found, taken = [], set()
    for run in (run for run in runs if run.pattern != "dense"):
        partners = [(name, dense) for name, dense in named if dense.counts == run.counts]
        free = [(name, dense) for name, dense in partners if (name, run.pattern) not in taken]
        if not free:
            raise run.file.refusal(
                f"is a run of weights at {run.pattern}, which does not say what sparsity gains: "
                "give stats.txt of the dense run of the same layer with it"
            )
        name, dense = free[0]
        if dense.problem is None and dense.carried_out < dense.computes:
            raise dense.file.refusal("stands for the dense run but left out computes: give its problem YAML too")
        if run.problem and dense.problem and run.problem.inputs_density != dense.problem.inputs_density:
            raise run.file.refusal("has inputs of another density than its dense run: only the weights may differ")
        taken.add((name, run.pattern))
        found.append((name, run))
    return found


def _batch(runs: list[_Run]) -> int | None:
    batches = {run.problem.batch for run in runs if run.problem} - {None}
    if len(batches) > 1:
        raise runs[0].file.refusal(
            f"and the others have batches (N) of {sorted(map(str, batches))}: one profile has one"
        )
    return next(iter(batches), None)


def _layer(run: _Run, given: Given, count: int, batch: int | None) -> ProfileLayer:
    """Named by the person where it is the only one, else by its file."""
    stem = printable(run.file.name.replace("\\", "/").rpartition("/")[2])
    while (shorter := _ENDING.sub("", stem)) != stem:
        stem = shorter
    name = (given.layer if count == 1 and given.layer else stem) or "layer"
    if run.problem:
        return run.problem.described(name)
    samples = given.batch if given.batch is not None else batch
    return ProfileLayer(name=name, weights=run.weights, macs=of_one(run.computes, samples))


def _note(named: list[tuple[str, _Run]]) -> str:
    """Dense rows of runs that left something out, which may be due to zeros in the inputs or in the weights."""
    partial = [(name, run) for name, run in named if run.carried_out < run.computes]
    if not partial:
        return ""
    shown = ", ".join(f"{name[:80]} {run.carried_out / run.computes:.1%}" for name, run in partial[:_SHOWN])
    return (
        f"{len(partial)} runs carried out only a share of their computes ({shown}); their times are taken for dense "
        "ones, which is right only if the zeros were in the inputs."
    )


TIMELOOP = Importer(
    name="timeloop",
    title="Timeloop",
    roles={"stats": "stats.txt, one a layer", "problem": "the problem YAML of a layer"},
    required=("stats",),
    recognise=_role,
    read=_read,
)
