"""Makes tests/support/goldens: tiny random models and the numbers that tovamill must find for them.

    python3 tests/support/generators/make_goldens.py        (needs torch, transformers, safetensors, gguf, numpy; about two minutes)
    python3 tests/support/generators/make_goldens.py smollm3    of some models only

Full-context NLLs come from Hugging Face transformers in float64 (eager attention, its float32 islands lifted to
float64), all others from reference_tova.py, which is compared with transformers here. Documents are chosen such that no
eviction is nearer than MIN_RELATIVE_MARGIN, exact ties aside. The format is described in goldens/README.md.
"""

import contextlib
import dataclasses
import json
import pathlib
import shutil
import sys

import golden_models
import numpy as np
import reference_tova
import torch
from reference_tova import Options

FOLDER = pathlib.Path(__file__).parent.parent / "goldens"
MIN_RELATIVE_MARGIN = 3e-5
AGREEMENT = 1e-9  # nats, reference_tova.py against transformers
GGUF_AGREEMENT = 1e-4  # the same where rotary divisors and epsilon are rounded to float32 in the file


def two_cases():
    return {
        "full": Options("full", positions="absolute"),
        "tova-32": Options("tova", 32, positions="absolute"),
    }


def all_cases():
    def at(policy, k=32, **o):
        return Options(policy, k, **{"positions": "absolute", **o})

    return two_cases() | {
        "tova-64": at("tova", 64),
        "tova-32-pin-4": at("tova", pin=4),
        "tova-head-32": at("tova-head"),
        "tova-ema-32": at("tova-ema"),
        "tova-ema-64-decay-80": at("tova-ema", 64, ema=0.8),
        "h2o-32": at("h2o"),
        "h2o-32-recent-8": at("h2o", recent=8),
        "h2o-head-32": at("h2o-head"),
        "window-32": at("window"),
        "window-32-sinks-4": at("window", sinks=4),
        "full-clip-100": at("full", positions="clipped", clip_distance=100),
        "tova-64-clip-40": at("tova", 64, positions="clipped", clip_distance=40),
        "tova-64-clip-auto": at("tova", 64, positions="clipped"),
        "tova-head-32-clip-60": at("tova-head", positions="clipped", clip_distance=60),
        "tova-ema-32-clip-60": at("tova-ema", positions="clipped", clip_distance=60),
        "window-32-sinks-4-clip-60": at("window", sinks=4, positions="clipped", clip_distance=60),
        "tova-32-in-state": at("tova", positions="in-state"),
        "tova-head-32-in-state": at("tova-head", positions="in-state"),
        "window-32-sinks-4-in-state": at("window", sinks=4, positions="in-state"),
    }


def position_cases():
    names = ("full-clip-100", "tova-64-clip-40", "tova-head-32-clip-60", "tova-32-in-state")
    return two_cases() | {name: all_cases()[name] for name in names}


@contextlib.contextmanager
def everything_in_float64():
    """transformers computes norms, rotary angles and the softmax in float32 whatever the model's dtype: lift that."""
    saved = torch.float32, torch.float, torch.Tensor.float
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = saved


def nll_of(model, ids):
    ids = torch.tensor(np.asarray(ids, np.int64))[None]
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits[0]
    return -torch.log_softmax(logits.double(), -1)[:-1].gather(1, ids[0, 1:, None])[:, 0].numpy()


def exact_rotary(model):
    """The rotary frequencies anew, in float64."""
    with everything_in_float64():
        model.model.rotary_emb = type(model.model.rotary_emb)(config=model.config)


def transformers_nll(folder, ids, state=None):
    """Per-token NLL of the files in `folder` (or of the weights `state` in its config), in float64 throughout."""
    from transformers import AutoConfig, AutoModelForCausalLM

    if state is None:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
        problems = [k for k in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[k]]
        assert not problems, f"{folder}: {info}"
    else:
        config = AutoConfig.from_pretrained(folder)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
        missing, unexpected = model.load_state_dict(state, strict=False)
        assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
        model.tie_weights()
    model = model.double().eval()
    as_it_is = nll_of(model, ids)
    exact_rotary(model)
    with everything_in_float64():
        exact = nll_of(model, ids)
    return exact, np.abs(as_it_is - exact).max()


class Arrays:
    """A .bin file of little-endian arrays, one after the other, and where each stands."""

    def __init__(self):
        self.bytes = bytearray()

    def add(self, array, dtype):
        offset = len(self.bytes)
        if dtype == "bf16":  # upwards truncation is good enough for a margin
            data = (np.asarray(array, np.float32).view(np.uint32) >> 16).astype("<u2")
        else:
            data = np.asarray(array).astype({"f64": "<f8", "f32": "<f4", "i16": "<i2", "u8": "u1"}[dtype])
        self.bytes += data.tobytes()
        return {"dtype": dtype, "shape": list(data.shape), "offset": offset}


def search_document(spec, model, cases):
    """A document all of whose evictions are decided clearly, with the results of every case."""
    for seed in range(1, 200):
        ids = golden_models.random_document(spec.config["vocab_size"], spec.n_tokens, seed)
        results = {}
        for name, options in cases.items():
            results[name] = reference_tova.run(model, ids, options, MIN_RELATIVE_MARGIN)
            if results[name] is None:
                break
        else:
            return seed, ids, results
    raise RuntimeError(f"{spec.name}: no document without near ties")


def write_golden(name, models, n_layers, ids, cases, results, full_nll):
    arrays, entries = Arrays(), []
    ids_entry = arrays.add(ids, "i16")
    for case, options in cases.items():
        result = results[case]
        from_transformers = case == "full"
        entry = {
            "name": case,
            "source": "transformers" if from_transformers else "reference_tova",
            "options": dataclasses.asdict(options),
            "nll": arrays.add(full_nll if from_transformers else result.nll, "f64"),
        }
        if options.policy != "full":
            entry["death"] = arrays.add(result.death, "i16")
        if result.n_ties:
            entry["n_ties"] = result.n_ties
        if np.isfinite(result.relative_margin):  # else no decision but exact ties
            entry["margin"] = arrays.add(result.margin, "bf16")
            entry["relative_margin"] = float(f"{result.relative_margin:.2e}")
        entries.append(entry)
    index = {"models": models, "n_layers": n_layers, "arrays": f"{name}.bin", "ids": ids_entry, "cases": entries}
    (FOLDER / f"{name}.bin").write_bytes(arrays.bytes)
    lines = ",\n    ".join(json.dumps(e, allow_nan=False) for e in entries)
    head = json.dumps({k: v for k, v in index.items() if k != "cases"}, indent=2)
    (FOLDER / f"{name}.json").write_text(f'{head[:-2]},\n  "cases": [\n    {lines}\n  ]\n}}\n')


def write_quants():
    """Blocks of every GGUF type that tovamill reads, and their values by the gguf package; random codes, tame scales."""
    import gguf

    # type: bytes of a block of 256 (K types) or 32 values, and the offsets of its float16 scales
    types = {"Q8_0": (34, [0]), "Q4_0": (18, [0]), "Q4_1": (20, [0, 2]), "Q5_0": (22, [0]), "Q5_1": (24, [0, 2]),
             "Q4_K": (144, [0, 2]), "Q5_K": (176, [0, 2]), "Q6_K": (210, [208])}  # fmt: skip
    rng, arrays, entries = np.random.default_rng(7), Arrays(), []
    for name, (block_bytes, scales) in types.items():
        columns = 512
        n_blocks = columns // (256 if name.endswith("K") else 32)
        blocks = rng.integers(0, 256, (n_blocks, block_bytes), dtype=np.uint8)
        for at in scales:
            blocks[:, at : at + 2] = rng.normal(0, 0.05, (n_blocks, 1)).astype("<f2").view(np.uint8)
        values = gguf.quants.dequantize(blocks.reshape(1, -1), gguf.GGMLQuantizationType[name])
        assert values.shape == (1, columns) and np.isfinite(values).all()
        entries.append({"type": name, "blocks": arrays.add(blocks, "u8"), "values": arrays.add(values[0], "f32")})
    (FOLDER / "quants.bin").write_bytes(arrays.bytes)
    lines = ",\n    ".join(json.dumps(e, allow_nan=False) for e in entries)
    (FOLDER / "quants.json").write_text(f'{{\n  "arrays": "quants.bin",\n  "types": [\n    {lines}\n  ]\n}}\n')


def report(name, seed, results, difference, float32_islands, agreement=AGREEMENT):
    print(f"{name}: document {seed}, transformers - reference {difference:.1e}, its float32 islands {float32_islands:.1e}")
    for case, r in results.items():
        print(
            f"    {case:28} NLL {r.nll.mean():7.4f}  attention entropy {r.attention_entropy:.2f}"
            f"  logit std {r.logit_std:.2f}  nearest decision {r.relative_margin:.1e}  ties {r.n_ties}",
            flush=True,
        )
    assert difference < agreement, f"{name}: transformers and reference_tova.py disagree"


def make(spec, number):
    cases = all_cases() if spec.policies else position_cases() if spec.positions else two_cases()
    n_layers = spec.config["num_hidden_layers"]
    tensors = golden_models.random_weights(spec, 1000 + number)
    folders = [FOLDER / "models" / spec.name]
    golden_models.write_hf(folders[0], spec.config, tensors, spec.shards)
    if spec.other_config:
        folders.append(FOLDER / "models" / f"{spec.name}-b")
        golden_models.write_hf(folders[1], spec.other_config, tensors, 1)

    seed, ids, results = search_document(spec, reference_tova.load(folders[0]), cases)
    nlls = [transformers_nll(folder, ids) for folder in folders]
    difference = max(np.abs(nll - results["full"].nll).max() for nll, _ in nlls)
    report(spec.name, seed, results, difference, nlls[0][1])
    write_golden(spec.name, [f"models/{f.name}" for f in folders], n_layers, ids, cases, results, nlls[0][0])

    if spec.gguf:
        name = f"{spec.name}-gguf"
        file = FOLDER / "models" / f"{spec.name}.gguf"
        held = golden_models.write_gguf(file, spec, tensors)
        seed, ids, results = search_document(spec, reference_tova.load(file), two_cases())
        nll, islands = transformers_nll(folders[0], ids, held)
        report(name, seed, results, np.abs(nll - results["full"].nll).max(), islands, GGUF_AGREEMENT)
        write_golden(name, [f"models/{file.name}"], n_layers, ids, two_cases(), results, nll)


if __name__ == "__main__":
    torch.set_num_threads(1)
    wanted = sys.argv[1:]
    for number, spec in enumerate(golden_models.SPECS):
        if wanted and spec.name not in wanted:
            continue
        for old in (spec.name, f"{spec.name}-b"):
            shutil.rmtree(FOLDER / "models" / old, ignore_errors=True)
        make(spec, number)
    if not wanted:
        write_quants()
    size = sum(f.stat().st_size for f in FOLDER.rglob("*") if f.is_file())
    print(f"{size / 1e6:.3f} MB in all")
