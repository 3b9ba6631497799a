"""The built-in digits."""

from pathlib import Path

import numpy as np

from app.search.samples.dataset import Prepared
from app.search.sources.base import Report
from app.search.sources.options import Options


def read_digits(_: Path | None, options: Options, report: Report, folder: Path | None = None) -> Prepared:  # noqa: ARG001
    """scikit-learn's handwritten digits: 1,797 real scans of 8 x 8 pixels with 17 grey levels, bundled with it."""
    from sklearn.datasets import load_digits

    report(0.1, "reading digits")
    scans = load_digits()
    inputs = (scans.images.astype(np.float32) / 16.0)[:, None]  # n x 1 x 8 x 8, in [0, 1]
    return Prepared(
        inputs=inputs,
        labels=scans.target.astype(np.int64),
        splits=options.shares.split(len(inputs)),
        classes=tuple(str(digit) for digit in range(10)),
        source="scikit-learn load_digits",
        stated={"normalisation": "grey levels divided by 16"},
    )
