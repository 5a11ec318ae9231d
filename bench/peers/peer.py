"""PyTorch, transformers and peft at the work of bench/peers: one JSON request a line on stdin, one answer on stdout.

{"make": id, "case", "inputs": {name: {file, shape, dtype}}, "options"}  -> {"check": [numbers that both sides must share]}
{"time": id, "threads", "calls"}                                        -> {"seconds", "cpuSeconds": of one call}
{"drop": id}                                                            -> {}
"""
import json
import math
import os
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
import peft
import torch
import transformers

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print must not mix with the answers


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
    """Forward, and backward from a given gradient of the output."""
    for leaf in leaves:
        leaf.requires_grad_(True)

    def run():
        for leaf in leaves:
            leaf.grad = None
        y = call()
        y.backward(upstream.view_as(y))
        return y

    def check():
        y = run()
        dot = (y.detach().double() * upstream.view_as(y).double()).sum().item()
        return [dot] + [square(leaf.grad) for leaf in leaves]

    return run, check


def matmul(i, how):
    return forward_only(lambda: torch.matmul(i["x"], i["weight"].T))


def products(i, how):
    """Products of matrices that lie end to end in `a` and `b`, each into a matrix that is there already."""
    m, n, k, count, packed = (how[name] for name in ("m", "n", "k", "count", "packed"))
    a = i["a"].reshape((count, k, m) if how["transA"] else (count, m, k))
    b = i["b"].reshape((count, n, k) if how["transB"] else (count, k, n))
    left = (a.mT if how["transA"] else a).unbind()
    right = (b.mT if how["transB"] else b).unbind()
    into = torch.empty(count, m, n).unbind()
    if packed:
        weights = [torch.ops.mkldnn._reorder_linear_weight(w, m) for w in b.unbind()]

    def call():
        if packed:
            return [torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], "") for x, w in zip(left, weights)]
        for x, w, y in zip(left, right, into):
            torch.mm(x, w, out=y)
        return into

    def check():
        y = torch.stack(list(call())).double().flatten()
        return [square(y), (y * (1 + torch.arange(y.numel()) % 7)).sum().item()]

    return forward_only(call)[0], check


def grouped(i, how):
    x, weight = i["x"], i["weight"]
    ends = i["offsets"][1:]
    spans = list(zip(i["offsets"].tolist(), ends.tolist()))
    if how["kind"] == "loop":
        call = lambda: torch.cat([x[a:b] @ w.T for (a, b), w in zip(spans, weight.unbind())])
    else:
        call = lambda: torch._grouped_mm(x, weight.transpose(1, 2), offs=ends)
    return with_gradients(call, [x, weight], i["upstream"]) if "upstream" in i else forward_only(call)


def moe(i, how):
    x, router, gate, up, down = (i[name] for name in ("x", "router", "gate", "up", "down"))
    config = transformers.MixtralConfig(
        hidden_size=x.shape[1],
        intermediate_size=gate.shape[1],
        num_local_experts=gate.shape[0],
        num_experts_per_tok=how["topK"],
    )
    config._experts_implementation = how["experts"]
    block = transformers.models.mixtral.modeling_mixtral.MixtralSparseMoeBlock(config)
    block.gate.weight = torch.nn.Parameter(router)
    block.experts.gate_up_proj = torch.nn.Parameter(torch.cat([gate, up], 1))
    block.experts.down_proj = torch.nn.Parameter(down)
    weights = [block.gate.weight, block.experts.gate_up_proj, block.experts.down_proj]
    return with_gradients(lambda: block(x[None])[0], [x, *weights], i["upstream"])


def low_rank(i, how):
    """An adapted linear layer of peft, with gradients to its input and its adapter."""
    out, into = i["weight"].shape
    model = torch.nn.Sequential(torch.nn.Linear(into, out, bias=False))
    model[0].weight = torch.nn.Parameter(i["weight"])
    rank = i["a"].shape[0]
    settings = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["0"], use_dora=how["dora"])
    layer = peft.get_peft_model(model, settings).base_model.model[0]
    layer.lora_A["default"].weight.data = i["a"]
    layer.lora_B["default"].weight.data = i["b"]
    leaves = [i["x"], layer.lora_A["default"].weight, layer.lora_B["default"].weight]
    if how["dora"]:
        layer.lora_magnitude_vector["default"].weight.data = i["magnitude"]
        leaves.append(layer.lora_magnitude_vector["default"].weight)
    return with_gradients(lambda: layer(i["x"]), leaves, i["upstream"])


def adamw(i, how):
    params = [torch.nn.Parameter(p.clone()) for p in i["params"].unbind()]
    for p, grad in zip(params, i["grads"].unbind()):
        p.grad = grad.clone()
    optimizer = torch.optim.AdamW(
        params, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, **{how["kind"]: True}
    )

    def check():
        for _ in range(3):
            optimizer.step()
        return [sum(map(square, params))]

    return optimizer.step, check


def attention(i, how):
    documents, heads, kv_heads = how["documents"], how["heads"], how["kvHeads"]
    split = lambda t, n: t.view(documents, -1, n, t.shape[1] // n).transpose(1, 2)

    def call():
        q, k, v = split(i["q"], heads), split(i["k"], kv_heads), split(i["v"], kv_heads)
        if how["kind"] == "repeat":
            k, v = (t.repeat_interleave(heads // kv_heads, 1) for t in (k, v))
        y = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=True, enable_gqa=how["kind"] == "gqa"
        )
        return y.transpose(1, 2).reshape(i["q"].shape)

    return with_gradients(call, [i["q"], i["k"], i["v"]], i["upstream"])


def step(i, how):
    """A whole training step: forward, backward, clipping, AdamW."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        how["model"],
        dtype=getattr(torch, how["dtype"]),
        attn_implementation="sdpa",
        experts_implementation=how["experts"],
    )
    if "adapter" in how:
        model = peft.PeftModel.from_pretrained(model, how["adapter"], is_trainable=True)
    elif "lora" in how:
        model = peft.get_peft_model(model, peft.LoraConfig(init_lora_weights=True, **how["lora"]))
    model.train()
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    tokens = i["tokens"].long()

    def run():
        optimizer.zero_grad(set_to_none=True)
        loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0, foreach=True)
        optimizer.step()
        return loss.item()

    return run, lambda: [run() for _ in range(how["checked"])]


cases = {f.__name__: f for f in (matmul, products, grouped, moe, low_rank, adamw, attention, step)}
kinds = {"f32": torch.float32, "bf16": torch.float32, "i32": torch.int32}
made = {}


def load(file, shape, dtype):
    count = math.prod(shape)
    tensor = torch.from_file(file, size=count, dtype=kinds[dtype]).clone().view(shape)
    return tensor.bfloat16() if dtype == "bf16" else tensor


def answer(request):
    if "make" in request:
        inputs = {name: load(**at) for name, at in request["inputs"].items()}
        made[request["make"]], check = cases[request["case"]](inputs, request["options"])
        return {"check": check()}
    if "time" in request:
        run = made[request["time"]]
        torch.set_num_threads(request["threads"])
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(request["calls"]):
            run()
        spent = {"seconds": time.perf_counter() - start, "cpuSeconds": time.process_time() - cpu}
        return {name: each / request["calls"] for name, each in spent.items()}
    if "drop" in request:
        made.pop(request["drop"], None)
        return {}
    return {name: module.__version__ for name, module in (("torch", torch), ("transformers", transformers), ("peft", peft))}


for line in sys.stdin:
    try:
        result = answer(json.loads(line))
    except Exception as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(result), file=answers, flush=True)
