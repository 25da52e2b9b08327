"""Checks a results.h5 as a reader with h5py (and xarray with h5netcdf, where they are) sees it."""
import sys

import h5py
import numpy as np


def check_datasets(f):
    """Every dataset has a long name, units and a scale on each axis; only built-in filters; no object times."""
    def visit(name, o):
        if not isinstance(o, h5py.Dataset):
            return
        assert isinstance(o.attrs["long_name"], str) and o.attrs["long_name"], name
        assert isinstance(o.attrs["units"], str), name
        assert o.compression in (None, "gzip"), name
        if not h5py.h5ds.is_scale(o.id):
            for axis, dim in enumerate(o.dims):
                assert len(dim) == 1, (name, axis)
                assert dim[0].shape[0] == o.shape[axis], (name, axis)
        o[()]  # every chunk decompresses
    f.visititems(visit)


def check_documents(f):
    d = {k: v[()] for k, v in f["documents"].items()}
    failed = d["status"] == b"failed"
    assert (d["status"][~failed] == (b"scored" if f.attrs["job"] == "score" else b"generated")).all()
    a = f["summary"].attrs
    assert a["n_documents"] == f.attrs["n_documents"] == len(failed)
    assert a["n_failed"] == f.attrs["n_failed"] == failed.sum() == len(f["failures/file"])
    keys = list(zip(d["file"], d["offset"]))
    assert keys == sorted(keys)
    assert all("\xe9" in s.decode("utf-8") for s in d["id"])
    return d


def check_perplexities(f, d):
    scored = d["status"] == b"scored"
    a = f["summary"].attrs
    nll = d["nll_sum"][scored]

    def micro(n):
        r = nll.sum() / n.sum()
        se = np.sqrt(len(n) / (len(n) - 1) * ((nll - r * n) ** 2).sum()) / n.sum()
        return r, se

    def same(name, value, se):
        assert np.isclose(a[name], value, rtol=1e-12), name
        assert np.isclose(a[name + "_se"], se, rtol=1e-9), name

    for name, n in (("perplexity_token", d["n_scored"]), ("perplexity_word", d["n_words"])):
        n = n[scored].astype(float)
        r, se = micro(n)
        same(name, np.exp(r), np.exp(r) * se)
        own = np.exp(nll[n > 0] / n[n > 0])
        same(name + "_macro", own.mean(), own.std(ddof=1) / np.sqrt(len(own)))
    n = d["n_bytes"][scored].astype(float)
    r, se = micro(n)
    same("bits_per_byte", r / np.log(2), se / np.log(2))


def check_generations(f, d):
    """Rows in order, ragged arrays without gaps, texts as Python strings, the scores of /summary from the columns."""
    assert not any(name.startswith(("perplexity", "bits_per_byte", "nll")) for name in f["summary"].attrs)
    assert np.isnan(d["nll_sum"]).all()
    g = {k: v[()] for k, v in f["generations"].items() if v.dtype.kind != "O"}
    texts, questions = (list(f["generations"][k].asstr()[()]) for k in ("text", "question_text"))
    n = len(texts)
    keys = list(zip(g["document"], g["question"], g["sample"]))
    assert keys == sorted(set(keys)) and len(keys) == n == f["summary"].attrs["n_generations"]
    assert (g["id"] == d["id"][g["document"]]).all()
    assert not any("\0" in t for t in texts + questions)
    if n:
        assert "" in texts and "" in questions and "nul \ufffd in it" in texts
        assert any("\u65e5\u672c" in t for t in texts) and any(len(t.encode()) > 512 for t in texts)
    for offsets, counts, values in (("token_offsets", "n_new_tokens", g["token_id"]),
                                    ("reference_offsets", "n_references", f["references/text"])):
        o = g[offsets].astype(np.int64)
        assert o[0] == 0 and o[-1] == len(values) and (np.diff(o) == g[counts]).all()
    a = f["summary"].attrs
    assert a["n_new_tokens"] == g["n_new_tokens"].sum()
    for reason in ("stop", "length"):
        assert a["n_" + reason] == (g["finish_reason"] == reason.encode()).sum()
    with_references = g["n_references"] > 0
    assert a["n_with_references"] == with_references.sum()
    document = g["document"][with_references].astype(np.int64)
    size = np.bincount(document, minlength=1)
    for name in ("rouge1", "rouge2", "rougeL", "token_f1", "exact_match"):
        for name in (name, name + "_mean"):
            assert (np.isnan(g[name]) == ~with_references).all()
            if not n:
                assert np.isnan(a[name]) and np.isnan(a[name + "_se"])
                continue
            score = g[name][with_references]
            total = np.bincount(document, weights=score)[size > 0]
            n_texts = size[size > 0]
            residual = total - score.mean() * n_texts
            D = len(n_texts)
            assert np.isclose(a[name], score.mean(), rtol=1e-12)
            se = np.sqrt(D / (D - 1) * (residual ** 2).sum()) / n_texts.sum()
            assert np.isclose(a[name + "_se"], se, rtol=1e-9)


def check_tokens(f, d):
    offsets = f["tokens/offsets"][()]
    assert len(offsets) == len(d["file"]) + 1
    assert (np.diff(offsets.astype(np.int64)) == d["n_tokens"].astype(np.int64)).all()
    nll = f["tokens/nll"][()]
    assert nll.dtype == np.float32 and f["tokens/id"].dtype == np.int32
    for i in np.flatnonzero(d["status"] == b"scored"):
        own = nll[offsets[i]:offsets[i + 1]].astype(float)
        assert np.isclose(np.nansum(own), d["nll_sum"][i])
        assert (~np.isnan(own)).sum() == d["n_scored"][i]
    if "trace" in f:
        assert f["trace/death"].shape[1] == len(nll)


def check_attributes(f):
    for name in ("fingerprint", "model", "tokenizer", "policy", "positions", "config", "job", "program_version",
                 "git_hash", "created", "command", "host", "slurm_job", "history"):
        assert isinstance(f.attrs[name], str), name
    assert set(f.attrs["run_dependent_attributes"].split()) <= set(f.attrs)
    assert f.attrs["complete"] in (0, 1)
    scores = f.attrs["job"] == "score"
    assert ("ppl_definition" in f.attrs) == scores and ("text_scores_definition" in f.attrs) != scores


def check_with_xarray(path, groups):
    try:
        import h5netcdf  # noqa: F401
        import xarray
    except ImportError:
        return
    for group in groups:
        with xarray.open_dataset(path, group=group, engine="h5netcdf") as ds:
            ds.load()
            assert not any(str(dim).startswith("phony") for dim in ds.sizes), (group, ds.sizes)
            if group in ("generations", "documents"):
                ds.to_dataframe() if group == "documents" else ds["text"].to_dataframe()


def main(path):
    with h5py.File(path) as f:
        groups = list(f)
        check_datasets(f)
        check_attributes(f)
        d = check_documents(f)
        if f.attrs["job"] == "score":
            check_perplexities(f, d)
        else:
            check_generations(f, d)
        if "tokens" in f:
            check_tokens(f, d)
    check_with_xarray(path, groups)


main(sys.argv[1])
