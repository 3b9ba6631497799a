"""`Spool`: rows of one shape and type that are kept on disk as they come, so that no dataset need fit into memory."""

import shutil
import tempfile
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Spool:
    """An array that is written row by row into a nameless file, then read as one, mapped, or copied as `.npy`.

    Args:
        row_shape: of one row.
        dtype: of the values.
        folder: where the file is made; the system's own place for such files if left out.
    """

    def __init__(self, row_shape: tuple[int, ...], dtype: npt.DTypeLike, folder: Path | None = None) -> None:
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._row, self._count = tuple(row_shape), 0
        self._file = tempfile.TemporaryFile(dir=folder)
        self._mapped: Array | None = None

    def add(self, rows: Array) -> None:
        """Append rows, `n x row_shape`."""
        assert rows.shape[1:] == self._row, (rows.shape, self._row)
        assert self._mapped is None, "a spool that was read is complete"
        self._file.write(np.ascontiguousarray(rows, dtype=self.dtype).data)
        self._count += len(rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return (self._count, *self._row)

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: Any) -> Any:
        return self._array()[place]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self._array(), dtype=dtype, copy=copy)

    def save(self, file: IO[bytes]) -> None:
        """Write it as `.npy`, a piece at a time."""
        descr = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": descr, "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(file, header)
        self._file.flush()
        self._file.seek(0)
        shutil.copyfileobj(self._file, file, 2**20)
        self._file.seek(0, 2)

    def _array(self) -> Array:
        if self._mapped is None:
            self._file.flush()
            empty = not self.nbytes  # nothing cannot be mapped
            self._mapped = (
                np.empty(self.shape, self.dtype)
                if empty
                else np.memmap(self._file, dtype=self.dtype, mode="r", shape=self.shape)
            )
        return self._mapped
