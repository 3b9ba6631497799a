"""What a trial is predicted to take beside time: energy and bytes of weights."""

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the columns; of prices that are there neither is known."""
    for name in ("energy_mj", "weight_bytes"):
        op.add_column("trial_costs", sa.Column(name, sa.Float(53), nullable=True))


def downgrade() -> None:
    """Drop them again."""
    with op.batch_alter_table("trial_costs") as table:
        table.drop_column("weight_bytes")
        table.drop_column("energy_mj")
