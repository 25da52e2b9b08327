"""Makes tests/support/goldens/model_files/gguf_cases.json: what llama.cpp b11739 computes for GGUF files whose keys and
tensors are absent, stand elsewhere, contradict each other, or are beside what the model needs.

    python3 tests/support/generators/make_gguf_goldens.py    (needs llama-cpp-py-sync 0.11739, gguf, numpy; seconds)

`models`: each case changes one of the golden GGUF models, whose weights become float32: `set` (key, type and value) and
`remove` keys, `tensors` that are added (like another, its rows moved on by `roll`, or of one `value`) or removed. Its result
is the mean NLL of the golden document's first N_TOKENS tokens, or for what is refused a part of the message; `llama_cpp` is
what llama.cpp makes of that. `report` is where the like was reported.
`tokenizers`: each case changes one of the `bases`; its result are the ids of TEXT with what stands around it, or a part of
the message.
"""

import json
import pathlib
import random
import tempfile

import gguf
import llama_cpp
import numpy as np
import random_gguf
from gguf import GGUFValueType as T

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "goldens"
N_TOKENS = 200
TEXT = random_gguf.TEXT
KINDS = {"u32": T.UINT32, "i32": T.INT32, "f32": T.FLOAT32, "bool": T.BOOL, "text": T.STRING}


def case(name, base, refused=None, report=None, set=None, remove=(), tensors=()):  # noqa: A002
    return {"name": name, "report": report, "base": base, "set": set or {}, "remove": list(remove),
            "tensors": list(tensors), "refused": refused}  # fmt: skip


def added(name, like, roll=0, value=None):
    return {"name": name, "like": like, "roll": roll, "value": value}


def gone(name):
    return {"name": name, "removed": True}


EMBEDDING, NORM, DIVISORS = "token_embd.weight", "output_norm.weight", "rope_freqs.weight"
FACTOR, TYPE = "rope.scaling.factor", "rope.scaling.type"

MODELS = [
    case("the base of the frequencies is 10,000", "qwen2", remove=["qwen2.rope.freq_base"]),
    case("another base", "qwen3", set={"qwen3.rope.freq_base": ["f32", 500.0]}),
    case("a factor without a type is linear", "qwen2", set={f"qwen2.{FACTOR}": ["f32", 4.0]}),
    case("a linear factor", "smollm3", set={f"smollm3.{FACTOR}": ["f32", 4.0], f"smollm3.{TYPE}": ["text", "linear"]}),
    case("the older key of a linear factor", "qwen3", set={"qwen3.rope.scale_linear": ["f32", 2.0]}),
    case("both keys, alike", "qwen3", set={"qwen3.rope.scale_linear": ["f32", 2.0], f"qwen3.{FACTOR}": ["f32", 2.0]}),
    case("a factor of 0", "qwen2", set={f"qwen2.{FACTOR}": ["f32", 0.0]}),
    case("a factor beside the type none", "qwen2", set={f"qwen2.{FACTOR}": ["f32", 4.0], f"qwen2.{TYPE}": ["text", "none"]}),
    case("a factor beside divisors", "llama3", set={f"llama.{FACTOR}": ["f32", 2.0]}),
    case("no divisors", "llama3", tensors=[gone(DIVISORS)]),
    case("attn_factor", "llama3", set={"llama.rope.scaling.attn_factor": ["f32", 1.5]},
         report="ggml-org/llama.cpp#17945"),
    case("attn_factor where a layer is not rotated", "smollm3", set={"smollm3.rope.scaling.attn_factor": ["f32", 1.5]}),
    case("attn_factor after the norms of q and k", "qwen3", set={"qwen3.rope.scaling.attn_factor": ["f32", 0.7]}),
    case("keys of yarn beside a linear factor", "qwen2", set={f"qwen2.{FACTOR}": ["f32", 2.0],
         "qwen2.rope.scaling.yarn_beta_fast": ["f32", 8.0], "qwen2.rope.scaling.original_context_length": ["u32", 64]}),
    case("one number of heads for all layers, in an array", "llama3", set={"llama.attention.head_count_kv": ["u32", "@layers@"],
         "llama.feed_forward_length": ["u32", "@layers@"], "llama.attention.head_count": ["u32", "@layers@"]}),
    case("the head is the embedding", "llama3", tensors=[gone("output.weight")]),
    case("a head of its own", "smollm3", tensors=[gone("output.weight"), added("output.weight", EMBEDDING, 1)]),
    case("biases of q alone", "llama3", tensors=[added("blk.0.attn_q.bias", "rows of blk.0.attn_q.weight", value=0.5)]),
    case("a bias of the output of attention", "llama3", tensors=[added("blk.1.attn_output.bias", NORM)]),
    case("keys of another architecture", "llama3", set={"gemma2.final_logit_softcapping": ["f32", 5.0],
         "qwen2.rope.freq_base": ["f32", 1.0], "mistral.attention.sliding_window": ["u32", 8]}),
    case("neutral values of other architectures", "qwen3", set={"qwen3.attention.causal": ["bool", True],
         "qwen3.expert_count": ["u32", 0], "qwen3.logit_scale": ["f32", 0.0], "qwen3.attention.scale": ["f32", 0.0],
         "qwen3.attn_logit_softcapping": ["f32", 0.0], "qwen3.pooling_type": ["u32", 1]}),
    case("yarn", "qwen2",
         set={f"qwen2.{TYPE}": ["text", "yarn"], f"qwen2.{FACTOR}": ["f32", 4.0]}),
    case("yarn without a factor", "qwen2", set={f"qwen2.{TYPE}": ["text", "yarn"]}),
    case("longrope", "llama3", "'longrope' is not supported", set={f"llama.{TYPE}": ["text", "longrope"]}),
    case("two factors", "qwen3", "rope.scale_linear and qwen3.rope.scaling.factor contradict each other",
         set={"qwen3.rope.scale_linear": ["f32", 2.0], f"qwen3.{FACTOR}": ["f32", 4.0]}),
    case("a negative factor", "qwen3", f"qwen3.{FACTOR} is -1.0, outside", set={f"qwen3.{FACTOR}": ["f32", -1.0]}),
    case("attn_factor 0", "llama3", "attn_factor is 0.0, outside", set={"llama.rope.scaling.attn_factor": ["f32", 0.0]}),
    case("half of a head is rotated", "qwen2", "qwen2.rope.dimension_count is 4", set={"qwen2.rope.dimension_count": ["u32", 4]}),
    case("divisors in a qwen3", "qwen3", "tensor 'rope_freqs.weight' is there", tensors=[added(DIVISORS, "half a head", value=2.0)]),
    case("divisors of a layer", "llama3", "tensor 'blk.0.rope_freqs.weight' has no place",
         tensors=[added("blk.0.rope_freqs.weight", DIVISORS)]),
    case("divisors of another name", "qwen2", "tensor 'mtp.rope_freqs.weight' has no place",
         tensors=[added("mtp.rope_freqs.weight", NORM)]),
    case("a bias of the head", "qwen2", "tensor 'output.bias' has no place", "ggml-org/llama.cpp#10759",
         tensors=[added("output.bias", "rows of token_embd.weight", value=0.5)]),
    case("a scale of a matrix", "llama3", "tensor 'blk.0.attn_q.scale' has no place",
         tensors=[added("blk.0.attn_q.scale", "one", value=2.0)]),
    case("biases of a feed-forward", "llama3", None,
         tensors=[added("blk.0.ffn_up.bias", "rows of blk.0.ffn_up.weight", value=0.5)]),
    case("norms of q in a llama", "llama3", "'blk.0.attn_q_norm.weight' is not supported",
         tensors=[added("blk.0.attn_q_norm.weight", NORM)]),
    case("a layer too many", "qwen2", "tensor 'blk.3.attn_norm.weight' has no place",
         tensors=[added("blk.3.attn_norm.weight", NORM)]),
    case("a classifier", "qwen3", "tensor 'cls.output.weight' has no place", tensors=[added("cls.output.weight", NORM)]),
    case("layers that look ahead", "qwen3", "qwen3.attention.causal is false", set={"qwen3.attention.causal": ["bool", False]}),
    case("heads that differ between layers", "llama3", "head_count differs between layers",
         set={"llama.attention.head_count": ["u32", "@differ@"]}),
    case("an array that is too long", "qwen2", "is an array of", set={"qwen2.attention.head_count_kv": ["u32", "@long@"]}),
    case("an array where a number is wanted", "qwen2", "qwen2.rope.freq_base is array", set={"qwen2.rope.freq_base": ["f32", [1e4]]}),
    case("a text where a number is wanted", "qwen2", "qwen2.block_count is '3', not an integer",
         set={"qwen2.block_count": ["text", "3"]}),
    case("another width of the output", "llama3", "embedding_length_out is 16", set={"llama.embedding_length_out": ["u32", 16]}),
    case("a window of a smollm3", "smollm3", "smollm3.attention.sliding_window is there",
         set={"smollm3.attention.sliding_window": ["u32", 16]}),
    case("windows in some layers", "qwen3", "sliding_window_pattern is 2", set={"qwen3.attention.sliding_window_pattern": ["u32", 2]}),
    case("an adapter", "llama3", "general.type is 'adapter'", set={"general.type": ["text", "adapter"]}),
] + [
    case(f"{key} of another architecture", "llama3", f"llama.{key} is ", set={f"llama.{key}": ["f32", value]})
    for key, value in {
        "attention.scale": 0.5, "logit_scale": 0.5, "final_logit_softcapping": 30.0, "attn_logit_softcapping": 50.0,
        "residual_scale": 0.2, "embedding_scale": 12.0, "attention.clamp_kqv": 8.0, "attention.max_alibi_bias": 8.0,
        "rope.scaling.yarn_log_multiplier": 0.1, "rope.scaling.alpha": 2.0, "attention.value_scale": 2.0, "quirk": 1.0,
    }.items()
]  # fmt: skip

BYTE, PIECES, G = "byte-level", "sentencepiece", "tokenizer.ggml."


def token_case(name, base, refused=None, set=None, remove=(), types=None):  # noqa: A002
    return {"name": name, "base": base, "set": {G + k: v for k, v in (set or {}).items()},
            "remove": [G + k for k in remove], "types": types or {}, "refused": refused}  # fmt: skip


TOKENIZERS = [
    token_case(f"the pre-tokenizer {pre}", BYTE, set={"pre": pre})
    for pre in ["default", "gpt-2", "smollm", "minerva-7b", "llama-bpe", "llama3", "llama-v3", "pixtral", "falcon3",
                "smaug-bpe", "qwen2", "deepseek-r1-qwen", "megrez", "tekken"]
] + [
    token_case("no pre-tokenizer", BYTE, remove=["pre"]),
    token_case("a BOS where the kind has none", BYTE, set={"pre": "gpt-2", "add_bos_token": True}),
    token_case("no BOS where the kind has one", BYTE, set={"pre": "llama-bpe", "add_bos_token": False}),
    token_case("an EOS", BYTE, set={"add_eos_token": True}),
    token_case("another BOS", BYTE, set={"pre": "llama-bpe", "bos_token_id": 65}),
    token_case("no types of tokens", BYTE, remove=["token_type"]),
    token_case("a token of the user's", BYTE, types={"rain": 4, "wa": 4}),
    token_case("flags of other kinds of tokenizers", BYTE, set={"add_sep_token": True, "add_space_prefix": True,
               "remove_extra_whitespaces": True, "normalizer.lowercase": True}),
    token_case("SentencePiece", PIECES),
    token_case("no space before a text", PIECES, set={"add_space_prefix": False}),
    token_case("no BOS", PIECES, set={"add_bos_token": False}),
    token_case("BOS and EOS", PIECES, set={"add_eos_token": True}),
    token_case("the BOS is token 1", PIECES, remove=["bos_token_id", "eos_token_id"], set={"add_eos_token": True}),
    token_case("no scores", PIECES, remove=["scores"]),
    token_case("a piece of the user's", PIECES, types={"rain": 4}),
    token_case("a pre-tokenizer beside pieces", PIECES, set={"pre": "llama-bpe"}),
    token_case("spaces that are kept", PIECES, set={"remove_extra_whitespaces": True}),
    token_case("a BOS that is not named", BYTE, "tokenizer.ggml.bos_token_id is missing", remove=["bos_token_id"],
               set={"add_bos_token": True}),
    token_case("a BOS of the kind that is not named", BYTE, "tokenizer.ggml.bos_token_id is missing", remove=["bos_token_id"],
               set={"pre": "llama-bpe"}),
    token_case("an EOS that is not named", BYTE, "tokenizer.ggml.eos_token_id is missing", remove=["eos_token_id"],
               set={"add_eos_token": True}),
    token_case("a BOS beyond the vocabulary", BYTE, "bos_token_id", set={"bos_token_id": 9999}),
    token_case("a flag that is a number", BYTE, "'tokenizer.ggml.add_bos_token' is neither", set={"add_bos_token": 1}),
    token_case("a flag that is a text", PIECES, "'tokenizer.ggml.add_space_prefix' is neither", set={"add_space_prefix": "true"}),
    token_case("an unknown pre-tokenizer", BYTE, "the pre-tokenizer 'kimi-k2'", set={"pre": "kimi-k2"}),
    token_case("no merges", BYTE, "merges", remove=["merges"]),
    token_case("another model", PIECES, "the tokenizer model 't5'", set={"model": "t5"}),
    token_case("types that are too few", BYTE, "token_type", set={"token_type": [1, 1]}),
]  # fmt: skip


def typed(value, layers, own):
    """A type of GGUF, the value, the type of an array's elements."""
    kind, value = KINDS[value[0]], value[1]
    if value == "@layers@":
        value = [own] * layers
    if value == "@differ@":
        value = [own] * (layers - 1) + [own // 2]
    if value == "@long@":
        value = [own] * (layers + 1)
    return (T.ARRAY, value, kind) if isinstance(value, list) else (kind, value, None)


def changed_keys(case, reader):
    """(key, (type, value, subtype)) of the case's file."""
    keys = {}
    for key, field in reader.fields.items():
        if not key.startswith("GGUF."):
            keys[key] = (field.types[0], field.contents(), field.types[1] if len(field.types) > 1 else None)
    arch = keys["general.architecture"][1]
    layers = keys[f"{arch}.block_count"][1]
    for key, value in case["set"].items():
        own = keys.get(key, (None, 1, None))[1]
        kind, value, sub = typed(value, layers, own)
        case["set"][key] = [case["set"][key][0], value]
        keys[key] = (kind, value, sub)
    for key in case["remove"]:
        keys.pop(key)
    return arch, keys


def head_dim_of(reader):
    said = {k.partition(".")[2]: f.contents() for k, f in reader.fields.items()}
    return said.get("attention.key_length") or said["embedding_length"] // said["attention.head_count"]


def changed_tensors(case, reader):
    tensors = {}
    for t in reader.tensors:
        values = gguf.dequantize(t.data, t.tensor_type).astype(np.float32)
        tensors[t.name] = values.reshape([int(n) for n in reversed(t.shape)])
    half = head_dim_of(reader) // 2
    for change in case["tensors"]:
        if change.get("removed"):
            tensors.pop(change["name"], None)
        elif change["value"] is None:
            tensors[change["name"]] = np.roll(tensors[change["like"]], change["roll"], 0)
        else:
            like = change.pop("like")
            change["n"] = {"half a head": half, "one": 1}.get(like) or len(tensors[like.removeprefix("rows of ")])
            tensors[change["name"]] = np.full(change["n"], change["value"], np.float32)
    return tensors


def ids_of(base):
    golden = json.loads((FOLDER / f"{base}-gguf.json").read_text())
    place = golden["ids"]
    data = (FOLDER / golden["arrays"]).read_bytes()
    return np.frombuffer(data, "<i2", place["shape"][0], place["offset"])[:N_TOKENS].astype(np.int64)


def write_file(path, arch, keys, tensors):
    writer = gguf.GGUFWriter(path, arch)
    writer.kv_data[0].clear()
    for key, (kind, value, sub) in keys.items():
        writer.add_key_value(key, value, kind, sub_type=sub)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def model_result(case):
    reader = gguf.GGUFReader(FOLDER / f"models/{case['base']}.gguf")
    arch, keys = changed_keys(case, reader)
    tensors = changed_tensors(case, reader)
    keys.setdefault("tokenizer.ggml.model", (T.STRING, "no_vocab", None))
    keys.setdefault(f"{arch}.vocab_size", (T.UINT32, len(tensors[EMBEDDING]), None))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "case.gguf"
        write_file(path, arch, keys, tensors)
        return llama_cpp.read_ids(path, [int(i) for i in ids_of(case["base"])])


def base_keys(byte_level):
    """The tokenizer of a case of random_gguf.py."""
    for seed in range(100):
        case = random_gguf.Case("llama", seed, random.Random(seed))
        if case.byte_level == byte_level:
            return {k: v for k, v in case.keys.items() if k.startswith(G)}
    raise AssertionError


def token_result(case, base):
    model = random_gguf.Case("llama", 1, random.Random(1))
    model.keys = {k: v for k, v in model.keys.items() if not k.startswith(G)} | base
    for key, value in case["set"].items():
        kind = {bool: T.BOOL, int: T.UINT32, str: T.STRING, list: T.ARRAY}[type(value)]
        model.keys[key] = (kind, value, T.INT32 if kind == T.ARRAY else None)
    for key in case["remove"]:
        del model.keys[key]
    if case["types"]:
        types = list(base[G + "token_type"][1])
        for token, kind in case["types"].items():
            types[base[G + "tokens"][1].index(token)] = kind
        model.keys[G + "token_type"] = (T.ARRAY, types, T.INT32)
    model.tensors.clear()
    model.weights()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "case.gguf"
        random_gguf.write_case(model, path)
        return llama_cpp.read(path, TEXT, wants_nll=False)


def main():
    lines, token_lines = [], []
    for case in MODELS:
        result = model_result(case)
        if case["refused"] is None:
            del case["refused"]
            if "nll" not in result:
                print(case, result)
                continue
            case["nll"] = round(result["nll"], 6)
        else:
            case["llama_cpp"] = round(result["nll"], 6) if "nll" in result else result["why"]
        lines.append(json.dumps(case))
    bases = {BYTE: base_keys(True), PIECES: base_keys(False)}
    for case in TOKENIZERS:
        result = token_result(case, bases[case["base"]])
        if case["refused"] is None:
            del case["refused"]
            case["ids"] = result["ids"]
        else:
            case["llama_cpp"] = result.get("ids") or result["why"]
        token_lines.append(json.dumps(case))
    shown = {name: {k: v[1] for k, v in keys.items()} for name, keys in bases.items()}
    text = (f'{{"n_tokens": {N_TOKENS}, "text": {json.dumps(TEXT)},\n"bases": {json.dumps(shown)},\n"models": [\n'
            + ",\n".join(lines) + '\n],\n"tokenizers": [\n' + ",\n".join(token_lines) + "\n]}\n")  # fmt: skip
    (FOLDER / "model_files/gguf_cases.json").write_text(text)


if __name__ == "__main__":
    main()
