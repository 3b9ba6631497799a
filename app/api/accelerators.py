"""The catalogue of accelerators: data that comes with the product, every number with its source."""

from dataclasses import asdict

from fastapi import APIRouter

from app.api.schemas import AcceleratorOut, Page
from app.api.service import Id
from app.errors import Problem
from costmodels import accelerator as catalogue
from costmodels.errors import AcceleratorError

router = APIRouter(prefix="/accelerators", tags=["accelerators"])


@router.get("")
def list_accelerators() -> Page[AcceleratorOut]:
    """The targets that can be priced without a measurement."""
    return Page[AcceleratorOut](items=[_out(name) for name in catalogue.names()], next=None)


@router.get("/{name}")
def get_accelerator(name: Id) -> AcceleratorOut:
    """One target, with the source of each of its numbers and what is unknown about it."""
    try:
        return _out(name)
    except AcceleratorError as error:
        raise Problem(404, "not_found", str(error)) from error


def _out(name: str) -> AcceleratorOut:
    found = catalogue.load(name)
    return AcceleratorOut(
        name=found.name,
        title=found.title,
        device=found.device,
        summary=found.summary,
        precisions=list(found.precisions),
        rewards=list(found.rewards()),
        document=asdict(found),
    )
