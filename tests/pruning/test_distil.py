"""Distillation is its formula; the teacher is the dense model as given, and nobody's model is changed."""

import pytest
import torch
from torch import Tensor, nn

from pruning.distil import Distillation, Teacher, dense, divergence
from pruning.errors import RecoveryError
from pruning.masked import MaskedWeight, attach, set_progress
from pruning.patterns import Unstructured
from pruning.pruners import make
from pruning.recover import RecoveryConfig, recover
from tests.pruning.small import Small, data, small, weight

task = nn.functional.cross_entropy


def pruned() -> Small:
    net = small()
    attach(net, {"body.weight": MaskedWeight(make("magnitude", Unstructured(0.8), {}))})
    return net


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize(("shape", "dim"), [((5, 7), -1), ((2, 7, 3), 1)])
def test_the_divergence_is_the_sum_of_p_log_p_over_q(temperature: float, shape: tuple[int, ...], dim: int) -> None:
    student, teacher = weight(shape).double(), weight(shape, seed=1).double()
    p, q = (torch.softmax(logits / temperature, dim=dim) for logits in (teacher, student))
    expected = temperature**2 * (p * (p / q).log()).sum(dim).mean()
    assert torch.allclose(divergence(student, teacher, temperature, dim), expected)
    assert divergence(teacher, teacher, temperature, dim).abs() < 1e-12


def test_halves_are_compared_in_fp32() -> None:
    logits = 200 * weight((4, 9)).half()
    assert divergence(logits, -logits, 0.01).isfinite()


def test_the_teacher_is_the_dense_model_as_given() -> None:
    net, given = pruned(), small()
    x = data()[0][0]
    assert torch.equal(dense(net).eval()(x), given(x))
    assert not torch.equal(net.eval()(x), given(x))
    set_progress(net, 1.0)
    assert (net.body.weight == 0).any()  # a copy's parametrisation shares its class with ours


def test_the_loss_mixes_task_and_teacher() -> None:
    (x, y), *_ = data()
    net = pruned().eval()
    outputs = net(x)
    teacher = Teacher(Distillation(weight=0.95, temperature=3.0), net)
    expected = 0.05 * task(outputs, y) + 0.95 * divergence(outputs, small()(x), 3.0)
    assert torch.allclose(teacher.loss(task(outputs, y), outputs, x), expected)


def test_a_student_learns_what_only_the_teacher_says_and_the_teacher_stays() -> None:
    teacher = small(seed=5).train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    net = pruned()

    def silent(outputs: Tensor, _: Tensor) -> Tensor:
        return 0 * outputs.sum()

    distil = Distillation(weight=1.0, teacher=teacher)
    steps = list(recover(net, data(), RecoveryConfig(steps=20, learning_rate=0.05, distil=distil), silent))
    assert sum(s.loss for s in steps[-4:]) < 0.5 * sum(s.loss for s in steps[:4])
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert teacher.training and all(p.requires_grad and p.grad is None for p in teacher.parameters())


def test_a_teacher_does_not_disturb_the_students_dropout() -> None:
    runs = [
        list(recover(pruned(), data(), RecoveryConfig(steps=4, distil=distil), task))
        for distil in (None, Distillation(weight=0.0))
    ]
    assert [s.loss for s in runs[0]] == pytest.approx([s.loss for s in runs[1]])


class Pair(nn.Module):
    """Answers with more than logits."""

    def __init__(self, net: Small) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.net(x), "mean": x.mean()}


def test_logits_are_found_among_the_outputs_or_asked_for() -> None:
    def loss(outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        return task(outputs["logits"], targets)

    config = RecoveryConfig(steps=2, distil=Distillation(logits=lambda outputs: outputs["logits"]))
    assert len(list(recover(Pair(small()), data(), config, loss))) == 2
    with pytest.raises(RecoveryError, match=r"answers with dict.*Distillation\(logits"):
        list(recover(Pair(small()), data(), RecoveryConfig(steps=2, distil=Distillation()), loss))


def test_another_number_of_classes_is_refused() -> None:
    config = RecoveryConfig(steps=2, distil=Distillation(teacher=nn.Sequential(nn.Flatten(), nn.Linear(16, 5))))
    with pytest.raises(RecoveryError, match=r"\(16, 5\), the student's \(16, 3\)"):
        list(recover(small(), data(), config, task))


@pytest.mark.parametrize("wrong", [{"weight": 1.5}, {"weight": float("nan")}, {"temperature": 0.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(RecoveryError, match=next(iter(wrong))):
        Distillation(**wrong)
