"""Estimates of searches, what they really took, and fronts on profiles that came later."""

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the columns and the table; searches that are there keep unknown estimates."""
    for name in ("estimate", "actual"):
        op.add_column("searches", sa.Column(name, sa.JSON(), nullable=True))
    op.create_table(
        "repricings",
        sa.Column("search_id", sa.String(36), nullable=False),
        sa.Column("profile_id", sa.String(36), nullable=False),
        sa.Column("calibration_id", sa.String(36), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("search_id", "profile_id", name="pk_repricings"),
        sa.ForeignKeyConstraint(["search_id"], ["searches.id"], name="fk_repricings_search_id"),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name="fk_repricings_profile_id"),
        sa.ForeignKeyConstraint(["calibration_id"], ["calibrations.id"], name="fk_repricings_calibration_id"),
    )


def downgrade() -> None:
    """Drop them again; column by column, for a copy of the table would part its rows from their trials."""
    op.drop_table("repricings")
    for name in ("actual", "estimate"):
        op.drop_column("searches", name)
