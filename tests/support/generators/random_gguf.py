"""Random GGUF files of tiny models, computed by llama.cpp and by tovamill.

    python3 tests/support/generators/random_gguf.py build/tovamill --n 300 --seed 1 [--first N] [--out FOLDER]
    (needs llama-cpp-py-sync 0.11739, which holds a build of llama.cpp b11739, gguf and numpy; a minute)

Each case is a model of one of the architectures, with a byte-level or a SentencePiece-like tokenizer, whose file has its
keys absent, of another type, contradictory, as arrays, or those of other architectures, and tensors that are absent or
too many. A text is tokenized and scored by llama.cpp (float32) and by `tovamill score --policy full --dtype f32`. The
outcome of a case is

    equal       both count the same tokens and give the same mean NLL within 1e-3
    refused     tovamill ends with 65, and its message names a key or tensor that the case changed
    ours-only   llama.cpp does not load it: not compared
    WRONG       anything else

llama.cpp reads no `attention.sliding_window` of these architectures; where one cuts, a reference in numpy is the right
value. The last line is the counts; the exit code is 1 where a case is wrong.
"""

import argparse
import collections
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np
from gguf import GGUFValueType as T

TOLERANCE = 1e-3  # nats per token
ABSENT = object()
HIDDEN, INNER, HEADS, HEAD_DIM, CONTEXT = 32, 48, 4, 8, 256
TEXT = "The cat's mat  was 12345 EUR,\n\tand it'LL rain: café ÄRGER über 日本!!  <x> [a] No\u00a0way.\n\nEnd 7x8"
PRES = ["default", "gpt-2", "smollm", "minerva-7b", "llama-bpe", "llama3", "llama-v3", "pixtral", "falcon3", "smaug-bpe",
        "qwen2", "deepseek-r1-qwen", "megrez", "tekken", "deepseek-llm", "gpt-4o", "starcoder", "refact", "olmo", "phi-2",
        "falcon-h1", "exaone4", "kormo", "lfm2", "qwen35", "glm4", "nonsense", ""]  # fmt: skip


def byte_letters():
    """GPT-2's letters of the 256 bytes."""
    plain = [b for b in range(256) if 33 <= b <= 126 or (b >= 161 and b != 173)]
    others = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def learned_merges(text, n, letters):
    """The first n merges that occur in a text, over words and over runs of digits and signs alike."""
    pieces = [[letters[b] for b in text.encode()]]
    merges = []
    while len(merges) < n:
        pairs = collections.Counter(p for piece in pieces for p in zip(piece, piece[1:], strict=False))
        fresh = [p for p in pairs if p not in merges]
        if not fresh:
            break
        best = max(fresh, key=lambda p: (pairs[p], p))
        merges.append(best)
        for piece in pieces:
            i = 0
            while i + 1 < len(piece):
                if (piece[i], piece[i + 1]) == best:
                    piece[i : i + 2] = ["".join(best)]
                i += 1
    return merges


class Case:
    def __init__(self, arch, seed, rng):
        self.arch, self.seed, self.rng = arch, seed, rng
        self.n_layers = rng.choice([2, 4, 5]) if arch == "smollm3" else rng.choice([1, 2])
        self.n_kv_heads = rng.choice([2, 4])
        self.keys, self.changed, self.tensors = {}, set(), {}
        self.put("general.architecture", T.STRING, arch)
        self.put("general.name", T.STRING, "tiny")
        own = {"block_count": self.n_layers, "context_length": CONTEXT, "embedding_length": HIDDEN,
               "feed_forward_length": INNER, "attention.head_count": HEADS,
               "attention.head_count_kv": self.n_kv_heads, "rope.dimension_count": HEAD_DIM}  # fmt: skip
        for key, value in own.items():
            self.put(f"{arch}.{key}", T.UINT32, value)
        self.put(f"{arch}.attention.layer_norm_rms_epsilon", T.FLOAT32, 1e-5)
        self.put(f"{arch}.rope.freq_base", T.FLOAT32, 1000.0)
        self.byte_level = rng.random() < 0.6
        if self.byte_level:
            self.byte_level_tokenizer()
        else:
            self.sentencepiece_tokenizer()
        self.weights()

    def put(self, key, kind, value, sub=None):
        self.keys[key] = (kind, value, sub)

    def set(self, key, kind, value=None, sub=None):
        """A change: of the architecture's own key where it begins with a dot."""
        key = self.arch + key if key.startswith(".") else key
        self.changed.add(key)
        if kind is ABSENT:
            self.keys.pop(key, None)
        else:
            self.put(key, kind, value, sub)

    def set_token(self, key, kind, value=None, sub=None):
        self.set("tokenizer.ggml." + key, kind, value, sub)

    def value(self, key):
        key = self.arch + key if key.startswith(".") else key
        return self.keys[key][1] if key in self.keys else None

    def byte_level_tokenizer(self):
        letters = byte_letters()
        merges = learned_merges(TEXT, 60, letters)
        made = list(dict.fromkeys(a + b for a, b in merges))
        words = ["ĠEUR", "mat", "rain", "ÃĦRGER", "ĠâĢĭ"]  # tokens that no merge makes
        specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
        tokens = [letters[b] for b in range(256)] + made + [w for w in words if w not in made] + specials
        types = [1] * (len(tokens) - 3) + [3] * 3
        self.specials = list(range(len(tokens) - 3, len(tokens)))
        self.put("tokenizer.ggml.model", T.STRING, "gpt2")
        self.put("tokenizer.ggml.pre", T.STRING, self.rng.choice(PRES[:12]))
        self.put("tokenizer.ggml.tokens", T.ARRAY, tokens, T.STRING)
        self.put("tokenizer.ggml.token_type", T.ARRAY, types, T.INT32)
        self.put("tokenizer.ggml.merges", T.ARRAY, [f"{a} {b}" for a, b in merges], T.STRING)
        self.put("tokenizer.ggml.bos_token_id", T.UINT32, self.specials[1])
        self.put("tokenizer.ggml.eos_token_id", T.UINT32, self.specials[2])

    def sentencepiece_tokenizer(self):
        text = " " + TEXT.replace(" ", "▁").replace("\n", "")
        pieces = ["▁"] + sorted({c for c in text if c not in " 日\u00a0"} - {"▁"})
        more = [text[i : i + n] for n in (2, 3, 4) for i in range(1, len(text) - n, 2)]
        more = [p for p in dict.fromkeys(more) if not set(p) & set(" 日\u00a0\t")]
        tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + pieces + more
        types = [2, 3, 3] + [6] * 256 + [1] * (len(pieces) + len(more))
        scores = [0.0] * 259 + [-1000.0 - i for i in range(len(pieces))]
        scores += [-float(self.rng.randrange(1, 500)) for _ in more]
        self.specials = [0, 1, 2]
        self.put("tokenizer.ggml.model", T.STRING, "llama")
        self.put("tokenizer.ggml.tokens", T.ARRAY, tokens, T.STRING)
        self.put("tokenizer.ggml.token_type", T.ARRAY, types, T.INT32)
        self.put("tokenizer.ggml.scores", T.ARRAY, scores, T.FLOAT32)
        self.put("tokenizer.ggml.bos_token_id", T.UINT32, 1)
        self.put("tokenizer.ggml.eos_token_id", T.UINT32, 2)

    def add(self, name, shape, scale=1.0, mean=0.0):
        values = np.random.default_rng([self.seed, *name.encode()]).normal(mean, scale, shape)
        self.tensors[name] = values.astype(np.float32)

    def weights(self, head_dim=HEAD_DIM):
        self.head_dim = head_dim
        n_vocab, q, kv = len(self.value("tokenizer.ggml.tokens")), HEADS * head_dim, self.n_kv_heads * head_dim
        self.add("token_embd.weight", (n_vocab, HIDDEN))
        self.add("output.weight", (n_vocab, HIDDEN), 1.5 / np.sqrt(HIDDEN))
        self.add("output_norm.weight", (HIDDEN,), 0.2, 1.0)
        for i in range(self.n_layers):
            at = f"blk.{i}."
            self.add(at + "attn_norm.weight", (HIDDEN,), 0.2, 1.0)
            self.add(at + "ffn_norm.weight", (HIDDEN,), 0.2, 1.0)
            self.add(at + "attn_q.weight", (q, HIDDEN), 2.5 / np.sqrt(HIDDEN))
            self.add(at + "attn_k.weight", (kv, HIDDEN), 2.5 / np.sqrt(HIDDEN))
            self.add(at + "attn_v.weight", (kv, HIDDEN), 1.5 / np.sqrt(HIDDEN))
            self.add(at + "attn_output.weight", (HIDDEN, q), 1.5 / np.sqrt(q))
            self.add(at + "ffn_gate.weight", (INNER, HIDDEN), 1.0 / np.sqrt(HIDDEN))
            self.add(at + "ffn_up.weight", (INNER, HIDDEN), 1.0 / np.sqrt(HIDDEN))
            self.add(at + "ffn_down.weight", (HIDDEN, INNER), 1.0 / np.sqrt(INNER))
            if self.arch == "qwen2":
                self.biases(at, "qkv")
            if self.arch == "qwen3":
                self.add(at + "attn_q_norm.weight", (head_dim,), 0.3, 1.5)
                self.add(at + "attn_k_norm.weight", (head_dim,), 0.3, 1.5)

    def biases(self, at, which):
        for p in which:
            name = at + "attn_" + {"o": "output"}.get(p, p)
            self.add(name + ".bias", (self.tensors[name + ".weight"].shape[0],), 0.5)


# What may be changed of a file: each a function of a case.


def number(case, key, values, kinds=(T.FLOAT32,)):
    value = case.rng.choice(values)
    if value is ABSENT:
        case.set(key, ABSENT)
    else:
        case.set(key, case.rng.choice(kinds), value)


def rope(case):
    r = case.rng
    for change in r.sample(["base", "type", "factor", "older", "attn", "yarn", "dims", "freqs"], r.choice([1, 2, 2, 3])):
        if change == "base":
            number(case, ".rope.freq_base", [ABSENT, 500.0, 10000.0, 1000000.0, 0.0, -1.0, 1.0])
        if change == "type":
            value = r.choice(["none", "linear", "linear", "yarn", "longrope", "", "Linear"])
            case.set(".rope.scaling.type", T.STRING, value)
        if change == "factor":
            number(case, ".rope.scaling.factor", [2.0, 4.0, 1.0, 0.0, 0.5, -1.0, 1e9])
        if change == "older":
            number(case, ".rope.scale_linear", [2.0, 4.0, 1.0, 0.0])
        if change == "attn":
            number(case, ".rope.scaling.attn_factor", [1.0, 1.5, 0.7, 0.0, -1.0])
        if change == "yarn":
            key, values = r.choice([("original_context_length", [64, 16]), ("yarn_beta_fast", [32.0, 1.0]),
                                    ("yarn_beta_slow", [1.0, 4.0]), ("yarn_ext_factor", [0.0, 1.0, -1.0]),
                                    ("yarn_attn_factor", [1.0, 1.5]), ("yarn_log_multiplier", [0.0, 0.1]),
                                    ("finetuned", [True, False]), ("alpha", [0.0, 2.0])])  # fmt: skip
            kind = {int: T.UINT32, float: T.FLOAT32, bool: T.BOOL}[type(values[0])]
            number(case, ".rope.scaling." + key, values, (kind,))
        if change == "dims":
            number(case, ".rope.dimension_count", [ABSENT, 8, 4, 16, 0], (T.UINT32,))
        if change == "freqs":
            kind = r.choice(["ones", "random", "short", "zero"])
            n = 3 if kind == "short" else case.head_dim // 2
            case.add("rope_freqs.weight", (n,), 0.5, 3.0)
            if kind == "ones":
                case.tensors["rope_freqs.weight"][:] = 1
            if kind == "zero":
                case.tensors["rope_freqs.weight"][1] = 0
            case.changed.add("rope_freqs.weight")


def wrong_type(case):
    """A value of a key as another type, as an array, or as a text."""
    own = [k for k, (kind, _, _) in case.keys.items() if k.startswith(case.arch + ".")]
    own += ["tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", case.arch + ".rope.scaling.factor"]
    key = case.rng.choice(own)
    value = case.keys.get(key, (T.FLOAT32, 2.0, None))[1]
    value = value[0] if isinstance(value, list) else value
    number = 1 if isinstance(value, str) else value
    element = T.FLOAT32 if isinstance(number, float) else T.UINT32
    case.set(key, *case.rng.choice([
        (T.STRING, str(value)), (T.ARRAY, [number] * case.n_layers, element), (T.ARRAY, [number], element),
        (T.ARRAY, [""], T.STRING), (T.FLOAT32, float(number)), (T.FLOAT64, float(number)), (T.INT32, int(number) & 0x7FFFFFFF),
        (T.UINT64, max(0, int(number))), (T.BOOL, bool(number)),
    ]))  # fmt: skip


def sizes(case):
    r = case.rng
    key, values = r.choice([
        (".block_count", [1, 2, 3, 0]), (".embedding_length", [32, 64]), (".feed_forward_length", [48, 64]),
        (".attention.head_count", [2, 4, 8, 0]), (".attention.head_count_kv", [ABSENT, 1, 2, 4, 3, 0]),
        (".context_length", [ABSENT, 16, 4096, 0]), (".vocab_size", [300, 32000]), (".embedding_length_out", [32, 16]),
        (".attention.key_length", [8, 16]), (".attention.value_length", [8, 16]),
    ])  # fmt: skip
    number(case, key, values, (T.UINT32,))


def arrays(case):
    r = case.rng
    key, value, others = r.choice([(".attention.head_count", HEADS, [8, 2]), (".feed_forward_length", INNER, [64]),
                                   (".attention.head_count_kv", case.n_kv_heads, [1, 4, 2, 0])])  # fmt: skip
    values = [value] * r.choice([case.n_layers, case.n_layers, case.n_layers + 1, max(1, case.n_layers - 1)])
    if r.random() < 0.3:
        values[-1] = r.choice(others)
    case.set(key, T.ARRAY, values, r.choice([T.UINT32, T.INT32]))


def head_size(case):
    """Heads of 16 where the embedding has 8 for each."""
    case.weights(16)
    for key in case.rng.choice([("key", "value"), ("key", "value"), ("key",), ("value",), ()]):
        case.set(f".attention.{key}_length", T.UINT32, 16)
    case.set(".rope.dimension_count", *case.rng.choice([(T.UINT32, 16), (ABSENT,), (T.UINT32, 8)]))
    case.changed |= {"head", "shape"}


def windows(case):
    number(case, ".attention.sliding_window", [0, 8, 16, 4096], (T.UINT32,))
    if case.rng.random() < 0.3:
        number(case, ".attention.sliding_window_pattern", [1, 2, 6], (T.UINT32,))


# Keys of other architectures under the own name: (key, type, values).
FOREIGN = [
    ("attention.causal", T.BOOL, [True, False]), ("attention.clamp_kqv", T.FLOAT32, [0.0, 8.0]),
    ("attention.max_alibi_bias", T.FLOAT32, [0.0, 8.0]), ("attention.scale", T.FLOAT32, [0.0, 0.5]),
    ("attention.layer_norm_epsilon", T.FLOAT32, [1e-5, 1e-3]), ("attention.output_scale", T.FLOAT32, [1.0, 2.0]),
    ("attention.temperature_scale", T.FLOAT32, [0.0, 0.1]), ("attention.key_length_mla", T.UINT32, [8, 4]),
    ("attention.shared_kv_layers", T.UINT32, [0, 1]), ("attention.q_lora_rank", T.UINT32, [8]),
    ("attention.recurrent_layers", T.UINT32, [1]), ("attention.key_length_swa", T.UINT32, [8, 16]),
    ("attn_logit_softcapping", T.FLOAT32, [0.0, 50.0]), ("final_logit_softcapping", T.FLOAT32, [0.0, 30.0]),
    ("logit_scale", T.FLOAT32, [0.0, 0.5]), ("embedding_scale", T.FLOAT32, [0.0, 12.0]),
    ("residual_scale", T.FLOAT32, [0.0, 0.2]), ("expert_count", T.UINT32, [0, 8]),
    ("expert_used_count", T.UINT32, [0, 2]), ("expert_weights_scale", T.FLOAT32, [0.0, 2.5]),
    ("leading_dense_block_count", T.UINT32, [0, 1]), ("nextn_predict_layers", T.UINT32, [0, 1]),
    ("use_parallel_residual", T.BOOL, [True, False]), ("tensor_data_layout", T.STRING, ["reference", "Meta AI original pth"]),
    ("hidden_activation", T.STRING, ["silu", "gelu"]), ("pooling_type", T.UINT32, [0, 1, 4]),
    ("rope.dimension_sections", T.INT32, [8]), ("rope.freq_base_swa", T.FLOAT32, [1000.0, 10000.0]),
    ("rope.dimension_count_swa", T.UINT32, [8, 4]), ("rope.scaling.beta", T.FLOAT32, [1.0]),
    ("decoder_block_count", T.UINT32, [2]), ("interleave_moe_layer_step", T.UINT32, [1]), ("swin_norm", T.BOOL, [True]),
    ("full_attention_interval", T.UINT32, [2]), ("num_loops", T.UINT32, [1, 2]), ("quirk", T.FLOAT32, [1.0]),
]  # fmt: skip


def foreign(case):
    key, kind, values = case.rng.choice(FOREIGN)
    arch = case.rng.choice(["", "", "", "gemma2", "llama", "qwen2", "mistral", "Llama"])
    if arch in ("", case.arch):
        case.set("." + key, kind, case.rng.choice(values))
    else:
        case.set(f"{arch}.{key}", kind, case.rng.choice(values))


def general(case):
    key, kind, values = case.rng.choice([
        ("general.type", T.STRING, ["model", "adapter", "mmproj"]), ("general.file_type", T.UINT32, [0, 7]),
        ("general.architecture", T.STRING, ["LLAMA", "mistral", "gemma", "qwen2moe"]),
        ("general.quantization_version", T.UINT32, [1, 2, 3]), ("general.alignment", T.UINT32, [32]),
        ("general.name", T.STRING, ["Phi-3 mini", "mistral 7b", ""]), ("general.sampling.temp", T.FLOAT32, [0.5]),
        ("split.count", T.UINT16, [0, 1, 2]), ("quantize.imatrix.file", T.STRING, ["x.dat"]),
        ("general.tensor_extra.name", T.STRING, ["output.weight"]), ("adapter.type", T.STRING, ["lora"]),
    ])  # fmt: skip
    case.set(key, kind, case.rng.choice(values))


def other_tensors(case):
    r, at, n = case.rng, f"blk.{case.rng.randrange(case.n_layers)}.", case.n_layers
    kind = r.choice(["head", "head", "head-bias", "fused", "beyond", "q_norm", "biases", "biases", "some", "mlp_bias",
                     "scale", "sinks", "post_norm", "gate_inp", "cls", "freqs", "long", "rope_of_layer", "odd"])  # fmt: skip
    if kind == "head":
        del case.tensors["output.weight"]
        case.changed.add("output.weight")
    elif kind == "fused":
        parts = [case.tensors.pop(f"{at}attn_{p}.weight") for p in "qkv"]
        case.tensors[at + "attn_qkv.weight"] = np.concatenate(parts)
        case.changed |= {at + "attn_qkv.weight", at + "attn_q.weight"}
    elif kind in ("biases", "some"):
        which = r.choice(["qkv", "qkvo", "o", "q"])
        for i in range(n) if kind == "biases" else [0]:
            case.biases(f"blk.{i}.", which)
        case.changed.add(".bias")
    else:
        name, shape = {
            "head-bias": ("output.bias", case.tensors["output.weight"].shape[:1]),
            "beyond": (f"blk.{n}.attn_norm.weight", (HIDDEN,)), "q_norm": (at + "attn_q_norm.weight", (HEAD_DIM,)),
            "mlp_bias": (at + r.choice(["ffn_gate.bias", "ffn_up.bias"]), (INNER,)), "scale": (at + "attn_q.scale", (1,)),
            "sinks": (at + "attn_sinks.weight", (HEADS,)), "post_norm": (at + "post_attention_norm.weight", (HIDDEN,)),
            "gate_inp": (at + "ffn_gate_inp.weight", (4, HIDDEN)), "cls": ("cls.output.weight", (2, HIDDEN)),
            "freqs": (at + "attn_rot_embd.weight", (4,)), "long": ("rope_factors_long.weight", (4,)),
            "rope_of_layer": (at + "rope_freqs.weight", (4,)), "odd": ("blk.00.attn_norm.weight", (HIDDEN,)),
        }[kind]  # fmt: skip
        if name not in case.tensors:
            case.add(name, shape, 0.5, 1.0)
            case.changed.add(name)


def missing(case):
    r = case.rng
    if r.random() < 0.5:
        case.set(r.choice([k for k in case.keys if k.startswith(case.arch + ".")]), ABSENT)
    else:
        name = r.choice(sorted(case.tensors))
        del case.tensors[name]
        case.changed.add(name)


def tokenizer(case):
    r = case.rng
    for change in r.sample([token_ids, token_flags, token_lists, token_kind, extras], r.choice([1, 1, 2])):
        change(case)


def token_ids(case):
    r, n = case.rng, len(case.value("tokenizer.ggml.tokens"))
    key = r.choice(["bos", "bos", "eos", "eos", "unknown", "padding", "eot", "eom", "seperator", "cls", "mask", "fim_pre"])
    values = [ABSENT, ABSENT, n - 1, 3, 0, n, 0xFFFFFFFF]
    number(case, f"tokenizer.ggml.{key}_token_id", values, (T.UINT32,) if r.random() < 0.9 else (T.UINT64, T.FLOAT64))


def token_flags(case):
    r = case.rng
    for key in r.sample(["add_bos_token", "add_bos_token", "add_eos_token", "add_space_prefix", "remove_extra_whitespaces",
                         "add_sep_token", "normalizer.lowercase", "normalizer.strip_accents", "escape_whitespaces"],
                        2):  # fmt: skip
        kind, value = r.choice([(T.BOOL, True), (T.BOOL, True), (T.BOOL, False), (T.BOOL, False), (T.UINT32, 1),
                                (T.STRING, "true")])  # fmt: skip
        case.set_token(key, kind, value)


def token_lists(case):
    r = case.rng
    tokens, types = list(case.value("tokenizer.ggml.tokens")), list(case.value("tokenizer.ggml.token_type"))
    change = r.choice(["no-types", "short-types", "user", "unused", "odd-type", "no-scores", "int-scores", "short-scores",
                       "no-merges", "bad-merge", "long-merge", "empty-token", "twice", "float-types",
                       "reversed-merges", "bytes-as-normal", "no-bytes"])  # fmt: skip
    normal = [i for i, t in enumerate(types) if t == 1 and len(tokens[i]) > 1]
    if change == "no-types":
        case.set_token("token_type", ABSENT)
    elif change in ("short-types", "float-types"):
        case.set_token("token_type", T.ARRAY, types[:-1] if change == "short-types" else [float(t) for t in types],
                       T.INT32 if change == "short-types" else T.FLOAT32)  # fmt: skip
    elif change in ("user", "unused", "odd-type"):  # control: no text makes such a token here
        for i in r.sample(normal, 3):
            types[i] = {"user": 4, "unused": 5, "odd-type": r.choice([0, 9, -1, 6])}[change]
        case.set_token("token_type", T.ARRAY, types, T.INT32)
    elif change == "bytes-as-normal":
        case.set_token("token_type", T.ARRAY, [1 if t == 6 else t for t in types], T.INT32)
    elif change == "no-bytes":
        case.set_token("tokens", T.ARRAY, [t.replace("<0x", "<0y") for t in tokens], T.STRING)
    elif change in ("empty-token", "twice"):
        tokens[r.choice(normal)] = "" if change == "empty-token" else tokens[normal[0]]
        case.set_token("tokens", T.ARRAY, tokens, T.STRING)
    elif change.endswith("scores"):
        scores = [float(-i) for i in range(len(tokens))]
        if change == "no-scores":
            case.set_token("scores", ABSENT)
        elif change == "int-scores":
            case.set_token("scores", T.ARRAY, [int(s) for s in scores], T.INT32)
        else:
            case.set_token("scores", T.ARRAY, scores[:-1], T.FLOAT32)
    else:
        merges = list(case.value("tokenizer.ggml.merges") or ["a b"])
        if change == "no-merges":
            case.set_token("merges", ABSENT)
            return
        if change == "reversed-merges":
            merges.reverse()
        else:
            merges.insert(1, {"bad-merge": r.choice(["ab", "", " ", "q z"]), "long-merge": "Ġ Ġ Ġ"}[change])
        case.set_token("merges", T.ARRAY, merges, T.STRING)


def token_kind(case):
    r = case.rng
    if case.byte_level and r.random() < 0.75:
        case.set_token("pre", *r.choice([(T.STRING, r.choice(PRES)), (T.STRING, r.choice(PRES)), (ABSENT,), (T.UINT32, 1)]))
    else:
        case.set_token("model", *r.choice([(T.STRING, "bert"), (T.STRING, "t5"), (ABSENT,),
                                           (T.STRING, "no_vocab"), (T.STRING, "llama"), (T.STRING, "gpt2"),
                                           (T.STRING, "gemma4"), (T.STRING, "whitespace")]))  # fmt: skip


def extras(case):
    key, kind, value, sub = case.rng.choice([
        ("precompiled_charsmap", T.ARRAY, [1, 0, 0, 0, 7, 7, 7, 7, 7], T.UINT8), ("token_type_count", T.UINT32, 2, None),
        ("suppress_tokens", T.ARRAY, [65, 66], T.INT32), ("added_tokens", T.ARRAY, ["mat"], T.STRING),
        ("quirk", T.BOOL, True, None), ("pre", T.STRING, "gpt-2", None), ("eot_token_ids", T.ARRAY, [1, 2], T.UINT32),
    ])  # fmt: skip
    case.set_token(key, kind, value, sub)


def nothing(case):
    pass


CHANGES = [rope, rope, rope, rope, wrong_type, wrong_type, sizes, sizes, arrays, head_size, windows, foreign, foreign,
           foreign, general, other_tensors, other_tensors, missing, tokenizer, tokenizer, tokenizer, tokenizer, nothing]  # fmt: skip


def make_case(seed):
    rng = random.Random(seed)
    case = Case(rng.choice(["llama", "llama", "qwen2", "qwen3", "smollm3"]), seed, rng)
    for change in dict.fromkeys(rng.choice(CHANGES) for _ in range(rng.choice([1, 1, 2, 3]))):
        change(case)
    return case


def write_case(case, path):
    writer = gguf.GGUFWriter(path, case.arch)
    writer.kv_data[0].clear()
    for key, (kind, value, sub) in case.keys.items():
        writer.add_key_value(key, value, kind, sub_type=sub)
    for name, values in case.tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def windowed_nll(case, ids):
    """The reference in numpy: a model with a sliding window in every layer, float64."""
    window, freqs = case.value(".attention.sliding_window"), case.tensors.get("rope_freqs.weight", 1.0)
    base, n, d = case.value(".rope.freq_base") or 10000.0, len(ids), case.head_dim
    kind = case.value(".rope.scaling.type") or "linear"
    older = case.value(".rope.scale_linear") or 0
    factor = (case.value(".rope.scaling.factor") or older or 1.0) if kind == "linear" else 1.0
    mscale = case.value(".rope.scaling.attn_factor") or 1.0
    angles = np.arange(n)[:, None] * (base ** -(np.arange(0, d, 2) / d) / factor / freqs)  # (n, d / 2)
    late = np.arange(n)[None] - np.arange(n)[:, None]  # how much later than the query a key stands
    hidden_ones = (late > 0) | (late <= -window)

    def rms(x, weight):
        eps = case.value(".attention.layer_norm_rms_epsilon")
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight

    def rotate(x):  # (n, heads, d)
        pairs = (x[..., ::2], x[..., 1::2]) if case.arch in ("llama", "smollm3") else (x[..., : d // 2], x[..., d // 2 :])
        cos, sin = np.cos(angles)[:, None] * mscale, np.sin(angles)[:, None] * mscale
        out = np.empty_like(x)
        first, second = pairs[0] * cos - pairs[1] * sin, pairs[1] * cos + pairs[0] * sin
        if case.arch in ("llama", "smollm3"):
            out[..., ::2], out[..., 1::2] = first, second
        else:
            out[..., : d // 2], out[..., d // 2 :] = first, second
        return out

    w = {name: values.astype(np.float64) for name, values in case.tensors.items()}
    x = w["token_embd.weight"][ids]
    for i in range(case.n_layers):
        at = f"blk.{i}."
        h = rms(x, w[at + "attn_norm.weight"])
        q, k, v = ((h @ w[f"{at}attn_{p}.weight"].T + w.get(f"{at}attn_{p}.bias", 0)).reshape(n, -1, d) for p in "qkv")
        if case.arch == "qwen3":
            q, k = rms(q, w[at + "attn_q_norm.weight"]), rms(k, w[at + "attn_k_norm.weight"])
        q, k = rotate(q), rotate(k)
        k, v = (np.repeat(t, HEADS // k.shape[1], 1) for t in (k, v))
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(d)
        scores[:, hidden_ones] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        attended = np.einsum("hij,jhd->ihd", weights, v).reshape(n, -1)
        x = x + attended @ w[at + "attn_output.weight"].T + w.get(at + "attn_output.bias", 0)
        h = rms(x, w[at + "ffn_norm.weight"])
        gate = h @ w[at + "ffn_gate.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w[at + "ffn_up.weight"].T)) @ w[at + "ffn_down.weight"].T
    head = w.get("output.weight", w["token_embd.weight"])
    return llama_cpp.nll_of(rms(x, w["output_norm.weight"]) @ head.T, ids)


def tovamill_nll(program, model, corpus, out):
    """Number of tokens and mean NLL, exit code, message."""
    shutil.rmtree(out, ignore_errors=True)
    run = subprocess.run(
        [program, "score", "--model", model, "--corpus", corpus, "--out", out, "--policy", "full", "--positions",
         "absolute", "--dtype", "f32", "--threads", "1", "--device", "cpu"],
        capture_output=True, text=True,
    )  # fmt: skip
    if run.returncode != 0:
        return None, run.returncode, (run.stderr.strip().splitlines() or [""])[-1]
    rows = subprocess.run([program, "export", out, "--format", "jsonl"], capture_output=True, text=True, check=True)
    row = json.loads(rows.stdout.splitlines()[0])
    if row.get("status") != "scored":
        return None, 65, row.get("failure_text") or str(row)
    return (row["n_tokens"], row["nll_sum"] / row["n_scored"]), 0, ""


def names_a_change(message, case):
    """Whether a message names what the case changed; sizes stand for their keys."""
    spoken = {".attention.head_count": ["attention heads", "head size", "shape"],
              ".attention.head_count_kv": ["key-value heads", "shape"], ".embedding_length": ["shape", "head size"],
              ".feed_forward_length": ["shape"], ".block_count": [" layer", "blk."],
              ".attention.key_length": ["head size", "lengths", "shape"], "head": ["head size", "heads"],
              ".attention.value_length": ["head size", "lengths", "shape"], ".vocab_size": ["shape"],
              "tokenizer.ggml.tokens": ["shape", "merge", "the token "], "tokenizer.ggml.merges": ["the merge"],
              "general.architecture": ["the architecture"], "split.count": ["split into"], "output.weight": ["output.weight"],
              "tokenizer.ggml.model": ["tokenizer.ggml.scores", "merges"]}  # fmt: skip
    keys = [w for c in case.changed 
            for w in [c, c.removeprefix("tokenizer.ggml."), *spoken.get(c.removeprefix(case.arch), [])]]
    return any(k in message for k in keys)


def judge(case, theirs, ours, code, message):
    """The outcome of a case and the reason."""
    if ours is None:
        if code != 65 or not names_a_change(message, case):
            return "WRONG", f"exit {code}: {message}"
        return "refused", message
    if "ids" not in theirs:
        return "ours-only", theirs["why"]
    right = theirs["nll"]
    if 0 < (case.value(".attention.sliding_window") or 0) < len(theirs["ids"]):
        right = windowed_nll(case, theirs["ids"])
    if ours[0] == len(theirs["ids"]) and abs(ours[1] - right) <= TOLERANCE:
        return "equal", ""
    return "WRONG", f"{ours[0]} tokens, {ours[1]:.6f}; right {len(theirs['ids'])}, {right:.6f}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--out", help="a folder that keeps the models")
    options = parser.parse_args()
    work = pathlib.Path(options.out or tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    corpus = work / "corpus.txt"
    corpus.write_text(TEXT)
    counts, refused_alone = collections.Counter(), 0
    for number_of_case in range(options.first, options.first + options.n):
        case = make_case(options.seed * 100_000 + number_of_case)
        path = work / f"case-{number_of_case:04}.gguf"
        write_case(case, path)
        theirs = llama_cpp.read(path, TEXT)
        ours, code, message = tovamill_nll(options.program, path, corpus, work / "run")
        outcome, reason = judge(case, theirs, ours, code, message)
        counts[outcome] += 1
        refused_alone += outcome == "refused" and "ids" in theirs
        line = f"{number_of_case:4} {case.arch:8} {outcome:10} {reason.replace(str(path), 'FILE')}"
        if outcome != "equal":
            said = {k: case.keys[k][1] for k in sorted(case.changed) if k in case.keys}
            short = {k: v if len(str(v)) < 40 else "..." for k, v in said.items()}
            line += f"   [llama.cpp: {theirs.get('why') or theirs.get('nll')}] {short} {sorted(case.changed - set(said))}"
        print(line, flush=True)
        if not options.out:
            path.unlink()
    sums = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))
    print(f"{sums}; {refused_alone} refused that llama.cpp takes")
    sys.exit(1 if counts["WRONG"] else 0)


if __name__ == "__main__":
    main()
