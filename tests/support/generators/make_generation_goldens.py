"""Makes tests/support/goldens/texts/generation.json: which keys of generation_config.json change what generate() of
transformers 5.24 returns.

    python3 tests/support/generators/make_generation_goldens.py    (needs torch, transformers; half a minute)

Each case is the content of a generation_config.json beside a tiny random llama. `changes` is whether the 24 tokens that
generate() adds to a prompt differ from those without the file (max_new_tokens alone is given, where the case has no length
of its own); null where transformers refuses the file. Keys of other kinds of generation are refused or fetched from the
hub: these are not asked, and stand in the test.
"""

import json
import logging
import pathlib
import tempfile
import warnings

import make_goldens
import torch

CASES = [
    {}, {"temperature": 0.6}, {"do_sample": True, "temperature": 0.6}, {"do_sample": True},
    {"do_sample": False, "top_p": 0.9, "top_k": 20}, {"do_sample": True, "top_k": 2}, {"do_sample": True, "top_p": 0.5},
    {"do_sample": True, "min_p": 0.2}, {"do_sample": True, "typical_p": 0.2}, {"do_sample": True, "epsilon_cutoff": 0.02},
    {"do_sample": True, "eta_cutoff": 0.02}, {"do_sample": True, "top_h": 0.3}, {"repetition_penalty": 1.5},
    {"repetition_penalty": 1.0}, {"max_new_tokens": 5}, {"max_length": 20}, {"min_new_tokens": 22, "eos_token_id": "@2@"},
    {"min_length": 40, "eos_token_id": "@2@"}, {"num_return_sequences": 2, "do_sample": True}, {"num_beams": 4},
    {"num_beams": 1}, {"num_beams": 3, "length_penalty": 2.0, "early_stopping": True}, {"suppress_tokens": "@[0]@"},
    {"suppress_tokens": []}, {"begin_suppress_tokens": "@[0]@"}, {"bad_words_ids": "@[[0]]@"},
    {"forced_bos_token_id": 5}, {"forced_eos_token_id": 5}, {"no_repeat_ngram_size": 1}, {"no_repeat_ngram_size": 0},
    {"sequence_bias": "@[[[0], -20.0]]@"}, {"guidance_scale": 3.0}, {"guidance_scale": 1.0},
    {"exponential_decay_length_penalty": [2, 3.0], "eos_token_id": "@9@"}, {"encoder_repetition_penalty": 1.0},
    {"renormalize_logits": True}, {"remove_invalid_values": True}, {"use_cache": False}, {"pad_token_id": 0},
    {"bos_token_id": 1}, {"transformers_version": "4.40.0"}, {"_from_model_config": True}, {"output_scores": True},
    {"cache_implementation": None}, {"quirk": 3}, {"max_time": 0.000001}, {"num_beam_groups": 1}, {"penalty_alpha": 0.0},
    {"watermarking_config": {"greenlist_ratio": 0.25, "bias": 8.0}}, {"length_penalty": 2.0},
    {"early_stopping": True}, {"diversity_penalty": 0.0}, {"token_healing": False}, {"prompt_lookup_num_tokens": 3},
]  # fmt: skip
PROMPT = [5, 77, 12, 120, 9, 33, 64, 2]


def generated(model, case, plain):
    """The tokens, with "@i@" replaced by the i-th that comes without the file."""
    from transformers import GenerationConfig

    text = json.dumps(case)
    for i, token in enumerate(plain):
        text = text.replace(f'"@{i}@"', str(token)).replace(f"@[{i}]@", f"@[{token}]@")
    if plain:
        text = text.replace('"@[0]@"', f"[{plain[0]}]").replace(f'"@[{plain[0]}]@"', f"[{plain[0]}]")
        text = text.replace('"@[[0]]@"', f"[[{plain[0]}]]").replace('"@[[[0], -20.0]]@"', f"[[[{plain[0]}], -20.0]]")
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "generation_config.json").write_text(text)
        model.generation_config = GenerationConfig.from_pretrained(folder)
    torch.manual_seed(3)
    lengths = {} if {"max_new_tokens", "max_length"} & set(case) else {"max_new_tokens": 24}
    out = model.generate(torch.tensor([PROMPT]), **lengths)
    if not isinstance(out, torch.Tensor):
        out = out.sequences
    return [list(map(int, row[len(PROMPT) :])) for row in out], json.loads(text)


def main():
    from transformers import AutoModelForCausalLM

    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    folder = make_goldens.FOLDER / "models/llama-gqa"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    plain = generated(model, {}, [])[0]
    lines = []
    for case in CASES:
        try:
            texts, config = generated(model, case, plain[0])
            alone = {k: v for k, v in config.items() if k == "eos_token_id"}
            base = generated(model, alone, plain[0])[0] if alone else plain
            changes = texts != base
        except Exception as e:  # noqa: BLE001
            print(case, type(e).__name__, str(e)[:100])
            config, changes = {k: v for k, v in case.items() if not str(v).startswith("@")}, None
        lines.append(json.dumps({"config": config, "changes": changes}))
    text = '{"cases": [\n' + ",\n".join(lines) + "\n]}\n"
    (make_goldens.FOLDER / "texts/generation.json").write_text(text)


if __name__ == "__main__":
    main()
