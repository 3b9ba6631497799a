"""What may be said of an architecture from a library: as `config`, with the library's own field names.

Fields that only describe a model (`transformers_version`, label names, ...) are read over; `_attn_implementation`,
`auto_map`, `quantization_config` and the like could fetch code and are refused with all that is not listed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pruning.architectures.config import Config, InputShape, choice, divides, flag, image_inputs, real, several, whole
from pruning.errors import IntakeError

_OWN = ("classes", "tokens", "size")  # ours; the library's config has no such field
_DESCRIBING = frozenset(
    """
    _name_or_path architectures bos_token_id chunk_size_feed_forward dtype
    encoder_stride eos_token_id finetuning_task gradient_checkpointing id2label initializer_range
    label2id model_type out_features out_indices output_attentions output_hidden_states
    pooler_output_size problem_type return_dict
    semantic_loss_ignore_index stage_names summary_activation summary_last_dropout summary_type
    summary_use_proj tie_word_embeddings tie_weights_ torch_dtype transformers_version
    sinusoidal_pos_embds use_cache num_stages qa_dropout
    initializer_factor
    """.split()
)
_FIXED: Mapping[str, Any] = {  # what only these values may say, since others make another model
    "add_cross_attention": False,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "pooler_act": "tanh",
    "position_embedding_type": "absolute",
}


@dataclass(frozen=True, kw_only=True)
class LibraryConfig(Config):
    """Base: `classes` outputs; what else there is has the library's names."""

    classes: int = whole(2, 1, 100_000)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """As `Config.from_json`; a library's own `config.json` will do: its labels say how many classes there are."""
        if not isinstance(document, Mapping):
            raise IntakeError("a config should be a JSON object of fields and values")
        labels = document.get("id2label")
        if odd := [key for key, value in _FIXED.items() if document.get(key, value) != value]:
            raise IntakeError(f"config: {odd[0]} may only be {_FIXED[odd[0]]!r} here")
        found = {k: v for k, v in document.items() if k not in _DESCRIBING and k not in _FIXED and v is not None}
        if isinstance(labels, Mapping) and labels:
            found.setdefault("classes", len(labels))
        if "image_size" in found:
            found.setdefault("size", found.pop("image_size"))
        return super().from_json(found)

    def arguments(self) -> dict[str, Any]:
        """What the library's config class is called with."""
        return {key: value for key, value in self.to_json().items() if key not in _OWN} | {"num_labels": self.classes}


@dataclass(frozen=True, kw_only=True)
class TextConfig(LibraryConfig):
    """Base of encoders of words; every text has `tokens` of them."""

    tokens: int = whole(128, 1, 8192)
    vocab_size: int = whole(30522, 2, 1 << 20)
    pad_token_id: int = whole(0, 0, 1 << 20)
    max_position_embeddings: int = whole(512, 1, 1 << 16)

    def __post_init__(self) -> None:
        """Words and places have embeddings."""
        super().__post_init__()
        if self.pad_token_id >= self.vocab_size:
            raise IntakeError(f"config: pad_token_id {self.pad_token_id} is no word of {self.vocab_size}")
        if self.tokens + self.places_taken > self.max_position_embeddings:
            raise IntakeError(f"config: texts of {self.tokens} tokens need more places than max_position_embeddings")

    @property
    def places_taken(self) -> int:
        """Position embeddings that stand for no token."""
        return 0

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """Numbers of words, and which of them to read."""
        ids = InputShape(name="input_ids", shape=(self.tokens,), dtype="int64", below=self.vocab_size)
        return (ids, InputShape(name="attention_mask", shape=(self.tokens,), dtype="int64", below=2))


@dataclass(frozen=True, kw_only=True)
class BertFields(TextConfig):
    """BERT, RoBERTa, ELECTRA and MiniLM (which is a BERT of width 384)."""

    hidden_size: int = whole(768, 1, 4096)
    num_hidden_layers: int = whole(12, 1, 64)
    num_attention_heads: int = whole(12, 1, 64)
    intermediate_size: int = whole(3072, 1, 1 << 14)
    hidden_act: str = choice("gelu", "relu", "gelu_new", "silu")
    hidden_dropout_prob: float = real(0.1, 0.0, 0.9)
    attention_probs_dropout_prob: float = real(0.1, 0.0, 0.9)
    type_vocab_size: int = whole(2, 1, 64)
    layer_norm_eps: float = real(1e-12, 0.0, 1e-2)

    def __post_init__(self) -> None:
        """Heads fill the width."""
        super().__post_init__()
        divides(self.hidden_size, self.num_attention_heads, "heads of the width")


@dataclass(frozen=True, kw_only=True)
class RobertaFields(BertFields):
    """RoBERTa: places are counted from behind the padding's number."""

    vocab_size: int = whole(50265, 2, 1 << 20)
    pad_token_id: int = whole(1, 0, 1 << 20)
    max_position_embeddings: int = whole(514, 2, 1 << 16)

    @property
    def places_taken(self) -> int:
        """Up to the padding's number."""
        return self.pad_token_id + 1


@dataclass(frozen=True, kw_only=True)
class ElectraFields(BertFields):
    """ELECTRA: words are embedded in a width of their own."""

    embedding_size: int = whole(128, 1, 4096)


@dataclass(frozen=True, kw_only=True)
class DistilBertFields(TextConfig):
    """DistilBERT."""

    n_layers: int = whole(6, 1, 64)
    n_heads: int = whole(12, 1, 64)
    dim: int = whole(768, 1, 4096)
    hidden_dim: int = whole(3072, 1, 1 << 14)
    dropout: float = real(0.1, 0.0, 0.9)
    attention_dropout: float = real(0.1, 0.0, 0.9)
    activation: str = choice("gelu", "relu")
    seq_classif_dropout: float = real(0.2, 0.0, 0.9)

    def __post_init__(self) -> None:
        """Heads fill the width."""
        super().__post_init__()
        divides(self.dim, self.n_heads, "heads of the width")


@dataclass(frozen=True, kw_only=True)
class ImageConfig(LibraryConfig):
    """Base of networks for square images of `size` pixels."""

    classes: int = whole(1000, 1, 100_000)
    size: int = whole(224, 8, 1024)
    num_channels: int = whole(3, 1, 64)

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.num_channels, self.size)


@dataclass(frozen=True, kw_only=True)
class ResNetFields(ImageConfig):
    """ResNet."""

    embedding_size: int = whole(64, 1, 4096)
    downsample_in_first_stage: bool = flag(False)
    downsample_in_bottleneck: bool = flag(False)
    hidden_sizes: tuple[int, ...] = several((256, 512, 1024, 2048), 1, 8192, 8)
    depths: tuple[int, ...] = several((3, 4, 6, 3), 1, 64, 8)
    layer_type: str = choice("bottleneck", "basic")
    hidden_act: str = choice("relu", "gelu", "silu")

    def __post_init__(self) -> None:
        """A stage has a width and a depth."""
        super().__post_init__()
        _stages(self.hidden_sizes, self.depths)


@dataclass(frozen=True, kw_only=True)
class MobileNetV1Fields(ImageConfig):
    """MobileNet v1."""

    depth_multiplier: float = real(1.0, 0.05, 4.0)
    min_depth: int = whole(8, 1, 64)
    hidden_act: str = choice("relu6", "relu")
    classifier_dropout_prob: float = real(0.2, 0.0, 0.999)
    layer_norm_eps: float = real(0.001, 0.0, 0.1)
    tf_padding: bool = flag(True)


@dataclass(frozen=True, kw_only=True)
class MobileNetV2Fields(MobileNetV1Fields):
    """MobileNet v2."""

    depth_divisible_by: int = whole(8, 1, 64)
    expand_ratio: float = real(6.0, 1.0, 16.0)
    output_stride: int = choice(32, 8, 16)
    first_layer_is_expansion: bool = flag(True)
    finegrained_output: bool = flag(True)


@dataclass(frozen=True, kw_only=True)
class ViTFields(ImageConfig):
    """ViT."""

    patch_size: int = whole(16, 1, 64)
    hidden_size: int = whole(768, 1, 4096)
    num_hidden_layers: int = whole(12, 1, 64)
    num_attention_heads: int = whole(12, 1, 64)
    intermediate_size: int = whole(3072, 1, 1 << 14)
    hidden_act: str = choice("gelu", "relu")
    hidden_dropout_prob: float = real(0.0, 0.0, 0.9)
    attention_probs_dropout_prob: float = real(0.0, 0.0, 0.9)
    layer_norm_eps: float = real(1e-12, 0.0, 1e-2)
    qkv_bias: bool = flag(True)

    def __post_init__(self) -> None:
        """Patches fill the image, heads the width."""
        super().__post_init__()
        divides(self.size, self.patch_size, "patches of the image's size")
        divides(self.hidden_size, self.num_attention_heads, "heads of the width")

    def arguments(self) -> dict[str, Any]:
        """The size of the image as well."""
        return super().arguments() | {"image_size": self.size}


@dataclass(frozen=True, kw_only=True)
class ConvNeXtFields(ImageConfig):
    """ConvNeXt."""

    patch_size: int = whole(4, 1, 64)
    hidden_sizes: tuple[int, ...] = several((96, 192, 384, 768), 1, 4096, 8)
    depths: tuple[int, ...] = several((3, 3, 9, 3), 1, 64, 8)
    hidden_act: str = choice("gelu", "relu")
    layer_norm_eps: float = real(1e-12, 0.0, 1e-2)
    layer_scale_init_value: float = real(1e-6, 0.0, 1.0)
    drop_path_rate: float = real(0.0, 0.0, 0.9)

    def __post_init__(self) -> None:
        """A stage has a width and a depth."""
        super().__post_init__()
        _stages(self.hidden_sizes, self.depths)

    def arguments(self) -> dict[str, Any]:
        """The number of stages as well."""
        return super().arguments() | {"num_stages": len(self.depths)}


@dataclass(frozen=True, kw_only=True)
class PlainFields(ImageConfig):
    """Networks that a library knows by name alone: only their images and classes can be said."""

    num_channels: int = choice(3)


def _stages(widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
    if len(widths) != len(depths):
        raise IntakeError(f"config: {len(widths)} hidden_sizes for {len(depths)} depths")
