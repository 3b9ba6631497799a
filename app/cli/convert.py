"""`espalier convert`: a module of the user's own, on the user's side, into a file that can be uploaded."""

import importlib
import importlib.util
import sys
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from app.cli.console import fail, out, say


def run(source: str, target: Path, shapes: list[str], weights: Path | None) -> None:
    """Build the module, load its weights, export it, check the file with our own reader, and say what was done."""
    sizes = [parse_shape(text) for text in shapes]
    factory = load_factory(source)
    say("importing torch ...")
    import torch
    from safetensors.torch import load_file

    from pruning.convert import convert
    from pruning.errors import PruningError

    module: Any = factory if isinstance(factory, torch.nn.Module) else factory()
    if not isinstance(module, torch.nn.Module):
        raise fail(f"{source} gave a {type(module).__name__}, not a torch.nn.Module")
    if weights is not None:
        try:
            module.load_state_dict(load_file(weights))
        except (OSError, RuntimeError, ValueError) as error:
            raise fail(f"{weights} does not fit the module: {str(error)[:600]}") from None
    generator = torch.Generator().manual_seed(0)
    examples = tuple(torch.rand(2, *size, generator=generator) for size in sizes)
    try:
        report = convert(module, examples[0] if len(examples) == 1 else examples, target)
    except PruningError as error:
        raise fail(str(error)) from None
    _show(report, target)


def parse_shape(text: str) -> tuple[int, ...]:
    """`3x32x32` as sizes; the batch is not part of it."""
    parts = text.lower().replace(",", "x").split("x")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise fail(f"--input {text!r} is no shape: write the sizes of one sample, such as 3x32x32", 2)
    return tuple(int(part) for part in parts)


def load_factory(source: str) -> Any:
    """What `package.module:name` or `file.py:name` names; runs the user's own code, on the user's machine."""
    where, _, name = source.rpartition(":")
    if not where or not name.isidentifier():
        raise fail(f"{source!r} names no factory: write package.module:factory or file.py:factory", 2)
    try:
        module = _load_file(Path(where)) if where.endswith(".py") else _load_module(where)
    except (ImportError, FileNotFoundError) as error:
        raise fail(f"cannot import {where}: {error}") from None
    if not hasattr(module, name):
        raise fail(f"{where} has no {name!r}")
    return getattr(module, name)


def _load_module(name: str) -> Any:
    if "" not in sys.path:
        sys.path.insert(0, "")
    return importlib.import_module(name)


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    sys.path.insert(0, str(path.parent.absolute()))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _show(report: Any, target: Path) -> None:
    table = Table(title=str(target), show_header=False, title_justify="left")
    for key, value in (asdict(report) if is_dataclass(report) and not isinstance(report, type) else {}).items():
        shown = "; ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)
        table.add_row(key.replace("_", " "), shown)
    out().print(table)
    say(f"upload it: espalier submit {target} --dataset ... --profile ...")
