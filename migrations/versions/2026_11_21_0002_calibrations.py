"""Calibrations of profiles, and the interval of every predicted latency."""

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the table and the columns; costs that are there keep an unknown interval."""
    op.create_table(
        "calibrations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.Column("profile_id", sa.String(36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_calibrations"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_calibrations_project_id"),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name="fk_calibrations_profile_id"),
        sa.UniqueConstraint("profile_id", "version", name="uq_calibrations_profile_id_version"),
    )
    for name in ("low_ms", "high_ms"):
        op.add_column("trial_costs", sa.Column(name, sa.Float(53), nullable=True))


def downgrade() -> None:
    """Drop them again."""
    with op.batch_alter_table("trial_costs") as table:
        table.drop_column("high_ms")
        table.drop_column("low_ms")
    op.drop_table("calibrations")
