"""The error table, in parts. Torch is imported where it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.search.tasks.base import Answer, Report
from app.search.tasks.base import setting as setting_of


def score(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:  # noqa: ARG001 - makes no files
    """The error of every option, one at a time, as the search's `error_table` says."""
    from app.search.samples.batches import check_fit
    from app.search.table.error_table import AT_ONCE, forwards
    from app.search.table.priors import prior_table
    from app.search.table.score import Scorer, read_options

    setting = setting_of(payload)
    check_fit(setting.dataset, setting.spec.task, setting.model)
    units = read_options(payload["options"])
    how = setting.spec.error_table
    calibration = setting.feed("calibration", setting.spec.calibration_samples) if forwards(units, how) else ()
    scorer = Scorer(
        net=setting.net,
        spec=setting.model,
        batches=list(calibration.in_order(128)) if calibration else [],
        judge=setting.judge,
        refit=how == "reconstructed",
    )
    prior = how == "prior" or how in AT_ONCE
    found = prior_table(how, scorer, units, setting.spec.seed) if prior else scorer.scored(units, report)
    return {"errors": found.errors, "samples": len(calibration), "sample_passes": found.sample_passes}, {}
