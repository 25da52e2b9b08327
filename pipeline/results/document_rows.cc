#include "pipeline/results/document_rows.h"

#include <algorithm>

namespace tovamill {
namespace {

constexpr std::uint64_t kDocumentBatch = 4096;  // documents read at a time

}  // namespace

void DocumentRows::each(const std::function<void(const DocumentRow&)>& visit) {
  for (std::uint64_t first = 0; first < n_; first += kDocumentBatch) {
    std::vector<DocumentRow> rows = read(first, std::min(kDocumentBatch, n_ - first));
    add_failures(rows);
    for (const DocumentRow& row : rows) visit(row);
  }
}

std::vector<DocumentRow> DocumentRows::read(std::uint64_t first, std::uint64_t n) const {
  std::vector<DocumentRow> rows(n);
  const auto texts = [&](const char* name, std::string DocumentRow::*field) {
    auto values = file_.read_strings(std::string("/documents/") + name, first, n);
    for (std::uint64_t i = 0; i < n; ++i) rows[i].*field = std::move(values[i]);
  };
  const auto numbers = [&]<class T>(const char* name, T DocumentRow::*field) {
    const auto values = file_.read<T>(std::string("/documents/") + name, first, n);
    for (std::uint64_t i = 0; i < n; ++i) rows[i].*field = values[i];
  };
  texts("id", &DocumentRow::id);
  texts("file", &DocumentRow::file);
  texts("positions", &DocumentRow::positions);
  texts("status", &DocumentRow::status);
  numbers("line", &DocumentRow::line);
  numbers("offset", &DocumentRow::offset);
  numbers("n_bytes", &DocumentRow::n_bytes);
  numbers("n_words", &DocumentRow::n_words);
  numbers("n_tokens", &DocumentRow::n_tokens);
  numbers("n_scored", &DocumentRow::n_scored);
  numbers("clip_distance", &DocumentRow::clip_distance);
  numbers("nll_sum", &DocumentRow::nll_sum);
  numbers("nll_sum_sq", &DocumentRow::nll_sum_sq);
  if (tokens_) {
    const auto offsets = file_.read<std::uint64_t>("/tokens/offsets", first, n + 1);
    for (std::uint64_t i = 0; i < n; ++i)
      rows[i].first_token = offsets[i], rows[i].end_token = offsets[i + 1];
  }
  return rows;
}

void DocumentRows::add_failures(std::vector<DocumentRow>& rows) {
  const auto n = static_cast<std::uint64_t>(
      std::count_if(rows.begin(), rows.end(), [](auto& r) { return r.failed(); }));
  auto reasons = file_.read_strings("/failures/reason", n_failures_, n);
  auto texts = file_.read_strings("/failures/text", n_failures_, n);
  n_failures_ += n;
  std::size_t i = 0;
  for (DocumentRow& row : rows) {
    if (!row.failed()) continue;
    row.failure_reason = std::move(reasons[i]);
    row.failure_text = std::move(texts[i++]);
  }
}

}  // namespace tovamill
