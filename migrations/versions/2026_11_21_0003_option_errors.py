"""Errors of single options, shared by searches."""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the table; error tables that are there stay, and are found by the searches that know their keys."""
    op.create_table(
        "option_errors",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("option_digest", sa.String(64), nullable=False),
        sa.Column("option", sa.Text(), nullable=False),
        sa.Column("weights_digest", sa.String(64), nullable=False),
        sa.Column("how", sa.String(20), nullable=False),
        sa.Column("error", sa.Float(53), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", "option_digest", name="pk_option_errors"),
    )
    op.create_index("ix_option_errors_weights_digest_how", "option_errors", ["weights_digest", "how"])


def downgrade() -> None:
    """Drop it again."""
    op.drop_table("option_errors")
