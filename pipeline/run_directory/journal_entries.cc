#include "pipeline/run_directory/journal_entries.h"

#include "io/files/little_endian.h"

namespace tovamill {

std::vector<std::byte> encode(const SpanEntry& entry) {
  ByteWriter out;
  out.text(entry.file);
  for (const std::uint64_t n : {entry.begin, entry.end, entry.n_lines}) out.varint(n);
  return out.take();
}

std::vector<std::byte> encode(const BegunEntry& entry) {
  ByteWriter out;
  out.text(entry.file);
  out.varint(entry.offset);
  return out.take();
}

std::vector<std::byte> encode(const CrashEntry& entry) {
  ByteWriter out;
  out.text(entry.text);
  return out.take();
}

SpanEntry decode_span(std::span<const std::byte> bytes, const std::string& where) {
  ByteReader in(bytes, where);
  SpanEntry entry{.file = in.text()};
  for (std::uint64_t* n : {&entry.begin, &entry.end, &entry.n_lines}) *n = in.varint();
  if (entry.begin > entry.end) in.fail("a span ends before it begins");
  in.expect_end();
  return entry;
}

BegunEntry decode_begun(std::span<const std::byte> bytes, const std::string& where) {
  ByteReader in(bytes, where);
  BegunEntry entry{.file = in.text()};
  entry.offset = in.varint();
  in.expect_end();
  return entry;
}

CrashEntry decode_crash(std::span<const std::byte> bytes, const std::string& where) {
  ByteReader in(bytes, where);
  CrashEntry entry{.text = in.text()};
  in.expect_end();
  return entry;
}

}  // namespace tovamill
