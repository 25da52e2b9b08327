// One corpus file, record by record: a .txt is one record, a line of a .jsonl is one. A UTF-8 byte
// order mark at the file's start belongs to no record; lines that are empty or all white space
// separate records and are none.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>

#include "io/corpus/corpus.h"
#include "io/corpus/file_window.h"
#include "io/corpus/json_record.h"
#include "io/corpus/questions.h"
#include "io/files/utf8.h"
#include "kernels/types/format.h"

namespace tovamill {
namespace {

constexpr std::size_t kKeepLineBytes = 64u << 20;  // a line buffer that grew beyond is given back
constexpr std::uint64_t kLargestRecord = std::uint64_t{1} << 62;
constexpr std::string_view kBlanks = " \t\r\v\f";

}  // namespace

struct CorpusReader::Impl {
  enum class Want : std::uint8_t { fields, span };

  Impl(const CorpusFile& f, const CorpusOptions& o, CorpusRange r)
      : file(f),
        max_bytes(std::min(o.max_record_bytes, kLargestRecord)),
        name(std::filesystem::path(f.path).filename().string()),
        options(o),
        json(o),
        window(f),
        range(r) {
    if (range.begin == 0) window.skip_byte_order_mark();
    start();
  }

  // ---- lines ----

  struct Line {
    std::uint64_t n_bytes = 0;  // the newline not counted
    bool ended = false;         // by a newline
    bool blank = true;
    char last = 0;  // byte
  };

  // The bytes up to `stop` (or the end of the file), of which at most max_bytes + 1 are held in
  // `text`; with Want::span none are.
  Line read_until(std::optional<char> stop, Want want) {
    text.clear();
    if (text.capacity() > kKeepLineBytes) std::string().swap(text);
    Line line;
    while (!line.ended) {
      const std::string_view bytes = window.bytes();
      if (bytes.empty()) break;
      const void* found = stop ? std::memchr(bytes.data(), *stop, bytes.size()) : nullptr;
      line.ended = found != nullptr;
      const std::string_view some = bytes.substr(
          0, found ? static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data())
                   : bytes.size());
      const std::uint64_t room =
          max_bytes + 1 - std::min<std::uint64_t>(text.size(), max_bytes + 1);
      if (want == Want::fields)
        text.append(some.substr(0, std::min<std::uint64_t>(some.size(), room)));
      line.n_bytes += some.size();
      line.blank = line.blank && some.find_first_not_of(kBlanks) == std::string_view::npos;
      if (!some.empty()) line.last = some.back();
      window.consume(some.size() + (found ? 1 : 0));
    }
    return line;
  }

  // Goes behind the first newline at or behind range.begin - 1; not further than where that line
  // would start behind the range.
  void find_first_line() {
    const std::uint64_t last = std::max(range.begin, range.end) - 1;
    window.go_to(range.begin - 1);
    at_line_start = false;
    while (!at_line_start && window.here() < last) {
      std::string_view bytes = window.bytes();
      if (bytes.empty()) break;
      bytes = bytes.substr(0, std::min<std::uint64_t>(bytes.size(), last - window.here()));
      const std::size_t newline = bytes.find('\n');
      at_line_start = newline != std::string_view::npos;
      window.consume(at_line_start ? newline + 1 : bytes.size());
    }
    line_start = window.here();
  }

  // ---- the range ----

  void start() {
    done = false;
    n_lines = n_span_lines = 0;
    if (file.kind == CorpusFile::Kind::text) {
      done = range.begin > 0 || range.end == 0;
      rest = {range.begin, range.begin, 0};
      return;
    }
    if (range.begin > line_start || !at_line_start) find_first_line();
    span_begin = std::max(line_start, range.begin);
    if (at_line_start || (window.broken() && range.begin < range.end)) return;
    const bool ended = window.here() < range.end && window.bytes().empty() && !window.broken();
    finish(ended && range.begin < range.end ? kToTheEnd : span_begin);
  }

  bool continue_with(CorpusRange next) {
    if (window.broken()) return false;
    if (file.kind == CorpusFile::Kind::text) {
      if (next.begin == 0 && window.here() > 0) return false;
    } else if (next.begin < line_start || (next.begin == line_start && !at_line_start)) {
      return false;
    }
    range = next;
    start();
    return true;
  }

  bool finish(std::uint64_t end) {
    done = true;
    rest = {span_begin, end, n_span_lines};
    return false;
  }

  // ---- records ----

  bool next(CorpusRecord& record, Want want) {
    if (done) return false;
    record = CorpusRecord{};
    record.file = file.path;
    return file.kind == CorpusFile::Kind::text ? next_text(record, want) : next_line(record, want);
  }

  bool next_text(CorpusRecord& record, Want want) {
    done = true;
    rest = {kToTheEnd, kToTheEnd, 0};
    record.id = name;
    record.offset = window.here();
    record.span_end = kToTheEnd;
    if (want == Want::span) return true;
    record.n_bytes = read_until(std::nullopt, want).n_bytes;
    if (record.n_bytes > max_bytes) return fail_too_large(record);
    if (window.broken()) return fail_broken(record);
    if (record.n_bytes == 0) return fail(record, "empty", "the document has no text");
    if (const std::size_t good = valid_utf8_prefix(text); good < text.size())
      return fail(record, "invalid-utf8",
                  "not valid UTF-8 at byte offset " + std::to_string(record.offset + good) +
                      ": convert the file to UTF-8");
    record.text = std::move(text);
    return true;
  }

  bool next_line(CorpusRecord& record, Want want) {
    for (;;) {
      if (line_start >= range.end) return finish(line_start);
      record.offset = std::max(window.here(), range.begin);
      const Line line = read_until('\n', want);
      record.n_bytes = line.n_bytes;
      const bool broken = !line.ended && window.broken();
      if (!line.ended && !broken && line.n_bytes == 0) return finish(kToTheEnd);
      line_start = window.here();
      at_line_start = line.ended;
      ++n_lines;
      ++n_span_lines;
      if (record.n_bytes <= max_bytes + 1 && line.last == '\r' && !broken) {
        --record.n_bytes;
        if (!text.empty()) text.pop_back();
      }
      if (!broken && record.n_bytes <= max_bytes && line.blank) continue;
      name_line(record, broken);
      if (broken) return fail_broken(record);
      if (record.n_bytes > max_bytes) return fail_too_large(record);
      return want == Want::span || read_fields(record);
    }
  }

  void name_line(CorpusRecord& record, bool broken) {
    record.span_begin = span_begin;
    record.span_end = broken ? kToTheEnd : line_start;
    record.n_lines = n_span_lines;
    span_begin = record.span_end;
    n_span_lines = 0;
    if (broken) finish(kToTheEnd);
    if (range.begin > 0) return;
    record.line = n_lines;
    record.id = name;
    record.id.append(":").append(std::to_string(record.line));
  }

  bool read_fields(CorpusRecord& record) {
    JsonFields fields = json.parse(text);
    if (fields.id && !fields.id->empty()) record.id = std::move(*fields.id);
    if (!fields.reason.empty()) return fail(record, fields.reason, fields.explanation);
    if (!options.only_references) record.text = std::move(*fields.text);
    if (record.text.empty() && !options.only_references)
      return fail(record, "empty", "the text is empty");
    if (!read_questions(fields.questions, fields.references, options, record)) record.text.clear();
    return true;
  }

  bool fail(CorpusRecord& record, const std::string& reason, const std::string& explanation) {
    record.text.clear();
    record.failure_reason = reason;
    record.failure_text = explanation;
    return true;
  }

  bool fail_too_large(CorpusRecord& record) {
    return fail(record, "too-large",
                "the record has " + with_thousands(record.n_bytes) +
                    " bytes, more than --max-record-bytes (" + with_thousands(max_bytes) + ")");
  }

  bool fail_broken(CorpusRecord& record) {
    return fail(
        record, window.broken()->reason(),
        std::string(window.broken()->what()) + " after byte " +
            std::to_string(record.offset + record.n_bytes) +
            (file.compression == CorpusFile::Compression::none ? "" : " of the decompressed file") +
            ": the records before are used, the rest is lost; mend the file");
  }

  CorpusFile file;
  std::uint64_t max_bytes;
  std::string name;
  CorpusOptions options;
  JsonRecordParser json;
  FileWindow window;
  CorpusRange range;
  std::string text;                // of the current record
  std::uint64_t line_start = 0;    // of the next line (0 also where a byte order mark is in front)
  bool at_line_start = true;       // whether a line can start there
  std::uint64_t n_lines = 0;       // of the range, so far
  std::uint64_t span_begin = 0;    // what the next record accounts for begins here ...
  std::uint64_t n_span_lines = 0;  // ... and holds so many lines already
  bool done = false;
  CorpusSpan rest;
};

CorpusReader::CorpusReader(const CorpusFile& file, const CorpusOptions& options, CorpusRange range)
    : impl_(std::make_unique<Impl>(file, options, range)) {}
CorpusReader::~CorpusReader() = default;
CorpusReader::CorpusReader(CorpusReader&&) noexcept = default;
CorpusReader& CorpusReader::operator=(CorpusReader&&) noexcept = default;

bool CorpusReader::next(CorpusRecord& record) { return impl_->next(record, Impl::Want::fields); }

bool CorpusReader::pass(CorpusSpan& span) {
  CorpusRecord record;
  const bool found = impl_->next(record, Impl::Want::span);
  if (found) span = {record.span_begin, record.span_end, record.n_lines};
  return found;
}

CorpusSpan CorpusReader::rest() const { return impl_->rest; }
bool CorpusReader::continue_with(CorpusRange range) { return impl_->continue_with(range); }

}  // namespace tovamill
