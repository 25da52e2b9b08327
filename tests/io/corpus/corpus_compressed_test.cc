// Compressed corpus files: equal to plain ones, and what is broken in them.
#include <gtest/gtest.h>
#include <lzma.h>
#include <sys/resource.h>

#include "io/corpus/record_reader.h"
#include "tests/support/compress.h"
#include "tests/support/corpus_records.h"
#include "tests/support/row_step.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::bzip2;
using testing::gzip;
using testing::read_bytes;
using testing::xz;
using testing::zstd;

std::string numbered_lines(int n) {
  std::string lines;
  for (int i = 0; i < n; ++i) {
    lines += "{\"text\":\"number " + std::to_string(i * 7919 % 10007);
    lines += " of the lines\"}\n";
  }
  return lines;
}

struct Codec {
  const char* ending;
  std::string (*compress)(const std::string&);
};
const std::vector<Codec> kCodecs{{".gz", gzip}, {".zst", zstd}, {".xz", xz}, {".bz2", bzip2}};

TEST(CorpusCompressed, EqualsPlain) {
  const std::string lines = numbered_lines(20000);
  const auto plain = read_bytes("x.jsonl", lines);
  for (const Codec& c : kCodecs) {
    // One member, several, an empty one among them.
    const std::string half = lines.substr(0, lines.size() / 2),
                      rest = lines.substr(lines.size() / 2);
    for (const std::string& bytes :
         {c.compress(lines), c.compress(half) + c.compress("") + c.compress(rest)}) {
      const auto r = read_bytes(std::string("x.jsonl") + c.ending, bytes);
      ASSERT_EQ(r.size(), plain.size());
      for (std::size_t i = 0; i < r.size(); ++i) {
        ASSERT_EQ(r[i].text, plain[i].text);
        ASSERT_EQ(r[i].offset, plain[i].offset);
      }
    }
  }
}

TEST(CorpusCompressed, CutAnywhereGivesTheRecordsBeforeAndOneFailure) {
  const std::string lines = numbered_lines(3000);
  const auto plain = read_bytes("x.jsonl", lines);
  for (const Codec& c : kCodecs) {
    const std::string whole = c.compress(lines);
    const std::size_t step = whole.size() / (97 / testing::row_step(8));
    std::vector<std::size_t> cuts{
        0, 1, 2, 9, 10, 11, whole.size() - 9, whole.size() - 4, whole.size() - 1};
    for (std::size_t cut = 12; cut < whole.size() - 9; cut += step) cuts.push_back(cut);
    for (const std::size_t cut : cuts) {
      const auto r = read_bytes(std::string("x.jsonl") + c.ending, whole.substr(0, cut));
      ASSERT_GE(r.size(), 1u);
      EXPECT_EQ(r.back().failure_reason, "truncated") << c.ending << cut;
      for (std::size_t i = 0; i + 1 < r.size(); ++i) {
        ASSERT_EQ(r[i].text, plain[i].text);
        ASSERT_EQ(r[i].offset, plain[i].offset);
      }
      EXPECT_EQ(r.back().offset,
                r.size() <= plain.size() ? plain[r.size() - 1].offset : lines.size());
    }
    const auto text =
        read_bytes(std::string("x.txt") + c.ending, whole.substr(0, whole.size() / 2));
    ASSERT_EQ(text.size(), 1u);
    EXPECT_EQ(text[0].failure_reason, "truncated");
  }
}

TEST(CorpusCompressed, DamagedAnywhereEndsInOneFailure) {
  const std::string lines = numbered_lines(3000);
  const auto plain = read_bytes("x.jsonl", lines);
  for (const Codec& c : kCodecs) {
    const std::string whole = c.compress(lines);
    for (std::size_t at = 0; at < whole.size(); at += whole.size() / (61 / testing::row_step(8))) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ 0x55);
      // Whatever the damage does, reading ends, and no checksum lets it pass: zstd has none here.
      const auto r = read_bytes(std::string("x.jsonl") + c.ending, bytes);
      ASSERT_GE(r.size(), 1u);
      const bool harmless = c.compress == gzip && (at == 4 || at == 8 || at == 9);  // time, system
      if (c.compress != zstd && !harmless) {
        EXPECT_FALSE(r.back().ok()) << at;
      }
    }
  }
}

TEST(CorpusCompressed, NoticesWhatFollows) {
  const std::string line = "{\"text\":\"a\"}\n";
  struct Case {
    std::string bytes;
    const char* name;
    std::size_t n_records;
    const char* last;
  };
  for (const Case& c :
       std::vector<Case>{{gzip(line) + "garbage", "x.jsonl.gz", 2, "unreadable"},
                         {gzip(line) + std::string(1000, '\0'), "x.jsonl.gz", 1, ""},
                         {gzip(line) + std::string(3, '\0') + "g", "x.jsonl.gz", 2, "unreadable"},
                         {gzip(line) + "\x1f\x8b", "x.jsonl.gz", 2, "truncated"},
                         {zstd(line) + "garbage", "x.jsonl.zst", 2, "unreadable"},
                         {"not gzip at all", "x.jsonl.gz", 1, "unreadable"},
                         {"not zstd at all", "x.jsonl.zst", 1, "unreadable"},
                         {xz(line) + "garbage, garbage", "x.jsonl.xz", 2, "unreadable"},
                         {xz(line) + std::string(8, '\0') + xz(line), "x.jsonl.xz", 2, ""},
                         {xz(line) + std::string(3, '\0'), "x.jsonl.xz", 2, "unreadable"},
                         {xz(line) + std::string("\xfd\x37z", 3), "x.jsonl.xz", 2, "truncated"},
                         {"not xz at all", "x.jsonl.xz", 1, "unreadable"},
                         {xz(""), "x.jsonl.xz", 0, ""},
                         {bzip2(line) + "garbage", "x.jsonl.bz2", 2, "unreadable"},
                         {bzip2(line) + "Bad garbage", "x.jsonl.bz2", 2, "unreadable"},
                         {bzip2(line) + std::string(1000, '\0'), "x.jsonl.bz2", 1, ""},
                         {bzip2(line) + "BZh", "x.jsonl.bz2", 2, "truncated"},
                         {"not bzip2 at all", "x.jsonl.bz2", 1, "unreadable"},
                         {bzip2(""), "x.jsonl.bz2", 0, ""},
                         {"", "x.txt.gz", 1, "truncated"},
                         {gzip(""), "x.txt.gz", 1, "empty"},
                         {zstd(""), "x.jsonl.zst", 0, ""}}) {
    const auto r = read_bytes(c.name, c.bytes);
    ASSERT_EQ(r.size(), c.n_records) << c.name;
    if (!r.empty()) {
      EXPECT_EQ(r.back().failure_reason, c.last) << r.back().failure_text;
    }
  }
}

// The header of the first block says how large the dictionary is, in one byte (from 4 KiB at 0 to
// 4 GiB at 40), with a CRC-32 behind it.
std::string with_dictionary(std::string bytes, char code) {
  constexpr std::size_t kBlock = 12;  // behind the header of the stream
  const std::size_t n = 4 * (static_cast<unsigned char>(bytes[kBlock]) + std::size_t{1}) - 4;
  bytes[bytes.find("\x21\x01", kBlock) + 2] = code;
  const std::uint32_t crc =
      lzma_crc32(reinterpret_cast<const std::uint8_t*>(bytes.data()) + kBlock, n, 0);
  for (std::size_t i = 0; i < 4; ++i)
    bytes[kBlock + n + i] = static_cast<char>(crc >> 8 * i & 0xff);
  return bytes;
}

TEST(CorpusCompressed, AHostileDictionaryOfXzTakesNoMemory) {
  const std::string line = xz("{\"text\":\"a\"}\n");
  EXPECT_TRUE(read_bytes("x.jsonl.xz", with_dictionary(line, 28)).at(0).ok()) << "64 MiB: xz -9";
  for (const char code : {33, 40}) {  // 384 MiB, 4 GiB
    rusage before{}, after{};
    getrusage(RUSAGE_SELF, &before);
    const auto r = read_bytes("x.jsonl.xz", with_dictionary(line, code));
    getrusage(RUSAGE_SELF, &after);
    ASSERT_EQ(r.size(), 1u);
    EXPECT_EQ(r[0].failure_reason, "unsupported");
    EXPECT_NE(r[0].failure_text.find("of memory to be decompressed"), std::string::npos)
        << r[0].failure_text;
    EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 64 << 10) << "KiB";
  }
}

// A frame of one raw block (RFC 8878, 3.1.1).
std::string zstd_frame(const std::string& header, const std::string& content) {
  std::string bytes = "\x28\xb5\x2f\xfd" + header;
  const auto block = static_cast<std::uint32_t>(content.size() << 3 | 1);
  for (int i = 0; i < 3; ++i) bytes += static_cast<char>(block >> 8 * i & 0xff);
  return bytes + content;
}

TEST(CorpusCompressed, WindowsOfZstdAreReadUpTo2GiB) {
  const std::string line = "{\"text\":\"a\"}\n";
  const auto window = [](int log, int eighths) {
    return std::string(1, '\0') + static_cast<char>((log - 10) << 3 | eighths);
  };
  for (const int log : {10, 27, 28, 30, 31}) {
    rusage before{}, after{};
    getrusage(RUSAGE_SELF, &before);
    const auto r = read_bytes("x.jsonl.zst", zstd_frame(window(log, 0), line));
    getrusage(RUSAGE_SELF, &after);
    ASSERT_EQ(r.size(), 1u) << log;
    EXPECT_TRUE(r[0].ok()) << log << ": " << r[0].failure_text;
    EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 64 << 10) << "KiB";
  }
  const auto larger = read_bytes("x.jsonl.zst", zstd_frame(window(31, 1), line));
  EXPECT_EQ(larger.at(0).failure_reason, "unsupported");
  EXPECT_NE(larger[0].failure_text.find("more than 2 GiB"), std::string::npos);
  // Its header names dictionary 7.
  const auto with_dictionary = read_bytes("x.jsonl.zst", zstd_frame(std::string("\1\20\7"), line));
  EXPECT_EQ(with_dictionary.at(0).failure_reason, "unsupported") << with_dictionary[0].failure_text;
  EXPECT_NE(with_dictionary[0].failure_text.find("dictionary"), std::string::npos);
}

}  // namespace
}  // namespace tovamill
