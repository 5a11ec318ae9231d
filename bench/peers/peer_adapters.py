"""LoRA and DoRA: peft's layers, and DoRA's norm."""
import peft
import torch
from peer_moe import loop, route, transformers_block
from peer_passes import Pass, forward_only, with_gradients


def adapted(i, dora, dropout):
    """An adapted linear layer of peft."""
    out, into = i["weight"].shape
    with torch.device("meta"):
        model = torch.nn.Sequential(torch.nn.Linear(into, out, bias=False))
    model[0].weight = torch.nn.Parameter(i["weight"])
    rank = i["a"].shape[0]
    settings = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=["0"], use_dora=dora, lora_dropout=dropout
    )
    layer = peft.get_peft_model(model, settings).base_model.model[0]
    layer.lora_A["default"].weight.data = i["a"]
    layer.lora_B["default"].weight.data = i["b"]
    if dora:
        layer.lora_magnitude_vector["default"].weight.data = i["magnitude"]
    return layer


def low_rank(i, how):
    """With gradients to the input and the adapter. What is dropped differs, so that the check is of a pass without."""
    layer = adapted(i, how["dora"], how.get("dropout", 0))
    leaves = [i["x"], layer.lora_A["default"].weight, layer.lora_B["default"].weight]
    if how["dora"]:
        leaves.append(layer.lora_magnitude_vector["default"].weight)
    work = with_gradients(lambda: layer(i["x"]), leaves, i["upstream"])

    def whole(look):
        layer.eval()
        seen = look()
        layer.train()
        work.run()
        return seen

    return Pass(work.run, lambda: whole(work.results), lambda: whole(work.numbers))


def dora_norm(i, how):
    """Row norms of W + s·B·A, s = 2. `dense` takes stacks of matrices, too."""
    weight, a, b, kind = i["weight"], i["a"], i["b"], how["kind"]
    if kind == "peft":
        layer = adapted({**i, "magnitude": weight[:, 0].clone()}, True, 0)
        dora, low = layer.lora_magnitude_vector["default"], (layer.lora_A["default"], layer.lora_B["default"])

        def call():
            return dora.get_weight_norm(weight, dora.get_lora_weight(*low).detach(), 2.0)

    elif kind == "dense":
        call = lambda: (weight + 2 * (b @ a)).norm(dim=-1)
    else:
        squares = weight.square().sum(1)  # of a frozen weight: once

        def call():
            cross = ((weight @ a.T) * b).sum(1)
            own = ((b @ (a @ a.T)) * b).sum(1)
            return (squares + 4 * cross + 4 * own).sqrt()

    return forward_only(call)


def expert_lora(i, how):
    """LoRA on the experts of a frozen layer: gate and up have an A in common, as peft's `target_parameters` has them."""
    kind, top_k = how["kind"], how["topK"]
    if kind == "reference":

        def call():
            gate, up, down = (
                torch.baddbmm(i[name], i[b], i[a], alpha=2)
                for name, b, a in (("gate", "b_gate", "a"), ("up", "b_up", "a"), ("down", "b_down", "a_down"))
            )
            return loop(i["x"], *route(i["x"], i["router"], top_k), *(w.unbind() for w in (gate, up, down)))

        leaves = [i["x"], i["a"], [i["b_gate"], i["b_up"]], i["a_down"], i["b_down"]]
        return with_gradients(call, leaves, i["upstream"])
    rank = i["a"].shape[1]
    model = torch.nn.Sequential(transformers_block(i["router"], i["gate"], i["up"], i["down"], kind, top_k))
    targets = [f"0.experts.{name}" for name in ("gate_up_proj", "down_proj")]
    settings = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=[], target_parameters=targets)
    model = peft.get_peft_model(model, settings)
    layers = {m.parameter_name: m for m in model.modules() if hasattr(m, "parameter_name")}
    leaves = [i["x"]]
    for name, a, b in (
        ("gate_up_proj", i["a"], torch.cat([i["b_gate"], i["b_up"]], 1)),
        ("down_proj", i["a_down"], i["b_down"]),
    ):
        weights = layers[name].lora_A["default"].weight, layers[name].lora_B["default"].weight
        weights[0].data = a.reshape(-1, a.shape[2])
        weights[1].data = b.permute(1, 2, 0).reshape(b.shape[1], -1)
        leaves += weights
    return with_gradients(lambda: model(i["x"][None])[0], leaves, i["upstream"])
