"""What a trial is judged by, whatever its task: its headline's value, the sign turned where lower is better.

Searches that are there are classifications: their accuracy is their quality.
"""

from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None

_INDEX = ("search_id", "state", "role", "{}", "number", "id")


def upgrade() -> None:
    """Rename the columns, and the index that answers progress and fronts."""
    _rename("accuracy", "quality")


def downgrade() -> None:
    """Name them accuracy again."""
    _rename("quality", "accuracy")


def _rename(before: str, after: str) -> None:
    old, new = (tuple(column.format(name) for column in _INDEX) for name in (before, after))
    op.drop_index("ix_trials_" + "_".join(old), table_name="trials")
    for table in ("trials", "front_points"):
        with op.batch_alter_table(table) as changed:
            changed.alter_column(before, new_column_name=after)
    op.create_index("ix_trials_" + "_".join(new), "trials", list(new))
