"""All SQL of the product: tables, one repository a noun, and the artefact store beside them.

Repositories take an open session and never commit; the boundary (a request, a coordinator's step) does, with
`with database.begin() as session:`. They answer with frozen records, never with rows.
"""
