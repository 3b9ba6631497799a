"""Pieces made once, stitched into whole nets: equal to pruning the net directly, to the last bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from app.search.table import stitch
from app.search.table.stitch import Pieces, deciding, touched
from pruning.apply import pruned_in_place
from pruning.calibrate import collect
from pruning.masked import find_tensor
from pruning.oneshot import sparsegpt
from pruning.oneshot.refit import least_squares
from pruning.oneshot.sparsegpt import SparseGPTSettings
from pruning.patterns import NM, Block, Channel, Kernel, Pattern, Unstructured
from pruning.plan import PruningPlan
from tests.pruning.small import SPEC, data, small

OWN: dict[str, tuple[Pattern, ...]] = {
    "stem": (Unstructured(0.5), Kernel(0.5)),
    "body": (Unstructured(0.5), Unstructured(0.9), NM(keep=2, group=4), Block(2, 2, 0.5)),
    "head": (Unstructured(0.6), NM(keep=1, group=4)),
}
CHANNELS: tuple[Pattern, ...] = (Channel(0.25), Channel(0.5))
PLANS = st.fixed_dictionaries(
    {},
    optional={name: st.sampled_from(own + (CHANNELS if name != "head" else ())) for name, own in OWN.items()},
).map(lambda patterns: PruningPlan(pruner="magnitude", patterns=patterns))
NET = small()
BATCHES = data(count=2, batch=8)
PLAIN, SOLVED = Pieces(net=NET, spec=SPEC), Pieces(net=NET, spec=SPEC, batches=BATCHES)


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def solved_directly(plan: PruningPlan) -> dict[str, Tensor]:
    """Oracle: the whole net masked at once, then each weight that changed solved for what the dense net shows it."""
    net = small()
    with pruned_in_place(net, SPEC, plan):
        masked = state(net)
    changed = [name for name, tensor in state(small()).items() if not torch.equal(tensor, masked[name])]
    seen = collect(small(), changed, BATCHES) if changed else {}
    return masked | {
        name: least_squares(find_tensor(small(), name), masked[name], seen[name], 0.01) for name in changed
    }


@given(PLANS)
@settings(max_examples=40, deadline=None)
def test_a_stitched_net_is_the_pruned_net(plan: PruningPlan) -> None:
    before = state(NET)
    with pruned_in_place(small(), SPEC, plan) as net:
        expected = state(net)
    with PLAIN.stitched(plan) as net:
        found = state(net)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert all(torch.equal(NET.state_dict()[name], tensor) for name, tensor in before.items())


@given(PLANS)
@settings(max_examples=15, deadline=None)
def test_so_it_is_with_solved_pieces(plan: PruningPlan) -> None:
    with SOLVED.stitched(plan) as net:
        found = state(net)
    assert all(torch.equal(found[name], tensor) for name, tensor in solved_directly(plan).items())


def test_what_is_there_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = Pieces(net=NET, spec=SPEC, batches=BATCHES)
    first = PruningPlan(pruner="magnitude", patterns={"stem": Unstructured(0.5), "head": Unstructured(0.6)})
    second = PruningPlan(pruner="magnitude", patterns={"body": NM(keep=2, group=4), "head": Unstructured(0.6)})
    for plan in (first, second):
        pieces.weights(plan)
    assert (len(pieces.kept), pieces.passes) == (3, 2)

    def solve(*_: Any) -> Any:
        raise AssertionError("it is solved already")

    monkeypatch.setattr("app.search.table.stitch.least_squares", solve)
    both = PruningPlan(pruner="magnitude", patterns={**first.patterns, **second.patterns})
    assert set(pieces.weights(both)) == {"stem.weight", "body.weight", "head.weight"}
    assert pieces.passes == 2


def test_pieces_go_through_a_file(tmp_path: Path) -> None:
    plan = PruningPlan(pruner="magnitude", patterns={"body": Channel(0.5), "head": Unstructured(0.6)})
    made = Pieces(net=NET, spec=SPEC, batches=BATCHES)
    weights = made.weights(plan)
    made.save(tmp_path / "pieces.safetensors")
    read = Pieces(net=NET, spec=SPEC, batches=BATCHES)
    read.load(tmp_path / "pieces.safetensors")
    assert all(torch.equal(weight, weights[name]) for name, weight in read.weights(plan).items())
    assert read.passes == 0


def test_a_weight_is_decided_by_its_own_pattern_and_by_the_channels_cut_out_of_it() -> None:
    patterns: dict[str, Pattern] = {"stem": Channel(0.5), "body": Unstructured(0.9), "head": Unstructured(0.6)}
    plan = PruningPlan(pruner="magnitude", patterns=patterns)
    assert touched(SPEC, plan) == ["body.weight", "head.weight"]
    assert set(deciding(SPEC, plan, "body.weight").patterns) == {"stem", "body"}
    assert set(deciding(SPEC, plan, "head.weight").patterns) == {"head"}


def test_pruners_and_settings_do_not_share_pieces() -> None:
    pieces = Pieces(net=NET, spec=SPEC)
    for pruner in ("magnitude", "pdp"):
        pieces.weights(PruningPlan(pruner=pruner, patterns={"head": Unstructured(0.6)}))
    assert len(pieces.kept) == 2


def test_layers_too_large_for_least_squares_are_sparsegpts_and_larger_ones_keep_what_they_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = SPEC.layer("body")
    columns = body.in_channels * 9
    work = columns**2 * (body.out_channels + columns)
    assert work < body.out_channels * columns**3
    dense = find_tensor(small(), body.parameter).detach()
    seen = collect(small(), [body.parameter], BATCHES)[body.parameter]
    for most, solved in ((work, True), (work - 1, False)):
        monkeypatch.setattr(stitch, "MOST_WORK", most)
        for pattern in (Unstructured(0.5), NM(keep=2, group=4), Block(2, 2, 0.5)):
            plan = PruningPlan(pruner="magnitude", patterns={"body": pattern})
            found = Pieces(net=small(), spec=SPEC, batches=BATCHES).weights(plan)[body.parameter]
            if solved and not isinstance(pattern, Block):
                expected = sparsegpt.solve(dense, seen, pattern, SparseGPTSettings())
            else:
                expected = PLAIN.weights(plan)[body.parameter]
            assert torch.equal(found, expected), (most, pattern)
    both = PruningPlan(pruner="magnitude", patterns={"stem": Channel(0.5), "body": Unstructured(0.5)})
    monkeypatch.setattr(stitch, "MOST_WORK", work)
    kept = Pieces(net=small(), spec=SPEC, batches=BATCHES).weights(both)[body.parameter]
    assert torch.equal(kept, PLAIN.weights(both)[body.parameter]), "channels are cut out of it as well"
