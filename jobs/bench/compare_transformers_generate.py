#!/usr/bin/env python3
"""Writes greedily after prompts with Hugging Face transformers on the CPU, for comparison with `tovamill generate`.

    compare_transformers_generate.py MODEL PROMPT.txt... [--new-tokens 128] [--threads 2] [--dtype bf16]

MODEL is a .gguf file (its weights are dequantised) or a Hugging Face directory. All prompts are one batch; they are cut
to the tokens of the shortest, so that nothing is padded and no mask is needed. `generate` is timed from its start to the
first new token (prefill) and from there to the last (decode); end tokens end nothing. Prints one line of JSON
(cpu_seconds well below threads * seconds: the machine was not calm). Exit code 3: transformers is absent.
"""

import argparse
import json
import os
import pathlib
import resource
import sys
import time


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("prompts", type=pathlib.Path, nargs="+", metavar="PROMPT.txt")
    parser.add_argument("--new-tokens", type=int, default=128, help="tokens to write after each prompt (128)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads (all cores)")
    parser.add_argument("--dtype", choices=["bf16", "f32"], default="bf16", help="of weights and arithmetic (bf16)")
    arguments = parser.parse_args()
    if arguments.new_tokens < 2:
        parser.error("--new-tokens: give at least 2, the first belongs to the prefill")
    return arguments


def make_clock(transformers, torch):
    class Clock(transformers.StoppingCriteria):
        """Never stops; notes when each token was there."""

        def __init__(self):
            self.times = []

        def __call__(self, input_ids, scores, **more):
            self.times.append(time.perf_counter())
            return torch.zeros(input_ids.shape[0], dtype=torch.bool)

    return Clock()


def write(transformers, torch, model, ids, n_tokens):
    """Seconds until the first new token, and from it to the last. `ids`: (batch, tokens)."""
    clock = make_clock(transformers, torch)
    start = time.perf_counter()
    model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, use_cache=True,
        min_new_tokens=n_tokens, max_new_tokens=n_tokens, pad_token_id=0,
        stopping_criteria=transformers.StoppingCriteriaList([clock]),
    )  # fmt: skip
    if len(clock.times) != n_tokens:
        raise RuntimeError(f"{len(clock.times)} steps instead of {n_tokens}")
    return clock.times[0] - start, clock.times[-1] - clock.times[0]


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
    from compare_transformers import load

    torch.set_num_threads(arguments.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

    model, tokenizer = load(arguments.model, {"bf16": torch.bfloat16, "f32": torch.float32}[arguments.dtype])
    texts = [path.read_text(encoding="utf-8") for path in arguments.prompts]
    prompts = [tokenizer(text, add_special_tokens=False, verbose=False).input_ids for text in texts]
    n_prompt = min(len(p) for p in prompts)
    ids = torch.tensor([p[:n_prompt] for p in prompts])
    with torch.inference_mode():
        write(transformers, torch, model, ids[:, : min(64, n_prompt)], 2)  # warm-up
        start, cpu_start = time.perf_counter(), time.process_time()
        prefill_seconds, decode_seconds = write(transformers, torch, model, ids, arguments.new_tokens)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    print(json.dumps({
        "tool": "transformers", "version": f"{transformers.__version__}, torch {torch.__version__}",
        "model": arguments.model.name, "dtype": arguments.dtype, "threads": arguments.threads,
        "sequences": len(prompts), "prompt_tokens": n_prompt, "new_tokens": arguments.new_tokens,
        "seconds": round(seconds, 3), "cpu_seconds": round(cpu_seconds, 3),
        "prefill_tokens_per_second": round(ids.numel() / prefill_seconds, 1),
        "decode_tokens_per_second": round(len(prompts) * (arguments.new_tokens - 1) / decode_seconds, 1),
        "peak_rss_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
