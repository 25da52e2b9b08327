#include "pipeline/summary.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace tovamill {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// sum nll / sum n and its standard error, in nats. `count` gives a document's n.
template <class Documents, class Count>
Estimate ratio(const Documents& documents, Count count) {
  double nll = 0.0, n = 0.0;
  for (const auto& d : documents) {
    nll += d.nll;
    n += static_cast<double>(count(d));
  }
  if (n == 0.0) return {kNan, kNan};
  const double r = nll / n;
  double squares = 0.0;
  for (const auto& d : documents) {
    const double residual = d.nll - r * static_cast<double>(count(d));
    squares += residual * residual;
  }
  const auto size = static_cast<double>(documents.size());
  return {r, size < 2.0 ? kNan : std::sqrt(squares * size / (size - 1.0)) / n};
}

// The mean over documents of f(nll / n), and the standard error of that mean.
template <class Documents, class Count, class Function>
Estimate mean_of(const Documents& documents, Count count, Function f) {
  double sum = 0.0, size = 0.0;
  const auto each = [&](auto&& use) {
    for (const auto& d : documents) {
      if (count(d) > 0) use(f(d.nll / static_cast<double>(count(d))));
    }
  };
  each([&](double x) { sum += x, size += 1.0; });
  if (size == 0.0) return {kNan, kNan};
  const double mean = sum / size;
  double squares = 0.0;
  each([&](double x) { squares += (x - mean) * (x - mean); });
  return {mean, size < 2.0 ? kNan : std::sqrt(squares / (size - 1.0) / size)};
}

Estimate exponential(Estimate e) {
  return {std::exp(e.value), std::exp(e.value) * e.standard_error};
}
Estimate in_bits(Estimate e) {
  return {e.value / std::numbers::ln2, e.standard_error / std::numbers::ln2};
}

}  // namespace

const char* const kPerplexityDefinition =
    "natural-log NLL of every token after the first context token of its document; micro: exp(r), "
    "r = sum nll / sum n "
    "over the scored documents, n the scored tokens (per word: the words as str.split() counts "
    "them); bits per byte: r / "
    "ln 2, n the UTF-8 bytes; standard error of r: sqrt(D/(D-1) * sum (nll_i - r n_i)^2) / sum n "
    "over the D documents "
    "(ratio estimator), times exp(r) for a perplexity (delta method); macro: mean over documents "
    "of each one's own "
    "number, with the standard error of that mean; NaN for fewer than two documents";

void SummaryBuilder::add(const DocumentRecord& r) {
  ++totals_.n_documents;
  if (r.status == DocumentRecord::Status::failed) {
    ++totals_.n_failed;
    return;
  }
  documents_.push_back({r.nll_sum, r.n_scored, r.n_words, r.n_bytes});
  totals_.n_tokens += r.n_tokens;
  totals_.n_scored += r.n_scored;
  totals_.n_words += r.n_words;
  totals_.n_bytes += r.n_bytes;
  totals_.nll_sum += r.nll_sum;
  for (const LayerCounters& layer : r.layers) n_attended_ += layer.n_attended;
  n_queries_ += r.layers.size() * r.n_groups * r.n_tokens;
}

CorpusSummary SummaryBuilder::finish() const {
  CorpusSummary s = totals_;
  const auto tokens = [](const Sums& d) { return d.n_scored; };
  const auto words = [](const Sums& d) { return d.n_words; };
  const auto bytes = [](const Sums& d) { return d.n_bytes; };
  const auto exponent = [](double x) { return std::exp(x); };
  s.perplexity_token = exponential(ratio(documents_, tokens));
  s.perplexity_word = exponential(ratio(documents_, words));
  s.bits_per_byte = in_bits(ratio(documents_, bytes));
  s.perplexity_token_macro = mean_of(documents_, tokens, exponent);
  s.perplexity_word_macro = mean_of(documents_, words, exponent);
  s.bits_per_byte_macro = in_bits(mean_of(documents_, bytes, [](double x) { return x; }));
  s.mean_attended =
      n_queries_ > 0 ? static_cast<double>(n_attended_) / static_cast<double>(n_queries_) : kNan;
  return s;
}

}  // namespace tovamill
