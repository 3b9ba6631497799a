"""What the pages' forms have in common: fields left empty, and why what was filled in cannot be done."""

from collections.abc import Mapping

from pydantic import ValidationError

from app.errors import Problem


def filled(fields: Mapping[str, str]) -> dict[str, str]:
    """The fields that hold something, without the blanks around it."""
    return {name: text.strip() for name, text in fields.items() if text.strip()}


def complaint(error: Problem | ValidationError) -> str:
    """The first thing that is wrong, in a sentence that names its field."""
    if isinstance(error, Problem):
        return error.detail
    first = error.errors(include_url=False, include_input=False)[0]
    said = str(first["msg"]).removeprefix("Value error, ")
    where = ", ".join(str(part) for part in first["loc"] if not isinstance(part, int))
    return f"{where.replace('_', ' ')}: {said}" if where else said
