"""The form of a task function, and what several of them need."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Report = Callable[[float, str], None]
Answer = tuple[Mapping[str, Any], Mapping[str, str]]
TaskFunction = Callable[[Mapping[str, Any], Path, Report], Answer]


def setting(payload: Mapping[str, Any]) -> Any:
    """The `Setting` that a payload describes.

    Raises:
        DatasetError: code `dataset_mismatch`, where data, task and model do not go together.
    """
    from app.search.evaluation.evaluate import Setting
    from app.search.samples.batches import check_fit
    from app.search.samples.dataset import Dataset
    from app.search.spec import SearchSpec
    from pruning.graphnet import load_files
    from pruning.layers import ModelSpec

    found = Setting(
        net=load_files(payload["graph"], payload["weights"]),
        model=ModelSpec.from_json(payload["model_spec"]),
        dataset=Dataset(Path(payload["dataset"])),
        spec=SearchSpec.from_json(payload["search_spec"]),
    )
    check_fit(found.dataset, found.spec.task, found.model, found.takes)
    return found
