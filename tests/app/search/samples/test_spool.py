"""Rows on disk read back as they were, and a dataset is prepared in far less memory than it has."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.search.samples.spool import Spool


@given(st.lists(st.integers(0, 5), max_size=6), st.sampled_from(["u1", "<f4", "<i8"]))
def test_rows_come_back_and_are_saved_as_numpy_would(counts: list[int], dtype: str) -> None:
    random = np.random.default_rng(0)
    pieces = [random.integers(0, 200, (count, 2, 3)).astype(dtype) for count in counts]
    whole = np.concatenate([np.empty((0, 2, 3), dtype), *pieces])
    spool = Spool((2, 3), dtype)
    for piece in pieces:
        spool.add(piece)
    saved, expected = BytesIO(), BytesIO()
    spool.save(saved)
    np.save(expected, whole)
    assert saved.getvalue() == expected.getvalue()
    assert np.array_equal(spool, whole) and spool.shape == whole.shape and len(spool) == len(whole)
    assert spool.nbytes == whole.nbytes
    if len(whole):
        assert np.array_equal(spool[-1], whole[-1])


PREPARE = """
import sys, tracemalloc
from pathlib import Path
from app.search.sources import prepare
def resident():  # without pages of files, which the system takes back when it needs them
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) // 1024
from app.search.samples import dataset as data
peak = 0
def report(*_):
    global peak
    peak = max(peak, resident())
before = resident()
tracemalloc.start()
folder = Path(sys.argv[1])
prepare("npz", folder / "big.npz", {}, report, folder).write(folder / "arrays.zip")
report()
print(tracemalloc.get_traced_memory()[1] // 2**20, peak - before)
"""


def test_a_dataset_is_prepared_in_less_than_half_of_its_size(tmp_path: Path) -> None:
    shape = (5_000, 3, 64, 120)  # 115 MB
    np.savez(tmp_path / "big.npz", x=np.zeros(shape, np.uint8), y=np.arange(5_000) % 10)
    command = [sys.executable, "-c", PREPARE, str(tmp_path)]
    told = subprocess.run(command, check=True, timeout=120, capture_output=True, text=True).stdout.split()
    assert (tmp_path / "arrays.zip").stat().st_size > 105 * 2**20
    traced_mb, grown_mb = map(int, told)
    assert traced_mb < 48 and grown_mb < 52, told
