"""ZigZag: one complete.json a layer, which says what the layer is, and overall_simple.json.

A layer's cycles are loading, computing and unloading in a row; the network's are the sum of its layers'. Energies are
in the units of the accelerator's description, picojoules by the tool's convention. Loop sizes K and C are of one
group. Files do not say their place in the network: their order is that of the upload.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from costmodels.importers.base import Files, Given, Importer, build, printable, unique
from costmodels.importers.cells import HEAD, mapping, number, only, quoted
from costmodels.importers.files import SourceFile
from costmodels.importers.tables import clock_hz, of_one
from costmodels.profile import Profile, ProfileLayer, ProfileRow

_CYCLES = ("data_onloading", "computation", "data_offloading")
_LOOPS = ("B", "G", "K", "C", "OX", "OY", "FX", "FY", "D")
_RELATION = re.compile(r"I([XY]) = (\d{1,4})\*O([XY]) \+ (\d{1,4})\*F([XY])")
_PICOJOULE_MJ = 1e-9


def _role(file: SourceFile) -> str | None:
    head = file.text[:HEAD].lstrip()
    if not head.startswith("{"):
        return None
    if '"outputs"' in head and '"latency"' in head and '"data_onloading"' in head:
        return "layer"
    keys = set(re.findall(r'"(\w{1,40})"', head)) if len(head) < 512 else set()
    return "overall" if keys == {"energy", "latency"} else None


def _read(files: Files, given: Given) -> Profile:
    found = [_Layer(file) for file in files["layer"]]
    batch = _same([layer for layer in found if layer.batch], "batch")
    hz = clock_hz(found[0].file, given)
    layers = unique(layer.described(given.batch if given.batch is not None else batch) for layer in found)
    rows = [
        ProfileRow(
            layer=described.name,
            latency_ms=layer.cycles / hz * 1e3,
            energy_mj=layer.energy_mj,
            weight_bytes=layer.weight_bytes,
        )
        for described, layer in zip(layers, found, strict=True)
    ]
    overall, note = _overall(files, sum(layer.cycles for layer in found), len(found))
    return build(
        files,
        given,
        layers,
        rows,
        source="simulated",
        tool="zigzag",
        device=_same(found, "accelerator"),
        batch=batch,
        precision=_same(found, "precision"),
        original_unit="cycles",
        clock_hz=hz,
        network_latency_ms=overall / hz * 1e3 if overall is not None else None,
        note=note,
    )


@dataclass(frozen=True)
class _Layer:
    """One complete.json; every value is checked where it is read."""

    file: SourceFile

    @property
    def cycles(self) -> float:
        """Loading, computing and unloading."""
        latency = self._object("outputs", "latency")
        cycles = sum(self._number(latency, key) for key in _CYCLES)
        if not cycles > 0.0:
            raise self.file.refusal("says that its layer takes no cycles: simulate it again")
        return cycles

    @property
    def energy_mj(self) -> float:
        """Of all operands and levels."""
        return self._number(self._object("outputs", "energy"), "energy_total") * _PICOJOULE_MJ

    @property
    def accelerator(self) -> str:
        """The name in its description."""
        return self._text(self._object("inputs", "accelerator"), "name")

    @property
    def weights(self) -> int | None:
        """Of all groups; None for a layer that has none."""
        loop = self.loops
        return loop["G"] * loop["K"] * loop["C"] * loop["FX"] * loop["FY"] if {"K", "C"} <= self._sizes.keys() else None

    @property
    def weight_bytes(self) -> float | None:
        """At the precision the file states for weights."""
        bits = number(mapping(self._layer.get("operand_precision")).get("W"))
        return self.weights * bits / 8 if self.weights and bits is not None and 0.0 < bits <= 64.0 else None

    @property
    def precision(self) -> str | None:
        """Bits of weights and of inputs, as the layer states them."""
        bits = mapping(self._layer.get("operand_precision"))
        weights, inputs = number(bits.get("W")), number(bits.get("I"))
        return f"w{weights:g}a{inputs:g}" if weights and inputs else None

    @property
    def batch(self) -> int | None:
        """Loop B of a convolution; the rows of a matrix may hold a batch or not."""
        return self.loops["B"] if self._is_conv and "B" in self._sizes else None

    @cached_property
    def loops(self) -> dict[str, int]:
        """The sizes of the loops we know; 1 for those the layer does not have."""
        for key, value in self._sizes.items():
            size = number(value)
            if size is None or size != int(size) or not 1 <= size <= 2**24:
                raise self.file.refusal(f"has loop_dimensions.{printable(key)[:20]} = {quoted(value)}, not a size")
        return {key: int(self._sizes.get(key, 1)) for key in _LOOPS}

    def described(self, batch: int | None) -> ProfileLayer:
        """The layer in our words; positions and multiply-adds of one sample."""
        loop, kind = self.loops, self._text(self._layer, "type").lower()
        name = self._text(self._layer, "name")
        if self.weights is None:
            return ProfileLayer(name=name, role="other", op=kind)
        known = self._sizes.keys() <= set(_LOOPS)
        positions = of_one(loop["OX"] * loop["OY"] * loop["D"] * loop["B"], batch) if known else None
        shape: dict[str, Any] = {"op": "linear" if kind == "gemm" else kind}
        if self._is_conv:
            shape = {"op": "conv2d", "kernel": (loop["FY"], loop["FX"]), "stride": self._stride()}
            shape |= {"groups": loop["G"], "output_size": (loop["OY"], loop["OX"])}
        return ProfileLayer(
            name=name,
            in_channels=loop["C"] * loop["G"],
            out_channels=loop["K"] * loop["G"],
            positions=positions,
            weights=self.weights,
            macs=positions * self.weights if positions else None,
            **shape,
        )

    @property
    def _is_conv(self) -> bool:
        return "conv" in self._text(self._layer, "type").lower()

    @property
    def _layer(self) -> Mapping[str, Any]:
        return self._object("inputs", "layer")

    @property
    def _sizes(self) -> Mapping[str, Any]:
        return self._object("inputs", "layer", "loop_dimensions")

    def _stride(self) -> tuple[int, ...]:
        """From the relations of input and output loops; not said for kernels that need none."""
        relations = self._layer.get("equation_relations")
        texts = [text for text in relations if isinstance(text, str)] if isinstance(relations, list) else []
        found = {match[1]: int(match[2]) for text in texts if (match := _RELATION.fullmatch(text.strip()))}
        return (found["Y"], found["X"]) if {"X", "Y"} <= found.keys() else ()

    def _object(self, *keys: str) -> Mapping[str, Any]:
        value = self.file.json
        for key in keys:
            value = mapping(value).get(key)
        if not isinstance(value, dict):
            raise self.file.refusal(f"has no object {'.'.join(keys)}: give the complete.json that ZigZag writes")
        return value

    def _number(self, of: Mapping[str, Any], key: str) -> float:
        value = of.get(key)
        found = None if isinstance(value, str) else number(value)
        if found is None or found < 0.0:
            raise self.file.refusal(f"has {key} = {quoted(value)}, not a number from 0: simulate the layer again")
        return found

    def _text(self, of: Mapping[str, Any], key: str) -> str:
        value = of.get(key)
        if not isinstance(value, str) or not printable(value):
            raise self.file.refusal(
                f"has {key} = {quoted(value)}, not a name: give the complete.json that ZigZag writes"
            )
        return printable(value)


def _same(found: list[_Layer], what: str) -> Any:
    """The one value of all files; None without any."""
    for layer in found:
        if (value := getattr(layer, what)) != (first := getattr(found[0], what)):
            raise layer.file.refusal(
                f"has {what} {value} and {found[0].file.name[:80]!r} has {first}: one profile is one run"
            )
    return getattr(found[0], what) if found else None


def _overall(files: Files, cycles: float, count: int) -> tuple[float | None, str]:
    """Cycles of the network, and how much of them the layers are."""
    if not files.get("overall"):
        return None, ""
    file = only(files, "overall", "overall files of ZigZag")
    document = mapping(file.json)
    latency = number(document.get("latency")) if not isinstance(document.get("latency"), str) else None
    if latency is None or not latency > 0.0:
        raise file.refusal(f"has latency = {quoted(document.get('latency'))}, not a number above 0: simulate it again")
    if cycles > latency * (1 + 1e-9):
        raise file.refusal(f"says {latency:.0f} cycles, fewer than its layers' {cycles:.0f}: give the files of one run")
    return latency, f"The {count} layers given are {cycles / latency:.1%} of the network's cycles."


ZIGZAG = Importer(
    name="zigzag",
    title="ZigZag",
    roles={"layer": "a layer's complete.json", "overall": "overall_simple.json of the same run"},
    required=("layer",),
    recognise=_role,
    read=_read,
)
