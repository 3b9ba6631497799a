"""One history of the schema, for SQLite and PostgreSQL. Revisions import nothing of ours: they are frozen."""
