"""Models as users write them, beside those of `pruning.architectures`: one small module a structure."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm


def _conv(inputs: int, outputs: int, kernel: int = 3, **how: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **how)


def _normed(conv: nn.Conv2d, active: nn.Module | None = None) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), active or nn.ReLU(inplace=True))


class Efficient(nn.Module):
    """Inverted residuals with gates and SiLU: EfficientNet, arXiv 1905.11946."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _normed(_conv(3, 8, stride=2), nn.SiLU())
        self.expand, self.depthwise = (
            _normed(_conv(8, 16, 1), nn.SiLU()),
            _normed(_conv(16, 16, 5, groups=16), nn.SiLU()),
        )
        self.reduce, self.gate = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.project = _normed(_conv(16, 8, 1), nn.Identity())
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.depthwise(self.expand(x))
        y = y * self.gate(functional.silu(self.reduce(functional.adaptive_avg_pool2d(y, 1)))).sigmoid()
        return self.fc((x + self.project(y)).mean((2, 3)))


class MobileV3(nn.Module):
    """Hard activations and a gate after the norm: MobileNet v3, arXiv 1905.02244."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _normed(_conv(3, 8, stride=2), nn.Hardswish())
        self.expand, self.depthwise = (
            _normed(_conv(8, 24, 1), nn.Hardswish()),
            _normed(_conv(24, 24, 5, groups=24, stride=2)),
        )
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(24, 8, 1), nn.ReLU(), nn.Conv2d(8, 24, 1), nn.Hardsigmoid()
        )
        self.project = _normed(_conv(24, 12, 1), nn.Identity())
        self.head = nn.Sequential(nn.Linear(12, 16), nn.Hardswish(inplace=True), nn.Dropout(0.2), nn.Linear(16, 5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(self.stem(x)))
        return self.head(functional.adaptive_avg_pool2d(self.project(self.gate(y) * y), 1).flatten(1))


class Fire(nn.Module):
    """Squeeze, then two expansions side by side: SqueezeNet, arXiv 1602.07360."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, stride=2)
        self.squeeze = nn.ModuleList((nn.Conv2d(12, 4, 1), nn.Conv2d(16, 6, 1)))
        self.one = nn.ModuleList((nn.Conv2d(4, 8, 1), nn.Conv2d(6, 8, 1)))
        self.three = nn.ModuleList((nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)))
        self.head = nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.stem(x).relu(), 3, 2, ceil_mode=True)
        for squeeze, one, three in zip(self.squeeze, self.one, self.three, strict=True):
            x = squeeze(x).relu()
            x = torch.cat([one(x).relu(), three(x).relu()], 1)
        return self.head(functional.dropout(x, 0.5, self.training)).relu().mean((2, 3))


class Rep(nn.Module):
    """Three branches that are added, one of them a norm alone: RepVGG, arXiv 2101.03697."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _normed(_conv(3, 8))
        self.three, self.one, self.alone = (
            _normed(_conv(8, 8), nn.Identity()),
            _normed(_conv(8, 8, 1), nn.Identity()),
            nn.BatchNorm2d(8),
        )
        self.last, self.fc = _normed(_conv(8, 12, stride=2)), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(self.three(x) + self.one(x) + self.alone(x))
        return self.fc(self.last(x).mean((2, 3)))


class Ghost(nn.Module):
    """Half of the channels made from the other half: GhostNet, arXiv 1911.11907."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.cheap = _normed(_conv(3, 8)), _normed(_conv(8, 8, groups=8))
        self.second, self.again = _normed(_conv(16, 6, 1)), _normed(_conv(6, 6, groups=6))
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        for first, cheap in ((self.first, self.cheap), (self.second, self.again)):
            y = first(x)
            x = torch.cat([y, cheap(y)], dim=1)
        return self.fc(x.mean((2, 3)))


class Scales(nn.Module):
    """Parts of the channels convolved one after another, each with the part before: Res2Net, arXiv 1904.01169."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.into = _normed(_conv(3, 16)), _normed(_conv(16, 16, 1))
        self.parts = nn.ModuleList(_normed(_conv(4, 4)) for _ in range(3))
        self.out, self.fc = _normed(_conv(16, 16, 1), nn.Identity()), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        first, *rest = self.into(x).chunk(4, dim=1)
        made, last = [first], torch.zeros_like(first)
        for part, layer in zip(rest, self.parts, strict=True):
            last = layer(part + last)
            made.append(last)
        return self.fc(torch.relu(x + self.out(torch.cat(made, 1))).mean((2, 3)))


class Pyramid(nn.Module):
    """Maps of three sizes, the coarse added to the fine, as a tuple: FPN, arXiv 1612.03144."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            (_normed(_conv(3, 8)), _normed(_conv(8, 12, stride=2)), _normed(_conv(12, 16, stride=2)))
        )
        self.side = nn.ModuleList(nn.Conv2d(width, 8, 1) for width in (8, 12, 16))
        self.smooth = nn.ModuleList(_conv(8, 4) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = []
        for layer, side in zip(self.down, self.side, strict=True):
            x = layer(x)
            maps.append(side(x))
        maps[1] = maps[1] + functional.interpolate(maps[2], scale_factor=2, mode="nearest")
        maps[0] = maps[0] + functional.interpolate(maps[1], size=maps[0].shape[-2:], mode="nearest")
        return tuple(smooth(found) for smooth, found in zip(self.smooth, maps, strict=True))


class Atrous(nn.Module):
    """Dilated branches and a pooled one, resized and side by side: DeepLab v3, arXiv 1706.05587."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _normed(_conv(3, 8, stride=2))
        self.wide = nn.ModuleList(nn.Conv2d(8, 6, 3, padding=rate, dilation=rate) for rate in (1, 2, 3))
        self.pooled, self.mix, self.head = nn.Conv2d(8, 6, 1), _normed(_conv(24, 8, 1)), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        whole = self.pooled(functional.adaptive_avg_pool2d(y, 1))
        whole = functional.interpolate(whole, size=y.shape[-2:], mode="bilinear", align_corners=False)
        y = self.mix(torch.cat([*(layer(y).relu() for layer in self.wide), whole], 1))
        return functional.interpolate(self.head(y), size=x.shape[-2:], mode="bilinear", align_corners=False)


class Upscaler(nn.Module):
    """Channels become pixels: sub-pixel convolution, arXiv 1609.05158; with PReLU and a residual body."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.slope = nn.Conv2d(1, 8, 5, padding=2), nn.PReLU(8)
        self.body1, self.body2 = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.tail = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(4, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.slope(self.head(x))
        x = x + 0.1 * self.body2(functional.relu(self.body1(x)))
        return torch.clamp(self.tail(x), -4, 4)


class Generator(nn.Module):
    """A vector becomes an image through transposed convolutions: DCGAN, arXiv 1511.06434."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(10, 8 * 16)
        self.up = nn.Sequential(
            nn.ConvTranspose2d(8, 6, 4, 2, 1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(True),
            nn.ConvTranspose2d(6, 2, 4, 2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.up(self.fc(x).view(-1, 8, 4, 4)))


class Autoencoder(nn.Module):
    """Narrowing and widening linear layers with batch norm; the code is an output as well."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(20, 12), nn.BatchNorm1d(12), nn.LeakyReLU(0.1), nn.Linear(12, 4))
        self.decoder = nn.Sequential(nn.Linear(4, 12), nn.ELU(), nn.Linear(12, 20))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        code = self.encoder(x)
        return {"code": code, "again": self.decoder(code)}


class Siamese(nn.Module):
    """One tower for two inputs, and their distance."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(
            _normed(_conv(1, 6)), nn.MaxPool2d(2), _normed(_conv(6, 8)), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.fc = nn.Linear(8, 2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.fc((self.tower(left) - self.tower(right)).abs())


class Points(nn.Module):
    """Each point beside what the whole cloud has: PointNet, arXiv 1612.00593."""

    def __init__(self) -> None:
        super().__init__()
        self.each, self.more = nn.Conv1d(3, 8, 1), nn.Conv1d(8, 12, 1)
        self.norm, self.mix, self.head = nn.BatchNorm1d(12), nn.Conv1d(20, 8, 1), nn.Conv1d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        near = self.each(x).relu()
        whole = self.norm(self.more(near)).relu().max(dim=2, keepdim=True).values
        return self.head(self.mix(torch.cat([near, whole.expand(-1, -1, x.shape[2])], 1)).relu())


class Temporal(nn.Module):
    """Dilated convolutions that look back, with weight norm: TCN, arXiv 1803.01271."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = weight_norm(nn.Conv1d(2, 8, 3)), nn.Conv1d(8, 8, 3, dilation=2)
        self.shortcut, self.head = nn.Conv1d(2, 8, 1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(functional.pad(x, (2, 0))).relu()
        y = self.second(functional.pad(y, (4, 0))).relu()
        return self.head((y + self.shortcut(x)).relu()[:, :, -1])


class Wave(nn.Module):
    """Gated convolutions whose skips are added: WaveNet, arXiv 1609.03499."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Conv1d(1, 8, 1)
        self.gates = nn.ModuleList(nn.Conv1d(8, 16, 3, padding=2**i, dilation=2**i) for i in range(2))
        self.skips, self.rest = (nn.ModuleList(nn.Conv1d(8, 8, 1) for _ in range(2)) for _ in range(2))
        self.end = nn.Conv1d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.start(x)
        total = 0
        for gate, skip, rest in zip(self.gates, self.skips, self.rest, strict=True):
            one, other = gate(x).chunk(2, dim=1)
            y = one.tanh() * other.sigmoid()
            total = total + skip(y)
            x = x + rest(y)
        return self.end(functional.relu(total))


class Gated(nn.Module):
    """Gated linear units with group and instance norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.groups = nn.Conv2d(3, 16, 3, padding=1), nn.GroupNorm(4, 8)
        self.second, self.each = nn.Conv2d(8, 8, 3, padding=1), nn.InstanceNorm2d(8, affine=True)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.groups(functional.glu(self.first(x), dim=1))
        return self.fc(torch.sigmoid(self.each(self.second(x))).amax((2, 3)))


class Tabular(nn.Module):
    """Columns of categories, each with an embedding, beside numbers, with a highway and a regression."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(count, 4) for count in (5, 7))
        self.numbers, self.first, self.gate, self.second = (
            nn.BatchNorm1d(3),
            nn.Linear(11, 16),
            nn.Linear(11, 16),
            nn.Linear(16, 1),
        )

    def forward(self, categories: Tensor, numbers: Tensor) -> Tensor:
        parts = [embed(categories[:, i]) for i, embed in enumerate(self.embeddings)]
        x = torch.cat([*parts, self.numbers(numbers)], dim=1)
        return self.second(functional.mish(self.first(x)) * self.gate(x).sigmoid()).squeeze(-1)


class Decoder(nn.Module):
    """Causal attention with rotary positions, shared keys, RMS norm, SwiGLU and tied embeddings: a language model."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(30, 16)
        self.norm1, self.norm2, self.norm3 = (nn.RMSNorm(16) for _ in range(3))
        self.query, self.key, self.value, self.output = (nn.Linear(16, w, bias=False) for w in (16, 8, 8, 16))
        self.gate, self.up, self.down = (
            nn.Linear(16, 24, bias=False),
            nn.Linear(16, 24, bias=False),
            nn.Linear(24, 16, bias=False),
        )
        self.head = nn.Linear(16, 30, bias=False)
        self.head.weight = self.words.weight
        angles = torch.outer(torch.arange(6.0), torch.tensor([1.0, 0.1])).repeat(1, 2)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)

    def _turn(self, x: Tensor) -> Tensor:
        one, other = x.chunk(2, dim=-1)
        return x * self.cosine + torch.cat([-other, one], dim=-1) * self.sine

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids)
        y = self.norm1(x)
        query, key, value = (
            part(y).unflatten(-1, (-1, 4)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        y = functional.scaled_dot_product_attention(
            self._turn(query), self._turn(key), value, is_causal=True, enable_gqa=True
        )
        x = x + self.output(y.transpose(1, 2).flatten(2))
        y = self.norm2(x)
        x = x + self.down(functional.silu(self.gate(y)) * self.up(y))
        return self.head(self.norm3(x))


class Causal(nn.Module):
    """Attention written out with a mask in a buffer, one projection cut in three: GPT-2."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(30, 12), nn.Embedding(6, 12)
        self.norm1, self.norm2 = nn.LayerNorm(12), nn.LayerNorm(12)
        self.into, self.out = nn.Linear(12, 36), nn.Linear(12, 12)
        self.fc1, self.fc2, self.head = nn.Linear(12, 24), nn.Linear(24, 12), nn.Linear(12, 30, bias=False)
        self.register_buffer("below", torch.ones(6, 6).tril().view(1, 1, 6, 6))

    def forward(self, ids: Tensor) -> Tensor:
        batch, tokens = ids.shape
        x = self.words(ids) + self.places(torch.arange(tokens))
        parts = self.into(self.norm1(x)).split(12, dim=2)
        query, key, value = (part.view(batch, tokens, 3, 4).transpose(1, 2) for part in parts)
        weights = (query @ key.transpose(-2, -1) * 0.5).masked_fill(self.below == 0, float("-inf"))
        y = functional.dropout(weights.softmax(dim=-1), 0.1, self.training) @ value
        x = x + self.out(y.transpose(1, 2).contiguous().view(batch, tokens, 12))
        return self.head(x + self.fc2(functional.gelu(self.fc1(self.norm2(x)), approximate="tanh")))


class Windows(nn.Module):
    """Attention in shifted windows with a bias for each pair of places: Swin, arXiv 2103.14030."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 12, 2, 2), nn.LayerNorm(12)
        self.qkv, self.output, self.head = nn.Linear(12, 36), nn.Linear(12, 12), nn.Linear(12, 5)
        self.bias = nn.Parameter(torch.randn(9, 3) * 0.1)
        rows = torch.arange(4) // 2 * 3 + torch.arange(4) % 2
        self.register_buffer("pairs", rows[:, None] - rows[None] + 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).permute(0, 2, 3, 1)  # 4 x 4 patches: four windows of 2 x 2
        y = torch.roll(self.norm(x), (-1, -1), (1, 2)).view(-1, 2, 2, 2, 2, 12)
        y = y.permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, 12)
        query, key, value = self.qkv(y).reshape(-1, 4, 3, 3, 4).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.bias[self.pairs.view(-1)].view(4, 4, 3).permute(2, 0, 1)
        weights = (query * 0.5) @ key.transpose(-2, -1) + bias.unsqueeze(0)
        y = self.output((weights.softmax(-1) @ value).transpose(1, 2).reshape(-1, 4, 12))
        y = y.view(-1, 2, 2, 2, 2, 12).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, 4, 12)
        return self.head((x + torch.roll(y, (1, 1), (1, 2))).flatten(1, 2).mean(1))


class Own(nn.Module):
    """torch's own encoder layers over a sequence of vectors."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(12, 3, 24, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).mean(1))


class Crossed(nn.Module):
    """A decoder of torch's own that reads another sequence: cross attention."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.TransformerDecoderLayer(12, 3, 24, batch_first=True), nn.Linear(12, 3)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.head(self.layer(x, memory))


class Small(nn.Module):
    """Convolutions before attention over the pixels: CoAtNet-like, arXiv 2106.04803."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _normed(_conv(3, 8, stride=2), nn.GELU())
        self.attention, self.norm = nn.MultiheadAttention(8, 2, batch_first=True), nn.LayerNorm(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        tokens = self.norm(tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0])
        return self.fc(tokens.mean(1))
