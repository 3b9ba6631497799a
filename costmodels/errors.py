"""Everything `costmodels` raises on purpose.

CostModelError
├── ProfileError      a profile that is refused; `problems` lists every row that is wrong
├── MatchError        a profile that does not fit the model
├── MeasureError      a machine that cannot be measured in the way asked for
└── AcceleratorError  an accelerator that is not in the catalogue, or a broken entry
"""

from collections.abc import Sequence


class CostModelError(ValueError):
    """Root of the package's errors; `code` is a stable word that programs may test."""

    code = "cost_model"


class ProfileError(CostModelError):
    """A profile that is refused; `problems` lists every row that is wrong."""

    code = "profile_refused"

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


def refuse(what: str, problems: Sequence[str]) -> None:
    """Raise ProfileError with all problems, the first ones in the message; do nothing without any."""
    if problems:
        shown = "; ".join(problems[:3])
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ProfileError(f"{what} is refused: {shown}{more}", problems)


class MatchError(CostModelError):
    """A profile that does not fit the model."""

    code = "profile_mismatch"


class MeasureError(CostModelError):
    """A machine that cannot be measured in the way asked for."""

    code = "not_measurable"


class AcceleratorError(CostModelError):
    """An accelerator that is not in the catalogue, or a broken entry."""

    code = "accelerator"
