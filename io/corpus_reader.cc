// One corpus file, record by record: a .txt is one record, a line of a .jsonl is one. A UTF-8 byte
// order mark at the file's start belongs to no record; lines that are empty or all white space
// separate records and are none.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>

#include "io/byte_stream.h"
#include "io/corpus.h"
#include "io/json_record.h"
#include "io/utf8.h"

namespace tovamill {
namespace {

constexpr std::size_t kBufferBytes = 1u << 20;
constexpr std::size_t kKeepLineBytes = 64u << 20;  // a line buffer that grew beyond is given back
constexpr std::uint64_t kLargestRecord = std::uint64_t{1} << 62;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace

struct CorpusReader::Impl {
  Impl(const CorpusFile& f, const CorpusOptions& o)
      : file(f),
        max_bytes(std::min(o.max_record_bytes, kLargestRecord)),
        name(std::filesystem::path(f.path).filename().string()),
        json(o.text_key, o.id_key),
        buffer(kBufferBytes) {
    try {
      stream = open_stream(f.path, f.compression);
      skip_byte_order_mark();
    } catch (const StreamError& e) {
      broken = e;
    }
  }

  // ---- bytes ----

  void refill() {
    position += end;
    begin = end = 0;
    if (broken || !stream) return;
    try {
      end = stream->read(buffer);
      if (end == 0) stream.reset();
    } catch (const StreamError& e) {
      broken = e;
    }
  }

  void skip_byte_order_mark() {
    while (end < kByteOrderMark.size()) {
      const std::size_t n = stream->read(std::span(buffer).subspan(end));
      if (n == 0) break;
      end += n;
    }
    if (std::string_view(buffer.data(), end).starts_with(kByteOrderMark))
      begin = kByteOrderMark.size();
  }

  std::uint64_t here() const { return position + begin; }

  // The bytes up to `stop` (or the end), of which at most max_bytes + 1 are held in `line`. Returns
  // their number, `stop` not counted; `at_stop` says whether it was there.
  std::uint64_t read_until(std::optional<char> stop, bool& at_stop) {
    line.clear();
    if (line.capacity() > kKeepLineBytes) std::string().swap(line);
    std::uint64_t n = 0;
    for (at_stop = false; !at_stop;) {
      if (begin == end) refill();
      if (begin == end) break;
      const char* from = buffer.data() + begin;
      const void* found = stop ? std::memchr(from, *stop, end - begin) : nullptr;
      const std::size_t some =
          found ? static_cast<std::size_t>(static_cast<const char*>(found) - from) : end - begin;
      const std::uint64_t room =
          max_bytes + 1 - std::min<std::uint64_t>(line.size(), max_bytes + 1);
      line.append(from, static_cast<std::size_t>(std::min<std::uint64_t>(some, room)));
      n += some;
      begin += some + (found ? 1 : 0);
      at_stop = found != nullptr;
    }
    return n;
  }

  // ---- records ----

  bool next(CorpusRecord& record) {
    if (done) return false;
    record = CorpusRecord{};
    record.file = file.path;
    return file.kind == CorpusFile::Kind::text ? next_text(record) : next_line(record);
  }

  bool next_text(CorpusRecord& record) {
    done = true;
    record.id = name;
    record.offset = here();
    bool ignored = false;
    record.n_bytes = read_until(std::nullopt, ignored);
    if (record.n_bytes > max_bytes) return fail_too_large(record);
    if (broken) return fail_broken(record);
    if (record.n_bytes == 0) return fail(record, "empty", "the document has no text");
    if (const std::size_t good = valid_utf8_prefix(line); good < line.size())
      return fail(record, "invalid-utf8",
                  "not valid UTF-8 at byte offset " + std::to_string(record.offset + good) +
                      ": convert the file to UTF-8");
    record.text = std::move(line);
    return true;
  }

  bool next_line(CorpusRecord& record) {
    for (;;) {
      record.offset = here();
      bool at_stop = false;
      record.n_bytes = read_until('\n', at_stop);
      if (!at_stop && broken) {
        done = true;
        name_line(record);
        return fail_broken(record);
      }
      if (!at_stop && record.n_bytes == 0) {
        done = true;
        return false;
      }
      name_line(record);
      if (record.n_bytes <= max_bytes + 1 && line.ends_with('\r'))
        line.pop_back(), --record.n_bytes;
      if (record.n_bytes > max_bytes) return fail_too_large(record);
      if (line.find_first_not_of(" \t\r\v\f") == std::string::npos) continue;
      return read_fields(record);
    }
  }

  void name_line(CorpusRecord& record) {
    record.line = ++n_lines;
    record.id = name;
    record.id.append(":").append(std::to_string(record.line));
  }

  bool read_fields(CorpusRecord& record) {
    JsonFields fields = json.parse(line);
    if (fields.id) record.id = std::move(*fields.id);
    if (!fields.reason.empty()) return fail(record, fields.reason, fields.explanation);
    record.text = std::move(*fields.text);
    if (record.text.empty()) return fail(record, "empty", "the text is empty");
    return true;
  }

  bool fail(CorpusRecord& record, const std::string& reason, const std::string& explanation) {
    record.text.clear();
    record.failure_reason = reason;
    record.failure_text = file.path;
    if (record.line > 0) record.failure_text.append(":").append(std::to_string(record.line));
    record.failure_text.append(": ").append(explanation);
    return true;
  }

  bool fail_too_large(CorpusRecord& record) {
    return fail(record, "too-large",
                "the record has " + std::to_string(record.n_bytes) +
                    " bytes, more than --max-record-bytes (" + std::to_string(max_bytes) + ")");
  }

  bool fail_broken(CorpusRecord& record) {
    return fail(
        record, broken->reason(),
        std::string(broken->what()) + " after byte " +
            std::to_string(record.offset + record.n_bytes) +
            (file.compression == CorpusFile::Compression::none ? "" : " of the decompressed file") +
            ": the records before are used, the rest is lost; mend the file");
  }

  CorpusFile file;
  std::uint64_t max_bytes;
  std::string name;
  JsonRecordParser json;
  std::unique_ptr<ByteStream> stream;  // null at the end of the file
  std::optional<StreamError> broken;
  std::vector<char> buffer;
  std::size_t begin = 0, end = 0;  // of the unread bytes in `buffer`
  std::uint64_t position = 0;      // of buffer[0] in the file
  std::string line;
  std::uint64_t n_lines = 0;
  bool done = false;
};

CorpusReader::CorpusReader(const CorpusFile& file, const CorpusOptions& options)
    : impl_(std::make_unique<Impl>(file, options)) {}
CorpusReader::~CorpusReader() = default;
CorpusReader::CorpusReader(CorpusReader&&) noexcept = default;
CorpusReader& CorpusReader::operator=(CorpusReader&&) noexcept = default;

bool CorpusReader::next(CorpusRecord& record) { return impl_->next(record); }

}  // namespace tovamill
