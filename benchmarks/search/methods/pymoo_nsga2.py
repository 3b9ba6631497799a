"""pymoo's NSGA-II (Blank and Deb 2020) over one variable a layer. Optional: pymoo is no dependency."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.search.methods.black_box import population
from benchmarks.search.session import Session

MISSING = "" if find_spec("pymoo") else "pymoo is not installed"


def pymoo_nsga2(session: Session) -> None:
    """Integer variables by rounding repair, as pymoo's own mixed-integer examples do."""
    problem = session.problem
    tops = np.array([len(gene.options) - 1 for gene in problem.genes])
    algorithm = import_module("pymoo.algorithms.moo.nsga2").NSGA2(
        pop_size=population(session.affordable),
        sampling=import_module("pymoo.operators.sampling.rnd").IntegerRandomSampling(),
        crossover=_operator("crossover.sbx", "SBX", prob=1.0, eta=3.0),
        mutation=_operator("mutation.pm", "PM", prob=1.0, eta=3.0),
        eliminate_duplicates=True,
    )
    declared = import_module("pymoo.core.problem").Problem(n_var=len(tops), n_obj=2, xl=0, xu=tops, vtype=int)
    algorithm.setup(declared, seed=session.seed, termination=("n_gen", 10**9), verbose=False)
    evaluated = import_module("pymoo.core.evaluator").Evaluator
    static = import_module("pymoo.problems.static").StaticProblem
    while True:
        asked = algorithm.ask()
        points = [session.evaluate(problem.plan([int(x) for x in row])) for row in asked.get("X")]
        values = np.array([(point.latency, point.validation) for point in points])
        evaluated().eval(static(declared, F=values), asked)
        algorithm.tell(infills=asked)


def _operator(module: str, name: str, **settings: Any) -> Any:
    repair = import_module("pymoo.operators.repair.rounding").RoundingRepair()
    return getattr(import_module(f"pymoo.operators.{module}"), name)(vtype=float, repair=repair, **settings)
