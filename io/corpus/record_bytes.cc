#include "io/corpus/record_bytes.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "kernels/types/format.h"

namespace tovamill {
namespace {

constexpr std::size_t kKeepRecordBytes = 64u << 20;  // a buffer that grew beyond is given back
constexpr std::uint64_t kLargestRecord = std::uint64_t{1} << 62;
constexpr std::string_view kBlanks = " \t\r\v\f";

}  // namespace

RecordBytes::RecordBytes(const CorpusFile& file, const CorpusOptions& options)
    : window_(file),
      max_bytes_(std::min(options.max_record_bytes, kLargestRecord)),
      is_compressed_(file.format.is_compressed()) {}

RecordBytes::Stretch RecordBytes::read_until(std::optional<char> stop, Keep keep) {
  text_.clear();
  if (text_.capacity() > kKeepRecordBytes) std::string().swap(text_);
  Stretch stretch;
  while (!stretch.ended) {
    const std::string_view bytes = window_.bytes();
    if (bytes.empty()) break;
    const void* found = stop ? std::memchr(bytes.data(), *stop, bytes.size()) : nullptr;
    stretch.ended = found != nullptr;
    const std::string_view some = bytes.substr(
        0, found ? static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data())
                 : bytes.size());
    const std::uint64_t room =
        max_bytes_ + 1 - std::min<std::uint64_t>(text_.size(), max_bytes_ + 1);
    if (keep == Keep::bytes)
      text_.append(some.substr(0, std::min<std::uint64_t>(some.size(), room)));
    stretch.n_bytes += some.size();
    stretch.blank = stretch.blank && some.find_first_not_of(kBlanks) == std::string_view::npos;
    if (!some.empty()) stretch.last = some.back();
    window_.consume(some.size() + (found ? 1 : 0));
  }
  return stretch;
}

void fail_record(CorpusRecord& record, const std::string& reason, const std::string& explanation) {
  record.text.clear();
  record.failure_reason = reason;
  record.failure_text = explanation;
}

void RecordBytes::fail_too_large(CorpusRecord& record) const {
  fail_record(record, "too-large",
              "the record has " + with_thousands(record.n_bytes) +
                  " bytes, more than --max-record-bytes (" + with_thousands(max_bytes_) + ")");
}

void RecordBytes::fail_broken(CorpusRecord& record) const {
  fail_record(record, window_.broken()->reason(),
              std::string(window_.broken()->what()) + " after byte " +
                  std::to_string(record.offset + record.n_bytes) +
                  (is_compressed_ ? " of the decompressed file" : "") +
                  ": the records before are used, the rest is lost; mend the file");
}

}  // namespace tovamill
