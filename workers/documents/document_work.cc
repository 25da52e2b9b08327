#include "workers/documents/document_work.h"

#include <filesystem>

#include "io/model/digest.h"

namespace tovamill {

std::uint64_t random_key(std::uint64_t seed, const DocumentRecord& document, std::uint64_t part) {
  Digest d;
  d.add(seed);
  d.add(std::string_view(std::filesystem::path(document.file).filename().string()));
  d.add(document.offset);
  d.add(part);
  return d.value();
}

DocumentRecord record_of(const CorpusRecord& record) {
  DocumentRecord r;
  r.id = record.id;
  r.file = record.file;
  r.line = record.line;
  r.offset = record.offset;
  r.span_begin = record.span_begin;
  r.span_end = record.span_end;
  r.n_lines = record.n_lines;
  r.n_bytes = record.text.size();
  return r;
}

DocumentRecord failed_record(const CorpusRecord& record, const std::string& reason,
                             const std::string& text, int rank) {
  DocumentRecord r = record_of(record);
  r.status = DocumentRecord::Status::failed;
  r.n_bytes = record.text.empty() ? record.n_bytes : record.text.size();
  r.failure_reason = reason;
  r.failure_text = text;
  r.rank = rank;
  return r;
}

}  // namespace tovamill
