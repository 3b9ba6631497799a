"""The runs in a Chrome trace of PyTorch's profiler: of nested operators one each, of repeated runs each by itself.

Operators nest (`aten::conv2d` holds `aten::convolution`, ...): of every chain one is counted. `prof.step()` marks the
runs; without it the sequence of layers must repeat, and in a way that cannot be mistaken for equal layers of one run.
Under CUDA the kernels' times count, joined to what launched them by their correlation; that part is written from the
documented layout of traces, not from a sample.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from costmodels.importers.cells import bad_time, quoted, refuse
from costmodels.importers.files import SourceFile
from costmodels.importers.repeats import period
from costmodels.importers.torch_ops import MULTIPLYING, Event, described

_STEP = "ProfilerStep#"
_KERNELS = ("kernel", "gpu_memcpy", "gpu_memset")
_LAUNCHES = ("cuda_runtime", "cuda_driver")
_TRAINING = ("autograd::", "Optimizer.")
_MAX_US = 1e18  # traces count from the start of the machine or of the epoch
_MAX_NESTING = 64


@dataclass(frozen=True)
class Call:
    """One counted operator: its event and what it took, on the device where there is one."""

    event: Event
    latency_ms: float

    @property
    def multiplies(self) -> bool:
        """Whether it multiplies weights."""
        return self.event["name"] in MULTIPLYING

    @property
    def key(self) -> tuple[str, str, str]:
        """What is the same in every run: the operator, its shapes and, of a layer, its stride and the like."""
        args = self.event["args"]
        settings = str(args.get("Concrete Inputs")) if self.multiplies else ""
        return self.event["name"], str(args.get("Input Dims")), settings


def runs_of(file: SourceFile) -> list[list[Call]]:
    """The counted operators of each run, in order; every run has the same.

    Raises:
        ProfileError: no shapes, no layers, training, several threads, or runs that differ or cannot be told apart.
    """
    events = _events(file)
    calls = _calls(file, events)
    steps = [event for event in events if event["name"].startswith(_STEP) and event.get("cat") == "user_annotation"]
    runs = _by_step(calls, steps) or _by_repetition(file, calls)
    keys = [[call.key for call in run] for run in runs]
    for number, other in enumerate(keys[1:], start=2):
        if other != keys[0]:
            raise file.refusal(_difference(keys[0], other, number))
    return runs


def _events(file: SourceFile) -> list[Event]:
    """The complete events, in order of time, the outer before the inner."""
    problems: list[str] = []
    found = []
    for at, event in enumerate(file.json["traceEvents"], start=1):
        if not isinstance(event, dict) or event.get("ph") != "X":
            continue
        if not isinstance(event.get("name"), str) or not isinstance(event.get("args", {}), dict):
            problems.append(f"event {at}: it has no name, or args that are no object")
            continue
        if wrong := bad_time(event, _MAX_US):
            problems.append(f"event {at} ({quoted(event['name'])}): {wrong}")
        found.append(event | {"args": event.get("args", {})})
    refuse(file, problems)
    return sorted(found, key=lambda event: (event["ts"], -event["dur"]))


def _calls(file: SourceFile, events: Sequence[Event]) -> list[Call]:
    operators = [event for event in events if event.get("cat") == "cpu_op"]
    if training := next((event for event in operators if event["name"].startswith(_TRAINING)), None):
        raise file.refusal(f"is of training ({quoted(training['name'])}): profile the forward pass under no_grad")
    layers = [event for event in operators if event["name"] in MULTIPLYING]
    threads = {_thread(event) for event in layers}
    if len(threads) != 1:
        where = f"layers in {len(threads)} threads" if threads else "no convolution or linear"
        raise file.refusal(f"holds {where}: profile the forward pass of one model in one thread")
    if not all(event["args"].get("Input Dims") for event in layers):
        raise file.refusal("holds no shapes: profile with record_shapes=True")
    on_device_ms = _device_times(events)
    if on_device_ms is not None and not any(on_device_ms.values()):
        raise file.refusal("holds kernels but not what launched them: profile with the CPU and the CUDA activity")
    return [
        Call(event, event["dur"] / 1e3 if on_device_ms is None else on_device_ms.get(id(event), 0.0))
        for event in _counted([event for event in operators if _thread(event) in threads])
    ]


def _thread(event: Event) -> tuple[str, str]:
    return str(event.get("pid")), str(event.get("tid"))


def _counted(operators: Sequence[Event]) -> Iterator[Event]:
    """One operator of every chain: the outermost that multiplies weights, else the outermost without any inside."""
    holders = _holders(operators)
    end = 0.0
    for event in operators:
        if event["ts"] >= end and id(event) not in holders:
            end = event["ts"] + event["dur"]
            yield event


def _holders(operators: Sequence[Event]) -> set[int]:
    """The operators around one that multiplies weights, which do not themselves."""
    found: set[int] = set()
    around: list[Event] = []
    for event in operators:
        while around and around[-1]["ts"] + around[-1]["dur"] <= event["ts"]:
            around.pop()
        if event["name"] in MULTIPLYING:
            found.update(id(outer) for outer in around if outer["name"] not in MULTIPLYING)
            around.clear()  # all of them are marked now
        around.append(event)
    return found


def _by_step(calls: Sequence[Call], steps: Sequence[Event]) -> list[list[Call]]:
    """The runs between the marks of `prof.step()`, those without layers left out."""
    starts = [call.event["ts"] for call in calls]
    spans = [(bisect_left(starts, step["ts"]), bisect_left(starts, step["ts"] + step["dur"])) for step in steps]
    runs = [list(calls[first:last]) for first, last in spans]
    return [run for run in runs if any(call.multiplies for call in run)]


def _by_repetition(file: SourceFile, calls: Sequence[Call]) -> list[list[Call]]:
    """The runs that the repeated sequence of layers tells; what comes before the first or after the last is dropped."""
    at = [n for n, call in enumerate(calls) if call.multiplies]
    length = period([calls[n].key for n in at])
    if 2 * length > len(at):
        return [list(calls)]
    if len(at) % length:
        raise file.refusal(
            f"repeats {length} layers, and ends after {len(at) % length} of them: a run is cut off, or these "
            "are layers of one run; call prof.step() after each run, or profile a single one"
        )
    if _could_follow_itself(calls[at[length - 1]].event, calls[at[0]].event):
        raise file.refusal(
            f"repeats {length} layer(s) {len(at) // length} times, and what the last gives fits the first: these may "
            "be runs or equal layers of one run; call prof.step() after each run, or profile a single one"
        )
    size = at[length] - at[0]
    before = 0  # operators of a run before its first layer
    while before < at[0] and calls[at[0] - 1 - before].key == calls[at[length] - 1 - before].key:
        before += 1
    start = at[0] - before
    return [list(calls[n : n + size]) for n in range(start, start + size * (len(at) // length), size)]


def _could_follow_itself(last: Event, first: Event) -> bool:
    """Whether the last layer of the repeated part gives what its first one takes."""
    made, read = described("", last, 1), described("", first, 1)
    if made is None or read is None:
        return True
    given = (made.out_channels, made.output_size, made.positions if made.op == "linear" else None)
    return given == (read.in_channels, read.input_size, read.positions if read.op == "linear" else None)


def _difference(first: Sequence[tuple[str, ...]], other: Sequence[tuple[str, ...]], number: int) -> str:
    at = next((n for n, (a, b) in enumerate(zip(first, other, strict=False)) if a != b), min(len(first), len(other)))
    names = [quoted(run[at][0]) if at < len(run) else "the end" for run in (first, other)]
    return (
        f"holds runs that differ: operator {at + 1} is {names[0]} in run 1 and {names[1]} in run {number}, or of "
        "another shape; profile equal runs after a warm-up, or a single one"
    )


def _device_times(events: Sequence[Event]) -> dict[int, float] | None:
    """Milliseconds on the device by operator, None without a device; a kernel belongs to what launched it."""
    kernels = [event for event in events if event.get("cat") in _KERNELS]
    if not kernels:
        return None
    took_ms: dict[str, float] = {}
    for kernel in kernels:
        correlation = str(kernel["args"].get("correlation"))
        took_ms[correlation] = took_ms.get(correlation, 0.0) + kernel["dur"] / 1e3
    found: dict[int, float] = {}
    around: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        stack = around.setdefault(_thread(event), [])
        while stack and stack[-1]["ts"] + stack[-1]["dur"] <= event["ts"]:
            stack.pop()
        if event.get("cat") == "cpu_op":
            stack.append(event)
        elif event.get("cat") in _LAUNCHES:
            latency_ms = took_ms.pop(str(event["args"].get("correlation")), 0.0)
            for outer in stack[:_MAX_NESTING]:
                found[id(outer)] = found.get(id(outer), 0.0) + latency_ms
    return found
