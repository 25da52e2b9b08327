// /documents and /tokens of a setting.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <span>

#include "kernels/types/error.h"
#include "pipeline/analysis/analysis_rows.h"
#include "pipeline/analysis/ratio_sums.h"
#include "pipeline/report/setting_parts.h"
#include "pipeline/results/document_rows.h"

namespace tovamill {
namespace {

constexpr std::uint64_t kTokensAtATime = 1u << 18;  // 1 MiB

// /tokens/nll from front to back: a read of HDF5 for each of many short documents would inflate the
// same chunk again and again.
class TokenNll {
 public:
  explicit TokenNll(const Hdf5File& file) : file_(file) {
    if (file.exists(kPath)) n_ = file.shape(kPath).at(0);
  }
  bool is_there() const { return n_.has_value(); }

  // Tokens [first, end), until the next call. Throws as Hdf5File::read where there are not so many.
  std::span<const float> read(std::uint64_t first, std::uint64_t end) {
    if (first < begin_ || end > begin_ + held_.size()) {
      const std::uint64_t wanted = std::max(end - first, kTokensAtATime);
      held_ = file_.read<float>(kPath, first, std::max(end, std::min(*n_, first + wanted)) - first);
      begin_ = first;
    }
    return std::span(held_).subspan(first - begin_, end - first);
  }

 private:
  static constexpr const char* kPath = "/tokens/nll";
  const Hdf5File& file_;
  std::optional<std::uint64_t> n_;
  std::uint64_t begin_ = 0;  // of what is held
  std::vector<float> held_;
};

// NLL by position over documents.
class PositionStatistics {
 public:
  explicit PositionStatistics(std::uint64_t chunk) : chunk_(chunk) {}

  void add(std::span<const float> nll) {
    std::vector<PositionSum> own;
    for (std::size_t i = 0; i < nll.size(); ++i) {
      if (std::isnan(nll[i])) continue;  // context only
      const std::size_t bin = bins_.index(chunk_ > 0 ? i % chunk_ : i);
      if (bin >= own.size()) own.resize(bin + 1);
      own[bin].nll += static_cast<double>(nll[i]);
      ++own[bin].n;
    }
    if (own.size() > sums_.size()) sums_.resize(own.size());
    for (std::size_t b = 0; b < own.size(); ++b)
      sums_[b].add(own[b].nll, static_cast<double>(own[b].n));
  }

  std::vector<PositionBin> finish() const {
    std::vector<PositionBin> bins;
    for (std::size_t b = 0; b < sums_.size(); ++b) {
      if (sums_[b].n_documents() == 0) continue;
      PositionBin bin{.first = bins_.first(b), .last = bins_.first(b + 1) - 1, .nll = {}};
      if (chunk_ > 0) bin.last = std::min(bin.last, chunk_ - 1);
      bin.n_tokens = static_cast<std::uint64_t>(sums_[b].n());
      bin.nll = sums_[b].estimate();
      bins.push_back(bin);
    }
    return bins;
  }

 private:
  std::uint64_t chunk_;  // 0: whole documents
  PositionBins bins_;
  std::vector<RatioSums> sums_;  // by bin
};

// Of more a picture shows nothing more.
constexpr std::size_t kMostPositionBins = 256;

// The error of two bins together is not known.
void merge_pairs(std::vector<PositionBin>& bins) {
  std::vector<PositionBin> merged;
  for (std::size_t b = 0; b + 1 < bins.size(); b += 2) {
    const PositionBin &x = bins[b], &y = bins[b + 1];
    const auto n = static_cast<double>(x.n_tokens), m = static_cast<double>(y.n_tokens);
    merged.push_back({.first = x.first,
                      .last = y.last,
                      .n_tokens = x.n_tokens + y.n_tokens,
                      .nll = {(x.nll.value * n + y.nll.value * m) / (n + m), std::nan("")}});
  }
  if (bins.size() % 2 == 1) merged.push_back(bins.back());
  bins = std::move(merged);
}

// What --nll-by-position stored.
std::vector<PositionBin> stored_positions(const Hdf5File& file) {
  std::vector<PositionBin> bins;
  each_analysis_row(file, AnalysisTable::positions, [&](const AnalysisRow& row) {
    const auto count = [&](std::size_t column) {
      return static_cast<std::uint64_t>(std::get<std::int64_t>(row[column].second));
    };
    const auto number = [&](std::size_t column) { return std::get<double>(row[column].second); };
    if (count(2) == 0) return;
    bins.push_back(
        {.first = count(0), .last = count(1), .n_tokens = count(2), .nll = {number(5), number(6)}});
  });
  while (bins.size() > kMostPositionBins) merge_pairs(bins);
  return bins;
}

std::string document_place(const DocumentRow& r) {
  return r.file + (r.line > 0     ? ":" + std::to_string(r.line)
                   : r.offset > 0 ? " at byte " + std::to_string(r.offset)
                                  : "");
}

// Keeps the kMostExtremes that `before` puts first.
template <class Before>
void keep_extreme(std::vector<ShownDocument>& kept, const ShownDocument& document, Before before) {
  if (kept.size() == kMostExtremes && !before(document.perplexity, kept.back().perplexity)) return;
  const auto at = std::find_if(kept.begin(), kept.end(), [&](const ShownDocument& k) {
    return before(document.perplexity, k.perplexity);
  });
  kept.insert(at, document);
  if (kept.size() > kMostExtremes) kept.pop_back();
}

void add_failure(const DocumentRow& row, DocumentStatistics& statistics) {
  ++statistics.failures_by_reason[row.failure_reason];
  if (statistics.first_failures.size() < kMostExtremes)
    statistics.first_failures.push_back(
        {document_place(row), row.failure_reason, row.failure_text});
}

}  // namespace

void read_documents(const Hdf5File& file, const std::string& chunk_tokens, ReportSetting& s) {
  TokenNll nll(file);
  const long long chunk = std::atoll(chunk_tokens.c_str());
  PositionStatistics positions(chunk > 0 ? static_cast<std::uint64_t>(chunk) : 0);
  const bool is_stored = has_analysis_table(file, AnalysisTable::positions);
  DocumentStatistics& statistics = s.documents;
  DocumentRows(file, nll.is_there()).each([&](const DocumentRow& row) {
    if (row.failed()) return add_failure(row, statistics);
    const double perplexity = row.perplexity_token();
    if (row.status == "scored" && !std::isnan(perplexity)) {
      statistics.perplexities.push_back(perplexity);
      const ShownDocument shown{row.id, document_place(row), row.n_scored, perplexity};
      keep_extreme(statistics.best, shown, std::less<>());
      keep_extreme(statistics.worst, shown, std::greater<>());
    }
    if (!nll.is_there() || is_stored || row.end_token == row.first_token) return;
    if (row.end_token < row.first_token)
      throw BadData("'" + s.path + "': /tokens/offsets do not ascend: the file is damaged");
    positions.add(nll.read(row.first_token, row.end_token));
  });
  std::sort(statistics.perplexities.begin(), statistics.perplexities.end());
  s.positions = stored_positions(file);
  if (s.positions.empty()) s.positions = positions.finish();
}

}  // namespace tovamill
