"""A sparse mixture of experts in PyTorch, written in every known way. T tokens, D model, E experts, K chosen, F hidden."""
import torch
import torch.nn.functional as F
import transformers
from peer_passes import Pass, grouped_mm, maybe_gradients


def route(x, router, top_k):
    """Weights [T, K] that sum to one, experts [T, K]."""
    weights, experts = F.linear(x, router).softmax(-1).topk(top_k)
    return weights / weights.sum(-1, keepdim=True), experts


def loop(x, weights, experts, gate, up, down):
    """As in transformers 4: one expert after the other picks its tokens, and adds to the output. Lists of E matrices."""
    out = torch.zeros_like(x)
    mask = F.one_hot(experts, len(down)).permute(2, 1, 0)
    for e in range(len(down)):
        slot, token = torch.where(mask[e])
        rows = x[token]
        h = F.silu(F.linear(rows, gate[e])) * F.linear(rows, up[e])
        out.index_add_(0, token, F.linear(h, down[e]) * weights[token, slot, None])
    return out


def by_expert(x, weights, experts, count, call):
    """Sorts tokens by expert, calls the experts on the sorted rows, and adds up per token."""
    flat = experts.view(-1)
    order = flat.argsort(stable=True)
    tokens = order // experts.shape[1]
    y = call(x.index_select(0, tokens), torch.bincount(flat, minlength=count))
    return torch.zeros_like(x).index_add(0, tokens, y * weights.view(-1).index_select(0, order)[:, None])


def gated(gate_up):
    gate, up = gate_up.chunk(2, -1)
    return F.silu(gate) * up


def slices(x, weights, experts, gate_up, down):
    """Sorted; one product an expert and projection. Lists of E matrices."""

    def call(rows, counts):
        parts = zip(rows.split(counts.tolist()), gate_up, down)
        return torch.cat([F.linear(gated(F.linear(part, w)), v) for part, w, v in parts])

    return by_expert(x, weights, experts, len(down), call)


def grouped(x, weights, experts, gate_up, down):
    """Sorted; one grouped product a projection. Stacked weights [E, 2F, D], [E, D, F]."""

    def call(rows, counts):
        ends = counts.cumsum(0, dtype=torch.int32)
        h = gated(grouped_mm(rows, gate_up.transpose(1, 2), offs=ends))
        return grouped_mm(h, down.transpose(1, 2), offs=ends)

    return by_expert(x, weights, experts, len(down), call)


def parameters(weight):
    return [torch.nn.Parameter(w.clone()) for w in weight.unbind()]


def layer(router, gate, up, down, kind, top_k):
    """(function of x [T, D], its leaves: router, gate and up, down)."""
    if kind in ("eager", "grouped_mm"):
        block = transformers_block(router, gate, up, down, kind, top_k)
        weights = [block.gate.weight, block.experts.gate_up_proj, block.experts.down_proj]
        return lambda x: block(x[None])[0], weights
    if kind == "loop":
        router, gate, up, down = torch.nn.Parameter(router), *map(parameters, (gate, up, down))
        return lambda x: loop(x, *route(x, router, top_k), gate, up, down), [router, gate + up, down]
    router, down = torch.nn.Parameter(router), torch.nn.Parameter(down)
    if kind == "reference":  # every expert of every projection apart, as on the other side
        gate, up = torch.nn.Parameter(gate), torch.nn.Parameter(up)
        call = lambda x: loop(x, *route(x, router, top_k), *(w.unbind() for w in (gate, up, down)))
        return call, [router, [gate, up], down]
    gate_up = torch.nn.Parameter(torch.cat([gate, up], 1))
    if kind == "loop_stacked":  # unbind has a cheap gradient; indexing expert by expert has not

        def call(x):
            halves = [w.chunk(2) for w in gate_up.unbind()]
            return loop(x, *route(x, router, top_k), *zip(*halves), down.unbind())

    elif kind == "slices_stacked":
        call = lambda x: slices(x, *route(x, router, top_k), gate_up.unbind(), down.unbind())
    elif kind == "grouped":
        call = lambda x: grouped(x, *route(x, router, top_k), gate_up, down)
    elif kind == "liger":
        from liger_kernel.ops.fused_moe import LigerFusedMoEFunction

        def call(x):
            weights, experts = route(x, router, top_k)
            return LigerFusedMoEFunction.apply(x, gate_up, down, experts.int(), weights)

    else:  # slices
        gate_up, down = parameters(gate_up), parameters(down)
        call = lambda x: slices(x, *route(x, router, top_k), gate_up, down)
    return call, [router, gate_up, down]


def transformers_block(router, gate, up, down, kind, top_k):
    config = transformers.MixtralConfig(
        hidden_size=gate.shape[2],
        intermediate_size=gate.shape[1],
        num_local_experts=gate.shape[0],
        num_experts_per_tok=top_k,
    )
    config._experts_implementation = kind
    with torch.device("meta"):
        block = transformers.models.mixtral.modeling_mixtral.MixtralSparseMoeBlock(config)
    block.gate.weight = torch.nn.Parameter(router)
    block.experts.gate_up_proj = torch.nn.Parameter(torch.cat([gate, up], 1))
    block.experts.down_proj = torch.nn.Parameter(down)
    return block


def moe(i, how):
    call, leaves = layer(i["router"], i["gate"], i["up"], i["down"], how["kind"], how["topK"])
    return maybe_gradients(lambda: call(i["x"]), [i["x"], *leaves], i)


def routing(i, how):
    """The router and the lists that grouped products need: weights, tokens in the order of experts, where each begins."""
    top_k, count = how["topK"], len(i["router"])

    def run():
        with torch.no_grad():
            weights, experts = route(i["x"], i["router"], top_k)
            flat = experts.view(-1)
            order = flat.argsort(stable=True)
            ends = torch.bincount(flat, minlength=count).cumsum(0, dtype=torch.int32)
            return weights, order // top_k, ends

    def results():
        weights, _, ends = run()
        return [[weights], [ends]]

    return Pass(run, results)
