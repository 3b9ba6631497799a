"""Optimisers, schedules, precision and layout of a recovery; and that erased weights forget their moments."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning.errors import RecoveryError
from pruning.masked import MaskedWeight, attach, find_tensor, set_progress
from pruning.optimise import forget_erased, parameter_groups
from pruning.patterns import Unstructured
from pruning.precision import Precision
from pruning.pruners import make
from pruning.pruners.base import Pruner
from pruning.recover import RecoverStep, Recovery, RecoveryConfig, recover
from tests.pruning.small import Small, data, small

loss = nn.functional.cross_entropy


def run(net: nn.Module, **config: Any) -> list[RecoverStep]:
    return list(recover(net, data(), RecoveryConfig(**{"steps": 6, **config}), loss))


@pytest.mark.parametrize(("name", "rate"), [("sgd", 0.05), ("adam", 5e-3), ("adamw", 5e-3)])
def test_every_optimiser_learns(name: str, rate: float) -> None:
    steps = run(small(), optimizer=name, steps=40, learning_rate=rate)
    assert sum(s.loss for s in steps[-4:]) < 0.6 * sum(s.loss for s in steps[:4])


def test_adamw_is_torchs() -> None:
    net, other = small(), small()
    other.train()
    optimizer = torch.optim.AdamW(parameter_groups(other, 0.01, 0.1), betas=(0.8, 0.999))
    config = {"learning_rate": 0.01, "momentum": 0.8, "weight_decay": 0.1, "schedule": "constant", "warm_up": 0.0}
    run(net, optimizer="adamw", steps=3, clip_norm=1e9, **config)
    for step in range(3):
        optimizer.zero_grad()
        torch.manual_seed(step)
        x, y = data()[step]
        loss(other(x), y).backward()
        optimizer.step()
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def test_any_optimiser_can_be_given_and_gets_the_groups() -> None:
    seen: list[Any] = []

    def factory(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        seen.extend(groups)
        return torch.optim.RMSprop(groups)

    net = small()
    attach(net, {"body.weight": MaskedWeight(make("movement", Unstructured(0.5), {}))})
    run(net, optimizer=factory)
    assert [group["weight_decay"] for group in seen] == [5e-4, 0.0, 0.0]
    assert len(seen[2]["params"]) == 1 and seen[2]["multiplier"] == next(m.learning_rate for m in pruners_of(net))


def pruners_of(net: nn.Module) -> list[Pruner]:
    return [module for module in net.modules() if isinstance(module, Pruner)]


@pytest.mark.parametrize(
    ("factory", "complaint"),
    [
        (lambda groups: None, "NoneType, not a torch"),  # noqa: ARG005
        (lambda groups: torch.optim.SGD(groups[:1], lr=0.1), "changed the parameter groups"),
    ],
)
def test_a_factory_that_makes_something_else_is_refused(factory: Any, complaint: str) -> None:
    with pytest.raises(RecoveryError, match=complaint):
        run(small(), optimizer=factory)


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 1.0, 0.55, 0.1]),
        ("cosine", [0.5, 1.0, 1.0, 0.55, 0.1]),
        (lambda step: 0.5**step, [1.0, 0.5, 0.25, 0.125, 0.0625]),
    ],
)
def test_schedules(schedule: Any, factors: list[float]) -> None:
    steps = run(small(), steps=5, warm_up=0.4, final_learning_rate=0.1, learning_rate=0.1, schedule=schedule)
    assert [s.learning_rate for s in steps] == pytest.approx([0.1 * factor for factor in factors])


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
def test_a_schedule_that_gives_no_factor_is_refused(factor: float) -> None:
    with pytest.raises(RecoveryError, match="at step 0"):
        run(small(), schedule=lambda _: factor)


@pytest.mark.parametrize(
    "wrong", [{"optimizer": "lion"}, {"schedule": "steps"}, {"amp": "int8"}, {"amp": float}, {"accumulate": 0}]
)
def test_names_that_are_not_known_are_refused_with_those_that_are(wrong: dict[str, Any]) -> None:
    with pytest.raises(RecoveryError, match=next(iter(wrong))):
        RecoveryConfig(**wrong)


def test_accumulated_batches_are_one_large_one() -> None:
    nets = [nn.Linear(16, 3), nn.Linear(16, 3)]
    nets[1].load_state_dict(nets[0].state_dict())
    parts = [(x.flatten(1), y) for x, y in data(4)]
    whole = [(torch.cat([parts[i][0], parts[i + 1][0]]), torch.cat([parts[i][1], parts[i + 1][1]])) for i in (0, 2)]
    found = [
        list(recover(net, batches, RecoveryConfig(steps=4, accumulate=count), loss))
        for net, batches, count in ((nets[0], parts, 2), (nets[1], whole, 1))
    ]
    assert [s.loss for s in found[0]] == pytest.approx([s.loss for s in found[1]], rel=1e-5)
    assert torch.allclose(nets[0].weight, nets[1].weight, atol=1e-6)


def under_pdp() -> Small:
    net = small()
    attach(net, {"body.weight": MaskedWeight(make("pdp", Unstructured(0.5), {"ramp": 0.0, "harden": 1.0}))})
    return net


def test_bfloat16_narrows_the_convolutions_and_leaves_parameters_wide() -> None:
    types: list[torch.dtype] = []
    net = under_pdp()
    net.body.register_forward_hook(lambda _, __, output: types.append(output.dtype))
    narrow, wide = run(net, amp="bfloat16"), run(under_pdp())
    assert set(types) == {torch.bfloat16}
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert [s.loss for s in narrow] == pytest.approx([s.loss for s in wide], rel=0.05)


def test_float16_is_for_cuda() -> None:
    with pytest.raises(RecoveryError, match="on the CPU use bfloat16"):
        run(small(), amp="float16")
    with pytest.raises(RecoveryError, match=r"model\.float"):
        Precision("float16", small().half(), torch.device("cuda"))


@pytest.mark.parametrize("overflow", [False, True])
def test_masks_see_unscaled_gradients_and_no_overflow(overflow: bool) -> None:
    net = small()
    attach(net, {"body.weight": MaskedWeight(make("rigl", Unstructured(0.5), {}))})
    mask = next(module for module in net.modules() if isinstance(module, MaskedWeight))
    precision = Precision("off", net, torch.device("cpu"))
    precision.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, y = data()[0]
    precision.backward((float("inf") if overflow else 1.0) * loss(net(x), y))
    scaled, grad = mask.gradient, net.head.bias.grad.clone()
    before = net.head.bias.detach().clone()
    precision.unscale(optimizer, net)
    precision.step(optimizer)
    if overflow:
        assert mask.gradient is None
        assert torch.equal(net.head.bias, before)
    else:
        assert torch.allclose(mask.gradient, scaled / 1024)
        assert torch.allclose(net.head.bias, before - 0.1 * grad / 1024)


def test_channels_last_changes_the_layout_for_the_run_alone() -> None:
    formats: list[bool] = []
    net = under_pdp()

    def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        formats.extend(t.is_contiguous(memory_format=torch.channels_last) for t in (*inputs, net.body.weight))

    net.body.register_forward_pre_hook(look)
    found, plain = run(net, channels_last=True), run(under_pdp())
    assert all(formats) and formats
    assert [s.loss for s in found] == pytest.approx([s.loss for s in plain], rel=1e-4)
    assert all(p.is_contiguous() for p in net.parameters())


class Eraser(Pruner):
    """Erases its first unit at every advance."""

    name = "eraser"
    stateful = True

    @property
    def hardens_at(self) -> float:
        return 0.9

    def update(self, table: Tensor, gradient: Tensor | None) -> None:  # noqa: ARG002
        self.erase(torch.arange(table.numel()).reshape(table.shape) == 0)

    def soft(self, table: Tensor) -> Tensor:
        return torch.ones_like(table)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_erased_weights_forget_their_moments_and_others_do_not(name: str) -> None:
    net = small()
    attach(net, {"body.weight": MaskedWeight(Eraser(Unstructured(0.5)))})
    recovery = Recovery(net, data(), RecoveryConfig(steps=9, optimizer=name), loss)
    next(recovery.steps())
    weight = find_tensor(net, "body.weight")
    moments = [m for m in recovery._optimizer.state[weight].values() if m.shape == weight.shape]
    assert moments and all(m.count_nonzero() == m.numel() for m in moments)
    set_progress(net, 0.5)
    forget_erased(recovery._optimizer, net)
    for moment in (*moments, weight):
        assert moment.flatten()[0] == 0
        assert moment.count_nonzero() == moment.numel() - 1


def test_an_erasure_is_of_one_advance() -> None:
    net = small()
    attach(net, {"body.weight": MaskedWeight(Eraser(Unstructured(0.5)))})
    set_progress(net, 0.95)
    weight = find_tensor(net, "body.weight")
    weight.data.fill_(1.0)
    set_progress(net, 0.96)
    assert (weight == 1).all()


def test_transposed_weights_are_erased_where_they_lie() -> None:
    net = nn.ConvTranspose2d(2, 3, 2)
    attach(net, {"weight": MaskedWeight(Eraser(Unstructured(0.5)), transposed=True)})
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(torch.ones(1, 2, 2, 2)).sum().backward()
    optimizer.step()
    forget_erased(optimizer, net)
    (moment,) = (state["momentum_buffer"] for p, state in optimizer.state.items() if p.ndim == 4)
    assert (moment == 0).nonzero().tolist() == [[0, 0, 0, 0]]


def test_the_loop_forgets_before_every_step() -> None:
    net = small()
    attach(net, {"body.weight": MaskedWeight(Eraser(Unstructured(0.5)))})
    recovery = Recovery(net, data(), RecoveryConfig(steps=20, weight_decay=0.0), loss)
    steps = recovery.steps()
    for _ in range(4):
        next(steps)
    weight = find_tensor(net, "body.weight")
    moment = recovery._optimizer.state[weight]["momentum_buffer"]
    same = moment == weight.grad  # a momentum that has seen the last gradient alone
    assert same.flatten()[0] and int(same.sum()) == 1
