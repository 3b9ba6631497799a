"""How a model came: a file, or an architecture by name."""

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the column; models that are there came as files alone."""
    op.add_column("models", sa.Column("request", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Drop it again."""
    with op.batch_alter_table("models") as table:
        table.drop_column("request")
