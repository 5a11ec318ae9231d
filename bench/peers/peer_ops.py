"""Single ops in PyTorch."""
import torch
import torch.nn.functional as F
from peer_passes import Pass, forward_only, grouped_mm, maybe_gradients, with_gradients


def matmul(i, how):
    return forward_only(lambda: torch.matmul(i["x"], i["weight"].T))


def grouped(i, how):
    x, weight = i["x"], i["weight"]
    ends = i["offsets"][1:]
    spans = list(zip(i["offsets"].tolist(), ends.tolist()))
    if how["kind"] == "loop":
        call = lambda: torch.cat([x[a:b] @ w.T for (a, b), w in zip(spans, weight.unbind())])
    else:
        call = lambda: grouped_mm(x, weight.transpose(1, 2), offs=ends)
    return maybe_gradients(call, [x, weight], i)


def attention(i, how):
    documents, heads, kv_heads = how["documents"], how["heads"], how["kvHeads"]
    split = lambda t, n: t.view(documents, -1, n, t.shape[1] // n).transpose(1, 2)

    def call():
        q, k, v = split(i["q"], heads), split(i["k"], kv_heads), split(i["v"], kv_heads)
        if how["kind"] == "repeat":
            k, v = (t.repeat_interleave(heads // kv_heads, 1) for t in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=how["kind"] == "gqa")
        return y.transpose(1, 2).reshape(i["q"].shape)

    return with_gradients(call, [i["q"], i["k"], i["v"]], i["upstream"])


def adamw(i, how):
    params = [torch.nn.Parameter(p) for p in i["params"].unbind()]
    for p, grad in zip(params, i["grads"].unbind()):
        p.grad = grad.to(p.dtype)
    optimizer = torch.optim.AdamW(
        params, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, **{how["kind"]: True}
    )

    def results():
        for _ in range(3):
            optimizer.step()
        return [params]

    return Pass(optimizer.step, results)


class ChunkedHead(torch.autograd.Function):
    """Mean cross-entropy of a linear layer, a part of the rows at a time: their gradients are made in the forward pass."""

    @staticmethod
    def forward(ctx, x, weight, targets, chunk):
        total, dx, dweight = 0.0, torch.empty_like(x), torch.zeros_like(weight)
        for rows in torch.arange(len(x)).split(chunk):
            a, b = rows[0].item(), rows[-1].item() + 1
            logits = x[a:b] @ weight.T
            lse = logits.logsumexp(1, keepdim=True)
            picked = targets[a:b, None]
            total += (lse - logits.gather(1, picked)).sum()
            slope = logits.sub_(lse).exp_().scatter_add_(1, picked, torch.full((b - a, 1), -1.0, dtype=x.dtype)).div_(len(x))
            torch.mm(slope, weight, out=dx[a:b])
            dweight.addmm_(slope.T, x[a:b])
        ctx.save_for_backward(dx, dweight)
        return total / len(x)

    @staticmethod
    def backward(ctx, slope):
        dx, dweight = ctx.saved_tensors
        return dx.mul_(slope), dweight.mul_(slope), None, None


def linear_cross_entropy(i, how):
    x, weight, targets = i["x"], i["weight"], i["targets"].long()
    losses = {
        "plain": lambda: F.cross_entropy(F.linear(x, weight), targets),
        "functional": lambda: F.linear_cross_entropy(x, weight, targets),
        "functional_chunked": lambda: F.linear_cross_entropy(
            x, weight, targets, options=torch.nn.LinearCrossEntropyOptions()
        ),
        "by_hand": lambda: ChunkedHead.apply(x, weight, targets, how.get("chunk")),
    }
    return with_gradients(losses[how["kind"]], [x, weight], torch.ones(()))
