"""Measuring this machine: the latency of a model's real layers and of the whole net, as a `Profile`.

`campaign.measure` takes each distinct layer shape (with the element-wise operators that only it feeds) and the whole
dense net through one of the `backends`, in turns over several rounds, so that a slow minute hurts all alike.
`options` says what can be asked, without torch.
"""
