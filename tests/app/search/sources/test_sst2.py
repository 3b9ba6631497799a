"""The sentences kept beside the checkout, through the same door as a user's, and the figures that go with them."""

from pathlib import Path

import numpy as np
import pytest

from app.search.samples.batches import Feed
from app.search.samples.dataset import Dataset
from app.search.sources import prepare
from app.search.spec import Task
from tests.app.search.datasets import quiet, zipped

SST2 = Path(__file__).parents[5] / "shared" / "data" / "sst2"

pytestmark = [pytest.mark.shared, pytest.mark.skipif(not SST2.is_dir(), reason=f"{SST2} is not there")]


def test_train_dev_and_test_stay_what_they_are(tmp_path: Path) -> None:
    members = {f"{name}.tsv": (SST2 / f"{name}.tsv").read_bytes() for name in ("train", "dev", "test")}
    prepared = prepare("text", zipped(tmp_path / "sst2.zip", members), {"length": 64}, quiet, tmp_path)
    prepared.write(tmp_path / "arrays.zip")
    data = Dataset(tmp_path / "arrays.zip")
    meta = data.meta
    assert meta["splits"] == {"train": 6228, "calibration": 692, "validation": 872, "test": 1821}
    assert meta["classes"] == ["0", "1"] and meta["columns"] == {"text": 1, "label": 0}
    assert meta["class_counts"]["test"] == [912, 909]
    assert meta["lengths"]["longest"] < 70 and meta["lengths"]["cut"] < 5
    assert 12_000 < meta["vocabulary"] < 16_000
    lines = members["dev.tsv"].decode().splitlines()
    (ids, mask), labels = Feed(data, "validation", Task()).read(data.numbers("validation"))
    assert labels.tolist() == [int(line[0]) for line in lines]
    words = meta["tokenizer"]["vocabulary"]
    sample = [words[n] for n in ids[0][mask[0] == 1]]
    assert [a for a, b in zip(sample[1:-1], lines[0].split("\t")[1].split(), strict=True) if a != b] in ([], ["[UNK]"])
    known = np.mean(ids[mask == 1].numpy() != 1)
    assert known > 0.93  # of the words of sentences that the vocabulary was not made of
