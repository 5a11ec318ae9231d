"""What all cases of peer.py are made of: (run, check), the work as it is timed, and the numbers both sides must share."""
import torch


def square(tensor):
    return tensor.detach().double().square().sum().item()


def forward_only(call):
    """Work without gradients. The check is made of the output."""

    def run():
        with torch.no_grad():
            call()

    def check():
        with torch.no_grad():
            return [square(call())]

    return run, check


def with_gradients(call, leaves, upstream):
    """Forward, and backward from a given gradient of the output. A leaf may be a list of tensors that belong together."""
    groups = [leaf if isinstance(leaf, list) else [leaf] for leaf in leaves]
    flat = [leaf for group in groups for leaf in group]
    for leaf in flat:
        leaf.requires_grad_(True)

    def run():
        for leaf in flat:
            leaf.grad = None
        y = call()
        y.backward(upstream.view_as(y))
        return y

    def check():
        y = run()
        dot = (y.detach().double() * upstream.view_as(y).double()).sum().item()
        return [dot] + [sum(square(leaf.grad) for leaf in group) for group in groups]

    return run, check


def maybe_gradients(call, leaves, inputs):
    """With gradients if there is a gradient of the output among the inputs."""
    return with_gradients(call, leaves, inputs["upstream"]) if "upstream" in inputs else forward_only(call)
