"""Recovery learns, is reproducible, and says what went wrong; batch-norm statistics are plain averages."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from pruning.errors import RecoveryError
from pruning.graphnet import GraphNet
from pruning.intake.document import GraphDocument, Input, Node, Parameter, Ref
from pruning.masked import MaskedWeight, attach, find_tensor
from pruning.patterns import Unstructured
from pruning.pruners import make
from pruning.recover import RecoverStep, RecoveryConfig, recover, reestimate_batch_norm
from tests.pruning.small import Small, data, small

loss = nn.functional.cross_entropy


def run(net: nn.Module, steps: int = 6, seed: int = 0, **config: float) -> list[RecoverStep]:
    return list(recover(net, data(), RecoveryConfig(steps=steps, **config), loss, seed))


def test_it_learns() -> None:
    steps = run(small(), steps=40, learning_rate=0.05)
    assert [s.step for s in steps] == list(range(1, 41))
    assert sum(s.loss for s in steps[-4:]) < 0.5 * sum(s.loss for s in steps[:4])


def test_it_depends_on_nothing_but_its_arguments_and_leaves_the_random_state() -> None:
    nets = [small(), small(), small()]
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = run(nets[0])
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert run(nets[1]) == first
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True))
    assert run(nets[2], seed=1) != first  # another seed draws other dropout


def test_a_caller_may_stop_half_way() -> None:
    net = small()
    steps = recover(net, data(), RecoveryConfig(steps=50), loss)
    assert next(steps).step == 1
    steps.close()


def test_the_learning_rate_warms_up_and_falls_as_a_cosine() -> None:
    config = RecoveryConfig(steps=100, learning_rate=0.2, warm_up=0.1, final_learning_rate=0.05)
    rates = [config.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.02 * (i + 1) for i in range(10)])
    assert max(rates) == rates[9] == pytest.approx(0.2)
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))
    assert rates[-1] == pytest.approx(0.01)
    assert [s.learning_rate for s in run(small(), steps=3)] == [RecoveryConfig(steps=3).rate(i) for i in range(3)]


def test_weight_decay_spares_biases_and_norms() -> None:
    net, still = small(), small()
    for p in net.parameters():
        p.data.abs_().add_(0.1)

    def flat(outputs: Tensor, _: Tensor) -> Tensor:
        return 0 * outputs.sum()  # no gradient but that of the decay

    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    list(recover(net, data(), RecoveryConfig(steps=3, weight_decay=0.5, learning_rate=0.1), flat))
    for name, p in net.named_parameters():
        shrunk = (p < before[name]).all()
        assert shrunk if p.ndim > 1 else torch.equal(p, before[name]), name
    assert still.training is False and net.training is True


def test_gradients_are_clipped_together() -> None:
    net = small()
    before = [p.detach().clone() for p in net.parameters()]

    def huge(outputs: Tensor, _: Tensor) -> Tensor:
        return 1e6 * outputs.sum()

    config = RecoveryConfig(steps=1, learning_rate=0.1, warm_up=0.0, weight_decay=0.0, clip_norm=1.0)
    list(recover(net, data(), config, huge))
    moved = torch.cat([(p.detach() - b).flatten() for p, b in zip(net.parameters(), before, strict=True)])
    assert float(moved.norm()) == pytest.approx(0.1 * 1.9, rel=1e-3)  # Nesterov's first step is (1 + momentum) g


def test_masks_move_with_the_steps_and_pruned_weights_stay_zero() -> None:
    net = small()
    attach(net, {"body.weight": MaskedWeight(make("pdp", Unstructured(0.8), {"ramp": 0.4, "harden": 0.5}))})
    for step in recover(net, data(), RecoveryConfig(steps=10), loss):
        hard = int((net.body.weight == 0).sum()) == net.body.weight.numel() - 86
        assert hard == (step.step > 5)
    assert (find_tensor(net, "body.weight") != 0).all()


def test_a_loss_that_is_not_finite_is_an_error_with_advice() -> None:
    batches = [(torch.full((4, 1, 4, 4), torch.nan), torch.zeros(4, dtype=torch.long))]
    with pytest.raises(RecoveryError, match=r"nan at step 1 of 5: try a learning rate below 0\.02"):
        list(recover(small(), batches, RecoveryConfig(steps=5), loss))


def test_batches_that_run_out_are_an_error_and_lists_are_gone_through_again() -> None:
    def once() -> Iterator[tuple[Tensor, Tensor]]:
        yield from data(2)

    with pytest.raises(RecoveryError, match="ran out"):
        list(recover(small(), once(), RecoveryConfig(steps=3), loss))
    assert len(list(recover(small(), data(1), RecoveryConfig(steps=3), loss))) == 3


@pytest.mark.parametrize("wrong", [{"learning_rate": -1.0}, {"steps": -1}, {"momentum": 2.0}, {"clip_norm": 0.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(RecoveryError, match=next(iter(wrong))):
        RecoveryConfig(**wrong)


def moments(net: Small, batches: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Oracle: the first norm's batch means and unbiased variances, averaged."""
    with torch.no_grad():
        outputs = [net.stem(x).transpose(0, 1).flatten(1) for x, _ in batches]
    return torch.stack([o.mean(1) for o in outputs]).mean(0), torch.stack([o.var(1) for o in outputs]).mean(0)


@pytest.mark.parametrize("momentum", [0.1, 0.9, None])
def test_batch_norm_statistics_are_the_average_over_batches(momentum: float | None) -> None:
    net, batches = small(), data(3)
    net.stem_norm.momentum = momentum
    assert reestimate_batch_norm(net, batches) == 3
    mean, variance = moments(net, batches)
    assert torch.allclose(net.stem_norm.running_mean, mean, atol=1e-6)
    assert torch.allclose(net.stem_norm.running_var, variance, rtol=1e-5)
    assert net.stem_norm.momentum == momentum
    assert not any(module.training for module in net.modules())


def test_dropout_is_off_meanwhile_and_the_limit_holds() -> None:
    net = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm1d(4)).train()
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    assert reestimate_batch_norm(net, [(x, None)] * 5, limit=2) == 2
    assert torch.allclose(net[1].running_mean, x.mean(0), atol=1e-6)
    assert net[0].training and net[1].training


def graph_norm(nodes: int) -> GraphNet:
    """A GraphNet of batch norms in a row that share their running statistics."""
    fixed = {"running_mean": Ref("p0"), "running_var": Ref("p1"), "weight": None, "bias": None}
    rest = {"training": False, "momentum": 0.1, "eps": 0.0, "cudnn_enabled": True}
    values = ["i0", *(f"n{i}" for i in range(nodes))]
    return GraphNet(
        GraphDocument(
            inputs=(Input(id="i0", name="x", shape=(None, 4), dtype="float32"),),
            parameters=tuple(
                Parameter(id=f"p{i}", name=name, kind="buffer", shape=(4,), dtype="float32")
                for i, name in enumerate(("bn.running_mean", "bn.running_var"))
            ),
            nodes=tuple(
                Node(id=b, op="aten.batch_norm.default", args={"input": Ref(a), **fixed, **rest})
                for a, b in itertools.pairwise(values)
            ),
            outputs=(Ref(values[-1]),),
        ),
        {"p0": torch.full((4,), 9.0), "p1": torch.full((4,), 9.0)},
    ).eval()


def test_a_graphs_statistics_are_the_same_average() -> None:
    net = graph_norm(1)
    batches = [(3 + 2 * torch.randn(64, 4, generator=torch.Generator().manual_seed(i)), None) for i in range(3)]
    assert reestimate_batch_norm(net, batches) == 3
    assert torch.allclose(net.p0, torch.stack([x.mean(0) for x, _ in batches]).mean(0), atol=1e-5)
    assert torch.allclose(net.p1, torch.stack([x.var(0) for x, _ in batches]).mean(0), rtol=1e-5)
    assert not net.training


def test_statistics_that_two_nodes_share_are_weighted_as_the_nodes_weigh_them() -> None:
    net = graph_norm(2)
    x = 3 + 2 * torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    reestimate_batch_norm(net, [(x, None)])
    # the first node leaves 0.1 mean, the second keeps 0.9 of that and adds 0.1 of its own, which is 0
    assert torch.allclose(net.p0, 0.09 * x.mean(0) / 0.19, atol=1e-5)


def test_no_batches_is_an_error_and_no_norm_is_fine() -> None:
    net = small()
    before = net.stem_norm.running_mean.clone()
    with pytest.raises(RecoveryError, match="no batches"):
        reestimate_batch_norm(net, [])
    assert torch.equal(net.stem_norm.running_mean, before)
    assert reestimate_batch_norm(nn.Linear(2, 2), []) == 0
