"""What a model is judged by, for every kind of task: `JUDGES`. docs/tasks.md shows how another task is added."""

from collections.abc import Mapping
from typing import Any

from app.search.judging.base import Headline, Judge, Reading
from app.search.judging.classification import Classification
from app.search.judging.language_modelling import LanguageModelling
from app.search.judging.regression import Regression
from app.search.spec_parts import Task

__all__ = ["JUDGES", "Headline", "Judge", "Reading", "headline_of", "judge_of"]

JUDGES: Mapping[str, type[Judge]] = {
    "classification": Classification,
    "regression": Regression,
    "language_modelling": LanguageModelling,
}


def judge_of(task: Task, meta: Mapping[str, Any]) -> Judge:
    """The judge of a task on a dataset with this meta data."""
    return JUDGES[task.kind](task, meta)


def headline_of(search_spec: Mapping[str, Any]) -> Headline:
    """The headline of a search, from its stored spec; searches of version 0.1 know classification alone."""
    return JUDGES[search_spec.get("task", {}).get("kind", "classification")].headline
