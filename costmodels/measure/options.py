"""What can be asked of a campaign. Without torch, so that asking costs nothing."""

from dataclasses import dataclass
from typing import Literal, get_args

from costmodels.errors import MeasureError

BackendName = Literal["eager", "compile", "onnxruntime"]
DeviceName = Literal["cpu", "cuda"]
Precision = Literal["float32", "float16", "bfloat16"]
Statistic = Literal["p10", "median"]


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """How to measure. `budget_s` is spent on timing; heavy models and compilers take longer.

    `statistic` is the one that the profile's latencies are; the other is told beside it.
    """

    batch: int = 64
    threads: int = 1
    backend: BackendName = "eager"
    device: DeviceName = "cpu"
    precision: Precision = "float32"
    statistic: Statistic = "p10"
    budget_s: float = 12.0

    def __post_init__(self) -> None:
        words = {"backend": BackendName, "device": DeviceName, "precision": Precision, "statistic": Statistic}
        for key, known in words.items():
            if getattr(self, key) not in get_args(known):
                raise MeasureError(f"{key} {getattr(self, key)!r:.60} is none of {', '.join(get_args(known))}")
        if self.batch < 1 or self.threads < 1 or not self.budget_s > 0:
            raise MeasureError("batch and threads are at least 1, and budget_s is more than 0")
        if self.precision != "float32" and self.device != "cuda":
            raise MeasureError(f"{self.precision} is measured on cuda alone; ask for float32 on {self.device}")
