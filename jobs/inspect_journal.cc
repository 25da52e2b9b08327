#include "io/journal.h"
#include "jobs/inspect_parts.h"
#include "kernels/error.h"
#include "pipeline/document_record.h"
#include "pipeline/journal_entries.h"

namespace tovamill {

using Json = nlohmann::ordered_json;

namespace {

// Headers and footers are JSON texts.
Json json_of(std::span<const std::byte> payload) {
  const auto* text = reinterpret_cast<const char*>(payload.data());
  return Json::parse(text, text + payload.size(), nullptr, false);
}

}  // namespace

Json inspect_journal(const std::string& path) {
  std::uint64_t n_scored = 0, n_failed = 0, n_tokens = 0, n_entries = 0, n_begun = 0;
  std::string crash;
  double nll_sum = 0.0;
  Json header, footer;
  const std::uint64_t torn_bytes =
      read_journal(path, [&](JournalEntry kind, std::span<const std::byte> payload) {
        ++n_entries;
        if (kind == JournalEntry::header) header = json_of(payload);
        if (kind == JournalEntry::footer) footer = json_of(payload);
        if (kind == JournalEntry::begun) ++n_begun;
        if (kind == JournalEntry::crash) crash = decode_crash(payload, path).text;
        if (kind != JournalEntry::document) return;
        const DocumentRecord record = decode_document(payload, path);
        ++(record.status == DocumentRecord::Status::scored ? n_scored : n_failed);
        n_tokens += record.n_tokens;
        nll_sum += record.nll_sum;
      });
  if (n_entries == 0 && torn_bytes > 0) {
    throw BadData(path +
                  " is neither a model, a results.h5 nor a journal: nothing in it can be read");
  }
  return {{"kind", "journal"},
          {"path", path},
          {"documents_scored", n_scored},
          {"documents_failed", n_failed},
          {"tokens", n_tokens},
          {"nll_sum", nll_sum},
          {"documents_begun", n_begun},
          {"crash", crash},
          {"torn_bytes", torn_bytes},
          {"header", header},
          {"footer", footer}};
}

}  // namespace tovamill
