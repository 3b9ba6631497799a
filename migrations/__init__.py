"""The history of the tables, as Alembic revisions: one for SQLite and PostgreSQL."""
