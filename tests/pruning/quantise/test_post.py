"""A plan's post-steps: their JSON, and what they do to a pruned net."""

import pytest
import torch

from pruning.apply import prune
from pruning.errors import PlanError
from pruning.patterns import NM, Unstructured
from pruning.plan import DKM, Int8, PostStep, PruningPlan, post_step
from pruning.quantise import apply_post
from pruning.verify import verify
from tests.pruning.small import SPEC, small

PLAN = PruningPlan(
    pruner="magnitude", patterns={"stem": Unstructured(0.6), "body": NM(keep=1, group=4), "head": Unstructured(0.5)}
)


def with_post(*steps: PostStep) -> PruningPlan:
    return PruningPlan(pruner=PLAN.pruner, patterns=PLAN.patterns, post=steps)


@pytest.mark.parametrize("step", [Int8(), DKM(), DKM(bits=2, dim=4)], ids=str)
def test_a_plan_carries_its_post_step(step: PostStep) -> None:
    plan = with_post(step)
    assert plan.to_json()["post"] == [step.to_json()]
    assert PruningPlan.from_json(plan.to_json()) == plan
    assert plan.digest != PLAN.digest and hash(plan) != hash(PLAN)


def test_a_plan_without_post_steps_is_what_it_was() -> None:
    assert "post" not in PLAN.to_json() and with_post().digest == PLAN.digest
    empty = PruningPlan(pruner="magnitude")
    assert empty.digest == "0fc38cc3029e1a8898cc910e0dbd89d4ff38d478662a604d1fa6e858ac61629d"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"kind": "int4"}, "no post-step 'int4'"),
        ({}, "no post-step 'None'"),
        ({"kind": "int8", "bits": 8}, "no field 'bits'"),
        ({"kind": "dkm", "bits": 9}, "1 ... 8"),
        ({"kind": "dkm", "bits": 2.5}, "not a whole number"),
        ({"kind": "dkm", "dim": True}, "not a whole number"),
    ],
)
def test_broken_post_steps_are_refused(document: dict[str, object], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        post_step(document)


def test_two_ways_to_store_a_weight_are_refused() -> None:
    with pytest.raises(PlanError, match="int8 and dkm"):
        with_post(Int8(), DKM())
    with pytest.raises(PlanError, match="int8 and dkm"):
        apply_post(small(), SPEC, (Int8(), DKM()))


@pytest.mark.parametrize("step", [Int8(), DKM(bits=2), DKM(bits=4), DKM(bits=8)], ids=str)
def test_a_pruned_net_stays_verified(step: PostStep) -> None:
    net = prune(small(), SPEC, PLAN).net
    zeros = {layer.name: int((net.get_submodule(layer.name).weight == 0).sum()) for layer in SPEC.layers}
    reports = apply_post(net, SPEC, (step,))
    verify(net, SPEC, PLAN, {})
    assert [report.name for report in reports] == ["stem", "body", "head"]
    for report, layer in zip(reports, SPEC.layers, strict=True):
        assert report.zeros >= zeros[layer.name] and report.dense_bytes == 4 * layer.weights
        assert 0 <= report.error < (0.6 if step == DKM(bits=2) else 0.2)
        values = net.get_submodule(layer.name).weight
        if isinstance(step, DKM):
            assert len(values.unique()) <= 2**step.bits
        else:
            assert report.bytes == layer.weights + 4 * layer.out_channels
            assert report.error < 0.01


def test_sizes_and_errors_of_palettes() -> None:
    reports = apply_post(small(), SPEC, (DKM(bits=4),))
    assert [report.bytes for report in reports] == [72 // 2 + 64, 432 // 2 + 64, 72 // 2 + 64]
    before = small().body.weight.detach()
    net = small()
    (_, body, _) = apply_post(net, SPEC, (DKM(bits=3),))
    assert body.error == pytest.approx(float((before - net.body.weight.detach()).norm() / before.norm()), rel=1e-5)
    assert body.to_json()["step"] == "dkm"


def test_vectors_that_mix_zeros_are_refused_and_nothing_is_changed() -> None:
    net = prune(small(), SPEC, PLAN).net
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(PlanError, match=r"layer 'stem' has zeros .* use dim 1"):
        apply_post(net, SPEC, (DKM(bits=1, dim=2),))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert len(apply_post(small(), SPEC, (DKM(bits=4, dim=2),))) == 3  # a dense net has none
