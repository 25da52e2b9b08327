#include "io/corpus/json_lines_reader.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "io/corpus/json_record.h"
#include "io/corpus/questions.h"
#include "io/corpus/record_bytes.h"

namespace tovamill {
namespace {

class JsonLinesReader : public RecordReader {
 public:
  JsonLinesReader(const CorpusFile& file, const CorpusOptions& options, CorpusRange range)
      : path_(file.path),
        name_(std::filesystem::path(file.path).filename().string()),
        options_(options),
        json_(options),
        bytes_(file, options),
        range_(range) {
    if (range_.begin == 0) window().skip_byte_order_mark();
    start();
  }

  bool next(CorpusRecord& record) override {
    if (!next_line(record, RecordBytes::Keep::bytes)) return false;
    if (record.ok()) read_fields(record);
    return true;
  }

  bool skip(CorpusSpan& span) override {
    CorpusRecord record;
    const bool found = next_line(record, RecordBytes::Keep::nothing);
    if (found) span = {record.span_begin, record.span_end, record.n_lines};
    return found;
  }

  CorpusSpan rest() const override { return rest_; }

  bool continue_with(CorpusRange range) override {
    if (window().broken()) return false;
    if (range.begin < line_start_ || (range.begin == line_start_ && !at_line_start_)) return false;
    range_ = range;
    start();
    return true;
  }

  std::uint64_t n_bytes_read() const override { return std::max(at_, range_.begin) - range_.begin; }

 private:
  FileWindow& window() { return bytes_.window(); }
  const FileWindow& window() const { return bytes_.window(); }

  // ---- the range ----

  void start() {
    done_ = false;
    n_lines_ = n_span_lines_ = 0;
    at_ = range_.begin;
    if (range_.begin > line_start_ || !at_line_start_) find_first_line();
    span_begin_ = std::max(line_start_, range_.begin);
    if (at_line_start_ || (window().broken() && range_.begin < range_.end)) return;
    const bool ended =
        window().here() < range_.end && window().bytes().empty() && !window().broken();
    finish(ended && range_.begin < range_.end ? kToTheEnd : span_begin_);
  }

  // Moves behind the first newline at or behind range.begin - 1, but not beyond the end of the
  // range.
  void find_first_line() {
    const std::uint64_t last = std::max(range_.begin, range_.end) - 1;
    window().go_to(range_.begin - 1);
    at_line_start_ = false;
    while (!at_line_start_ && window().here() < last) {
      std::string_view bytes = window().bytes();
      if (bytes.empty()) break;
      bytes = bytes.substr(0, std::min<std::uint64_t>(bytes.size(), last - window().here()));
      const std::size_t newline = bytes.find('\n');
      at_line_start_ = newline != std::string_view::npos;
      window().consume(at_line_start_ ? newline + 1 : bytes.size());
    }
    line_start_ = window().here();
  }

  bool finish(std::uint64_t end) {
    done_ = true;
    rest_ = {span_begin_, std::max(end, span_begin_), n_span_lines_};
    return false;
  }

  // ---- records ----

  // The next line that is not blank: its place and its span. A line that is too long, or in which
  // the file breaks off, is a failed record already.
  bool next_line(CorpusRecord& record, RecordBytes::Keep keep) {
    if (done_) return false;
    record = CorpusRecord{};
    record.file = path_;
    for (;;) {
      if (line_start_ >= range_.end) return finish(line_start_);
      record.offset = std::max(window().here(), range_.begin);
      const RecordBytes::Stretch line = bytes_.read_until('\n', keep);
      record.n_bytes = line.n_bytes;
      const bool broken = !line.ended && window().broken();
      if (!line.ended && !broken && line.n_bytes == 0) return finish(kToTheEnd);
      at_line_start_ = line.ended;
      // A last line without a newline accounts for it, too: the line is the same once it has one.
      line_start_ = window().here() + (line.ended || broken ? 0 : 1);
      ++n_lines_;
      ++n_span_lines_;
      if (line.last == '\r' && !broken && !bytes_.is_too_large(record.n_bytes - 1)) {
        --record.n_bytes;
        if (!bytes_.text().empty()) bytes_.text().pop_back();
      }
      if (!broken && !bytes_.is_too_large(record.n_bytes) && line.blank) continue;
      name_line(record, broken);
      if (broken) {
        bytes_.fail_broken(record);
      } else if (bytes_.is_too_large(record.n_bytes)) {
        bytes_.fail_too_large(record);
      }
      at_ = std::max(at_, record.offset + record.n_bytes);
      return true;
    }
  }

  void name_line(CorpusRecord& record, bool broken) {
    record.span_begin = span_begin_;
    record.span_end = broken ? kToTheEnd : line_start_;
    record.n_lines = n_span_lines_;
    span_begin_ = record.span_end;
    n_span_lines_ = 0;
    if (broken) finish(kToTheEnd);
    if (range_.begin > 0) return;
    record.line = n_lines_;
    record.id = name_ + ":" + std::to_string(record.line);
  }

  void read_fields(CorpusRecord& record) {
    JsonFields fields = json_.parse(bytes_.text());
    if (fields.id && !fields.id->empty()) record.id = std::move(*fields.id);
    if (!fields.reason.empty()) return fail_record(record, fields.reason, fields.explanation);
    if (!options_.only_references) record.text = std::move(*fields.text);
    if (record.text.empty() && !options_.only_references)
      return fail_record(record, "empty", "the text is empty");
    if (!read_questions(fields.questions, fields.references, options_, record)) record.text.clear();
  }

  std::string path_, name_;
  CorpusOptions options_;
  JsonRecordParser json_;
  RecordBytes bytes_;
  CorpusRange range_;
  std::uint64_t line_start_ = 0;    // of the next line (0 also behind a byte order mark)
  bool at_line_start_ = true;       // whether a line can start there
  std::uint64_t n_lines_ = 0;       // of the range, so far
  std::uint64_t span_begin_ = 0;    // what the next record accounts for begins here ...
  std::uint64_t n_span_lines_ = 0;  // ... and holds so many lines already
  std::uint64_t at_ = 0;            // place behind the latest record
  bool done_ = false;
  CorpusSpan rest_;
};

}  // namespace

std::unique_ptr<RecordReader> open_json_lines(const CorpusFile& file, const CorpusOptions& options,
                                              CorpusRange range) {
  return std::make_unique<JsonLinesReader>(file, options, range);
}

}  // namespace tovamill
