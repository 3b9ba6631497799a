"""The front of the layer solvers: whole nets, sequential, verified; and the order of the methods."""

from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning.apply import Pruned, prune
from pruning.calibrate import collect, in_one_pass
from pruning.calls import Call
from pruning.errors import CalibrationError, PlanError
from pruning.graphnet import GraphNet
from pruning.layers import ModelSpec
from pruning.oneshot import OPS, SOLVERS, solve_layers
from pruning.oneshot.refit import least_squares
from pruning.patterns import NM, Block, Channel, Dense, Kernel, Pattern, Unstructured, kept_count
from pruning.plan import PruningPlan
from pruning.trace import trace
from tests.pruning.graphs import load_net
from tests.pruning.layers_seen import inputs, output_error, seen, weights
from tests.pruning.random_graphs import random_nets
from tests.pruning.small import SPEC, data, small

PATTERNS: dict[str, Pattern] = {"stem": Unstructured(0.4), "body": NM(keep=1, group=4), "head": Unstructured(0.75)}


def plan(pruner: str, patterns: dict[str, Pattern] | None = None, **settings: float) -> PruningPlan:
    return PruningPlan(pruner=pruner, patterns=PATTERNS if patterns is None else patterns, settings=settings)


def solved(net: nn.Module, asked: PruningPlan, spec: ModelSpec = SPEC) -> Pruned:
    return prune(net, spec, asked, calibration=data())


@pytest.mark.parametrize("pruner", SOLVERS)
def test_a_net_is_pruned_verified_and_left_alone(pruner: str) -> None:
    net, batches = small(), data()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    seen_layers: list[object] = []
    pruned = prune(net, SPEC, plan(pruner), on_step=seen_layers.append, calibration=batches)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not pruned.net.training and pruned.kept == {}
    assert pruned.report.solved == tuple(seen_layers)
    assert [layer.name for layer in pruned.report.solved] == ["stem", "body", "head"]
    stem, body, head = pruned.report.layers
    assert stem.zeros == 72 - kept_count(72, 0.4) and head.zeros == 72 - kept_count(72, 0.75)
    assert body.nm_valid and body.zeros == 6 * 9 * 2 * 3  # two groups of four, each position keeps one
    assert [layer.zeros for layer in pruned.report.solved] == [stem.zeros, body.zeros, head.zeros]
    assert all(0 < layer.error < 1 for layer in pruned.report.solved)
    assert not torch.equal(pruned.net.body_norm.running_mean, net.body_norm.running_mean)


def test_later_layers_see_what_earlier_ones_became() -> None:
    batches, net = data(), small()
    for _ in solve_layers(net, SPEC, plan("sparsegpt", {"stem": Unstructured(0.8)}), batches):
        pass
    statistics = collect(net, ["body.weight"], batches)["body.weight"]
    solve, kind = SOLVERS["sparsegpt"]
    expected = solve(net.body.weight, statistics, NM(keep=1, group=4), kind())
    both = small()
    list(solve_layers(both, SPEC, plan("sparsegpt", {"stem": Unstructured(0.8), "body": NM(keep=1, group=4)}), batches))
    assert torch.equal(both.body.weight, expected)


def test_a_graph_is_pruned_as_the_module_it_came_from(tmp_path: Path) -> None:
    module = small()
    net = load_net(module, (data()[0][0],), tmp_path)
    names = {p.name: p.id for p in net.document.parameters}
    layers = tuple(replace(layer, parameter=names[layer.parameter]) for layer in SPEC.layers)
    pruned = solved(net, plan("obc"), replace(SPEC, layers=layers, groups=()))
    expected = solved(module, plan("obc"))
    for name, tensor in expected.net.named_parameters():
        torch.testing.assert_close(getattr(pruned.net, names[name]), tensor.detach(), rtol=1e-3, atol=1e-4)


def test_the_refit_of_the_plan_helps() -> None:
    batches = data()
    plain = list(solve_layers(small(), SPEC, plan("wanda", {"head": Unstructured(0.75)}), batches))
    again = list(solve_layers(small(), SPEC, plan("wanda", {"head": Unstructured(0.75)}, refit=1), batches))
    assert again[0].zeros == plain[0].zeros and again[0].error < 0.8 * plain[0].error


def by_magnitude(weight: Tensor, keep: int) -> Tensor:
    best = weight.flatten().abs().topk(keep).indices
    return torch.zeros_like(weight).flatten().scatter(0, best, weight.flatten()[best]).reshape(weight.shape)


def test_on_ill_scaled_inputs_each_method_beats_the_one_before() -> None:
    errors: dict[str, list[float]] = {"magnitude": [], **{name: [] for name in SOLVERS}}
    after: dict[str, list[float]] = {name: [] for name in errors}
    for seed in range(3):
        dense, x = weights(16, 32, seed=seed), inputs(32, 256, seed=seed)
        statistics = seen(x)
        solved = {"magnitude": by_magnitude(dense, dense.numel() // 2)}
        for name, (solve, kind) in SOLVERS.items():
            solved[name] = solve(dense, statistics, Unstructured(0.5), kind())
        for name, weight in solved.items():
            errors[name].append(output_error(dense, weight, x))
            after[name].append(output_error(dense, least_squares(dense, weight, statistics), x))
    means = [sum(errors[name]) for name in ("magnitude", "wanda", "sparsegpt", "obc")]
    assert means[0] > 2 * means[1] > 2 * means[2] > 2 * means[3]
    for name in errors:
        assert all(b <= a for a, b in zip(errors[name], after[name], strict=True))
    assert sum(after["obc"]) < 1.05 * min(sum(values) for values in after.values())


@pytest.mark.parametrize(
    ("pattern", "named"), [(Channel(0.5), "channel"), (Block(2, 2, 0.5), "block"), (Kernel(0.5), "kernel")], ids=str
)
def test_other_patterns_are_refused_with_the_reason(pattern: Pattern, named: str) -> None:
    with pytest.raises(PlanError, match=f"'stem' asks wanda for {named}.*single weights"):
        solved(small(), plan("wanda", {"stem": pattern}))


def test_refusals() -> None:
    with pytest.raises(PlanError, match="'nowhere' is not in the model"):
        solved(small(), plan("wanda", {"nowhere": Unstructured(0.5)}))
    with pytest.raises(PlanError, match="no layer solver 'pdp'"):
        list(solve_layers(small(), SPEC, plan("pdp"), data()))
    with pytest.raises(PlanError, match="no setting 'block'"):
        solved(small(), plan("wanda", block=64))
    with pytest.raises(CalibrationError, match="no batches"):
        prune(small(), SPEC, plan("wanda"), calibration=[])
    turned = replace(SPEC, layers=(replace(SPEC.layers[0], op="conv_transpose2d"), *SPEC.layers[1:]))
    with pytest.raises(PlanError, match="'stem' is a conv_transpose2d"):
        solved(small(), plan("obc"), turned)


def test_a_failure_names_its_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pruning.oneshot.obc.LIMIT", 10)
    with pytest.raises(PlanError, match="layer 'stem': OBC"):
        solved(small(), plan("obc"))


def test_dense_plans_touch_nothing() -> None:
    pruned = prune(small(), SPEC, plan("obc", {"stem": Dense()}))  # and need nothing to be solved on
    assert all(torch.equal(a, b) for a, b in zip(pruned.net.parameters(), small().parameters(), strict=True))


def test_batches_that_run_out_are_noticed() -> None:
    def once() -> Iterator[tuple[Tensor, Tensor]]:
        yield from data()

    with pytest.raises(CalibrationError, match="no batches"):
        prune(small(), SPEC, plan("wanda"), calibration=once())


class Counted:
    """Batches that count how often they were gone through."""

    def __init__(self, batches: list[tuple[Tensor, Tensor]]) -> None:
        self.batches, self.times = batches, 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.times += 1
        return iter(self.batches)


def zeros_everywhere(spec: ModelSpec, pruner: str) -> PruningPlan:
    layers = [layer for layer in spec.layers if layer.op in OPS]
    return PruningPlan(pruner=pruner, patterns={layer.name: Unstructured(0.5) for layer in layers})


@given(net=random_nets(), pruner=st.sampled_from(sorted(SOLVERS)), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_a_graph_walked_once_is_solved_as_in_a_pass_a_layer(net: GraphNet, pruner: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = [size for size in net.document.inputs[0].shape if size is not None]
    batches = Counted([(torch.randn(n, *shape, generator=generator).double(), torch.zeros(n)) for n in (3, 4, 1)])
    spec, slow = trace(net), deepcopy(net)
    asked = zeros_everywhere(spec, pruner)
    expected = list(solve_layers(slow, spec, asked, batches, abreast=False))
    assert batches.times == len(asked.patterns)
    batches.times = 0
    assert list(solve_layers(net, spec, asked, batches)) == expected
    again = any(spec.layer(name).calls > 1 for name in asked.patterns)
    assert batches.times == (len(asked.patterns) if again else 1)
    for (name, fast), oracle in zip(net.named_parameters(), slow.parameters(), strict=True):
        assert torch.equal(fast, oracle), name


def test_a_weight_read_twice_takes_a_pass_a_layer(tmp_path: Path) -> None:
    net = load_net(Twice(), (torch.randn(2, 4),), tmp_path)
    spec = trace(net)
    assert [layer.calls for layer in spec.layers] == [2, 1]
    batches = Counted([(torch.randn(9, 4), torch.zeros(9))])
    solved = list(solve_layers(net, spec, zeros_everywhere(spec, "sparsegpt"), batches))
    assert batches.times == 2 and [layer.samples for layer in solved] == [18, 9]


class Twice(nn.Module):
    """One linear layer used twice, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(torch.relu(self.body(torch.relu(self.body(x)))))
        return found


def test_a_graph_without_batches_or_readers_is_refused(tmp_path: Path) -> None:
    net = load_net(Twice(), (torch.randn(2, 4),), tmp_path)
    spec = trace(net)
    with pytest.raises(CalibrationError, match="no batches"):
        list(solve_layers(net, spec, PruningPlan(pruner="wanda", patterns={"head": Unstructured(0.5)}), []))
    bias = next(p.id for p in net.document.parameters if p.name == "head.bias")
    with pytest.raises(CalibrationError, match=f"no convolution or linear read '{bias}'"):
        list(in_one_pass(net, [bias], [(torch.randn(2, 4), None)]))
    net.train()
    walk = in_one_pass(net, [bias], [(torch.randn(2, 4), None)])
    with pytest.raises(CalibrationError):
        next(walk)
    assert net.training


def test_a_solve_that_fails_or_is_left_puts_the_net_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = load_net(small(), (data()[0][0],), tmp_path).train()
    spec = trace(net)
    asked = zeros_everywhere(spec, "wanda")
    with closing(solve_layers(net, spec, asked, data())) as left:
        next(left)
        assert not net.training
    assert net.training

    def fails(*_: object) -> Tensor:
        raise CalibrationError("no")

    monkeypatch.setitem(SOLVERS, "wanda", (fails, SOLVERS["wanda"][1]))
    with pytest.raises(CalibrationError) as kept:
        list(solve_layers(net, spec, asked, data()))
    assert net.training and kept.value.__traceback__ is not None


def test_nothing_is_run_behind_the_last_layer_that_is_solved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = load_net(small(), (data()[0][0],), tmp_path)
    spec, ran = trace(net), []
    run = Call.run
    monkeypatch.setattr(Call, "run", lambda call, *rest: ran.append(call.node.id) or run(call, *rest))
    list(solve_layers(net, spec, PruningPlan(pruner="wanda", patterns={"stem": Unstructured(0.5)}), data()))
    assert not ran, "the first layer reads the input"
