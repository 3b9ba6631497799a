"""What a process of the comparison does: open the world once, then one run after the other."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.methods.cases import Case
from benchmarks.methods.run import Row, dense, one_thread, run
from benchmarks.methods.world import World, open_world
from pruning.masks import Sparse


@dataclass(frozen=True)
class Work:
    """One run to be done; without a case, the dense reference."""

    world: str
    case: Case | None
    pattern: Sparse | None
    steps: int
    seed: int

    @property
    def key(self) -> tuple[str, int, str, str, int]:
        """As the row's."""
        pattern = str(self.pattern) if self.pattern else "dense"
        return (self.world, self.steps, pattern, self.case.name if self.case else "dense", self.seed)


_WORLDS: list[World] = []  # the one this process works on, for as long as it lives


def begin(name: str, folder: str) -> None:
    """Open the world."""
    one_thread()
    _WORLDS[:] = [open_world(name, Path(folder))]


def do(work: Work) -> Row:
    """One run."""
    if work.case is None or work.pattern is None:
        return dense(_WORLDS[0], work.steps, work.seed)
    return run(_WORLDS[0], work.case, work.pattern, work.steps, work.seed)
