"""Short training under masks. Nothing here knows what the masks are.

    for step in recover(model, batches, config, loss, seed):
        show(step)

or, to be able to go on after an interruption, from the same model, masks and batches:

    recovery = Recovery(model, batches, config, loss, seed)
    if path.exists():
        recovery.restore(RecoveryState.load(path))
    for step in recovery.steps():
        if step.step % 500 == 0:
            recovery.state().save(path)
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from pruning.checkpoint import RecoveryState, load_model, load_optimizer, model_state, optimizer_state
from pruning.distil import Distillation, Teacher
from pruning.early_stop import EarlyStop, Stopper
from pruning.errors import RecoveryError
from pruning.feed import Batch, Loss, again, call, device_of, placed
from pruning.masked import penalties, set_progress
from pruning.optimise import forget_erased, make_optimizer, parameter_groups
from pruning.precision import Precision
from pruning.recovery_config import RecoveryConfig
from pruning.running_statistics import reestimate_batch_norm

__all__ = [
    "Batch",
    "Distillation",
    "EarlyStop",
    "Loss",
    "RecoverStep",
    "Recovery",
    "RecoveryConfig",
    "RecoveryState",
    "recover",
    "reestimate_batch_norm",
]


@dataclass(frozen=True, kw_only=True)
class RecoverStep:
    """One step done: `step` of `steps`, with its loss before the update.

    `score` is the early stop's, where it was taken; `stopped` is the reason why this step is the last, if it is early.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    score: float | None = None
    stopped: str = ""


def recover(
    model: nn.Module, batches: Iterable[Batch], config: RecoveryConfig, loss: Loss, seed: int = 0
) -> Iterator[RecoverStep]:
    """Train `model` in place, in training mode, moving its masks from 0 to the last step's share.

    `batches` is gone through again as often as needed. The result depends on the model, the batches, the
    config and `seed` (which dropout uses) alone; the caller's random state is left as it was.

    Raises:
        RecoveryError: the batches ran out, or the loss is not finite.
    """
    yield from Recovery(model, batches, config, loss, seed).steps()


class Recovery:
    """`recover`, as something that can be written down between two steps and taken up again, bit for bit.

    A teacher of its own and the data are the caller's to give again; they are not in a `RecoveryState`.

    Raises:
        RecoveryError: a config that this model or its device cannot follow.
    """

    def __init__(
        self, model: nn.Module, batches: Iterable[Batch], config: RecoveryConfig, loss: Loss, seed: int = 0
    ) -> None:
        self.model, self.batches, self.config, self.loss, self.seed = model, batches, config, loss, seed
        self.done = 0  # steps
        groups = parameter_groups(model, config.learning_rate, config.weight_decay)
        self._optimizer = make_optimizer(config.optimizer, groups, config.momentum)
        self._multipliers = [group["multiplier"] for group in groups]
        self._trained = [p for group in groups[:2] for p in group["params"]]  # scores are not clipped
        self._device = device_of(model)
        self._precision = Precision(config.amp, model, self._device)
        self._teacher = None if config.distil is None else Teacher(config.distil, model)
        self._stopper = Stopper(config.early_stop)

    def steps(self) -> Iterator[RecoverStep]:
        """The steps that are left. The batches of those done are gone through again, and not used."""
        config = self.config
        supply = again(self.batches)
        self._lay_out()
        self.model.train()
        try:
            for _ in range(self.done * config.accumulate if self.done < config.steps else 0):
                next(supply)
            while self.done < config.steps and not self._stopper.stopped:
                set_progress(self.model, self.done / config.steps)
                forget_erased(self._optimizer, self.model)
                loss = self._gradients(supply)
                rate = self._update()
                self.done += 1
                score = self._stopper.look(self.model, self.done)
                yield RecoverStep(
                    step=self.done,
                    steps=config.steps,
                    loss=loss,
                    learning_rate=rate,
                    score=score,
                    stopped=self._stopper.stopped,
                )
        finally:
            if config.channels_last:
                self.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def state(self) -> RecoveryState:
        """Where it stands: a copy, to save and to restore from."""
        tensors, extra = model_state(self.model)
        moments, numbers = optimizer_state(self._optimizer)
        return RecoveryState(
            tensors={**tensors, **moments},
            numbers={
                "step": self.done,
                "seed": self.seed,
                "config": self.config.to_json(),
                "extra": extra,
                "optimizer": numbers,
                "scaler": self._precision.scaler.state_dict(),
                "stopper": self._stopper.to_json(),
            },
        )

    def restore(self, state: RecoveryState) -> None:
        """Go on from there, in the model's place too. Do so before the first step, on a model under the same masks.

        Raises:
            RecoveryError: it is the state of another recovery; the message says in what.
        """
        own = {**self.config.to_json(), "seed": self.seed}
        stored = {**state.numbers["config"], "seed": state.numbers["seed"]}
        for name in sorted(own.keys() | stored.keys()):
            if own.get(name) != stored.get(name):
                told = f"{name} {stored.get(name)!r}, and this one {own.get(name)!r}"
                raise RecoveryError(f"the checkpoint's recovery has {told}: go on with the same")
        self._lay_out()
        load_model(self.model, state, self._device)
        load_optimizer(self._optimizer, state)
        try:
            self._precision.scaler.load_state_dict(state.numbers["scaler"])
            self._stopper.restore(state.numbers["stopper"])
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise RecoveryError(f"the checkpoint's scale or early stop is damaged: {error}") from error
        self.done = state.step

    def _gradients(self, supply: Iterator[Batch]) -> float:
        """Gradients of the next step, and its loss."""
        step, share = self.done, 1 / self.config.accumulate
        self._optimizer.zero_grad(set_to_none=True)
        devices = sorted({p.device.index for p in self._trained if p.device.type == "cuda"})
        total = 0.0
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed((self.seed * 1_000_003 + step) % 2**63)
            for _ in range(self.config.accumulate):
                total += share * self._backward(next(supply), share)
        if not math.isfinite(total):
            raise RecoveryError(
                f"the loss is {total} at step {step + 1} of {self.config.steps}: "
                f"try a learning rate below {self.config.learning_rate:g}, and check the inputs for NaN"
            )
        self._precision.unscale(self._optimizer, self.model)
        return total

    def _backward(self, batch: Batch, share: float) -> float:
        inputs, targets = placed(batch[0], self._device, channels_last=self.config.channels_last), batch[1]
        with self._precision.forward():
            outputs = call(self.model, inputs)
            value = self.loss(outputs, placed(targets, self._device))
            if self._teacher is not None:
                value = self._teacher.loss(value, outputs, inputs)
            extra = penalties(self.model)
        self._precision.backward((value if extra is None else value + extra) * share)
        return value.item()

    def _update(self) -> float:
        rate = self.config.rate(self.done)
        torch.nn.utils.clip_grad_norm_(self._trained, self.config.clip_norm)
        for group, multiplier in zip(self._optimizer.param_groups, self._multipliers, strict=True):
            group["lr"] = rate * multiplier
        self._precision.step(self._optimizer)
        return rate

    def _lay_out(self) -> None:
        if self.config.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
