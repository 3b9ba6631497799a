"""Work asked for one trial: exports, plans applied again, verifications."""

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "trial_requests",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("project_id", sa.String(36), nullable=False),
        sa.Column("search_id", sa.String(36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("failure", sa.JSON(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_trial_requests"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_trial_requests_project_id"),
        sa.ForeignKeyConstraint(["search_id"], ["searches.id"], name="fk_trial_requests_search_id"),
    )
    op.create_index("ix_trial_requests_search_id_number_id", "trial_requests", ["search_id", "number", "id"])
    op.create_index("ix_trial_requests_kind_state", "trial_requests", ["kind", "state"])


def downgrade() -> None:
    """Drop it again."""
    op.drop_table("trial_requests")
