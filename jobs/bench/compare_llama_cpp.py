#!/usr/bin/env python3
"""Scores a text with llama.cpp on the CPU, for comparison with `tovamill score --policy full`.

    compare_llama_cpp.py MODEL.gguf TEXT [--tokens 8192] [--chunk 4096] [--threads 2] [--weights bf16]

The first --tokens tokens of TEXT are cut into chunks that know nothing of each other; the first token of a chunk is
context only. --weights bf16 or f16 writes the matrices of MODEL anew in that type, into a temporary file, so that all
tools multiply the same numbers; as-is keeps them. Timed: llama_decode in batches of 512 (eval_seconds) and the
log-softmax of its logits by numpy in --threads threads. Prints one line of JSON
(cpu_seconds well below threads * seconds: the machine was not calm). Exit code 3: llama-cpp-python is absent.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import sys
import tempfile
import time

N_BATCH = 512


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--tokens", type=int, default=8192, help="tokens to score (8192)")
    parser.add_argument("--chunk", type=int, default=4096, help="tokens of a chunk (4096)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads (all cores)")
    parser.add_argument("--weights", choices=["bf16", "f16", "as-is"], default="bf16", help="type of matrices (bf16)")
    arguments = parser.parse_args()
    if arguments.model.suffix != ".gguf":
        parser.error(f"{arguments.model}: llama.cpp reads .gguf files only")
    return arguments


def write_gguf(source, target, kind):
    """Copies a GGUF file with every matrix in bf16 or f16 and every vector in float32."""
    import gguf

    reader = gguf.GGUFReader(str(source))
    arch = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(str(target), arch)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        sub_type = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=sub_type)
    writer.add_file_type({"bf16": gguf.LlamaFileType.MOSTLY_BF16, "f16": gguf.LlamaFileType.MOSTLY_F16}[kind])
    matrix = {"bf16": gguf.GGMLQuantizationType.BF16, "f16": gguf.GGMLQuantizationType.F16}[kind]
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if values.ndim < 2:
            writer.add_tensor(tensor.name, values)
        else:
            writer.add_tensor(tensor.name, gguf.quants.quantize(values, matrix), raw_dtype=matrix)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Scorer:
    """llama.cpp's C interface, as far as it is needed here."""

    def __init__(self, llama_cpp, model, threads):
        self.api = llama_cpp
        self.threads = threads
        llama_cpp.llama_backend_init()
        self.log = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.log, None)
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(str(model).encode(), parameters)
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {model}")
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.n_vocab = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.batch = llama_cpp.llama_batch_init(N_BATCH, 0, 1)
        self.pool = concurrent.futures.ThreadPoolExecutor(threads)
        self.eval_seconds = 0.0

    def open_context(self, n_tokens, n_sequences=1):
        """For so many sequences, each of so many tokens at most."""
        context = self.api.llama_context_default_params()
        context.n_ctx, context.n_seq_max = n_tokens * n_sequences, n_sequences
        context.n_batch, context.n_ubatch = N_BATCH, N_BATCH
        context.n_threads = context.n_threads_batch = self.threads
        self.context = self.api.llama_init_from_model(self.model, context)
        if not self.context:
            raise RuntimeError(f"llama.cpp cannot make a context of {n_sequences} times {n_tokens} tokens")

    def tokenize(self, text, n_tokens):
        data = text.encode()
        ids = (self.api.llama_token * len(data))()
        n = self.api.llama_tokenize(self.vocab, data, len(data), ids, len(data), False, False)
        return list(ids[: min(n, n_tokens)])

    def score(self, ids):
        """Sum of the NLLs of ids[1:], nats."""
        import numpy as np

        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
        total = 0.0
        for start in range(0, len(ids), N_BATCH):
            part = ids[start : start + N_BATCH]
            self.batch.n_tokens = len(part)
            for i, token in enumerate(part):
                self.batch.token[i], self.batch.pos[i], self.batch.logits[i] = token, start + i, True
                self.batch.n_seq_id[i], self.batch.seq_id[i][0] = 1, 0
            before = time.perf_counter()
            if self.api.llama_decode(self.context, self.batch) != 0:
                raise RuntimeError(f"llama_decode failed at token {start}")
            logits = self.api.llama_get_logits(self.context)  # waits for the result
            self.eval_seconds += time.perf_counter() - before
            logits = np.ctypeslib.as_array(logits, shape=(len(part), self.n_vocab))
            targets = np.array(ids[start + 1 : start + len(part) + 1])
            rows = [slice(r, min(r + 16, len(targets))) for r in range(0, len(targets), 16)]
            total += sum(self.pool.map(lambda r: nll_sum(np, logits[r], targets[r]), rows))
        return total


def nll_sum(np, logits, targets):
    top = logits.max(-1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(-1)) + top[:, 0]
    return float((log_sum - logits[np.arange(len(targets)), targets]).sum(dtype=np.float64))


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
        scorer = Scorer(llama_cpp, model, arguments.threads)
        scorer.open_context(arguments.chunk)
        text = arguments.text.read_text(encoding="utf-8")[: 16 * arguments.tokens]
        ids = scorer.tokenize(text, arguments.tokens)
        chunks = [ids[i : i + arguments.chunk] for i in range(0, len(ids), arguments.chunk)]
        chunks = [c for c in chunks if len(c) > 1]
        scorer.score(chunks[0][:N_BATCH])  # warm-up
        scorer.eval_seconds = 0.0
        start, cpu_start = time.perf_counter(), time.process_time()
        total = sum(scorer.score(chunk) for chunk in chunks)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    n_tokens = sum(len(c) for c in chunks)
    print(json.dumps({
        "tool": "llama.cpp", "version": f"llama-cpp-python {llama_cpp.__version__}",
        "model": arguments.model.name, "weights": arguments.weights, "threads": arguments.threads,
        "chunk": arguments.chunk, "tokens": n_tokens, "seconds": round(seconds, 3),
        "eval_seconds": round(scorer.eval_seconds, 3), "cpu_seconds": round(cpu_seconds, 3),
        "tokens_per_second": round(n_tokens / seconds, 1),
        "mean_nll": total / (n_tokens - len(chunks)),
    }))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
