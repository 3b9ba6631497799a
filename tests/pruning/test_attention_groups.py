"""Attention heads and feed-forward widths of transformer encoders as people write them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning import graphnet
from pruning.apply import prune
from pruning.convert import convert
from pruning.export import cut_channels
from pruning.graphnet import GraphNet
from pruning.intake.reader import read_exported_program, write_model
from pruning.layers import ModelSpec
from pruning.patterns import NM, Channel
from pruning.plan import PruningPlan
from pruning.trace import trace
from tests.pruning.graphs import check_cut, half, load_net, stir

WIDTH, HEADS, TOKENS = 12, 3, 5


class Split(nn.Module):
    """Projections of their own, as in BERT."""

    def __init__(self, mix: Callable[[Tensor, Tensor, Tensor], Tensor], shared: int = 1) -> None:
        super().__init__()
        self.mix, self.shared = mix, shared
        self.query, self.output = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.key, self.value = (nn.Linear(WIDTH, WIDTH // shared) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        shape = (*x.shape[:2], -1, WIDTH // HEADS)
        parts = (layer(x).view(shape).transpose(1, 2) for layer in (self.query, self.key, self.value))
        mixed = self.mix(*parts).transpose(1, 2)
        return self.output(mixed.reshape(*x.shape[:2], WIDTH))


class Fused(nn.Module):
    """One projection for all three, as in vision transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.output = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH // HEADS)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, HEADS, -1).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (self.norm(q) * 0.5 @ k.transpose(-2, -1)).softmax(dim=-1)
        return self.output((weights @ v).transpose(1, 2).flatten(2))


class Chunked(Fused):
    """One projection, cut in three before the heads are told apart."""

    def forward(self, x: Tensor) -> Tensor:
        heads = [part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1)]
        mixed = functional.scaled_dot_product_attention(*heads)
        return self.output(mixed.transpose(1, 2).reshape(x.shape))


class Own(nn.Module):
    """torch's own module."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


def _sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(q, k, v)


def _letters(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = torch.einsum("b h i d, b h j d -> b h i j", q, k).softmax(dim=-1)
    return torch.einsum("bhij,bhjd->bhid", weights, v)


def _masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    allowed = torch.ones(TOKENS, TOKENS).tril().bool()
    scores = (q @ k.transpose(-2, -1)) / 2.0
    return scores.masked_fill(~allowed, -torch.inf).softmax(dim=-1) @ v


def _turned(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Rotary positions."""
    angle = torch.outer(torch.arange(TOKENS).float(), torch.tensor([1.0, 0.1])).repeat(1, 2)

    def turn(x: Tensor) -> Tensor:
        one, other = x.chunk(2, dim=-1)
        return x * angle.cos() + torch.cat([-other, one], dim=-1) * angle.sin()

    return functional.scaled_dot_product_attention(turn(q), turn(k), v)


def _several(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)


KINDS: dict[str, tuple[Callable[[], nn.Module], str, int]] = {  # and the cuts in the layers' weights
    "separate": (lambda: Split(_sdpa), "query heads", 4),
    "in letters": (lambda: Split(_letters), "query heads", 4),
    "masked": (lambda: Split(_masked), "query heads", 4),
    "rotary": (lambda: Split(_turned), "query heads", 4),
    "fused": (Fused, "qkv heads", 4),
    "chunked": (Chunked, "qkv heads", 4),
    "torch's own": (Own, "attention.in_proj_weight heads", 4),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_head_is_one_channel_of_its_group(name: str, tmp_path: Path) -> None:
    make, group_name, cuts = KINDS[name]
    net = load_net(stir(make()).eval(), (torch.randn(2, TOKENS, WIDTH),), tmp_path)
    spec = trace(net)
    (group,) = (group for group in spec.groups if group.removable)
    assert (group.name, group.channels) == (group_name, HEADS)
    weights = [cut for cut in group.cuts if cut.role != "follower"]
    assert len(weights) == cuts and {cut.repeat for cut in weights} == {WIDTH // HEADS}
    x = torch.randn(4, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1))
    for heads in ([1], [0, 2]):
        check_cut(net, {group.name: heads}, x, 1e-5)


def test_query_heads_go_with_the_keys_they_share(tmp_path: Path) -> None:
    class Grouped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value = nn.Linear(8, 16), nn.Linear(8, 8), nn.Linear(8, 8)
            self.output = nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = (layer(x).unflatten(-1, (-1, 4)).transpose(1, 2) for layer in (self.query, self.key, self.value))
            return self.output(_several(q, k, v).transpose(1, 2).flatten(2))

    net = load_net(stir(Grouped()).eval(), (torch.randn(2, TOKENS, 8),), tmp_path)
    (group,) = (group for group in trace(net).groups if group.removable)
    assert (group.channels, [cut.repeat for cut in group.cuts if cut.role == "producer"]) == (2, [8, 4, 4])
    check_cut(net, {group.name: [1]}, torch.randn(3, TOKENS, 8), 1e-5)


class Layer(nn.Module):
    """A transformer's layer, norm first."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2, self.attention = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), attention
        self.up, self.down = nn.Linear(WIDTH, 20), nn.Linear(20, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class Vision(nn.Module):
    """A small ViT: patches, class token, positions, two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.places = nn.Parameter(torch.randn(1, 5, WIDTH))
        self.layers = nn.Sequential(Layer(Fused()), Layer(Chunked()))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.places
        return self.head(self.norm(self.layers(x))[:, 0])


class Language(nn.Module):
    """A small BERT: embeddings, two layers with norms behind, a pooled first token."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(20, WIDTH), nn.Embedding(TOKENS, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.layers = nn.Sequential(Layer(Split(_sdpa)), Layer(Split(_masked)))
        self.pooler, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(self.norm(self.words(x) + self.places(torch.arange(TOKENS))))
        return self.head(torch.tanh(self.pooler(x[:, 0])))


def _taken(module: nn.Module, example: Tensor, folder: Path) -> GraphNet:
    """As a user's model comes in: converted, read, stored, loaded."""
    convert(stir(module), example, folder / "model.pt2")
    write_model(*read_exported_program(folder / "model.pt2"), folder)
    return graphnet.load(folder).eval()


def _removable(spec: ModelSpec) -> dict[str, int]:
    return {group.name: group.channels for group in spec.groups if group.removable}


def test_a_vision_transformer_loses_heads_and_widths(tmp_path: Path) -> None:
    net = _taken(Vision(), torch.randn(2, 3, 8, 8), tmp_path)
    spec = trace(net)
    assert _removable(spec) == {
        f"layers.{i}.{part}": count for i in (0, 1) for part, count in (("attention.qkv heads", 3), ("up channels", 20))
    }
    for seed in range(2):
        check_cut(net, half(spec, seed), torch.randn(3, 3, 8, 8), 1e-5)


def test_a_language_encoder_loses_heads_widths_and_its_pooler(tmp_path: Path) -> None:
    words = torch.randint(0, 20, (3, TOKENS), generator=torch.Generator().manual_seed(0))
    net = _taken(Language(), words, tmp_path)
    spec = trace(net)
    layers = {
        f"layers.{i}.{part}": count
        for i in (0, 1)
        for part, count in (("attention.query heads", 3), ("up channels", 20))
    }
    assert _removable(spec) == layers | {"pooler channels": 12}
    smaller = check_cut(net, half(spec), words, 1e-5)
    assert trace(smaller).macs < spec.macs
    (reason,) = (group.reason for group in spec.groups if group.name == "layers.0.attention.output channels")
    assert reason.endswith("aten.add at layers.0, which combines them with the result of aten.layer_norm at norm")


def test_cut_heads_of_torchs_encoder_layer_leave_a_module_that_trains(tmp_path: Path) -> None:
    module = nn.TransformerEncoderLayer(WIDTH, HEADS, 16, batch_first=True, norm_first=True)
    net = _taken(nn.Sequential(module, nn.Linear(WIDTH, 2)), torch.randn(2, TOKENS, WIDTH), tmp_path)
    spec = trace(net)
    assert list(_removable(spec).values()) == [HEADS, 16]
    smaller = cut_channels(net, spec, half(spec)).train()
    smaller(torch.randn(4, TOKENS, WIDTH)).sum().backward()
    assert all(p.grad is not None for p in smaller.parameters())


def test_a_plan_removes_heads_and_widths(tmp_path: Path) -> None:
    net = _taken(Vision(), torch.randn(2, 3, 8, 8), tmp_path)
    spec = trace(net)
    patterns = {"layers.0.attention.qkv": Channel(0.5), "layers.1.up": Channel(0.75), "layers.1.down": NM(2, 4)}
    plan = PruningPlan(pruner="magnitude", patterns=patterns)
    pruned = prune(net, spec, plan)
    assert isinstance(pruned.net, GraphNet)
    smaller = cut_channels(pruned.net, spec, pruned.kept)
    x = torch.randn(3, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(smaller(x), pruned.net(x), rtol=1e-5, atol=1e-5)
    layers = {layer.name: layer for layer in trace(smaller).layers}
    assert layers["layers.0.attention.qkv"].out_channels == 3 * WIDTH // HEADS
    assert layers["layers.0.attention.output"].in_channels == WIDTH // HEADS
    assert layers["layers.1.up"].out_channels == layers["layers.1.down"].in_channels == 5
    assert tuple(layers.values()) == plan.shrunk(spec)


class Biased(nn.Module):
    """Attention with a learned number for each pair of places and head, looked up in a table."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Split(lambda q, k, v: (q @ k.transpose(-2, -1) + self.bias()).softmax(dim=-1) @ v)
        self.table = nn.Parameter(torch.zeros(2 * TOKENS - 1, HEADS))
        places = torch.arange(TOKENS)
        self.register_buffer("pairs", places[:, None] - places[None] + TOKENS - 1)

    def bias(self) -> Tensor:
        rows = self.table[self.get_buffer("pairs").view(-1)]
        return rows.view(TOKENS, TOKENS, HEADS).permute(2, 0, 1).unsqueeze(0)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def test_a_table_of_relative_places_loses_its_columns_with_the_heads(tmp_path: Path) -> None:
    net = load_net(stir(Biased()).eval(), (torch.randn(2, TOKENS, WIDTH),), tmp_path)
    spec = trace(net)
    (group,) = (group for group in spec.groups if group.removable)
    (table,) = (p.id for p in net.document.parameters if p.name == "table")
    assert [(cut.dim, cut.role, cut.repeat) for cut in group.cuts if cut.parameter == table] == [(1, "follower", 1)]
    x = torch.randn(4, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1))
    assert check_cut(net, {group.name: [0, 2]}, x, 1e-5).get_parameter(table).shape == (2 * TOKENS - 1, 2)


@pytest.mark.parametrize("tied", [False, True])
def test_words_lose_columns_with_the_stream_they_enter(tied: bool, tmp_path: Path) -> None:
    class Stream(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(20, 8), nn.Embedding(TOKENS, 8)
            self.up, self.down, self.head = nn.Linear(8, 6), nn.Linear(6, 8), nn.Linear(8, 20, bias=False)
            if tied:
                self.head.weight = self.words.weight

        def forward(self, ids: Tensor) -> Tensor:
            x = self.words(ids) + self.places(torch.arange(TOKENS))
            return self.head(x + self.down(torch.relu(self.up(x))))

    words = torch.randint(0, 20, (3, TOKENS), generator=torch.Generator().manual_seed(0))
    net = load_net(stir(Stream()).eval(), (words,), tmp_path)
    spec = trace(net)
    removable = {group.name: group for group in spec.groups if group.removable}
    assert {name: group.channels for name, group in removable.items()} == {"up channels": 6, "down channels": 8}
    tables = {p.id for p in net.document.parameters if p.name in ("words.weight", "places.weight", "head.weight")}
    cut = {c.parameter for c in removable["down channels"].cuts if c.parameter in tables and c.dim == 1}
    assert cut == tables
    check_cut(net, half(spec), words, 1e-5)
