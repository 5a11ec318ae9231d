"""A whole training step: forward, backward, clipping if asked for, AdamW."""
import peft
import torch
import torch.nn.functional as F
import transformers
from peer_moe import grouped, loop, route, slices
from peer_passes import Pass


def loaded(how):
    with torch.device("cpu"):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            how["model"],
            dtype=getattr(torch, how["dtype"]),
            attn_implementation="sdpa",
            experts_implementation=how["experts"] if how["experts"] in ("eager", "grouped_mm") else "eager",
        )
    for p in model.parameters():
        p.data = p.data.clone()  # out of the file's pages
    return model.to(torch.get_default_device())


def by_hand(model, kind):
    """A Mixtral in few words: (its parameters, loss of tokens)."""
    config, inner = model.config, model.model
    own = lambda *weights: torch.nn.Parameter(torch.cat([w.detach() for w in weights]).clone())
    listed = lambda stacked: [own(w) for w in stacked.detach().unbind()]
    embedding, head, last = own(inner.embed_tokens.weight), own(model.lm_head.weight), own(inner.norm.weight)
    layers = []
    for block in inner.layers:
        attn, experts = block.self_attn, block.mlp.experts
        gate_up, down = experts.gate_up_proj, experts.down_proj
        if kind == "grouped":
            parts = [own(gate_up), own(down)]
        elif kind == "slices":
            parts = [listed(gate_up), listed(down)]
        else:
            parts = [listed(w) for w in (*gate_up.detach().chunk(2, 1), down)]
        layers.append(
            {
                "norms": [own(block.input_layernorm.weight), own(block.post_attention_layernorm.weight)],
                "qkv": own(attn.q_proj.weight, attn.k_proj.weight, attn.v_proj.weight),
                "o": own(attn.o_proj.weight),
                "router": own(block.mlp.gate.weight),
                "experts": parts,
            }
        )
    heads, kv_heads, head_dim = config.num_attention_heads, config.num_key_value_heads, inner.layers[0].self_attn.head_dim
    experts = {"grouped": grouped, "slices": slices, "loop": loop}[kind]
    norm = lambda x, weight: F.rms_norm(x, x.shape[-1:], weight, config.rms_norm_eps)

    def turned(x, cos, sin):
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    def loss_of(tokens):
        batch, length = tokens.shape
        x = F.embedding(tokens, embedding)
        cos, sin = inner.rotary_emb(x, torch.arange(length)[None])
        cos, sin = (t[:, None, :, : head_dim // 2] for t in (cos, sin))
        for layer in layers:
            h = F.linear(norm(x, layer["norms"][0]), layer["qkv"])
            h = h.view(batch, length, heads + 2 * kv_heads, head_dim).transpose(1, 2)
            q, k, v = h.split([heads, kv_heads, kv_heads], 1)
            y = F.scaled_dot_product_attention(
                turned(q, cos, sin), turned(k, cos, sin), v, is_causal=True, enable_gqa=heads != kv_heads
            )
            x = x + F.linear(y.transpose(1, 2).reshape(x.shape), layer["o"])
            h = norm(x, layer["norms"][1]).view(-1, x.shape[-1])
            routing = route(h, layer["router"], config.num_experts_per_tok)
            x = x + experts(h, *routing, *layer["experts"]).view_as(x)
        logits = F.linear(norm(x, last)[:, :-1], head)
        return F.cross_entropy(logits.reshape(-1, head.shape[0]), tokens[:, 1:].reshape(-1))

    flat = lambda part: [w for each in part for w in flat(each)] if isinstance(part, (list, tuple)) else [part]
    return [embedding, head, last, *flat([list(layer.values()) for layer in layers])], loss_of


def step(i, how):
    model = loaded(how)
    if "adapter" in how:
        model = peft.PeftModel.from_pretrained(model, how["adapter"], is_trainable=True)
    elif "lora" in how:
        model = peft.get_peft_model(model, peft.LoraConfig(init_lora_weights=True, **how["lora"]))
    if how["experts"] in ("eager", "grouped_mm"):
        model.train()
        params = [p for p in model.parameters() if p.requires_grad]
        loss_of = lambda tokens: model(input_ids=tokens, labels=tokens, use_cache=False).loss
    else:
        params, loss_of = by_hand(model, how["experts"])
        inner = model.model
        inner.embed_tokens = inner.layers = model.lm_head = None  # only its table of angles is needed
    optimizer = torch.optim.AdamW(params, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    tokens = i["tokens"].long()

    def run():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(tokens)
        loss.backward()
        if how["clip"]:
            torch.nn.utils.clip_grad_norm_(params, 1.0, foreach=True)
        optimizer.step()
        return loss.item()

    return Pass(run, numbers=lambda: [run() for _ in range(how["checked"])])
