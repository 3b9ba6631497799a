"""The methods by name, in the order of their worth for the report: what runs first is what is missed most."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from benchmarks.search.methods import black_box, ours
from benchmarks.search.methods.allocators import owl, uniform
from benchmarks.search.methods.evopress import evopress
from benchmarks.search.methods.fastnas import fastnas
from benchmarks.search.methods.pymoo_nsga2 import MISSING, pymoo_nsga2
from benchmarks.search.methods.spdy import spdy
from benchmarks.search.session import Session
from pruning.patterns import NM, Channel, Unstructured

Kind = Literal["table", "small", "net"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method; `on` which kinds of problems; `drawn` says whether it draws itself; `missing` why it cannot run.

    `generous` multiplies the budget on tables, where evaluations are cheap: rivals are given more than is due.
    """

    run: Callable[[Session], None]
    on: tuple[Kind, ...] = ("table", "small", "net")
    drawn: bool = True
    generous: int = 1
    missing: str = ""


_TABLES: tuple[Kind, ...] = ("table", "small")
_NET: tuple[Kind, ...] = ("net",)
_ZEROS = Unstructured(0.5)

METHODS: Mapping[str, Method] = {
    "uniform": Method(run=partial(uniform, pattern=_ZEROS), drawn=False),
    "ours": Method(run=ours.searched, on=_NET),
    "ours unseen": Method(run=ours.unseen, on=_TABLES, drawn=False),
    "ours solver alone": Method(run=ours.solver_alone, on=_NET, drawn=False),
    "global magnitude": Method(run=partial(uniform, pattern=_ZEROS, method="global"), on=_NET, drawn=False),
    "ERK": Method(run=partial(uniform, pattern=_ZEROS, method="erk"), on=_NET, drawn=False),
    "uniform PDP": Method(run=partial(uniform, pattern=_ZEROS, pruner="pdp"), on=_NET, drawn=False),
    "uniform SparseGPT": Method(run=partial(uniform, pattern=_ZEROS, pruner="sparsegpt"), on=_NET, drawn=False),
    "EvoPress-style": Method(run=evopress),
    "SPDY": Method(run=spdy),
    "TPE multivariate": Method(run=partial(black_box.with_optuna, make=black_box.tpe_multivariate)),
    "FastNAS-style": Method(run=fastnas, drawn=False),
    "OWL-like": Method(run=owl, on=_NET, drawn=False),
    "uniform channels": Method(run=partial(uniform, pattern=Channel(0.5)), on=_NET, drawn=False),
    "uniform keep2of4": Method(run=partial(uniform, pattern=NM(2, 4)), on=_NET, drawn=False),
    "uniform keep1of4": Method(run=partial(uniform, pattern=NM(1, 4)), on=_NET, drawn=False),
    "random": Method(run=black_box.random, generous=25),
    "Optuna NSGA-II": Method(run=partial(black_box.with_optuna, make=black_box.nsga2), generous=5),
    "TPE independent": Method(run=partial(black_box.with_optuna, make=black_box.tpe)),
    "pymoo NSGA-II": Method(run=pymoo_nsga2, generous=25, missing=MISSING),
    "GP": Method(run=partial(black_box.with_optuna, make=black_box.gp), on=("small",)),
    "ours hull alone": Method(run=partial(ours.unseen, buckets=0), on=_TABLES, drawn=False),
    "ours magnitude only": Method(run=partial(ours.searched, pruners=("magnitude",), error_table="oneshot"), on=_NET),
    "ours solver alone PDP": Method(run=partial(ours.solver_alone, pruner="pdp"), on=_NET, drawn=False),
    "ours solver alone plain sum": Method(run=partial(ours.solver_alone, sharpness=1.0), on=_NET, drawn=False),
    "ours prior only": Method(run=partial(ours.searched, error_table="prior"), on=_NET),
    "ours one-shot table": Method(run=partial(ours.searched, error_table="oneshot"), on=_NET),
    "ours no refit": Method(run=partial(ours.searched, refit=False), on=_NET),
    "ours with rungs": Method(run=partial(ours.searched, rungs=(0,)), on=_NET),
    "ours random sampler": Method(run=partial(ours.searched, sampler="random"), on=_NET),
    "ours raw coordinates": Method(run=partial(ours.searched, coordinates="raw"), on=_NET),
}
