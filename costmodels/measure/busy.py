"""Whether the machine was busy with something else while it was measured: three signs, each a sentence for people."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from costmodels.measure.timing import Clock

OTHERS_SHARE = 0.2  # of all processors: caches and memory are shared even where processors are not
OTHERS_LEAST = 0.1  # of one processor: what an idle system does by itself
WAITING_SHARE = 0.1
ROUNDS_SPREAD = 0.15


@dataclass(frozen=True, kw_only=True)
class Look:
    """The clocks at one moment, in nanoseconds."""

    wall: int
    process: int
    machine: int

    @classmethod
    def at(cls, clock: Clock) -> "Look":
        """Now."""
        return cls(wall=clock.wall_ns(), process=clock.process_ns(), machine=clock.machine_ns())


@dataclass(frozen=True, kw_only=True)
class Load:
    """What happened between two looks. `rounds_ms` is the whole net's time in each round."""

    before: Look
    after: Look
    cores: int
    threads: int
    on_processor: bool  # False where an accelerator does the work and the process waits for it
    rounds_ms: Sequence[float]

    @property
    def others(self) -> float:
        """Processors that other processes kept busy, on average; 0 where the system does not tell."""
        machine, process = self.after.machine - self.before.machine, self.after.process - self.before.process
        return max(0.0, machine - process) / max(1, self.after.wall - self.before.wall)

    @property
    def waiting(self) -> float:
        """Share of the time in which not even one thread of this process ran."""
        ran = (self.after.process - self.before.process) / max(1, self.after.wall - self.before.wall)
        return max(0.0, 1.0 - ran) if self.on_processor else 0.0

    def signs(self) -> Iterator[str]:
        """What says that the times are disturbed; nothing on a quiet machine."""
        spare = min(OTHERS_SHARE * self.cores, self.cores - self.threads)
        if self.others > max(OTHERS_LEAST, spare):
            yield f"other processes used {self.others:.1f} of its {self.cores} processors"
        if self.waiting > WAITING_SHARE:
            yield f"the measuring process was kept waiting for {self.waiting:.0%} of the time"
        slowest, fastest = max(self.rounds_ms), min(self.rounds_ms)
        if slowest > (1.0 + ROUNDS_SPREAD) * fastest:
            yield f"the whole net took {fastest:.4g} ms in one round and {slowest:.4g} ms in another"

    def warning(self) -> str:
        """One sentence, "" for a quiet machine."""
        signs = "; ".join(self.signs())
        return f"the machine was busy: {signs}. Measure again when it is quiet" if signs else ""
