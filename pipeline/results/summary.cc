#include "pipeline/results/summary.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <numbers>
#include <string_view>
#include <utility>

namespace tovamill {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// ROUGE's words are runs of ASCII letters and digits, once the text is in lower case. Other scripts
// have none: the score of any text is 0.
bool has_rouge_word(std::string_view text) {
  constexpr std::string_view kKelvin = "\u212a", kDottedI = "\u0130";  // lower case: k, i
  return std::any_of(text.begin(), text.end(),
                     [](unsigned char c) { return c < 0x80 && std::isalnum(c) != 0; }) ||
         text.find(kKelvin) != text.npos || text.find(kDottedI) != text.npos;
}

// sum y / sum n and its standard error over documents. `value` and `count` give a document's y
// (the NLL in nats, say) and n.
template <class Documents, class Value, class Count>
Estimate ratio(const Documents& documents, Value value, Count count) {
  double sum = 0.0, n = 0.0;
  for (const auto& d : documents) {
    sum += value(d);
    n += static_cast<double>(count(d));
  }
  if (n == 0.0) return {kNan, kNan};
  const double r = sum / n;
  double squares = 0.0;
  for (const auto& d : documents) {
    const double residual = value(d) - r * static_cast<double>(count(d));
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

Estimate ratio_estimate(std::span<const RatioTerm> documents) {
  return ratio(
      documents, [](const RatioTerm& d) { return d.y; }, [](const RatioTerm& d) { return d.n; });
}

const char* const kPerplexityDefinition =
    "natural-log NLL of every token after the first context token of its document; micro: exp(r), "
    "r = sum nll / sum n "
    "over the scored documents, n the scored tokens (per word: the words as str.split() counts "
    "them); bits per byte: r / "
    "ln 2, n the UTF-8 bytes; standard error of r: sqrt(D/(D-1) * sum (nll_i - r n_i)^2) / sum n "
    "over the D documents "
    "(ratio estimator), times exp(r) for a perplexity (delta method); macro: mean over documents "
    "of each one's own "
    "number, with the standard error of that mean; documents without a scored token are left out; "
    "NaN for fewer than two documents";

constexpr const char* kTextScoresDefinition =
    "ROUGE-1, -2, -L (F-measure), token F1 and exact match of a generated text, each in [0, 1]; "
    "best: "
    "the highest over its references; mean: the mean over them; of the corpus: r = sum y / sum n, "
    "the "
    "mean over the texts that have references, n of them in a document, y the sum of their scores; "
    "standard error: sqrt(D/(D-1) * sum (y_i - r n_i)^2) / sum n over the D documents with such "
    "texts "
    "(ratio estimator: the texts of a document are not independent); NaN for fewer than two "
    "documents";

std::string text_scores_definition(bool stems) {
  return kTextScoresDefinition +
         std::string(stems ? "; words of more than 3 letters stemmed (Porter) for ROUGE" : "");
}

void SummaryBuilder::add_texts(const std::vector<Generation>& generations) {
  if (!generations.empty() && !std::exchange(totals_.generates, true)) documents_.clear();
  TextSums sums;
  for (const Generation& g : generations) {
    ++totals_.n_generations;
    totals_.n_new_tokens += g.n_new_tokens;
    ++(g.finish_reason == FinishReason::stop ? totals_.n_stop : totals_.n_length);
    if (!g.scores) continue;
    ++sums.n;
    totals_.n_without_words +=
        std::none_of(g.references.begin(), g.references.end(), has_rouge_word);
    for (std::size_t i = 0; i < kTextScoreNames.size(); ++i) {
      sums.scores.best[i] += g.scores->best[i];
      sums.scores.mean[i] += g.scores->mean[i];
    }
  }
  totals_.n_with_references += sums.n;
  if (sums.n > 0) texts_.push_back(sums);
}

void SummaryBuilder::add(const DocumentRecord& r) {
  ++totals_.n_documents;
  if (r.status == DocumentRecord::Status::failed) {
    ++totals_.n_failed;
    if (totals_.first_failures.size() < kMostFirstFailures)
      totals_.first_failures.push_back(
          {r.file, r.line, r.offset, r.failure_reason, r.failure_text});
    return;
  }
  if (r.status == DocumentRecord::Status::unscored) {
    ++totals_.n_unscored;
    return;
  }
  for (const LayerCounters& layer : r.layers) n_attended_ += layer.n_attended;
  n_queries_ += r.layers.size() * r.n_eviction_groups * r.n_tokens;
  if (!totals_.generates) documents_.push_back({r.nll_sum, r.n_scored, r.n_words, r.n_bytes});
  totals_.n_tokens += r.n_tokens;
  totals_.n_scored += r.n_scored;
  totals_.n_words += r.n_words;
  totals_.n_bytes += r.n_bytes;
  totals_.nll_sum += r.nll_sum;
  add_texts(r.generations);
}

CorpusSummary SummaryBuilder::finish() const {
  CorpusSummary s = totals_;
  const auto nll = [](const Sums& d) { return d.nll; };
  const auto tokens = [](const Sums& d) { return d.n_scored; };
  const auto words = [](const Sums& d) { return d.n_words; };
  const auto bytes = [](const Sums& d) { return d.n_bytes; };
  const auto exponent = [](double x) { return std::exp(x); };
  s.perplexity_token = exponential(ratio(documents_, nll, tokens));
  s.perplexity_word = exponential(ratio(documents_, nll, words));
  s.bits_per_byte = in_bits(ratio(documents_, nll, bytes));
  s.perplexity_token_macro = mean_of(documents_, tokens, exponent);
  s.perplexity_word_macro = mean_of(documents_, words, exponent);
  s.bits_per_byte_macro = in_bits(mean_of(documents_, bytes, [](double x) { return x; }));
  const auto texts = [](const TextSums& d) { return d.n; };
  for (std::size_t i = 0; i < kTextScoreNames.size(); ++i) {
    s.text_best[i] = ratio(
        texts_, [i](const TextSums& d) { return d.scores.best[i]; }, texts);
    s.text_mean[i] = ratio(
        texts_, [i](const TextSums& d) { return d.scores.mean[i]; }, texts);
  }
  s.mean_attended =
      n_queries_ > 0 ? static_cast<double>(n_attended_) / static_cast<double>(n_queries_) : kNan;
  return s;
}

}  // namespace tovamill
