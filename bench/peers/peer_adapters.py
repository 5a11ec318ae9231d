"""LoRA and DoRA: peft's layers, and DoRA's norm."""
import peft
import torch
from peer_passes import forward_only, with_gradients


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
    run, check = with_gradients(lambda: layer(i["x"]), leaves, i["upstream"])

    def check_whole():
        layer.eval()
        numbers = check()
        layer.train()
        run()
        return numbers

    return run, check_whole


def dora_norm(i, how):
    """Row norms of W + s·B·A, s = 2."""
    weight, a, b = i["weight"], i["a"], i["b"]
    if how["kind"] == "peft":
        layer = adapted({**i, "magnitude": weight[:, 0].clone()}, True, 0)
        dora, low = layer.lora_magnitude_vector["default"], (layer.lora_A["default"], layer.lora_B["default"])

        def call():
            return dora.get_weight_norm(weight, dora.get_lora_weight(*low).detach(), 2.0)

    else:
        squares = weight.square().sum(1)  # of a frozen weight: once

        def call():
            cross = ((weight @ a.T) * b).sum(1)
            own = ((b @ (a @ a.T)) * b).sum(1)
            return (squares + 4 * cross + 4 * own).sqrt()

    return forward_only(call)
