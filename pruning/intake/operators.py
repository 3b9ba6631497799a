"""Which operators may stand in a graph, and which arguments they take: a literal table.

An operator that is not here is refused; nothing is ever looked up by a name from a file. A signature lists
`name:kind` pairs in schema order; `=` marks an argument that may be left out. Kinds: T tensor, t tensor or
number, i integer (or a size computed in the graph), f float, n number, b flag, s text, d dtype, `-` dropped
while reading (devices, memory formats); a following `s` makes a list and `?` admits None.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

LIST = 0  # Operator.outputs of an operator that returns a list: the file says how many


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One operator: argument names in schema order, their kinds, and what it gives back."""

    args: tuple[str, ...]
    kinds: Mapping[str, str]
    required: frozenset[str]
    outputs: int = 1  # LIST: as many as the file says
    integer: bool = False  # the result is a size (a plain integer), not a tensor
    strings: Mapping[str, str] = field(default_factory=dict)  # text argument -> pattern it must match in full


_CONV = "input:T weight:T bias:T?= stride:is= padding:is= dilation:is= groups:i="
_CONV_PADDED = "input:T weight:T bias:T?= stride:is= padding:s= dilation:is= groups:i="
_CONV_TRANSPOSED = "input:T weight:T bias:T?= stride:is= padding:is= output_padding:is= groups:i= dilation:is="
_MAX_POOL = "self:T kernel_size:is stride:is= padding:is= dilation:is= ceil_mode:b="
_AVG_POOL = "self:T kernel_size:is stride:is= padding:is= ceil_mode:b= count_include_pad:b="
_NEW = "dtype:d?= layout:-?= device:-?= pin_memory:-="
_LIKE = f"{_NEW} memory_format:-?="

# (operators, signature, outputs)
_TABLE: tuple[tuple[str, str, int], ...] = (
    # layers with weights
    ("conv1d.default conv2d.default conv3d.default", _CONV, 1),
    ("conv1d.padding conv2d.padding", _CONV_PADDED, 1),
    ("conv_transpose1d.default conv_transpose2d.input", _CONV_TRANSPOSED, 1),
    ("linear.default", "input:T weight:T bias:T?=", 1),
    ("embedding.default", "weight:T indices:T padding_idx:i= scale_grad_by_freq:b= sparse:b=", 1),
    ("prelu.default", "self:T weight:T", 1),
    ("_weight_norm.default", "v:T g:T dim:i=", 1),
    (
        "batch_norm.default",
        "input:T weight:T? bias:T? running_mean:T? running_var:T? training:b momentum:f? eps:f cudnn_enabled:b",
        1,
    ),
    (
        "instance_norm.default",
        "input:T weight:T? bias:T? running_mean:T? running_var:T? use_input_stats:b momentum:f? eps:f cudnn_enabled:b",
        1,
    ),
    ("layer_norm.default", "input:T normalized_shape:is weight:T?= bias:T?= eps:f= cudnn_enable:b=", 1),
    ("group_norm.default", "input:T num_groups:i weight:T?= bias:T?= eps:f= cudnn_enabled:b=", 1),
    ("rms_norm.default", "input:T normalized_shape:is weight:T?= eps:f?=", 1),
    # matrix products and attention
    ("matmul.default", "self:T other:T", 1),
    ("mm.default bmm.default", "self:T mat2:T", 1),
    ("addmm.default", "self:T mat1:T mat2:T beta:n= alpha:n=", 1),
    ("baddbmm.default", "self:T batch1:T batch2:T beta:n= alpha:n=", 1),
    ("outer.default", "self:T vec2:T", 1),
    ("einsum.default", "equation:s tensors:Ts path:is?=", 1),
    (
        "scaled_dot_product_attention.default",
        "query:T key:T value:T attn_mask:T?= dropout_p:f= is_causal:b= scale:f?= enable_gqa:b=",
        1,
    ),
    # activations
    (
        "relu.default relu6.default hardswish.default hardsigmoid.default silu.default mish.default",
        "self:T",
        1,
    ),
    ("selu.default sigmoid.default tanh.default log_sigmoid.default", "self:T", 1),
    ("hardtanh.default", "self:T min_val:n= max_val:n=", 1),
    ("gelu.default", "self:T approximate:s=", 1),
    ("elu.default", "self:T alpha:n= scale:n= input_scale:n=", 1),
    ("celu.default", "self:T alpha:n=", 1),
    ("leaky_relu.default", "self:T negative_slope:n=", 1),
    ("threshold.default", "self:T threshold:n value:n", 1),
    ("softplus.default", "self:T beta:n= threshold:n=", 1),
    ("softshrink.default hardshrink.default", "self:T lambd:n=", 1),
    ("glu.default", "self:T dim:i=", 1),
    ("softmax.int log_softmax.int", "self:T dim:i dtype:d?=", 1),
    ("logsumexp.default", "self:T dim:is keepdim:b=", 1),
    ("dropout.default feature_dropout.default", "input:T p:f train:b", 1),
    ("alpha_dropout.default feature_alpha_dropout.default", "input:T p:f train:b", 1),
    # pooling and resampling
    ("max_pool1d.default max_pool2d.default max_pool3d.default", _MAX_POOL, 1),
    ("avg_pool1d.default", _AVG_POOL, 1),
    ("avg_pool2d.default avg_pool3d.default", f"{_AVG_POOL} divisor_override:i?=", 1),
    ("adaptive_avg_pool1d.default adaptive_avg_pool2d.default", "self:T output_size:is", 1),
    ("adaptive_avg_pool3d.default", "self:T output_size:is", 1),
    ("adaptive_max_pool1d.default adaptive_max_pool2d.default", "self:T output_size:is", 2),
    ("upsample_nearest1d.vec upsample_nearest2d.vec", "input:T output_size:is? scale_factors:fs?", 1),
    (
        "upsample_bilinear2d.vec upsample_bicubic2d.vec",
        "input:T output_size:is? align_corners:b scale_factors:fs?",
        1,
    ),
    ("pixel_shuffle.default", "self:T upscale_factor:i", 1),
    ("pixel_unshuffle.default", "self:T downscale_factor:i", 1),
    ("channel_shuffle.default", "self:T groups:i", 1),
    # arithmetic
    ("add.Tensor sub.Tensor", "self:T other:t alpha:n=", 1),
    ("add.Scalar sub.Scalar rsub.Scalar", "self:T other:n alpha:n=", 1),
    ("mul.Tensor div.Tensor floor_divide.default minimum.default maximum.default", "self:T other:t", 1),
    ("mul.Scalar div.Scalar remainder.Scalar", "self:T other:n", 1),
    ("div.Tensor_mode", "self:T other:t rounding_mode:s?", 1),
    ("div.Scalar_mode", "self:T other:n rounding_mode:s?", 1),
    ("pow.Tensor_Scalar", "self:T exponent:n", 1),
    ("pow.Scalar", "self:n exponent:T", 1),
    ("pow.Tensor_Tensor", "self:T exponent:T", 1),
    ("neg.default abs.default sign.default exp.default expm1.default log.default log1p.default", "self:T", 1),
    ("sqrt.default rsqrt.default reciprocal.default square.default sin.default cos.default", "self:T", 1),
    ("atan.default erf.default round.default floor.default ceil.default", "self:T", 1),
    ("clamp.default", "self:T min:n?= max:n?=", 1),
    ("clamp_min.default", "self:T min:n", 1),
    ("clamp_max.default", "self:T max:n", 1),
    ("addcmul.default", "self:T tensor1:T tensor2:T value:n=", 1),
    ("lerp.Scalar", "self:T end:T weight:n", 1),
    ("lerp.Tensor", "self:T end:T weight:T", 1),
    ("cumsum.default", "self:T dim:i dtype:d?=", 1),
    # comparison and choice
    ("eq.Scalar ne.Scalar lt.Scalar le.Scalar gt.Scalar ge.Scalar", "self:T other:n", 1),
    ("eq.Tensor ne.Tensor lt.Tensor le.Tensor gt.Tensor ge.Tensor", "self:T other:t", 1),
    ("logical_not.default bitwise_not.default", "self:T", 1),
    ("logical_and.default logical_or.default bitwise_and.Tensor bitwise_or.Tensor", "self:T other:T", 1),
    ("where.self", "condition:T self:T other:T", 1),
    ("where.ScalarOther", "condition:T self:T other:n", 1),
    ("where.ScalarSelf", "condition:T self:n other:T", 1),
    ("where.Scalar", "condition:T self:n other:n", 1),
    ("masked_fill.Scalar", "self:T mask:T value:n", 1),
    ("masked_fill.Tensor", "self:T mask:T value:T", 1),
    # reductions
    ("mean.default sum.default", "self:T dtype:d?=", 1),
    ("mean.dim sum.dim_IntList", "self:T dim:is? keepdim:b= dtype:d?=", 1),
    ("amax.default amin.default", "self:T dim:is= keepdim:b=", 1),
    ("max.default min.default", "self:T", 1),
    ("max.dim min.dim", "self:T dim:i keepdim:b=", 2),
    ("max.other min.other", "self:T other:t", 1),
    ("var.correction std.correction", "self:T dim:is?= correction:n?= keepdim:b=", 1),
    ("var_mean.correction", "self:T dim:is?= correction:n?= keepdim:b=", 2),
    ("var.dim std.dim", "self:T dim:is? unbiased:b= keepdim:b=", 1),
    ("linalg_vector_norm.default", "self:T ord:n= dim:is?= keepdim:b= dtype:d?=", 1),
    ("norm.ScalarOpt_dim", "self:T p:n? dim:is keepdim:b=", 1),
    ("argmax.default", "self:T dim:i?= keepdim:b=", 1),
    ("any.dim all.dim", "self:T dim:i keepdim:b=", 1),
    # shape
    ("view.default", "self:T size:is", 1),
    ("reshape.default", "self:T shape:is", 1),
    ("flatten.using_ints", "self:T start_dim:i= end_dim:i=", 1),
    ("unflatten.int", "self:T dim:i sizes:is", 1),
    ("squeeze.default t.default numpy_T.default", "self:T", 1),
    ("squeeze.dim unsqueeze.default", "self:T dim:i", 1),
    ("squeeze.dims", "self:T dim:is", 1),
    ("permute.default tile.default flip.default", "self:T dims:is", 1),
    ("transpose.int", "self:T dim0:i dim1:i", 1),
    ("movedim.int", "self:T source:i destination:i", 1),
    ("movedim.intlist", "self:T source:is destination:is", 1),
    ("expand.default", "self:T size:is implicit:b=", 1),
    ("expand_as.default view_as.default reshape_as.default", "self:T other:T", 1),
    ("repeat.default", "self:T repeats:is", 1),
    ("repeat_interleave.self_int", "self:T repeats:i dim:i?= output_size:i?=", 1),
    ("unfold.default", "self:T dimension:i size:i step:i", 1),
    ("im2col.default", "self:T kernel_size:is dilation:is padding:is stride:is", 1),
    ("cat.default stack.default", "tensors:Ts dim:i=", 1),
    ("chunk.default", "self:T chunks:i dim:i=", LIST),
    ("split.Tensor", "self:T split_size:i dim:i=", LIST),
    ("split_with_sizes.default", "self:T split_sizes:is dim:i=", LIST),
    ("tensor_split.sections", "self:T sections:i dim:i=", LIST),
    ("unbind.int", "self:T dim:i=", LIST),
    ("select.int", "self:T dim:i index:i", 1),
    ("slice.Tensor", "self:T dim:i= start:i?= end:i?= step:i=", 1),
    ("narrow.default", "self:T dim:i start:i length:i", 1),
    ("index.Tensor", "self:T indices:T?s", 1),
    ("index_select.default", "self:T dim:i index:T", 1),
    ("gather.default", "self:T dim:i index:T sparse_grad:b=", 1),
    ("pad.default", "self:T pad:is mode:s= value:f?=", 1),
    ("constant_pad_nd.default", "self:T pad:is value:n=", 1),
    ("roll.default", "self:T shifts:is dims:is=", 1),
    # copies, types and constants
    ("contiguous.default", "self:T memory_format:-=", 1),
    ("clone.default", "self:T memory_format:-?=", 1),
    ("detach.default alias.default", "self:T", 1),
    ("to.dtype", "self:T dtype:d non_blocking:b= copy:b= memory_format:-?=", 1),
    ("to.other", "self:T other:T non_blocking:b= copy:b= memory_format:-?=", 1),
    ("type_as.default", "self:T other:T", 1),
    ("zeros.default ones.default", f"size:is {_NEW}", 1),
    ("full.default", f"size:is fill_value:n {_NEW}", 1),
    ("arange.default", f"end:n {_NEW}", 1),
    ("arange.start", f"start:n end:n {_NEW}", 1),
    ("arange.start_step", f"start:n end:n step:n= {_NEW}", 1),
    ("scalar_tensor.default", f"s:n {_NEW}", 1),
    ("zeros_like.default ones_like.default", f"self:T {_LIKE}", 1),
    ("full_like.default", f"self:T fill_value:n {_LIKE}", 1),
    ("new_zeros.default new_ones.default", f"self:T size:is {_NEW}", 1),
    ("new_full.default", f"self:T size:is fill_value:n {_NEW}", 1),
    ("tril.default triu.default", "self:T diagonal:i=", 1),
)

# Results of these are plain integers: sizes, and arithmetic on sizes.
_INTEGERS: tuple[tuple[str, str], ...] = (
    ("aten.sym_size.int", "self:T dim:i"),
    ("int.add int.sub int.mul int.floordiv", "a:i b:i"),
)

_LETTERS = "([a-zA-Z] ?){0,16}"
_STRINGS: dict[str, dict[str, str]] = {
    "aten.conv1d.padding": {"padding": "same|valid"},
    "aten.conv2d.padding": {"padding": "same|valid"},
    "aten.gelu.default": {"approximate": "none|tanh"},
    "aten.div.Tensor_mode": {"rounding_mode": "floor|trunc"},
    "aten.div.Scalar_mode": {"rounding_mode": "floor|trunc"},
    "aten.pad.default": {"mode": "constant|reflect|replicate|circular"},
    "aten.einsum.default": {"equation": f"{_LETTERS}(, ?{_LETTERS}){{0,7}}(-> ?{_LETTERS})?"},
}


def _operator(name: str, signature: str, outputs: int, integer: bool = False) -> Operator:
    pairs = [pair.split(":") for pair in signature.split()]
    return Operator(
        args=tuple(arg for arg, _ in pairs),
        kinds={arg: kind.rstrip("=") for arg, kind in pairs},
        required=frozenset(arg for arg, kind in pairs if not kind.endswith("=")),
        outputs=outputs,
        integer=integer,
        strings=_STRINGS.get(name, {}),
    )


OPERATORS: dict[str, Operator] = {
    f"aten.{name}": _operator(f"aten.{name}", signature, outputs)
    for names, signature, outputs in _TABLE
    for name in names.split()
} | {name: _operator(name, signature, 1, integer=True) for names, signature in _INTEGERS for name in names.split()}
