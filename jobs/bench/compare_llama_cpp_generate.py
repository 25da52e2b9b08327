#!/usr/bin/env python3
"""Writes greedily after prompts with llama.cpp on the CPU, for comparison with `tovamill generate`.

    compare_llama_cpp_generate.py MODEL.gguf PROMPT.txt... [--new-tokens 128] [--threads 2] [--weights bf16]

Each prompt is a sequence of its own in one context, read in batches of 512 tokens (prefill); then each step decodes one
token of every sequence together (decode), end tokens like any other. Timed are the calls of llama_decode with the wait
for their logits, not the choice of the token. --weights as in compare_llama_cpp.py. Prints one line of JSON
(cpu_seconds well below threads * seconds: the machine was not calm). Exit code 3: llama-cpp-python is absent.
"""

import argparse
import json
import os
import pathlib
import resource
import sys
import tempfile
import time

from compare_llama_cpp import N_BATCH, Scorer, write_gguf


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("prompts", type=pathlib.Path, nargs="+", metavar="PROMPT.txt")
    parser.add_argument("--new-tokens", type=int, default=128, help="tokens to write after each prompt (128)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads (all cores)")
    parser.add_argument("--weights", choices=["bf16", "f16", "as-is"], default="bf16", help="type of matrices (bf16)")
    arguments = parser.parse_args()
    if arguments.model.suffix != ".gguf":
        parser.error(f"{arguments.model}: llama.cpp reads .gguf files only")
    if arguments.new_tokens < 2:
        parser.error("--new-tokens: give at least 2, the first belongs to the prefill")
    return arguments


class Writer(Scorer):
    """Several sequences in one context."""

    def clear(self):
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)

    def decode(self, rows):
        """Decodes rows of (token, position, sequence, wants_logits), at most N_BATCH. Returns seconds."""
        self.batch.n_tokens = len(rows)
        for i, (token, position, sequence, wants_logits) in enumerate(rows):
            self.batch.token[i], self.batch.pos[i], self.batch.logits[i] = token, position, wants_logits
            self.batch.n_seq_id[i], self.batch.seq_id[i][0] = 1, sequence
        before = time.perf_counter()
        if self.api.llama_decode(self.context, self.batch) != 0:
            raise RuntimeError(f"llama_decode failed at token {rows[0][1]} of sequence {rows[0][2]}")
        self.api.llama_get_logits(self.context)  # waits for the result
        return time.perf_counter() - before

    def best_token(self, row):
        import numpy as np

        logits = self.api.llama_get_logits_ith(self.context, row)
        return int(np.ctypeslib.as_array(logits, shape=(self.n_vocab,)).argmax())

    def read(self, ids, sequence):
        """Seconds, and the first token to write."""
        seconds = 0.0
        for start in range(0, len(ids), N_BATCH):
            part = ids[start : start + N_BATCH]
            last = len(ids) - 1
            seconds += self.decode([(t, start + i, sequence, start + i == last) for i, t in enumerate(part)])
        return seconds, self.best_token(len(part) - 1)

    def write(self, tokens, positions, n_steps):
        """Seconds of n_steps steps in which every sequence goes on from its token at its position."""
        seconds = 0.0
        for step in range(n_steps):
            seconds += self.decode([(t, p + step, s, True) for s, (t, p) in enumerate(zip(tokens, positions))])
            tokens = [self.best_token(row) for row in range(len(tokens))]
        return seconds


def measure(writer, prompts, new_tokens):
    writer.clear()
    results = [writer.read(ids, sequence) for sequence, ids in enumerate(prompts)]
    decode_seconds = writer.write([token for _, token in results], [len(ids) for ids in prompts], new_tokens - 1)
    return sum(seconds for seconds, _ in results), decode_seconds


def main():
    arguments = parse()
    try:
        import gguf  # noqa: F401
        import llama_cpp
    except (ImportError, OSError, RuntimeError) as problem:
        print(f"llama.cpp cannot be used ({problem}): pip install llama-cpp-python gguf", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model
        if arguments.weights != "as-is":
            model = pathlib.Path(folder) / f"{arguments.weights}.gguf"
            write_gguf(arguments.model, model, arguments.weights)
        writer = Writer(llama_cpp, model, arguments.threads)
        texts = [path.read_text(encoding="utf-8") for path in arguments.prompts]
        prompts = [writer.tokenize(text, len(text.encode())) for text in texts]
        longest = max(len(ids) for ids in prompts) + arguments.new_tokens
        writer.open_context(-(-longest // 256) * 256, len(prompts))  # llama.cpp rounds a sequence to 256
        measure(writer, [ids[:64] for ids in prompts], 2)  # warm-up
        start, cpu_start = time.perf_counter(), time.process_time()
        prefill_seconds, decode_seconds = measure(writer, prompts, arguments.new_tokens)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    n_read = sum(len(ids) for ids in prompts)
    print(json.dumps({
        "tool": "llama.cpp", "version": f"llama-cpp-python {llama_cpp.__version__}",
        "model": arguments.model.name, "weights": arguments.weights, "threads": arguments.threads,
        "sequences": len(prompts), "prompt_tokens": n_read // len(prompts), "new_tokens": arguments.new_tokens,
        "seconds": round(seconds, 3), "cpu_seconds": round(cpu_seconds, 3),
        "prefill_tokens_per_second": round(n_read / prefill_seconds, 1),
        "decode_tokens_per_second": round(len(prompts) * (arguments.new_tokens - 1) / decode_seconds, 1),
        "peak_rss_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
