"""What llama.cpp makes of a GGUF file: token ids, and the mean NLL of a text, or why it refuses the file.

Needs numpy and a build of llama.cpp as the package llama-cpp-py-sync has it (0.11739: llama.cpp b11739 for CPUs; it wants
glibc 2.38). Each file is read in a process of its own: what llama.cpp does not expect ends in an abort.
"""

import json
import math
import os
import signal

import numpy as np
from llama_cpp_py_sync import _cffi_bindings as bindings


class _Model:
    """Loaded with float32 keys and values, without flash attention, on one thread."""

    def __init__(self, path, n_ctx):
        self.lib, self.ffi = bindings.get_lib(), bindings.get_ffi()
        self.lib.llama_backend_init()
        self.model = self.lib.llama_model_load_from_file(os.fsencode(path), self.lib.llama_model_default_params())
        if self.model == self.ffi.NULL:
            raise RuntimeError("does not load it")
        self.vocab = self.lib.llama_model_get_vocab(self.model)
        params = self.lib.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = n_ctx
        params.n_outputs_max = params.n_outputs_max_per_seq = n_ctx
        params.n_threads = params.n_threads_batch = 1
        params.flash_attn_type, params.type_k, params.type_v = 0, 0, 0
        self.params = params

    def tokens(self, text, parse_special=False):
        data = text.encode()
        room = self.ffi.new("llama_token[]", len(data) + 16)
        n = self.lib.llama_tokenize(self.vocab, data, len(data), room, len(data) + 16, True, parse_special)
        if n < 0:
            raise RuntimeError("does not tokenize")
        return [room[i] for i in range(n)]

    def logits(self, ids):
        context = self.lib.llama_init_from_model(self.model, self.params)
        if context == self.ffi.NULL:
            raise RuntimeError("makes no context")
        batch = self.lib.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
            batch.seq_id[i][0] = 0
        if self.lib.llama_decode(context, batch) != 0:
            raise RuntimeError("does not decode")
        n_vocab = self.lib.llama_vocab_n_tokens(self.vocab)
        rows = self.lib.llama_get_logits(context)
        return np.frombuffer(self.ffi.buffer(rows, 4 * len(ids) * n_vocab), np.float32).reshape(len(ids), n_vocab)


def nll_of(logits, ids):
    """Mean NLL of ids[1:]; logits (n_tokens, n_vocab)."""
    rows = logits[:-1].astype(np.float64)
    top = rows.max(1)
    total = np.log(np.exp(rows - top[:, None]).sum(1)) + top
    return float((total - rows[np.arange(len(rows)), ids[1:]]).mean())


def _of_text(path, text, wants_nll):
    model = _Model(path, 512)
    ids = model.tokens(text)
    return _with_nll(model, ids) if wants_nll and len(ids) > 1 else {"ids": ids}


def _with_nll(model, ids):
    nll = nll_of(model.logits(ids), ids)
    return {"ids": ids, "nll": nll} if math.isfinite(nll) else {"why": "NaN"}


def _apart(work):
    """What `work` returns, computed in a process of its own."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        signal.alarm(20)  # some files keep it busy for ever
        try:
            result = work()
        except Exception as e:  # noqa: BLE001
            result = {"why": f"{type(e).__name__}: {e}"[:120]}
        os.write(writable, json.dumps(result).encode())
        os._exit(0)
    os.close(writable)
    data = b""
    while part := os.read(readable, 1 << 16):
        data += part
    os.close(readable)
    _, status = os.waitpid(child, 0)
    if data:
        return json.loads(data)
    name = signal.Signals(status & 127).name if status & 127 else f"exit {status >> 8}"
    return {"why": f"ends with {name}"}


def _ids_of_texts(path, texts):
    lib, ffi = bindings.get_lib(), bindings.get_ffi()
    lib.llama_backend_init()
    params = lib.llama_model_default_params()
    params.vocab_only = True
    model = lib.llama_model_load_from_file(os.fsencode(path), params)
    if model == ffi.NULL:
        raise RuntimeError("does not load it")
    vocab = lib.llama_model_get_vocab(model)

    def ids(text, add_special, parse_special):
        data = text.encode()
        room = ffi.new("llama_token[]", 4 * len(data) + 16)
        n = lib.llama_tokenize(vocab, data, len(data), room, 4 * len(data) + 16, add_special, parse_special)
        return [room[i] for i in range(max(n, 0))]

    return {"leading": ids("", True, False), "special": [ids(text, False, True) for text in texts],
            "plain": [ids(text, False, False) for text in texts]}  # fmt: skip


def read_texts(path, texts):
    """{"leading", "special", "plain"}: what stands before a text, and the ids of each with parse_special and without."""
    return _apart(lambda: _ids_of_texts(path, texts))


def read(path, text, wants_nll=True):
    """{"ids", "nll"} of a text with what the tokenizer puts around it, or {"why"}."""
    return _apart(lambda: _of_text(path, text, wants_nll))


def read_ids(path, ids):
    """{"ids", "nll"} or {"why"}."""
    return _apart(lambda: _with_nll(_Model(path, 512), ids))
