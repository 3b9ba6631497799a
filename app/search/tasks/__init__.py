"""What an executor's child can be asked to do: `TASKS`, by kind. Pure functions of JSON and files.

Each takes its payload, a folder of its own for files, and a way to report progress; it answers with JSON and with the
files it made, by kind. torch is imported where it is used, so that naming a task costs nothing.
"""

from collections.abc import Mapping

from app.search.executor import TaskKind
from app.search.tasks.apply import apply
from app.search.tasks.base import TaskFunction
from app.search.tasks.export import export
from app.search.tasks.inspect import inspect
from app.search.tasks.prepare import prepare
from app.search.tasks.profile import profile
from app.search.tasks.score import score
from app.search.tasks.trial import trial
from app.search.tasks.verify import verify

TASKS: Mapping[TaskKind, TaskFunction] = {
    "apply": apply,
    "export": export,
    "inspect": inspect,
    "prepare": prepare,
    "profile": profile,
    "score": score,
    "trial": trial,
    "verify": verify,
}
