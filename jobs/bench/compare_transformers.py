#!/usr/bin/env python3
"""Scores a text with Hugging Face transformers on the CPU, for comparison with `tovamill score --policy full`.

    compare_transformers.py MODEL TEXT [--tokens 8192] [--chunk 4096] [--threads 2] [--dtype bf16]

MODEL is a .gguf file (its weights are dequantised) or a Hugging Face directory. The first --tokens tokens of TEXT are cut
into chunks that know nothing of each other; the first token of a chunk is context only. Timed: forward pass and
log-softmax, the logits in pieces of --logit-rows tokens. Prints one line of JSON. Exit code 3: transformers is absent.
"""

import argparse
import json
import os
import pathlib
import sys
import time


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--tokens", type=int, default=8192, help="tokens to score (8192)")
    parser.add_argument("--chunk", type=int, default=4096, help="tokens of a chunk (4096)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads (all cores)")
    parser.add_argument("--dtype", choices=["bf16", "f32"], default="bf16", help="of weights and arithmetic (bf16)")
    parser.add_argument("--logit-rows", type=int, default=512, help="tokens whose logits exist at once (512)")
    return parser.parse_args()


def load(path, dtype):
    """The model and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where, more = str(path), {}
    if path.is_file():
        where, more = str(path.parent), {"gguf_file": path.name}
    model = AutoModelForCausalLM.from_pretrained(where, dtype=dtype, attn_implementation="sdpa", **more)
    return model.to(dtype).eval(), AutoTokenizer.from_pretrained(where, **more)


def score(torch, model, ids, logit_rows):
    """Sum of the NLLs of ids[1:], nats."""
    hidden = model.model(input_ids=ids[None], use_cache=False).last_hidden_state[0]
    total = 0.0
    for start in range(0, len(ids) - 1, logit_rows):
        stop = min(start + logit_rows, len(ids) - 1)
        logits = model.lm_head(hidden[start:stop]).float()
        targets = ids[start + 1 : stop + 1]
        total += torch.nn.functional.cross_entropy(logits, targets, reduction="sum").item()
    return total


def main():
    arguments = parse()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # before torch looks
    try:
        import torch
        import transformers

        if arguments.model.is_file():
            import accelerate  # noqa: F401  (transformers wants both to read GGUF)
            import gguf  # noqa: F401
    except ImportError as problem:
        print(f"transformers cannot be used ({problem}): pip install torch transformers accelerate gguf", file=sys.stderr)
        return 3
    torch.set_num_threads(arguments.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

    model, tokenizer = load(arguments.model, {"bf16": torch.bfloat16, "f32": torch.float32}[arguments.dtype])
    text = arguments.text.read_text(encoding="utf-8")[: 16 * arguments.tokens]
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt", verbose=False).input_ids[0][: arguments.tokens]
    chunks = [c for c in ids.split(arguments.chunk) if len(c) > 1]
    with torch.inference_mode():
        score(torch, model, ids[: min(512, len(chunks[0]))], arguments.logit_rows)  # warm-up
        start = time.perf_counter()
        total = sum(score(torch, model, chunk, arguments.logit_rows) for chunk in chunks)
        seconds = time.perf_counter() - start
    n_tokens = sum(len(c) for c in chunks)
    print(json.dumps({
        "tool": "transformers", "version": f"{transformers.__version__}, torch {torch.__version__}",
        "model": arguments.model.name, "dtype": arguments.dtype, "threads": arguments.threads,
        "chunk": arguments.chunk, "tokens": n_tokens, "seconds": round(seconds, 3),
        "tokens_per_second": round(n_tokens / seconds, 1), "mean_nll": total / (n_tokens - len(chunks)),
    }))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
