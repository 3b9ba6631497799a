"""`espalier convert`: a module or checkpoint of the user's own, on the user's side, into a file for the upload."""

import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rich.table import Table
from rich.text import Text

from app.cli.console import fail, out, say
from app.cli.upload import read_config
from pruning.catalogue import catalogue

_SHOWN = 12  # parts that cannot be pruned


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What was asked for beside source and target, as the command line has it."""

    inputs: Sequence[str] = ()
    weights: Path | None = None
    config: str = ""
    mode: str | None = None


def run(source: str, target: Path, wish: Wish) -> None:
    """Build the model, load its weights, write the file, check it with our own reader, and say what was done."""
    from pruning.errors import PruningError

    if wish.mode not in (None, "train", "eval"):
        raise fail(f"--mode {wish.mode!r} is neither train nor eval", 2)
    try:
        if source in catalogue():
            _convert_architecture(source, target, wish)
        else:
            _convert_module(source, target, wish)
    except PruningError as error:
        raise fail(str(error)) from None


def _convert_architecture(name: str, target: Path, wish: Wish) -> None:
    """Weights and config for an upload by name, or an exported program."""
    config = read_config(wish.config)
    say("importing torch ...")
    from safetensors.torch import save_file

    from pruning.architectures import example
    from pruning.architectures.named import build_named, named_config

    module = build_named(name, config)
    said = _load(module, wish.weights)
    if target.suffix == ".pt2":
        _export(module, example(named_config(name, config).inputs), target, wish, said)
        return
    if target.suffix != ".safetensors":
        raise fail(f"{target.name} should end in .safetensors, or in .pt2", 2)
    state = getattr(module, "model", module).state_dict() if "/" in name else module.state_dict()
    written = target.with_suffix(".json")
    save_file({key: value.contiguous().clone() for key, value in state.items()}, target)
    document = {"architecture": name, "config": named_config(name, config).to_json()}
    written.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    _show({"tensors": len(state), **said, "config": str(written)}, str(target))
    say(f"upload it: espalier upload {target} --architecture {name} --config {written}")


def _convert_module(source: str, target: Path, wish: Wish) -> None:
    """An exported program of what the user's factory makes."""
    if not wish.inputs:
        raise fail("--input is missing: the sizes of one sample, such as 3x32x32", 2)
    inputs = [parse_input(text) for text in wish.inputs]
    factory = load_factory(source)
    say("importing torch ...")
    import torch

    module: Any = factory if isinstance(factory, torch.nn.Module) else factory()
    if not isinstance(module, torch.nn.Module):
        raise fail(f"{source} gave a {type(module).__name__}, not a torch.nn.Module")
    said = _load(module, wish.weights)
    generator = torch.Generator().manual_seed(0)
    examples = tuple(
        torch.randint(below, (2, *size), generator=generator) if below else torch.rand(2, *size, generator=generator)
        for size, below in inputs
    )
    _export(module, examples, target, wish, said)


def _load(module: Any, weights: Path | None) -> dict[str, Any]:
    """Put a checkpoint into the module; what there is to say of it."""
    if weights is None:
        return {"weights": "as the factory made them; give a checkpoint with --weights"}
    from pruning.architectures import load_tensors
    from pruning.architectures.local_weights import read_local
    from pruning.errors import IntakeError

    try:
        found = read_local(weights, frozenset(module.state_dict()))
        matched = load_tensors(module, found.tensors)
    except IntakeError as error:
        raise fail(f"{weights} does not fit the module: {error}") from None
    return {"weights": "; ".join((f"{matched} of {len(module.state_dict())} tensors matched", *found.notes))}


def _export(module: Any, examples: tuple[Any, ...], target: Path, wish: Wish, said: Mapping[str, Any]) -> None:
    from pruning.convert import Mode, convert

    report = convert(module, examples, target, cast("Mode | None", wish.mode))
    rows = {
        "mode": report.mode + (f", for in train mode {report.fallback}" if report.fallback else ""),
        "inputs": "; ".join(report.inputs) + "; the batch varies where it says None",
        **said,
        "parameters": report.parameter_count,
        "prunable layers": f"{report.layers}, with {report.macs} multiply-adds a sample",
        "channel groups": f"{report.groups} can lose channels",
        **{f"not prunable: {name}": why for name, why in list(report.unprunable.items())[:_SHOWN]},
        "largest difference": f"{report.largest_difference:.1e} of the outputs, read back and run in eval mode",
        "notes": "\n".join(report.notes),
    }
    _show(rows, str(target))
    say(f"upload it: espalier upload {target}")


def parse_shape(text: str) -> tuple[int, ...]:
    """`3x32x32` as sizes; the batch is not part of it."""
    parts = text.lower().replace(",", "x").split("x")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise fail(f"--input {text!r} is no shape: write the sizes of one sample, such as 3x32x32", 2)
    return tuple(int(part) for part in parts)


def parse_input(text: str) -> tuple[tuple[int, ...], int]:
    """Sizes, and below what its whole numbers lie: `128:30522`; 0 for floats."""
    sizes, colon, below = text.partition(":")
    if colon and not (below.isdecimal() and int(below) > 0):
        raise fail(f"--input {text!r}: behind the colon stands how many words there are, such as 128:30522", 2)
    return parse_shape(sizes), int(below or 0)


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


def _show(rows: Mapping[str, Any], title: str) -> None:
    table = Table(title=Text(title), show_header=False, title_justify="left")
    for key, value in rows.items():
        table.add_row(Text(key), Text(str(value)))
    out().print(table)
