"""How exported programs spell the operators of the table: in place, renamed, or only there to check sizes."""

# Written to a tensor in place; the reader turns them into their plain forms and follows who sees the change.
IN_PLACE: dict[str, str] = {
    "aten.relu_.default": "aten.relu.default",
    "aten.relu6_.default": "aten.relu6.default",
    "aten.hardtanh_.default": "aten.hardtanh.default",
    "aten.hardswish_.default": "aten.hardswish.default",
    "aten.hardsigmoid_.default": "aten.hardsigmoid.default",
    "aten.silu_.default": "aten.silu.default",
    "aten.mish_.default": "aten.mish.default",
    "aten.elu_.default": "aten.elu.default",
    "aten.selu_.default": "aten.selu.default",
    "aten.celu_.default": "aten.celu.default",
    "aten.leaky_relu_.default": "aten.leaky_relu.default",
    "aten.threshold_.default": "aten.threshold.default",
    "aten.sigmoid_.default": "aten.sigmoid.default",
    "aten.tanh_.default": "aten.tanh.default",
    "aten.dropout_.default": "aten.dropout.default",
    "aten.feature_dropout_.default": "aten.feature_dropout.default",
    "aten.alpha_dropout_.default": "aten.alpha_dropout.default",
    "aten.feature_alpha_dropout_.default": "aten.feature_alpha_dropout.default",
    "aten.add_.Tensor": "aten.add.Tensor",
    "aten.add_.Scalar": "aten.add.Scalar",
    "aten.sub_.Tensor": "aten.sub.Tensor",
    "aten.sub_.Scalar": "aten.sub.Scalar",
    "aten.mul_.Tensor": "aten.mul.Tensor",
    "aten.mul_.Scalar": "aten.mul.Scalar",
    "aten.div_.Tensor": "aten.div.Tensor",
    "aten.div_.Scalar": "aten.div.Scalar",
    "aten.neg_.default": "aten.neg.default",
    "aten.exp_.default": "aten.exp.default",
    "aten.sqrt_.default": "aten.sqrt.default",
    "aten.clamp_.default": "aten.clamp.default",
    "aten.clamp_min_.default": "aten.clamp_min.default",
    "aten.clamp_max_.default": "aten.clamp_max.default",
    "aten.masked_fill_.Scalar": "aten.masked_fill.Scalar",
    "aten.masked_fill_.Tensor": "aten.masked_fill.Tensor",
    "aten.detach_.default": "aten.detach.default",
    "aten.bernoulli_.float": "aten.dropout.default",  # of a drop path alone: see `plain`
}

# Another name of an operator in the table, with the same arguments; `-` arguments are dropped on the way.
RENAMED: dict[str, str] = {
    "aten.concat.default": "aten.cat.default",
    "aten.concatenate.default": "aten.cat.default",
    "aten.lift_fresh_copy.default": "aten.clone.default",
    "aten.to.device": "aten.to.dtype",
    "aten.to.dtype_layout": "aten.to.dtype",
    "aten._to_copy.default": "aten.to.dtype",
    "aten.new_empty.default": "aten.new_ones.default",  # nobody may count on what lies there
    "aten.empty.memory_format": "aten.ones.default",
    "aten.__and__.Tensor": "aten.bitwise_and.Tensor",
    "aten.__or__.Tensor": "aten.bitwise_or.Tensor",
    "_operator.add": "int.add",
    "_operator.sub": "int.sub",
    "_operator.mul": "int.mul",
    "_operator.floordiv": "int.floordiv",
}

# Names that the table made up; no file may use them.
OWN_NAMES: frozenset[str] = frozenset({"int.add", "int.sub", "int.mul", "int.floordiv"})

# Arguments that a renamed operator may carry beyond those of its plain form.
EXTRA: dict[str, frozenset[str]] = {
    "aten.to.device": frozenset({"device"}),
    "aten.to.dtype_layout": frozenset({"layout", "device", "pin_memory"}),
    "aten._to_copy.default": frozenset({"layout", "device", "pin_memory"}),
    "aten.bernoulli_.float": frozenset({"generator"}),
    "aten.empty.memory_format": frozenset({"memory_format"}),
}

# Checks of sizes and placements, which running the graph anew makes superfluous.
CHECKS: frozenset[str] = frozenset(
    {
        "aten._assert_scalar.default",
        "aten._assert_async.msg",
        "aten._assert_tensor_metadata.default",
        "aten.sym_constrain_range.default",
        "aten.sym_constrain_range_for_size.default",
        "_operator.eq",
        "_operator.ne",
        "_operator.le",
        "_operator.ge",
        "_operator.lt",
        "_operator.gt",
    }
)

# Operators whose result is, or may be, the same memory as their first tensor.
VIEWS: frozenset[str] = frozenset(
    f"aten.{name}"
    for names in (
        "view.default view_as.default reshape.default reshape_as.default flatten.using_ints unflatten.int",
        "squeeze.default squeeze.dim squeeze.dims unsqueeze.default expand.default expand_as.default",
        "permute.default transpose.int t.default numpy_T.default movedim.int movedim.intlist unfold.default",
        "chunk.default split.Tensor split_with_sizes.default tensor_split.sections unbind.int",
        "select.int slice.Tensor narrow.default contiguous.default detach.default alias.default",
        "to.dtype to.other type_as.default dropout.default feature_dropout.default",
        "alpha_dropout.default feature_alpha_dropout.default",
    )
    for name in names.split()
)
