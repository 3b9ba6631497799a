"""Everything `pruning` raises on purpose.

PruningError
├── PatternError     a pattern that cannot exist, or cannot sit on this layer
├── PlanError        a plan that does not fit its model
├── IntakeError      a model file that is refused
├── GroupError       channels that cannot be removed as asked
├── CalibrationError calibration that gives no usable statistics
├── ExportError      a model that cannot be written in the form that was asked for
├── RecoveryError    training under masks that cannot go on
└── ConstraintError  final weights that break what their plan promised

The message is for a person: it names the offender, the limit and the way out.
"""


class PruningError(ValueError):
    """Root of the package's errors; `code` is a stable word that programs may test."""

    code = "pruning"


class PatternError(PruningError):
    """A pattern that cannot exist, or cannot sit on this layer."""

    code = "pattern"


class PlanError(PruningError):
    """A plan that does not fit its model."""

    code = "plan"


class IntakeError(PruningError):
    """A model file that is refused; nothing of it was run."""

    code = "model_refused"


class GroupError(PruningError):
    """Channels that cannot be removed as asked."""

    code = "group"


class CalibrationError(PruningError):
    """Calibration that gives no usable statistics: no batches, an unread weight, inputs that are not finite."""

    code = "calibration"


class RecoveryError(PruningError):
    """Training under masks that cannot go on: the batches ran out, or the loss is not finite."""

    code = "recovery"


class ExportError(PruningError):
    """A model that cannot be written in the form that was asked for."""

    code = "export"


class ConstraintError(PruningError):
    """Final weights that break what their plan promised; the model must not be used."""

    code = "constraint"
