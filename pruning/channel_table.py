"""`RULES`: which operator carries channels by which rule. An operator that is not here stops them."""

from functools import partial

from pruning import channel_layers, channel_moves, channel_parts, channel_products, channel_rules
from pruning.channel_rules import Rule
from pruning.channels import Layout, Walk
from pruning.intake.document import Node

_ELEMENT_WISE = """
relu.default relu6.default hardswish.default hardsigmoid.default silu.default mish.default selu.default
sigmoid.default tanh.default log_sigmoid.default hardtanh.default gelu.default elu.default celu.default
leaky_relu.default threshold.default softplus.default softshrink.default hardshrink.default
dropout.default feature_dropout.default alpha_dropout.default clamp.default clamp_min.default
clamp_max.default neg.default abs.default sign.default exp.default expm1.default square.default
sin.default cos.default atan.default erf.default round.default floor.default ceil.default
add.Scalar sub.Scalar rsub.Scalar mul.Scalar div.Scalar contiguous.default clone.default detach.default
alias.default to.dtype to.other type_as.default zeros_like.default ones_like.default full_like.default
"""
_PAIRWISE = """
add.Tensor sub.Tensor mul.Tensor minimum.default maximum.default max.other min.other addcmul.default
lerp.Scalar lerp.Tensor where.self where.ScalarOther where.ScalarSelf masked_fill.Scalar
"""
_POOLS_1D = """
max_pool1d.default avg_pool1d.default adaptive_avg_pool1d.default adaptive_max_pool1d.default
upsample_nearest1d.vec
"""
_POOLS_2D = """
max_pool2d.default avg_pool2d.default adaptive_avg_pool2d.default adaptive_max_pool2d.default
upsample_nearest2d.vec upsample_bilinear2d.vec upsample_bicubic2d.vec
"""
_REDUCTIONS = """
mean.default sum.default mean.dim sum.dim_IntList amax.default amin.default max.default min.default
max.dim min.dim logsumexp.default var.correction std.correction var_mean.correction var.dim std.dim
argmax.default
"""
_PARTS = "chunk.default split.Tensor split_with_sizes.default tensor_split.sections"
_PRODUCTS = "matmul.default mm.default bmm.default"
_NORMS = "batch_norm.default instance_norm.default"


def _keep(walk: Walk, node: Node) -> Layout | None:
    return walk.carried(node)


def _lose(_walk: Walk, _node: Node) -> Layout | None:
    return None  # the result is made of constants and the value itself goes on unharmed


def _refuse(why: str) -> Rule:
    def rule(walk: Walk, node: Node) -> Layout | None:
        walk.refuse(node, why)
        return None

    return rule


def _ops(names: str, rule: Rule) -> dict[str, Rule]:
    return {f"aten.{name}": rule for name in names.split()}


RULES: dict[str, Rule] = {
    **_ops("conv1d.default conv1d.padding conv2d.default conv2d.padding conv3d.default", channel_layers.conv),
    **_ops("conv_transpose1d.default conv_transpose2d.input", channel_layers.transposed),
    **_ops("linear.default", channel_layers.linear),
    **_ops(_NORMS, channel_rules.channel_norm),
    **_ops("layer_norm.default rms_norm.default", channel_rules.trailing_norm),
    **_ops("group_norm.default", channel_rules.group_norm),
    **_ops("prelu.default", channel_rules.prelu),
    **_ops(_ELEMENT_WISE, _keep),
    **_ops("pow.Tensor_Scalar", channel_rules.power),
    **_ops(_PAIRWISE, channel_rules.broadcast),
    **_ops("div.Tensor", channel_rules.quotient),
    **_ops(_POOLS_1D, partial(channel_rules.spatial, 1)),
    **_ops(_POOLS_2D, partial(channel_rules.spatial, 2)),
    **_ops("pad.default constant_pad_nd.default", channel_parts.pad),
    **_ops("softmax.int log_softmax.int", partial(channel_rules.along, "normalises over them")),
    **_ops("cumsum.default", partial(channel_rules.along, "mixes them")),
    **_ops("glu.default", channel_parts.gated),
    **_ops("slice.Tensor narrow.default", channel_parts.piece),
    **_ops("embedding.default index.Tensor", channel_parts.looked_up),
    **_ops("index_select.default", partial(channel_rules.still, "picks some of them")),
    **_ops(_PARTS, channel_parts.parts),
    **_ops(_REDUCTIONS, partial(channel_rules.reduce, "mixes all of them")),
    **_ops("select.int", partial(channel_rules.reduce, "picks them one by one")),
    **_ops("unbind.int", partial(channel_rules.parts, "picks them one by one")),
    **_ops("sym_size.int", channel_rules.counted),
    **_ops("new_zeros.default new_ones.default new_full.default", _lose),
    **_ops(_PRODUCTS, channel_products.product),
    **_ops("scaled_dot_product_attention.default", channel_products.attention),
    **_ops("einsum.default", channel_products.einsum),
    **_ops("addmm.default baddbmm.default", _refuse("mixes all of them")),
    **_ops("pixel_shuffle.default pixel_unshuffle.default", channel_parts.pixels),
    **_ops("channel_shuffle.default", channel_parts.shuffle),
    **_ops("roll.default flip.default", partial(channel_rules.still, "moves them")),
    **_ops("view.default reshape.default flatten.using_ints unflatten.int", channel_moves.reshape),
    **_ops("permute.default transpose.int movedim.int movedim.intlist", channel_moves.permute),
    **_ops("t.default numpy_T.default", channel_moves.permute),
    **_ops("squeeze.default squeeze.dim squeeze.dims", channel_moves.squeeze),
    **_ops("unsqueeze.default", channel_moves.unsqueeze),
    **_ops("expand.default", channel_moves.expand),
    **_ops("repeat.default tile.default", channel_moves.repeat),
    **_ops("repeat_interleave.self_int", channel_moves.repeat_each),
    **_ops("cat.default", channel_moves.concatenate),
    **_ops("stack.default", channel_moves.stack),
}

# What works on each channel by itself and reads nothing else but parameters, one number a channel.
PASSING = frozenset(f"aten.{name}" for name in f"{_ELEMENT_WISE} {_NORMS} {_POOLS_1D} {_POOLS_2D}".split())
