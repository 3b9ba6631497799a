"""Where a measurement was made; shipped trials."""

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the columns; measurements that are there come from their searches."""
    op.add_column("measurements", sa.Column("origin", sa.JSON(), nullable=True))
    op.add_column("trials", sa.Column("shipped", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Drop them again."""
    with op.batch_alter_table("trials") as table:
        table.drop_column("shipped")
    with op.batch_alter_table("measurements") as table:
        table.drop_column("origin")
