"""Tokens: at every place of a text, the probabilities of a vocabulary against the token that stands there or next."""

from dataclasses import dataclass
from math import exp, sqrt
from typing import TYPE_CHECKING, Any, ClassVar

from app.search.judging.base import Headline, Judge, Observed, Reading, Targets, by, mismatch

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100  # as target: a place that is not judged
_KEPT = 32  # most likely tokens of a dense answer that are remembered
_MOST_NATS = 50.0  # a token, in a perplexity: more is as useless, and would not be a finite number


@dataclass(frozen=True)
class LanguageModelling(Judge):
    """Logits `b x t x vocabulary` against tokens `b x t`; perplexity, and loss in nats a token.

    Targets of -100 are not judged. Standard errors take a sample's tokens together: they are not independent.
    """

    headline: ClassVar[Headline] = Headline(metric="perplexity", better="lower")
    targets: ClassVar[Targets] = "tokens"

    def loss(self, answer: Any, targets: "Tensor") -> "Tensor":
        """Mean cross-entropy, in nats a judged token."""
        from torch.nn.functional import cross_entropy

        logits = self.judged(answer)
        return cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)

    def remember(self, answer: Any) -> "Tensor":
        """Of each place the most likely tokens: `b x t x 2 x kept`, their log-probabilities and their numbers.

        A whole answer is vocabulary-sized: that of a few hundred samples would not fit into memory.
        """
        import torch

        found = self.judged(answer).float().log_softmax(dim=2)
        kept = found.topk(min(_KEPT, found.shape[2]), dim=2)
        return torch.stack([kept.values, kept.indices.float()], dim=2)  # float32 counts exactly to 16 million

    def divergence(self, dense: "Tensor", answer: Any) -> "Tensor":
        """KL(dense || answer) of each sample, in nats a token, all tokens that were not remembered taken as one.

        That is a lower bound of the divergence over the whole vocabulary.
        """
        values, numbers = dense[:, :, 0], dense[:, :, 1].long()
        found = self.judged(answer).float().log_softmax(dim=2).gather(2, numbers)
        kept = (values.exp() * (values - found)).sum(dim=2)
        rest, left = (_remainder(log) for log in (values, found))
        return (kept + rest * (rest.log() - left.log())).mean(dim=1)

    def observe(self, answer: Any, targets: "Tensor") -> Observed:
        """Nats and number of the judged tokens of each sample."""
        from torch.nn.functional import cross_entropy

        logits = self.judged(answer).double()
        nats = cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
        return {"nats": nats.sum(dim=1), "tokens": (targets != IGNORED).sum(dim=1).double()}

    def readings(self, found: Observed) -> list[Reading]:
        """Perplexity and loss."""
        nats, tokens = found["nats"], found["tokens"]
        count, total = len(nats), max(1.0, float(tokens.sum()))
        loss = float(nats.sum()) / total
        off = float((nats - loss * tokens).square().sum())
        spread = sqrt(off * count / (count - 1)) / total if count > 1 else 0.0  # of a ratio of two sums
        perplexity = exp(min(loss, _MOST_NATS))
        return [
            Reading(metric="perplexity", value=perplexity, standard_error=perplexity * spread, samples=count),
            Reading(metric="loss", value=loss, standard_error=spread, samples=count),
        ]

    def _check_output(self, shape: tuple[int, ...]) -> None:
        length, words = self.meta["target_shape"][0], self.meta["vocabulary"]
        if len(shape) != 2 or shape[0] != length or shape[1] < words:
            reason = f"the data has {length} tokens a sample out of {words}, but the model answers {by(shape)}"
            raise mismatch("/task/output", f"{reason}: it must answer {length} x at least {words} logits", words, shape)


def _remainder(log_probabilities: "Tensor") -> "Tensor":
    """The probability of all other tokens, above zero so that its logarithm is finite."""
    return (1.0 - log_probabilities.exp().sum(dim=2)).clamp(min=1e-7)
