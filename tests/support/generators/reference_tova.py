"""A second opinion: decoder-only transformers with a bounded key-value cache, in float64 numpy, one token at a time.

Algorithm 1 of Oren et al. 2024 (arXiv:2401.06104) and the other policies, taken literally: the layer attends, then one
token leaves. No blocks, no death-step masks, nothing shared with the C++ code. It reads Hugging Face directories
(safetensors) and GGUF files (dequantised by the `gguf` package; in `llama` and `smollm3` files Q and K keep llama.cpp's
interleaved rows and are rotated in pairs 2i, 2i + 1).

Slow by design: about a second per 600 tokens for the models of make_goldens.py.
"""

import dataclasses
import json
import math
import pathlib

import numpy as np

GROUP_TOKENS = 256  # tokens that share one rotation of the state
HEAD_WISE = ("tova-head", "h2o-head")


@dataclasses.dataclass
class Options:
    """The cache options of the command line, with its defaults."""

    policy: str = "tova"
    cache_size: int = 512
    pin: int = 0
    sinks: int = 0
    recent: int = -1  # -1 is cache_size / 2
    ema: float = 0.95
    positions: str = "clipped"
    clip_distance: int = 0  # 0 is trained context - GROUP_TOKENS


@dataclasses.dataclass
class Model:
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    trained_context: int
    windows: list  # sliding window of each layer, tokens, 0 is none
    rotates: list  # whether the queries and keys of each layer are rotated
    rms_norm_eps: float
    inv_freq: np.ndarray  # (head_dim / 2), radians per token
    interleaved: bool  # rotary dimension 2i pairs with 2i + 1, else i with i + head_dim / 2
    weights: dict  # by short name: "embedding", "head", "final_norm", "0.q", "0.q_bias", ...


@dataclasses.dataclass
class Result:
    """`units` is 1, or n_kv_heads where each head decides on its own."""

    nll: np.ndarray  # (n_tokens - 1), nats
    death: np.ndarray  # (n_layers, units, n_tokens), the step after which the token was gone, -1 never
    margin: np.ndarray  # (n_layers, units, n_tokens), second lowest less lowest score at a step; inf: no scores decided
    relative_margin: float  # the least margin / second lowest score, exact ties aside
    n_ties: int  # evictions decided by an exact tie
    attention_entropy: float  # nats, mean over layers, heads and tokens of the full-size states
    logit_std: float  # mean over tokens of the standard deviation over the vocabulary


# ---------------------------------------------------------------- models

HF_LAYER = {
    "attention_norm": "input_layernorm.weight",
    "q": "self_attn.q_proj.weight",
    "k": "self_attn.k_proj.weight",
    "v": "self_attn.v_proj.weight",
    "o": "self_attn.o_proj.weight",
    "q_bias": "self_attn.q_proj.bias",
    "k_bias": "self_attn.k_proj.bias",
    "v_bias": "self_attn.v_proj.bias",
    "o_bias": "self_attn.o_proj.bias",
    "q_norm": "self_attn.q_norm.weight",
    "k_norm": "self_attn.k_norm.weight",
    "ffn_norm": "post_attention_layernorm.weight",
    "gate": "mlp.gate_proj.weight",
    "up": "mlp.up_proj.weight",
    "down": "mlp.down_proj.weight",
}
GGUF_LAYER = {
    "attention_norm": "attn_norm.weight",
    "q": "attn_q.weight",
    "k": "attn_k.weight",
    "v": "attn_v.weight",
    "o": "attn_output.weight",
    "q_bias": "attn_q.bias",
    "k_bias": "attn_k.bias",
    "v_bias": "attn_v.bias",
    "o_bias": "attn_output.bias",
    "q_norm": "attn_q_norm.weight",
    "k_norm": "attn_k_norm.weight",
    "ffn_norm": "ffn_norm.weight",
    "gate": "ffn_gate.weight",
    "up": "ffn_up.weight",
    "down": "ffn_down.weight",
}


def default_inv_freq(theta, head_dim):
    return theta ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)


def llama3_divisors(inv_freq, factor, low, high, original_context):
    """Llama 3.1: short wavelengths as they are, long ones stretched by `factor`, a ramp between."""
    divisors = np.empty_like(inv_freq)
    for i, f in enumerate(inv_freq):
        wavelength = 2 * math.pi / f
        if wavelength < original_context / high:
            divisors[i] = 1.0
        elif wavelength > original_context / low:
            divisors[i] = factor
        else:
            smooth = (original_context / wavelength - low) / (high - low)
            divisors[i] = 1.0 / ((1.0 - smooth) / factor + smooth)
    return divisors


def load(path):
    path = pathlib.Path(path)
    return load_gguf(path) if path.is_file() else load_hf(path)


def load_hf(folder):
    from safetensors import safe_open

    config = json.loads((folder / "config.json").read_text())
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as f:
            for name in f.keys():
                tensors[name] = f.get_tensor(name).double().numpy()
    return from_hf(config, tensors)


def from_hf(config, tensors):
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    inv_freq = default_inv_freq(rope.get("rope_theta", config.get("rope_theta", 10000.0)), head_dim)
    if rope.get("rope_type", rope.get("type", "default")) == "llama3":
        inv_freq = inv_freq / llama3_divisors(
            inv_freq,
            rope["factor"],
            rope["low_freq_factor"],
            rope["high_freq_factor"],
            rope["original_max_position_embeddings"],
        )
    weights = {"embedding": tensors["model.embed_tokens.weight"], "final_norm": tensors["model.norm.weight"]}
    weights["head"] = tensors["model.embed_tokens.weight" if is_tied(config) else "lm_head.weight"]
    for i in range(config["num_hidden_layers"]):
        for short, name in HF_LAYER.items():
            if f"model.layers.{i}.{name}" in tensors:
                weights[f"{i}.{short}"] = tensors[f"model.layers.{i}.{name}"]
    return Model(
        n_layers=config["num_hidden_layers"],
        n_heads=heads,
        n_kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=head_dim,
        trained_context=config["max_position_embeddings"],
        windows=windows_of_hf(config),
        rotates=rotations_of_hf(config),
        rms_norm_eps=config["rms_norm_eps"],
        inv_freq=inv_freq,
        interleaved=False,
        weights=weights,
    )


def is_tied(config):
    return config.get("tie_word_embeddings", config["model_type"] == "smollm3")


def windows_of_hf(config):
    """By layer, as the configurations of transformers work them out."""
    n, window = config["num_hidden_layers"], config.get("sliding_window") or 0
    if config["model_type"] == "mistral":
        return [window] * n
    if not config.get("use_sliding_window", False):
        return [0] * n
    if config.get("layer_types"):
        return [window if t == "sliding_attention" else 0 for t in config["layer_types"]]
    if config["model_type"] == "smollm3":
        return [0 if rotates else window for rotates in rotations_of_hf(config)]
    return [window if i >= config.get("max_window_layers", 28) else 0 for i in range(n)]


def rotations_of_hf(config):
    n = config["num_hidden_layers"]
    if config["model_type"] != "smollm3":
        return [True] * n
    by_interval = [(i + 1) % config.get("no_rope_layer_interval", 4) != 0 for i in range(n)]
    return [bool(r) for r in config.get("no_rope_layers") or by_interval]


def load_gguf(file):
    import gguf

    reader = gguf.GGUFReader(str(file))
    arch = reader.fields["general.architecture"].contents()

    def get(key, default=None):
        field = reader.fields.get(f"{arch}.{key}")
        return field.contents() if field is not None else default

    tensors = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64) for t in reader.tensors}
    heads = get("attention.head_count")
    head_dim = get("attention.key_length", get("embedding_length") // heads)
    inv_freq = default_inv_freq(get("rope.freq_base", 10000.0), head_dim)
    if "rope_freqs.weight" in tensors:
        inv_freq = inv_freq / tensors["rope_freqs.weight"]
    weights = {"embedding": tensors["token_embd.weight"], "final_norm": tensors["output_norm.weight"]}
    weights["head"] = tensors.get("output.weight", tensors["token_embd.weight"])
    for i in range(get("block_count")):
        for short, name in GGUF_LAYER.items():
            if f"blk.{i}.{name}" in tensors:
                weights[f"{i}.{short}"] = tensors[f"blk.{i}.{name}"]
    return Model(
        n_layers=get("block_count"),
        n_heads=heads,
        n_kv_heads=get("attention.head_count_kv", heads),
        head_dim=head_dim,
        trained_context=get("context_length"),
        windows=[get("attention.sliding_window", 0)] * get("block_count"),
        rotates=[arch != "smollm3" or (i + 1) % 4 != 0 for i in range(get("block_count"))],
        rms_norm_eps=get("attention.layer_norm_rms_epsilon"),
        inv_freq=inv_freq,
        interleaved=arch in ("llama", "smollm3"),
        weights=weights,
    )


# ---------------------------------------------------------------- arithmetic


def rms_norm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def rotate(x, positions, model):
    """x (..., head_dim) as if at `positions` (...)."""
    angle = np.asarray(positions, np.float64)[..., None] * model.inv_freq
    cos, sin = np.cos(angle), np.sin(angle)
    out = np.empty(np.broadcast_shapes(x.shape, cos.shape[:-1] + (1,)))
    if model.interleaved:
        a, b = x[..., 0::2], x[..., 1::2]
        out[..., 0::2], out[..., 1::2] = a * cos - b * sin, b * cos + a * sin
    else:
        half = model.head_dim // 2
        a, b = x[..., :half], x[..., half:]
        out[..., :half], out[..., half:] = a * cos - b * sin, b * cos + a * sin
    return out


class LayerState:
    """The multi-state of one layer: what it holds, where its keys stand, and who leaves."""

    def __init__(self, model, layer, options, n_tokens):
        self.model, self.options = model, options
        self.window, self.rotates = model.windows[layer], model.rotates[layer]
        # Where the window is within the cache the layer keeps the tokens of the window and no other.
        if options.policy != "full" and 0 < self.window <= options.cache_size and options.positions != "in-state":
            self.places, self.policy = self.window, "window"
            self.sinks = 0
        else:
            self.places, self.policy, self.sinks = options.cache_size, options.policy, options.sinks
        kv, dim = model.n_kv_heads, model.head_dim
        self.units = kv if options.policy in HEAD_WISE else 1
        self.keys = np.zeros((kv, n_tokens, dim))  # unrotated
        self.values = np.zeros((kv, n_tokens, dim))
        self.held = np.zeros((kv, 0), np.int64)  # positions of the living tokens of each KV head, oldest first
        self.number = np.zeros((kv, n_tokens), np.int64)  # in-state: where a token stands in the present group
        self.score = np.zeros((self.units, n_tokens))  # h2o: accumulated weight; tova-ema: its moving average
        self.death = np.full((self.units, n_tokens), -1, np.int32)
        self.margin = np.full((self.units, n_tokens), np.inf)
        self.second = np.full((self.units, n_tokens), np.inf)  # the second lowest score
        self.entropy = []

    def attend(self, t, q, k, v):
        """q (n_heads, head_dim), k and v (n_kv_heads, head_dim), unrotated; returns (n_heads * head_dim)."""
        model, o = self.model, self.options
        kv, per = model.n_kv_heads, model.n_heads // model.n_kv_heads
        start = t - t % GROUP_TOKENS
        if t == start:  # a group begins: the state is numbered by age
            np.put_along_axis(self.number, self.held, np.arange(self.held.shape[1])[None, :], axis=1)
            self.n_at_start = self.held.shape[1]
        self.keys[:, t], self.values[:, t] = k, v
        self.number[:, t] = self.n_at_start + t - start
        self.held = np.concatenate([self.held, np.full((kv, 1), t)], axis=1)

        place = self.held
        if o.positions == "clipped":
            clip = o.clip_distance or max(model.trained_context - GROUP_TOKENS, 0)
            place = np.where(self.held < start, np.maximum(self.held, start - clip), self.held)
        elif o.positions == "in-state":
            place = np.take_along_axis(self.number, self.held, axis=1)
        keys = np.take_along_axis(self.keys, self.held[..., None], axis=1)
        values = np.take_along_axis(self.values, self.held[..., None], axis=1)
        queries = q.reshape(kv, per, -1)
        if self.rotates:
            keys, queries = rotate(keys, place, model), rotate(queries, place[:, -1:], model)

        # Products and sums in one order for every key, so that equal keys tie exactly.
        scores = (queries[:, :, None, :] * keys[:, None, :, :]).sum(-1) / math.sqrt(model.head_dim)
        visible = np.ones_like(self.held, bool)
        if self.window:
            visible = self.held > t - self.window
        scores = np.where(visible[:, None, :], scores, -np.inf)  # (n_kv_heads, queries per KV head, held)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        out = np.einsum("hgn,hnd->hgd", weights, values)
        positive = weights[weights > 0]
        self.entropy.append(-(positive * np.log(positive)).sum() / model.n_heads)

        if o.policy != "full":
            self.drop(t, weights)
        return out.reshape(-1)

    def drop(self, t, weights):
        rows = []
        for unit in range(self.units):
            held = self.held[unit]
            mean = weights[unit].mean(axis=0) if self.units > 1 else weights.mean(axis=(0, 1))
            scores = self.scores(t, unit, held, mean)
            if len(held) > self.places:
                row = self.choose(t, unit, held, scores)
                self.death[unit, held[row]] = t
                rows.append(row)
        if rows:
            rows = rows if self.units > 1 else rows * len(self.held)
            self.held = np.stack([np.delete(h, r) for h, r in zip(self.held, rows)])

    def scores(self, t, unit, held, mean):
        """What decides, for each held token; `mean` is its attention weight, averaged over the unit's query heads."""
        o, own = self.options, self.score[unit]
        if o.policy in ("h2o", "h2o-head"):
            own[held] += mean
            return own[held]
        if o.policy == "tova-ema":
            own[held] = o.ema * own[held] + (1 - o.ema) * mean
            corrected = own[held] / (1 - o.ema ** (t - held + 1.0))
            return corrected * np.sqrt((self.values[:, held] ** 2).sum(-1)).mean(axis=0)
        return mean

    def choose(self, t, unit, held, scores):
        """The row that leaves: the lowest score, the oldest of equals."""
        o = self.options
        if self.policy == "window":
            return int(np.flatnonzero(held >= self.sinks)[0])
        free = held >= o.pin
        if o.policy in ("h2o", "h2o-head"):
            recent = o.cache_size // 2 if o.recent < 0 else o.recent
            free &= held <= t - recent
        rows = np.flatnonzero(free)
        order = np.argsort(scores[rows], kind="stable")
        if len(rows) > 1:
            low, second = scores[rows[order[0]]], scores[rows[order[1]]]
            self.margin[unit, t], self.second[unit, t] = second - low, second
        return int(rows[order[0]])


def run(model, ids, options, give_up_below=0.0):
    """Scores `ids`. None as soon as a decision is nearer than `give_up_below` (relative), exact ties aside."""
    w, n = model.weights, len(ids)
    states = [LayerState(model, i, options, n) for i in range(model.n_layers)]
    nll, spread = np.zeros(n - 1), []
    eps = model.rms_norm_eps
    for t, token in enumerate(ids):
        x = w["embedding"][token]
        for i, state in enumerate(states):
            g = lambda name: w.get(f"{i}.{name}")
            h = rms_norm(x, g("attention_norm"), eps)
            q, k, v = (
                (g(p) @ h + (0.0 if g(p + "_bias") is None else g(p + "_bias"))).reshape(-1, model.head_dim)
                for p in "qkv"
            )
            if g("q_norm") is not None:
                q, k = rms_norm(q, g("q_norm"), eps), rms_norm(k, g("k_norm"), eps)
            x = x + g("o") @ state.attend(t, q, k, v) + (0.0 if g("o_bias") is None else g("o_bias"))
            h = rms_norm(x, g("ffn_norm"), eps)
            gate = g("gate") @ h
            x = x + g("down") @ (gate / (1 + np.exp(-gate)) * (g("up") @ h))
            if give_up_below and np.any(
                (state.margin[:, t] > 0) & (state.margin[:, t] < give_up_below * np.minimum(state.second[:, t], 1e300))
            ):
                return None
        logits = w["head"] @ rms_norm(x, w["final_norm"], eps)
        spread.append(logits.std())
        if t + 1 < n:
            top = logits.max()
            nll[t] = top + math.log(np.exp(logits - top).sum()) - logits[ids[t + 1]]
    margin = np.stack([s.margin for s in states])
    second = np.stack([s.second for s in states])
    near = np.isfinite(margin) & (margin > 0)
    return Result(
        nll=nll,
        death=np.stack([s.death for s in states]),
        margin=margin,
        relative_margin=float((margin[near] / second[near]).min()) if near.any() else math.inf,
        n_ties=int((margin == 0).sum()),
        attention_entropy=float(np.mean([e for s in states for e in s.entropy[16:]])),
        logit_std=float(np.mean(spread)),
    )
