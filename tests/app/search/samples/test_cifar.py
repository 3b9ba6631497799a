"""The images kept beside the checkout, through the same doors as a user's: zip, reader, batches."""

import zipfile
from collections import Counter
from pathlib import Path

import pytest
import torch

from app.search.samples.batches import Feed, check_fit
from app.search.samples.dataset import Dataset
from app.search.sources import prepare
from app.search.spec import Task
from pruning.graphnet import load
from pruning.intake.reader import read_exported_program, write_model
from pruning.trace import trace
from tests.app.search.datasets import quiet

CIFAR = Path(__file__).parents[5] / "shared" / "data" / "cifar10-jpeg"
TASK = Task(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

pytestmark = [pytest.mark.shared, pytest.mark.skipif(not CIFAR.is_dir(), reason=f"{CIFAR} is not there")]


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The first 50 images of each class of both folders, as a zip of a user's own would be."""
    folder, taken = tmp_path_factory.mktemp("cifar"), Counter[str]()
    with zipfile.ZipFile(CIFAR / "cifar10-jpeg.zip") as whole, zipfile.ZipFile(folder / "some.zip", "w") as part:
        for name in sorted(whole.namelist()):
            place = name.rpartition("/")[0]
            if name.endswith(".jpg") and taken[place] < 50:
                taken[place] += 1
                part.writestr(name, whole.read(name))
    prepare("images", folder / "some.zip", {}, quiet).write(folder / "arrays.zip")
    return Dataset(folder / "arrays.zip")


def test_the_dense_model_is_as_accurate_as_its_authors_say(some: Dataset, tmp_path: Path) -> None:
    write_model(*read_exported_program(CIFAR / "resnet20.pt2"), tmp_path)
    net = load(tmp_path).eval()
    check_fit(some, TASK, trace(net))
    right = []
    for split in ("validation", "test"):
        for inputs, targets in Feed(some, split, TASK).in_order(100):
            with torch.no_grad():
                right.append(net(inputs).argmax(dim=1) == targets)
    accuracy = torch.cat(right).double().mean()
    assert len(torch.cat(right)) == 500
    assert 0.75 < accuracy < 0.87  # 0.805 on all 10,000, give or take three standard errors
