"""Random configurations of tiny models, computed by transformers and by tovamill.

    python3 tests/support/generators/random_configs.py build/tovamill --n 500 --seed 1 [--first N] [--out FOLDER]
    (needs torch, transformers 5.24, safetensors, numpy; about five minutes)
    --families: of all families of family_models.py instead, each key of whose config.json may change

Each case is a model of two or three layers whose config.json has every key of its family present, absent, null,
contradictory or in another spelling, with keys of other families and tensors of other models beside them. Its document
is scored by transformers (float64) and by `tovamill score --policy full --dtype f32`. The outcome of a case is

    equal       both give the same NLL per token within 1e-3
    refused     tovamill ends with 65 or 78, and its message names a key or tensor that the case changed
    ours-only   transformers cannot load it, not even without the keys that are null: not compared
    WRONG       anything else

The last line is the counts; the exit code is 1 where a case is wrong.
"""

import argparse
import collections
import copy
import json
import logging
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import torch
from safetensors.torch import save_file

TOLERANCE = 1e-3  # nats per token
VOCABULARY, N_TOKENS, CONTEXT = 300, 48, 64
CLASSES = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM",
           "qwen3": "Qwen3ForCausalLM", "smollm3": "SmolLM3ForCausalLM"}  # fmt: skip
ABSENT = object()
TEXT = "the cat sat on a mat, and two dogs ran by; it was late"[:N_TOKENS]


def byte_letters():
    """GPT-2's letters of the 256 bytes."""
    plain = [b for b in range(256) if 33 <= b <= 126 or (b >= 161 and b != 173)]
    others = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def tokenizer_json(n_tokens=VOCABULARY):
    letters = byte_letters()
    vocab = {letters[b]: b for b in range(256)} | {f"<unused{i}>": i for i in range(256, n_tokens - 1)}
    vocab["<|endoftext|>"] = n_tokens - 1  # the EOS of Qwen2Tokenizer
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
            "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocab,
                      "merges": []}}  # fmt: skip


class Case:
    def __init__(self, family, seed, rng):
        self.family, self.seed, self.rng = family, seed, rng
        self.config = {
            "architectures": [CLASSES[family]], "model_type": family, "hidden_size": 32, "intermediate_size": 48,
            "num_hidden_layers": rng.choice([2, 3]), "num_attention_heads": 4,
            "num_key_value_heads": rng.choice([2, 4]), "vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": False, "rope_theta": 1000.0,
            "bos_token_id": None, "eos_token_id": None, "pad_token_id": None, "torch_dtype": "float32",
            "attention_dropout": 0.0, "initializer_range": 0.02, "use_cache": True,
        }  # fmt: skip
        if family == "qwen3":
            self.config["head_dim"] = 8
        if family == "mistral":
            self.config["sliding_window"] = None
        self.shape = copy.deepcopy(self.config)
        self.head_dim = 8
        self.tensors, self.changed, self.shards, self.literals = {}, set(), 1, False
        self.unnamed = None  # the tensor that the index leaves out

    def set(self, key, value):
        self.changed.add(key)
        if value is ABSENT:
            self.config.pop(key, None)
        else:
            self.config[key] = value

    def add(self, name, shape, scale=1.0, mean=0.0):
        values = np.random.default_rng([self.seed, *name.encode()]).normal(mean, scale, shape)
        self.tensors[name] = torch.from_numpy(values).to(torch.bfloat16).float()

    def weights(self):
        s = self.shape
        hidden, inner, d = s["hidden_size"], s["intermediate_size"], self.head_dim
        q, kv = s["num_attention_heads"] * d, s["num_key_value_heads"] * d
        self.add("model.embed_tokens.weight", (VOCABULARY, hidden))
        self.add("lm_head.weight", (VOCABULARY, hidden), 1.5 / np.sqrt(hidden))
        self.add("model.norm.weight", (hidden,), 0.2, 1.0)
        for i in range(s["num_hidden_layers"]):
            self.layer(f"model.layers.{i}.", hidden, inner, q, kv, d)

    def layer(self, at, hidden, inner, q, kv, d):
        self.add(at + "input_layernorm.weight", (hidden,), 0.2, 1.0)
        self.add(at + "post_attention_layernorm.weight", (hidden,), 0.2, 1.0)
        self.add(at + "self_attn.q_proj.weight", (q, hidden), 2.5 / np.sqrt(hidden))
        self.add(at + "self_attn.k_proj.weight", (kv, hidden), 2.5 / np.sqrt(hidden))
        self.add(at + "self_attn.v_proj.weight", (kv, hidden), 1.5 / np.sqrt(hidden))
        self.add(at + "self_attn.o_proj.weight", (hidden, q), 1.5 / np.sqrt(q))
        self.add(at + "mlp.gate_proj.weight", (inner, hidden), 1.0 / np.sqrt(hidden))
        self.add(at + "mlp.up_proj.weight", (inner, hidden), 1.0 / np.sqrt(hidden))
        self.add(at + "mlp.down_proj.weight", (hidden, inner), 1.0 / np.sqrt(inner))
        if self.family == "qwen2":
            self.biases(at, "qkv")
        if self.family == "qwen3":
            self.add(at + "self_attn.q_norm.weight", (d,), 0.3, 1.5)
            self.add(at + "self_attn.k_norm.weight", (d,), 0.3, 1.5)

    def biases(self, at, which):
        for p in which:
            rows = self.tensors[f"{at}self_attn.{p}_proj.weight"].shape[0]
            self.add(f"{at}self_attn.{p}_proj.bias", (rows,), 0.5)

    def layers(self):
        return [f"model.layers.{i}." for i in range(self.shape["num_hidden_layers"])]


# What may be changed of a model: each a function of a case.


def rope(case):
    """Both spellings of the rotary embedding, alike, contradictory or of unsupported kinds."""
    r = case.rng
    case.set("rope_theta", ABSENT)
    theta, other = r.choice([500.0, 10000.0]), 2000.0

    def scaling():
        kind = r.choice(["default", "linear", "llama3", "llama3", "yarn", "dynamic", "none"])
        if kind == "none":
            return {}
        rope = {r.choice(["rope_type", "rope_type", "type"]): kind}
        if kind != "default":
            rope["factor"] = r.choice([2.0, 4, 8.0])
        if kind in ("llama3", "yarn"):
            if kind == "llama3":
                rope |= {"low_freq_factor": 1.0, "high_freq_factor": r.choice([2.0, 4.0])}
            where = r.choice(["in", "in", "out", "both", "differ", "nowhere"])
            if where != "out" and where != "nowhere":
                rope["original_max_position_embeddings"] = 16
            if where in ("out", "both", "differ"):
                case.set("original_max_position_embeddings", 32 if where == "differ" else 16)
        extra = r.choice([None] * 6 + [("attention_factor", 1.5), ("beta_fast", 32), ("mscale", 0.7), ("factor", 1),
                                       ("partial_rotary_factor", 0.5), ("partial_rotary_factor", 1.0),
                                       ("type", "linear"), ("low_freq_factor", 2.0), ("finetuned", True)])  # fmt: skip
        if extra:
            rope.setdefault(*extra)
        return rope

    spelling = r.choice(["old", "old", "new", "new", "both", "both-alike", "theta", "nothing", "nested"])
    if spelling == "theta":
        case.set("rope_theta", r.choice([theta, None, 0, -1.0, "10000"]))
    elif spelling == "nested":
        case.set("rope_parameters", {"full_attention": {"rope_type": "default", "rope_theta": theta}})
    elif spelling == "old":
        case.set("rope_scaling", r.choice([None, {}]) if r.random() < 0.2 else scaling())
        case.set("rope_theta", r.choice([theta, theta, ABSENT]))
    elif spelling != "nothing":
        new = {**scaling(), "rope_theta": theta}
        if r.random() < 0.15:
            del new["rope_theta"]
        case.set("rope_parameters", new)
        if r.random() < 0.5:
            case.set("rope_theta", r.choice([theta, theta, other, None]))
        if spelling == "both":
            case.set("rope_scaling", r.choice([{}, None, scaling()]))
        if spelling == "both-alike":
            case.set("rope_scaling", {**new})


def windows(case):
    r, n = case.rng, case.config["num_hidden_layers"]
    case.set("sliding_window", r.choice([ABSENT, None, 8, 8, 16, 0, -1, CONTEXT]))
    case.set("use_sliding_window", r.choice([ABSENT, True, True, False]))
    case.set("max_window_layers", r.choice([ABSENT, 0, 1, 2, n, 28]))
    kinds = ["full_attention", "sliding_attention"]
    case.set("layer_types", r.choice([ABSENT, ABSENT, None, [kinds[0]] * n, [kinds[1]] * n,
                                      [r.choice(kinds) for _ in range(n)], [kinds[0]] * (n + 1),
                                      ["chunked_attention"] * n]))  # fmt: skip


def no_rope(case):
    r, n = case.rng, case.config["num_hidden_layers"]
    case.set("no_rope_layers", r.choice([ABSENT, None, [1] * n, [r.randint(0, 1) for _ in range(n)], [0] * n, [1]]))
    case.set("no_rope_layer_interval", r.choice([ABSENT, 1, 2, 3, 4]))


def head(case):
    r = case.rng
    case.set("tie_word_embeddings", r.choice([ABSENT, True, True, False, None]))
    kind = r.choice(["own", "own", "none", "equal", "bias", "only"])
    case.changed.add("lm_head")
    if kind == "none":
        del case.tensors["lm_head.weight"]
    if kind == "equal":
        case.tensors["lm_head.weight"] = case.tensors["model.embed_tokens.weight"].clone()
    if kind == "bias":
        case.add("lm_head.bias", (VOCABULARY,))
    if kind == "only":
        case.changed.add("embed_tokens")
        del case.tensors["model.embed_tokens.weight"]


def sizes(case):
    r = case.rng
    key, values = r.choice([
        ("num_key_value_heads", [ABSENT, None, 2, 4, 3]), ("head_dim", [ABSENT, None, 8, 16, 8.0]),
        ("rms_norm_eps", [ABSENT, 1e-6, 1e-3, 0]), ("hidden_act", [ABSENT, "silu", "swish", "gelu", "relu"]),
        ("num_hidden_layers", [1, 2, 3, 4]), ("vocab_size", [VOCABULARY, 256, 301]),
        ("max_position_embeddings", [16, 32, 4096]), ("num_attention_heads", [2, 4, 8]),
        ("intermediate_size", [48, 64]), ("hidden_size", [32, 64]), ("mlp_bias", [ABSENT, False, None, True]),
    ])  # fmt: skip
    case.set(key, r.choice(values))


def attention_bias(case):
    r = case.rng
    case.set("attention_bias", r.choice([ABSENT, False, True, None]))
    which = r.choice(["", "", "qkv", "qkvo", "o", "q"])
    if r.random() < 0.5 and case.config.get("attention_bias") and case.family != "qwen2":
        which = "qkvo"
    for at in case.layers():
        case.biases(at, which)
    case.changed.add("proj.bias")


# Keys of other families and of the library: (key, values).
FOREIGN = [
    ("logit_scale", [1.0, 0.0625, None]), ("final_logit_softcapping", [None, 30.0]),
    ("attn_logit_softcapping", [None, 50.0]), ("residual_multiplier", [1, 0.22]), ("embedding_multiplier", [1.0, 12.0]),
    ("attention_multiplier", [0.35355339059327373, 0.015625]), ("logits_scaling", [1.0, 8.0]),
    ("clip_qkv", [None, 8.0]), ("query_pre_attn_scalar", [8, 256]), ("partial_rotary_factor", [1.0, 0.5, None]),
    ("use_qk_norm", [False, True]), ("pretraining_tp", [1, 2]), ("rope_local_base_freq", [None, 10000.0]),
    ("is_causal", [True, False]), ("attention_chunk_size", [None, 8]), ("per_layer_config", [None, {}]),
    ("num_experts", [0, 8]), ("num_local_experts", [None, 4]), ("use_parallel_residual", [False, True]),
    ("alibi", [False, True]), ("qkv_bias", [False, True]), ("lm_head_bias", [False, True]), ("scale_emb", [1, 12]),
    ("hidden_activation", ["silu", "gelu_pytorch_tanh", None]), ("rotary_pct", [1.0, 0.25]), ("rotary_dim", [8, 4]),
    ("rope_interleaved", [False, True]), ("is_decoder", [False, True]), ("is_encoder_decoder", [False]),
    ("n_layer", [2, 3]), ("layer_norm_eps", [1e-5, 1e-6]), ("n_embd", [32, 64]), ("kv_channels", [8, 128]),
    ("quantization_config", [None, {"quant_method": "gptq", "bits": 4}]), ("dtype", ["float32", "bfloat16"]),
    ("auto_map", [{"AutoConfig": "configuration_x.XConfig"}]), ("transformers_version", ["4.31.0", "5.0.0"]),
    ("rescale_embeddings", [False, True]), ("num_nextn_predict_layers", [0, 1]), ("v_head_dim", [8, 16]),
    ("attention_dropout", [0.0, 0.1]), ("hidden_dropout", [0.1]), ("pruned_heads", [{}, {"0": [1]}]),
    ("pad_token_id", [0, -1]), ("task_specific_params", [None]), ("max_window_layers", [28]),
    ("sliding_window", [16]), ("no_rope_layers", [[0, 1, 1]]), ("use_cache", [False]), ("chunk_size_feed_forward", [0]),
    ("_name_or_path", ["x/y"]), ("unsloth_version", ["2025.1"]), ("gated_attention", [True, False]),
    ("some_new_softcap", [None, 20.0]), ("gate_multiplier", [1, 2.0]), ("quirk", [True]),
    ("sliding_window_pattern", [None, 6]), ("mamba_d_state", [16]), ("text_config", [None, {}]),
]  # fmt: skip


def foreign(case):
    key, values = case.rng.choice(FOREIGN)
    case.set(key, case.rng.choice(values))


def other_tensors(case):
    r, at = case.rng, case.layers()[0]
    n = case.shape["num_hidden_layers"]
    kind = r.choice(["inv_freq", "inv_freq", "lora", "beyond", "q_norm", "post_norm", "score", "gate_bias", "sinks"])
    name, shape = {
        "inv_freq": (at + "self_attn.rotary_emb.inv_freq", (4,)),
        "lora": (at + "self_attn.q_proj.lora_A.weight", (4, 32)),
        "beyond": (f"model.layers.{n}.input_layernorm.weight", (32,)),
        "q_norm": (at + "self_attn.q_norm.weight", (8,)),
        "post_norm": (at + "post_feedforward_layernorm.weight", (32,)),
        "score": ("score.weight", (2, 32)),
        "gate_bias": (at + "mlp.gate_proj.bias", (48,)),
        "sinks": (at + "self_attn.sinks", (4,)),
    }[kind]
    if name not in case.tensors:
        case.add(name, shape)
        case.changed.add(name)


def literals(case):
    case.literals = True
    key = case.rng.choice(["initializer_range", "attention_dropout", "max_length", "quirk"])
    case.set(key, case.rng.choice([float("inf"), float("-inf"), float("nan"), {"__float__": "Infinity"}]))


def shards(case):
    case.shards = 2
    if case.rng.random() < 0.3:
        case.unnamed = case.rng.choice(sorted(case.tensors))
        case.changed.add(case.unnamed)


def nothing(case):
    pass


CHANGES = [rope, rope, rope, windows, windows, head, head, sizes, attention_bias, foreign, foreign, foreign,
           other_tensors, literals, shards, nothing]  # fmt: skip


def make_case(seed):
    rng = random.Random(seed)
    case = Case(rng.choice(list(CLASSES)), seed, rng)
    case.weights()
    changes = CHANGES + ([no_rope] * 2 if case.family == "smollm3" else [])
    for change in dict.fromkeys(rng.choice(changes) for _ in range(rng.choice([1, 1, 2, 3]))):
        change(case)
    return case


BASES = {}  # name -> config.json and tensors


class FamilyCase(Case):
    """A model of family_models.py."""

    def __init__(self, name, seed, rng):
        import family_models

        self.family, self.seed, self.rng = name, seed, rng
        if name not in BASES:
            class_name, config = next(c for n, c in family_models.CASES.items() if n.removeprefix("*") == name)[:2]
            model = family_models.make_model(class_name, config, 77)
            with tempfile.TemporaryDirectory() as folder:
                model.float().save_pretrained(folder)
                json_of = json.loads((pathlib.Path(folder) / "config.json").read_text())
                from safetensors.torch import load_file

                BASES[name] = json_of, load_file(pathlib.Path(folder) / "model.safetensors")
        config, tensors = BASES[name]
        self.config, self.shape = copy.deepcopy(config), config
        self.tensors = dict(tensors)
        self.head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        self.changed, self.shards, self.literals, self.unnamed = set(), 1, False, None


def other_value(rng, value):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice([value * 2, max(1, value // 2), value + 1, 0])
    if isinstance(value, float):
        return rng.choice([value * 2, value / 2, 0.0, 1.0])
    if isinstance(value, str):
        return rng.choice(["silu", "gelu", "gelu_pytorch_tanh", "relu2", "xielu", "rms", "quirk", ""])
    if isinstance(value, list):
        kinds = ["full_attention", "sliding_attention"]
        return rng.choice([[rng.choice(kinds) for _ in value], [kinds[0]] * len(value), [kinds[1]] * len(value),
                           value[:-1], []])  # fmt: skip
    if isinstance(value, dict) and value:
        changed, key = copy.deepcopy(value), rng.choice(sorted(value))
        how = rng.choice(["drop", "null", "other", "other", "more"])
        if how == "drop":
            del changed[key]
        elif how == "null":
            changed[key] = None
        elif how == "more":
            changed |= rng.choice([{"factor": 2.0}, {"attention_factor": 1.5}, {"alpha": 3.0}, {"beta_fast": 16.0},
                                   {"partial_rotary_factor": 0.5}, {"original_max_position_embeddings": 16}])  # fmt: skip
        elif key == "rope_type":
            changed[key] = rng.choice(["default", "linear", "yarn", "llama3", "dynamic", "longrope", "proportional"])
        else:
            changed[key] = other_value(rng, value[key])
        return changed
    return rng.choice([1, True, "quirk"])


def own_key(case):
    keys = [k for k in sorted(case.config) if k not in ("architectures", "model_type", "dtype", "transformers_version")]
    key = case.rng.choice(keys)
    how = case.rng.choice(["absent", "null", "other", "other", "other"])
    case.set(key, ABSENT if how == "absent" else None if how == "null" else other_value(case.rng, case.config[key]))


def family_case(seed):
    import family_models

    rng = random.Random(seed)
    # Streams take LongRoPE's long factors, transformers the short ones for so short a text.
    names = [n.removeprefix("*") for n, c in family_models.CASES.items()
             if "vision" not in n and "longrope" not in str(c[1])]  # fmt: skip
    case = FamilyCase(rng.choice(names), seed, rng)
    for change in (rng.choice([own_key, own_key, own_key, foreign, other_tensors]) for _ in range(rng.choice([1, 1, 2]))):
        change(case)
    return case


def write_case(case, folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(case.config, indent=1))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json()))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    if case.shards == 1:
        save_file(case.tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(case.tensors)
    parts = {f"model-{i + 1:05}-of-00002.safetensors": names[i::2] for i in range(2)}
    for file, part in parts.items():
        save_file({n: case.tensors[n] for n in part}, folder / file, metadata={"format": "pt"})
    weight_map = {n: file for file, part in parts.items() for n in part if n != case.unnamed}
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def transformers_nll(folder):
    """Mean NLL, or why there is none; and the tensors that it left out."""
    from transformers import AutoModelForCausalLM

    ids = torch.tensor(list(TEXT.encode()))[None]
    try:
        model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                                           output_loading_info=True)  # fmt: skip
        if info["missing_keys"] or info["mismatched_keys"] or info.get("error_msgs"):
            return None, f"makes weights up: {sorted(info['missing_keys'])[:2]}", set()
        with torch.no_grad():
            logits = model.double().eval()(ids, use_cache=False).logits[0].double()
    except Exception as e:  # noqa: BLE001
        return None, f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"[:120], set()
    nll = -torch.log_softmax(logits, -1)[:-1].gather(1, ids[0, 1:, None])
    return float(nll.mean()), "", set(info["unexpected_keys"])


def tovamill_nll(program, folder, corpus, out):
    """Mean NLL, exit code, message."""
    shutil.rmtree(out, ignore_errors=True)
    run = subprocess.run(
        [program, "score", "--model", folder, "--corpus", corpus, "--out", out, "--policy", "full", "--positions",
         "absolute", "--dtype", "f32", "--bos", "never", "--threads", "1", "--device", "cpu"],
        capture_output=True, text=True,
    )  # fmt: skip
    if run.returncode != 0:
        return None, run.returncode, (run.stderr.strip().splitlines() or [""])[-1]
    rows = subprocess.run([program, "export", out, "--format", "jsonl"], capture_output=True, text=True, check=True)
    row = json.loads(rows.stdout.splitlines()[0])
    if row.get("status") != "scored":
        return None, 65, str(row)
    return row["nll_sum"] / row["n_scored"], 0, ""


def names_a_change(message, case):
    """Whether a message names what the case changed; the numbers of heads stand for their key."""
    spoken = {"num_key_value_heads": ["key-value heads", "shape"],
              "num_attention_heads": ["attention heads", "head size", "shape"],
              "hidden_size": ["hidden_size", "shape"], "head_dim": ["head size", "head_dim", "shape"],
              "vocab_size": ["shape"], "intermediate_size": ["shape"], "num_hidden_layers": ["layers"],
              "proj.bias": ["_proj.bias"], "tie_word_embeddings": ["lm_head.weight"],
              "attention_bias": ["_proj.bias"], "attention_k_eq_v": ["v_proj"], "mlp_bias": ["mlp."], "use_bias": [".bias"],
              "hidden_size_per_layer_input": ["per_layer"], "use_double_wide_mlp": ["shape"],
              "per_layer_config": ["shape", "heads"], "layer_types": ["shape", "heads", "rope_parameters"],
              "num_kv_shared_layers": ["proj", "shares", "shape"]}  # fmt: skip
    keys = [w for c in case.changed for w in [c, *spoken.get(c, [])]]
    inner = [k for c in case.changed if isinstance(case.config.get(c), dict) for k in case.config[c]]
    return any(k in message for k in keys + inner)


def without_nulls(case, folder):
    """What transformers computes without the changed keys that are null, empty or no finite number."""
    config = {k: v for k, v in case.config.items()
              if k not in case.changed or not (v is None or v == {} or v in (float("inf"), float("-inf")))}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    theirs, _, unexpected = transformers_nll(folder)
    return theirs, unexpected


def judge(case, theirs, why, unexpected, ours, code, message):
    """The outcome of a case and the reason."""
    harmless = {n for n in unexpected if n.endswith("rotary_emb.inv_freq")}
    if ours is None:
        if code not in (65, 78) or not names_a_change(message, case):
            return "WRONG", f"exit {code}: {message}"
        return "refused", message
    if unexpected - harmless:
        return "WRONG", f"left out in silence: {sorted(unexpected - harmless)}"
    if theirs is None:
        return "ours-only", why
    if abs(ours - theirs) <= TOLERANCE:
        return "equal", ""
    return "WRONG", f"{ours:.6f}, transformers {theirs:.6f}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--out", help="a folder that keeps the models")
    parser.add_argument("--families", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    work = pathlib.Path(options.out or tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    corpus = work / "corpus.txt"
    corpus.write_text(TEXT)
    counts, refused_alone = collections.Counter(), 0
    for number in range(options.first, options.first + options.n):
        case = (family_case if options.families else make_case)(options.seed * 100_000 + number)
        folder = work / f"case-{number:04}"
        shutil.rmtree(folder, ignore_errors=True)
        write_case(case, folder)
        theirs, why, unexpected = transformers_nll(folder)
        ours, code, message = tovamill_nll(options.program, folder, corpus, work / "run")
        if theirs is None and ours is not None:  # null where it wants a value: as if it was not there
            theirs, unexpected = without_nulls(case, folder)
        outcome, reason = judge(case, theirs, why, unexpected, ours, code, message)
        counts[outcome] += 1
        refused_alone += outcome == "refused" and theirs is not None and not unexpected
        line = f"{number:4} {case.family:12} {outcome:10} {reason}"
        if outcome != "equal":
            said = {k: case.config[k] for k in sorted(case.changed) if k in case.config}
            line += f"   [transformers: {why or theirs}] {said}"
        print(line, flush=True)
        if not options.out:
            shutil.rmtree(folder)
    sums = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))
    print(f"{sums}; {refused_alone} refused that transformers takes")
    sys.exit(1 if counts["WRONG"] else 0)


if __name__ == "__main__":
    main()
