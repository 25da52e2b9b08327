#include "io/corpus/corpus_format.h"

#include <algorithm>
#include <array>
#include <memory>

#include "io/compression/byte_stream.h"
#include "io/corpus/corpus.h"
#include "io/corpus/json_lines_reader.h"
#include "io/corpus/record_reader.h"
#include "io/corpus/text_reader.h"

namespace tovamill {
namespace {

using Kind = CorpusFormat::Kind;
using Compression = CorpusFormat::Compression;

constexpr std::uint8_t kByteOrderMarkBytes = 3;

// What holds of a kind of records.
struct RecordFormat {
  std::string_view ending;
  Kind kind;
  Division division;  // of a file that is not compressed
  bool is_one_record, has_lines;
  std::unique_ptr<RecordReader> (*open)(const CorpusFile&, const CorpusOptions&, CorpusRange);
  FileExtent (*extent)(const CorpusFile&);
};

// What holds of a compression.
struct Packing {
  std::string_view ending;
  Compression compression;
  std::uint64_t inflation;  // of usual texts when decompressed
  std::unique_ptr<ByteStream> (*open)(const std::string& path);
};

FileExtent extent_in_bytes(const CorpusFile& file);

// The one table of endings: a kind of records, and behind it perhaps a compression.
constexpr std::array<RecordFormat, 3> kRecordFormats{
    {{".txt", Kind::text, Division::whole, true, false, open_text, extent_in_bytes},
     {".jsonl", Kind::jsonl, Division::bytes, false, true, open_json_lines, extent_in_bytes},
     {".ndjson", Kind::jsonl, Division::bytes, false, true, open_json_lines, extent_in_bytes}}};
constexpr std::array<Packing, 5> kPackings{{{"", Compression::none, 1, open_plain_stream},
                                            {".gz", Compression::gzip, 3, open_gzip_stream},
                                            {".zst", Compression::zstd, 3, open_zstd_stream},
                                            {".xz", Compression::xz, 4, open_xz_stream},
                                            {".bz2", Compression::bzip2, 4, open_bzip2_stream}}};

const RecordFormat& record_format(const CorpusFormat& format) {
  return *std::find_if(kRecordFormats.begin(), kRecordFormats.end(),
                       [&](const RecordFormat& f) { return f.kind == format.kind; });
}

const Packing& packing(const CorpusFormat& format) {
  return *std::find_if(kPackings.begin(), kPackings.end(),
                       [&](const Packing& p) { return p.compression == format.compression; });
}

FileExtent extent_in_bytes(const CorpusFile& file) {
  const std::uint64_t n_bytes = file.n_bytes * packing(file.format).inflation;
  return {.n_places = n_bytes,
          .n_text_bytes = n_bytes,
          .cut_every = file.format.division() == Division::whole ? 0u : 1u,
          .is_exact = !file.format.is_compressed(),
          .latest_first_place = kByteOrderMarkBytes};
}

}  // namespace

std::string CorpusFormat::name() const {
  return std::string(record_format(*this).ending) + std::string(packing(*this).ending);
}
bool CorpusFormat::is_one_record() const { return record_format(*this).is_one_record; }
bool CorpusFormat::has_lines() const { return record_format(*this).has_lines; }
bool CorpusFormat::is_compressed() const { return compression != Compression::none; }
Division CorpusFormat::division() const {
  return is_compressed() ? Division::whole : record_format(*this).division;
}

std::optional<CorpusFormat> format_of(const std::filesystem::path& path) {
  std::string name = path.filename().string();
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (const Packing& p : kPackings) {
    if (!name.ends_with(p.ending)) continue;
    const std::string_view rest = std::string_view(name).substr(0, name.size() - p.ending.size());
    for (const RecordFormat& f : kRecordFormats) {
      if (rest.ends_with(f.ending)) return CorpusFormat{f.kind, p.compression};
    }
  }
  return std::nullopt;
}

FileExtent extent_of(const CorpusFile& file) { return record_format(file.format).extent(file); }

std::unique_ptr<RecordReader> open_records(const CorpusFile& file, const CorpusOptions& options,
                                           CorpusRange range) {
  return record_format(file.format).open(file, options, range);
}

std::unique_ptr<ByteStream> open_stream(const CorpusFile& file) {
  return packing(file.format).open(file.path);
}

std::string record_endings(std::string_view between) {
  std::string text;
  for (const RecordFormat& f : kRecordFormats) {
    if (!text.empty()) text += between;
    text += f.ending;
  }
  return text;
}

std::string known_endings() {
  std::string text = record_endings(" or ") + ", also as ";
  for (const Packing& p : kPackings) {
    if (p.compression == Compression::none) continue;
    if (!text.ends_with(' ')) text += " or ";
    text += p.ending;
  }
  return text;
}

bool is_compression_ending(std::string_view ending) {
  return !ending.empty() && std::any_of(kPackings.begin(), kPackings.end(),
                                        [&](const Packing& p) { return p.ending == ending; });
}

}  // namespace tovamill
