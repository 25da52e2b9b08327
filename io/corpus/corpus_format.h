// The formats of corpus files. A file's name says its format; everybody else asks what holds of a
// format, never which one it is. A new format is a file with its reader, an enumerator, and a line
// of the table in corpus_format.cc.
#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "io/compression/byte_stream.h"
#include "io/corpus/file_extent.h"

namespace tovamill {

struct CorpusFile;

// How several readers can share a file.
enum class Division : std::uint8_t {
  whole,      // not at all: one reads it from its start
  bytes,      // at any byte
  row_groups  // at any row, best where a group of rows begins
};

// Values of the enumerators travel in leases.
struct CorpusFormat {
  enum class Kind : std::uint8_t { text, jsonl } kind = Kind::text;
  enum class Compression : std::uint8_t {
    none,
    gzip,
    zstd,
    xz,
    bzip2
  } compression = Compression::none;
  static constexpr Kind kLastKind = Kind::jsonl;
  static constexpr Compression kLastCompression = Compression::bzip2;

  auto operator<=>(const CorpusFormat&) const = default;

  std::string name() const;    // its usual ending: ".jsonl.gz"
  bool is_one_record() const;  // a file is one document
  bool has_lines() const;      // a record is a line and has its number
  bool is_compressed() const;  // as a whole: a place is found by reading all before it
  Division division() const;
};

// By the name alone, in any case; nothing where its ending is none of a corpus.
std::optional<CorpusFormat> format_of(const std::filesystem::path& path);

// How far a file reaches. May read its head or foot where the format keeps that there.
FileExtent extent_of(const CorpusFile& file);

// Its bytes, decompressed. Throws StreamError.
std::unique_ptr<ByteStream> open_stream(const CorpusFile& file);

// ".txt or .jsonl or .ndjson, also as .gz or .zst"
std::string known_endings();
// The endings of kinds of records, between them `between`: ".txt nor .jsonl"
std::string record_endings(std::string_view between);
bool is_compression_ending(std::string_view ending);  // ".gz", in lower case

}  // namespace tovamill
