#include "io/corpus/text_reader.h"

#include <algorithm>
#include <filesystem>
#include <string>

#include "io/corpus/record_bytes.h"
#include "io/files/utf8.h"
#include "kernels/types/format.h"

namespace tovamill {
namespace {

// Of control characters that texts do not have. UTF-16 of ASCII, Greek or Cyrillic without a byte
// order mark is valid UTF-8 of which every second byte is one.
constexpr std::uint64_t kControlShare = 4;  // one byte in so many

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x08 || (byte > 0x0d && byte < 0x1b);
}

class TextReader : public RecordReader {
 public:
  TextReader(const CorpusFile& file, const CorpusOptions& options, CorpusRange range)
      : path_(file.path), bytes_(file, options), range_(range) {
    if (range_.begin == 0) bytes_.window().skip_byte_order_mark();
    start();
  }

  bool next(CorpusRecord& record) override {
    if (!begin_record(record)) return false;
    record.n_bytes = bytes_.read_until(std::nullopt, RecordBytes::Keep::bytes).n_bytes;
    at_ = record.offset + record.n_bytes;
    if (bytes_.is_too_large(record.n_bytes)) {
      bytes_.fail_too_large(record);
    } else if (bytes_.window().broken()) {
      bytes_.fail_broken(record);
    } else {
      take_text(record);
    }
    return true;
  }

  bool skip(CorpusSpan& span) override {
    CorpusRecord record;
    const bool found = begin_record(record);
    if (found) span = {record.span_begin, record.span_end, record.n_lines};
    return found;
  }

  CorpusSpan rest() const override { return rest_; }

  bool continue_with(CorpusRange range) override {
    if (bytes_.window().broken()) return false;
    if (range.begin == 0 && bytes_.window().here() > 0) return false;
    range_ = range;
    start();
    return true;
  }

  std::uint64_t n_bytes_read() const override { return std::max(at_, range_.begin) - range_.begin; }

 private:
  void start() {
    done_ = range_.begin > 0 || range_.end == 0;
    rest_ = {range_.begin, range_.begin, 0};
    at_ = range_.begin;
  }

  bool begin_record(CorpusRecord& record) {
    if (done_) return false;
    done_ = true;
    rest_ = {kToTheEnd, kToTheEnd, 0};
    record = CorpusRecord{};
    record.file = path_;
    record.id = std::filesystem::path(path_).filename().string();
    record.offset = bytes_.window().here();
    record.span_end = kToTheEnd;
    return true;
  }

  void take_text(CorpusRecord& record) {
    std::string& text = bytes_.text();
    if (text.empty()) return fail_record(record, "empty", "the document has no text");
    if (const std::size_t good = valid_utf8_prefix(text); good < text.size())
      return fail_record(record, "invalid-utf8",
                         "not valid UTF-8 at byte offset " + std::to_string(record.offset + good) +
                             ": convert the file to UTF-8");
    const auto n_control =
        static_cast<std::uint64_t>(std::count_if(text.begin(), text.end(), is_control));
    if (n_control * kControlShare >= text.size())
      return fail_record(record, "invalid-utf8",
                         with_thousands(n_control) + " of its " + counted(text.size(), "byte") +
                             " are control characters, as in UTF-16 or in a binary file: convert "
                             "the file to UTF-8");
    record.text = std::move(text);
  }

  std::string path_;
  RecordBytes bytes_;
  CorpusRange range_;
  std::uint64_t at_ = 0;  // place behind the record
  bool done_ = false;
  CorpusSpan rest_;
};

}  // namespace

std::unique_ptr<RecordReader> open_text(const CorpusFile& file, const CorpusOptions& options,
                                        CorpusRange range) {
  return std::make_unique<TextReader>(file, options, range);
}

}  // namespace tovamill
