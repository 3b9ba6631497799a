"""Does it pay: which zeros on which layers of two networks which of five devices of the catalogue turns into time.

Run: `python -m benchmarks.pays [--shared ../shared]`. ResNet-20 (public weights kept beside the checkout, read and
traced as an upload is) and an encoder of BERT-base's size, written down here. Batch 1; prices are analytical. A row is
a shape of layer and a kind of zeros; a cell says from which share of zeros on it pays, and the most that it saves of
the layer's dense time (for channels: of all layers that get smaller), at which share; of a pattern such as keep2of4,
which is one share, only what it saves. Takes seconds.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from costmodels.catalogue import accelerator_profile, cost_model
from costmodels.pays import Payoff, does_it_pay
from pruning import graphnet
from pruning.intake.reader import read_exported_program, write_model
from pruning.layers import ChannelGroup, Cut, LayerSpec, ModelSpec
from pruning.trace import trace

DEVICES = {
    "nvidia-a100": "float16",
    "arm-ethos-u85-256": "int8",
    "phone-cpu-xnnpack": "float32",
    "server-cpu-sparse": "float32",
    "eyeriss-v2": "int8",
}
BLOCKS, WIDTH, HEADS, INNER, POSITIONS = 12, 768, 12, 3072, 128


def bert() -> ModelSpec:
    """Twelve blocks of four products of 768 x 768 and a feed-forward of 3072, on 128 positions."""
    layers: list[LayerSpec] = []
    groups: list[ChannelGroup] = []
    for n in range(BLOCKS):
        q, k, v, o = (_linear(f"{n}.{name}", WIDTH, WIDTH) for name in "qkvo")
        up, down = _linear(f"{n}.up", WIDTH, INNER), _linear(f"{n}.down", INNER, WIDTH)
        layers += [q, k, v, o, up, down]
        groups.append(_group(f"{n}.heads", HEADS, [q, k, v], o))
        groups.append(_group(f"{n}.inner", INNER, [up], down))
    return ModelSpec(
        layers=tuple(layers),
        groups=tuple(groups),
        input_shape=(POSITIONS, WIDTH),
        output_shapes=((POSITIONS, WIDTH),),
        parameter_count=sum(layer.weights for layer in layers),
    )


def _linear(name: str, inputs: int, outputs: int) -> LayerSpec:
    return LayerSpec(
        name=name, parameter=name, op="linear", in_channels=inputs, out_channels=outputs, positions=POSITIONS
    )


def _group(name: str, channels: int, producers: list[LayerSpec], consumer: LayerSpec) -> ChannelGroup:
    repeat = consumer.in_channels // channels
    cuts = [Cut(parameter=p.parameter, dim=0, role="producer", repeat=repeat) for p in producers]
    return ChannelGroup(
        name=name,
        channels=channels,
        producers=tuple(p.name for p in producers),
        consumers=(consumer.name,),
        cuts=(*cuts, Cut(parameter=consumer.parameter, dim=1, role="consumer", repeat=repeat)),
    )


def resnet20(path: Path) -> ModelSpec:
    """The specification of an exported program, as an upload gets it."""
    with TemporaryDirectory() as folder:
        write_model(*read_exported_program(path), Path(folder))
        return trace(graphnet.load(Path(folder)))


def rows(model: ModelSpec) -> Iterator[str]:
    """Lines of the table: layers of one shape that pay alike stand together."""
    profiles = {name: accelerator_profile(name, 1, precision) for name, precision in DEVICES.items()}
    prices = {name: cost_model(profile, model) for name, profile in profiles.items()}
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for payoff in does_it_pay(model, prices):
        cells.setdefault((payoff.layer, payoff.kind), {})[payoff.device] = _cell(payoff)
    alike: dict[tuple[str, ...], int] = {}
    for (layer, kind), by_device in cells.items():
        row = (_shape(model.layer(layer)), kind, *(by_device[name] for name in DEVICES))
        alike[row] = alike.get(row, 0) + 1
    for (shape, *told), count in sorted(alike.items(), key=lambda one: one[0][1]):
        yield f"| {shape} | {count} | {' | '.join(told)} |"


def _shape(layer: LayerSpec) -> str:
    kernel = "x".join(map(str, layer.kernel))
    stride = f" / {max(layer.stride)}" if max(layer.stride, default=1) > 1 else ""
    size = "x".join(map(str, layer.output_size)) or str(layer.positions)
    return f"{layer.op} {kernel}{stride} {layer.in_channels} to {layer.out_channels} on {size}".replace("  ", " ")


def _cell(payoff: Payoff) -> str:
    if payoff.verdict in ("never", "cannot"):
        return payoff.verdict
    if payoff.kind.startswith("keep"):  # one pattern, one share of zeros
        return f"{payoff.saved_share:.0%}"
    return f"from {payoff.from_sparsity:.0%}: {payoff.saved_share:.0%} at {payoff.at_sparsity:.0%}"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/cifar10-jpeg/")
    weights = parser.parse_args().shared / "data" / "cifar10-jpeg" / "resnet20.pt2"
    head = ("layer", "layers", "zeros", *(f"{name}, {precision}" for name, precision in DEVICES.items()))
    write = sys.stdout.write
    if weights.exists():
        models = {"ResNet-20": resnet20(weights)}
    else:
        models = {}
        write(f"ResNet-20: {weights} is not here, skipped\n")
    for title, model in (models | {"BERT-base-sized encoder": bert()}).items():
        write(f"\n## {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}\n")
        write("\n".join(rows(model)) + "\n")


if __name__ == "__main__":
    main()
