"""Architectures that can be uploaded by name, with what may be said of each. A file tells; no torch here."""

from fastapi import APIRouter

from app.api.schemas import ArchitectureOut, Page
from pruning.catalogue import catalogue

router = APIRouter(prefix="/architectures", tags=["models"])


@router.get("")
def list_architectures() -> Page[ArchitectureOut]:
    """Every architecture by name: the fields of its config with defaults and limits, and whether it is installed."""
    items = [
        ArchitectureOut(
            name=entry.name,
            library=entry.library or None,
            installed=entry.installed,
            fields={name: dict(limits) for name, limits in entry.fields.items()},
        )
        for entry in catalogue().values()
    ]
    return Page[ArchitectureOut](items=items, next=None)
