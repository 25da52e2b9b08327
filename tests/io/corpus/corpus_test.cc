#include "io/corpus/corpus.h"

#include <gtest/gtest.h>
#include <lzma.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "io/corpus/record_reader.h"
#include "kernels/types/error.h"
#include "tests/support/compress.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::bzip2;
using testing::gzip;
using testing::TemporaryDirectory;
using testing::xz;
using testing::zstd;
namespace fs = std::filesystem;

CorpusOptions options_for(const std::string& path) {
  CorpusOptions o;
  o.paths = {path};
  return o;
}

std::vector<CorpusRecord> read_all(const CorpusFile& file, const CorpusOptions& options) {
  const auto reader = open_records(file, options);
  std::vector<CorpusRecord> records;
  for (CorpusRecord r; reader->next(r);) {
    EXPECT_NE(r.ok(), r.text.empty()) << r.failure_text;
    EXPECT_EQ(r.failure_text.find('\n'), std::string::npos);
    records.push_back(r);
  }
  CorpusRecord again;
  EXPECT_FALSE(reader->next(again));
  return records;
}

std::vector<CorpusRecord> read_bytes(const std::string& name, const std::string& bytes,
                                     CorpusOptions options = {}) {
  TemporaryDirectory directory;
  options.paths = {directory.write(name, bytes)};
  return read_all(list_corpus(options).at(0), options);
}

std::string names(const std::vector<CorpusFile>& files) {
  std::string all;
  for (const CorpusFile& f : files) all += fs::path(f.path).filename().string() + " ";
  return all;
}

ExitCode code_of(const CorpusOptions& options) {
  try {
    list_corpus(options);
  } catch (const Error& e) {
    EXPECT_FALSE(std::string(e.what()).empty());
    return e.code();
  }
  return ExitCode::done;
}

// ---- listing ----

TEST(CorpusList, SearchesDirectoriesInPathOrder) {
  TemporaryDirectory d;
  for (const char* name : {"b.txt", "a/z.jsonl", "a.txt", "a/x.txt.gz", "a/y.JSONL.ZST",
                           ".hidden.txt", ".git/c.txt", "README.md", "c.txt.lz4", "Z.txt"})
    d.write(name, "x");
  const auto files = list_corpus(options_for(d.path()));
  EXPECT_EQ(names(files), "Z.txt a.txt x.txt.gz y.JSONL.ZST z.jsonl b.txt ");
  EXPECT_EQ(files[2].format.compression, CorpusFormat::Compression::gzip);
  EXPECT_EQ(files[3].format.kind, CorpusFormat::Kind::jsonl);
  EXPECT_EQ(files[3].format.compression, CorpusFormat::Compression::zstd);
  EXPECT_EQ(files[0].n_bytes, 1u);
}

TEST(CorpusList, MakesPathsAbsoluteAndNormal) {
  TemporaryDirectory d;
  d.write("a/b.txt", "x");
  const auto files = list_corpus(options_for(d.path() / "a" / ".." / "." / "a" / "b.txt"));
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].path, (d.path() / "a" / "b.txt").string());
}

TEST(CorpusList, ListsAFileOnceHoweverItIsReached) {
  TemporaryDirectory d;
  const std::string file = d.write("a/b.txt", "x");
  fs::create_symlink(file, d.path() / "c.txt");
  fs::create_directory_symlink(d.path() / "a", d.path() / "z");
  CorpusOptions o;
  o.paths = {d.path(), file, file, (d.path() / "*.txt").string(), (d.path() / "z")};
  const auto files = list_corpus(o);
  EXPECT_EQ(names(files), "b.txt ");
  EXPECT_EQ(files[0].path, file);
}

TEST(CorpusList, DoesNotDependOnTheOrderOfThePaths) {
  TemporaryDirectory d;
  d.write("a/b.txt", "x");
  fs::create_directory_symlink(d.path() / "a", d.path() / "z");
  CorpusOptions one, two;
  one.paths = {d.path() / "a", d.path() / "z"};
  two.paths = {d.path() / "z", d.path() / "a"};
  EXPECT_EQ(list_corpus(one)[0].path, list_corpus(two)[0].path);
}

TEST(CorpusList, EndsOnLoopsOfLinks) {
  TemporaryDirectory d;
  d.write("a/b.txt", "x");
  fs::create_directory_symlink(d.path(), d.path() / "a" / "up");
  fs::create_symlink(d.path() / "self.txt", d.path() / "self.txt");
  const auto files = list_corpus(options_for(d.path()));
  EXPECT_EQ(names(files),
            "b.txt self.txt ");  // the loop is a file that cannot be read, not a silence
  const auto records = read_all(files[1], {});
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].failure_reason, "unreadable");
}

TEST(CorpusList, MatchesNamesAgainstTheGlobOption) {
  TemporaryDirectory d;
  for (const char* name : {"train-1.txt", "train-2.txt", "test-1.txt", "sub/train-3.txt"})
    d.write(name, "x");
  CorpusOptions o = options_for(d.path());
  o.glob = "train-[13].txt";
  EXPECT_EQ(names(list_corpus(o)), "train-3.txt train-1.txt ");
  o.glob = "*.nothing";
  EXPECT_EQ(code_of(o), ExitCode::no_input);
}

TEST(CorpusList, ExpandsGlobsAndPassesOverOtherEndings) {
  TemporaryDirectory d;
  for (const char* name : {"a.txt", "b.txt", "c.md"}) d.write(name, "x");
  EXPECT_EQ(names(list_corpus(options_for(d.path() / "*"))), "a.txt b.txt ");
}

TEST(CorpusList, SaysWhatIsWrongWithAPath) {
  TemporaryDirectory d;
  EXPECT_EQ(code_of(options_for(d.path() / "missing.txt")), ExitCode::no_input);
  EXPECT_EQ(code_of(options_for(d.path() / "*.txt")), ExitCode::no_input);
  EXPECT_EQ(code_of(options_for(d.path())), ExitCode::no_input);
  EXPECT_EQ(code_of({}), ExitCode::no_input);
  EXPECT_EQ(code_of(options_for(d.write("notes.md", "x"))), ExitCode::usage);
  mkfifo((d.path() / "pipe.txt").c_str(), 0600);
  EXPECT_EQ(code_of(options_for(d.path() / "pipe.txt")), ExitCode::no_input);
}

// ---- .txt ----

TEST(CorpusText, IsOneRecord) {
  const std::string text("a\r\nb\0c\n", 7);
  const auto r = read_bytes("x.txt", text);
  ASSERT_EQ(r.size(), 1u);
  EXPECT_EQ(r[0].text, text);
  EXPECT_EQ(r[0].id, "x.txt");
  EXPECT_EQ(r[0].line, 0u);
  EXPECT_EQ(r[0].offset, 0u);
  EXPECT_EQ(r[0].n_bytes, 7u);
}

TEST(CorpusText, LosesItsByteOrderMark) {
  const auto r = read_bytes("x.txt", "\xef\xbb\xbfhi");
  ASSERT_EQ(r.size(), 1u);
  EXPECT_EQ(r[0].text, "hi");
  EXPECT_EQ(r[0].offset, 3u);
}

struct BadText {
  const char* bytes;
  const char* reason;
  const char* said;
};

TEST(CorpusText, FailsWithTheReason) {
  for (const BadText& c : std::vector<BadText>{{"", "empty", "no text"},
                                               {"\xef\xbb\xbf", "empty", "no text"},
                                               {"ab\xff", "invalid-utf8", "offset 2"},
                                               {"ab\xc3", "invalid-utf8", "offset 2"},
                                               {"\xed\xa0\x80", "invalid-utf8", "offset 0"},
                                               {"\xc0\x80", "invalid-utf8", "offset 0"},
                                               {"\xf4\x90\x80\x80", "invalid-utf8", "offset 0"},
                                               {"\xef\xbb\xbf"
                                                "ab\x80",
                                                "invalid-utf8", "offset 5"}}) {
    const auto r = read_bytes("x.txt", c.bytes);
    ASSERT_EQ(r.size(), 1u);
    EXPECT_EQ(r[0].failure_reason, c.reason);
    EXPECT_NE(r[0].failure_text.find(c.said), std::string::npos) << r[0].failure_text;
  }
}

TEST(CorpusText, OfWhiteSpaceOnlyIsADocument) { EXPECT_TRUE(read_bytes("x.txt", " \n")[0].ok()); }

TEST(CorpusText, IsHeldUpToTheBound) {
  CorpusOptions o;
  o.max_record_bytes = 5;
  EXPECT_TRUE(read_bytes("x.txt", "12345", o)[0].ok());
  const auto r = read_bytes("x.txt", "123456", o);
  EXPECT_EQ(r[0].failure_reason, "too-large");
  EXPECT_EQ(r[0].n_bytes, 6u);
}

// ---- .jsonl ----

TEST(CorpusLines, CarryLineOffsetAndId) {
  const auto r = read_bytes("x.jsonl",
                            "{\"text\":\"a\",\"id\":\"one\"}\r\n\n  "
                            "\t\r\n{\"id\":7,\"text\":\"\\u0000b\"}\n{\"text\":\"c\"}");
  ASSERT_EQ(r.size(), 3u);
  EXPECT_EQ(r[0].id, "one");
  EXPECT_EQ(r[0].n_bytes, 23u);
  EXPECT_EQ(r[1].id, "7");
  EXPECT_EQ(r[1].line, 4u);
  EXPECT_EQ(r[1].offset, 31u);
  EXPECT_EQ(r[1].text, std::string("\0b", 2));
  EXPECT_EQ(r[2].id, "x.jsonl:5");
  EXPECT_EQ(r[2].text, "c");
}

TEST(CorpusLines, LoseTheByteOrderMark) {
  const auto r = read_bytes("x.jsonl", "\xef\xbb\xbf{\"text\":\"a\"}\n");
  ASSERT_EQ(r.size(), 1u);
  EXPECT_EQ(r[0].text, "a");
  EXPECT_EQ(r[0].offset, 3u);
}

struct Line {
  const char* line;
  const char* reason;  // empty: good
  const char* text;    // or what the failure says
  const char* id = "x.jsonl:1";
};

TEST(CorpusLines, AreReadOrFailWithTheReason) {
  const std::vector<Line> lines{
      {R"({"text":"a"})", "", "a"},
      {R"({"text":"a","text":"b"})", "", "b"},
      {R"({"te\u0078t":"a"})", "", "a"},
      {R"({"text":"\ud83d\ude00"})", "", "\xf0\x9f\x98\x80"},
      {R"({"text":" "})", "", " "},
      {R"({"text":"a","id":-3})", "", "a", "-3"},
      {R"({"text":"a","id":18446744073709551615})", "", "a", "18446744073709551615"},
      {R"({"text":"a","id":1.5})", "", "a", "1.5"},
      {R"({"text":"a","id":123456789012345678901234567890})", "", "a",
       "123456789012345678901234567890"},
      {R"({"text":"a","id":null})", "", "a"},
      {R"({"text":"a","id":["b"]})", "", "a"},
      {R"({"text":"a","x":{"text":3,"id":4}})", "", "a"},
      {R"({"text":"a","x":99999999999999999999999,"y":{"text":3,"id":[4]}})", "", "a"},
      {R"(  {"text":"a"}  )", "", "a"},
      // What Python writes for a number that is none.
      {R"({"text":"a","x":NaN})", "", "a"},
      {R"({"text":"a","x":Infinity,"y":-Infinity,"id":"k"})", "", "a", "k"},
      {R"({"x":[NaN, NaN ,{"y":NaN}],"text":"NaN, -Infinity","id":3})", "", "NaN, -Infinity", "3"},
      {R"({"text":"a \" ,NaN","x":-Infinity})", "", "a \" ,NaN"},
      {R"({"text":"a","id":NaN})", "", "a"},
      {R"({"text":"a","id":-Infinity})", "", "a"},
      {R"({"text":"a","x":NaN,"y":99999999999999999999999})", "", "a"},
      {R"({"text":NaN})", "not-a-string", "'text'"},
      {R"({"text":Infinity,"id":"k"})", "not-a-string", "'text'", "k"},
      {R"({"text":"a","x":nan})", "invalid-json", "byte 18 "},
      {R"({"text":"a","x":NaNs})", "invalid-json", "byte 17 "},
      {R"({"x":NaN,"y":Infinity,"text":"a",})", "invalid-json", "byte 34 "},
      {R"({"text":"a","x":+Infinity})", "invalid-json", "byte"},
      {R"({"text":"a")", "invalid-json", "byte"},
      {R"({"text":"a"} x)", "invalid-json", "byte"},
      {R"({"text":"a\q"})", "invalid-json", "byte"},
      {R"(nonsense)", "invalid-json", "byte"},
      {"{\"text\":\"a\tb\"}", "invalid-json", "byte"},
      {R"(["text"])", "invalid-json", "not an object"},
      {R"("text")", "invalid-json", "not an object"},
      {R"(3)", "invalid-json", "not an object"},
      {R"({"Text":"a"})", "missing-key", "'text'"},
      {R"({"x":{"text":"a"}})", "missing-key", "'text'"},
      {R"({"text":null})", "not-a-string", "'text'"},
      {R"({"text":["a"],"id":"k"})", "not-a-string", "'text'", "k"},
      {R"({"text":"a","text":{}})", "not-a-string", "'text'"},
      {R"({"text":99999999999999999999999})", "not-a-string", "'text'"},
      {R"({"text":"","id":"k"})", "empty", "empty", "k"},
      {"{\"text\":\"a\xff\"}", "invalid-utf8", "byte 11 "},
      {R"({"text":"\ud800"})", "invalid-utf8", "surrogate"},
      {R"({"text":"\ud800\u0041"})", "invalid-utf8", "surrogate"},
      {R"({"text":"\udc00"})", "invalid-utf8", "surrogate"},
      {R"({"text":"\\ud800"})", "", "\\ud800"},
  };
  for (const Line& c : lines) {
    const auto r = read_bytes("x.jsonl", std::string(c.line) + "\n{\"text\":\"after\"}\n");
    ASSERT_EQ(r.size(), 2u) << c.line;
    EXPECT_EQ(r[0].failure_reason, c.reason) << c.line << " " << r[0].failure_text;
    EXPECT_NE((r[0].ok() ? r[0].text : r[0].failure_text).find(c.text), std::string::npos)
        << r[0].failure_text;
    EXPECT_EQ(r[0].id, c.id) << c.line;
    EXPECT_EQ(r[1].text, "after");
    EXPECT_EQ(r[1].offset, std::string(c.line).size() + 1);
  }
}

TEST(CorpusLines, NestedTooDeeplyFailAlone) {
  const std::string deep =
      "{\"text\":\"a\",\"x\":" + std::string(200000, '[') + std::string(200000, ']') + "}";
  const auto r = read_bytes("x.jsonl", deep + "\n{\"text\":\"b\"}");
  ASSERT_EQ(r.size(), 2u);
  EXPECT_EQ(r[0].failure_reason, "invalid-json");
  EXPECT_EQ(r[1].text, "b");
}

// Beside a number that simdjson refuses, the line goes to the other parser.
TEST(Corpus, DeepQuestionsBesideAHugeNumberAreInvalid) {
  const std::size_t n = 200'000;
  CorpusOptions o;
  o.question_key = "q";
  const auto r =
      read_bytes("x.jsonl",
                 R"({"n":123456789012345678901234567890,"text":"a","q":)" + std::string(n, '[') +
                     std::string(n, ']') +
                     "}\n{\"n\":123456789012345678901234567890,\"text\":\"b\",\"q\":\"c\"}",
                 o);
  ASSERT_EQ(r.size(), 2u);
  EXPECT_EQ(r[0].failure_reason, "invalid-json");
  EXPECT_EQ(r[1].questions, std::vector<std::string>{"c"});
}

TEST(CorpusLines, AreBoundedExactly) {
  CorpusOptions o;
  o.max_record_bytes = 12;
  for (const char* ending : {"\n", "\r\n", ""}) {
    EXPECT_TRUE(read_bytes("x.jsonl", std::string(R"({"text":"a"})") + ending, o).at(0).ok());
    const auto r = read_bytes("x.jsonl", std::string(R"({"text":"ab"})") + ending, o);
    EXPECT_EQ(r.at(0).failure_reason, "too-large");
  }
}

long peak_kib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST(CorpusLines, TooLongAreSkippedInBoundedMemory) {
  TemporaryDirectory d;
  CorpusOptions o = options_for(d.write("x.jsonl", "{\"text\":\"a\"}\n"));
  o.max_record_bytes = 1000;
  {
    std::ofstream out(o.paths[0], std::ios::app | std::ios::binary);
    const std::string mebibyte(1u << 20, 'y');
    for (int i = 0; i < 256; ++i) out << mebibyte;
    out << "\n{\"text\":\"b\"}\n";
  }
  const long before = peak_kib();
  const auto r = read_all(list_corpus(o)[0], o);
  ASSERT_EQ(r.size(), 3u);
  EXPECT_EQ(r[1].failure_reason, "too-large");
  EXPECT_EQ(r[1].n_bytes, 256u << 20);
  EXPECT_EQ(r[2].text, "b");
  EXPECT_EQ(r[2].line, 3u);
  EXPECT_LT(peak_kib() - before, 64 << 10);
}

// ---- compressed ----

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
    const std::size_t step = whole.size() / 97;
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
    for (std::size_t at = 0; at < whole.size(); at += whole.size() / 61) {
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

TEST(RecordReader, CountsAFileThatVanishedAsOneFailure) {
  const auto r =
      read_all({.path = "/nonexistent/x.jsonl", .format = {.kind = CorpusFormat::Kind::jsonl}}, {});
  ASSERT_EQ(r.size(), 1u);
  EXPECT_EQ(r[0].failure_reason, "unreadable");
  EXPECT_NE(r[0].failure_text.find("No such file"), std::string::npos);
}

// ---- words ----

TEST(Words, AreCountedAsPythonDoes) {
  // len(s.split()) of Python 3.11.
  struct Case {
    const char* text;
    std::uint64_t n;
  };
  for (const Case& c : std::vector<Case>{{"", 0},
                                         {" \t\n\v\f\r", 0},
                                         {"a", 1},
                                         {" a  b\n", 2},
                                         {"a\x1c"
                                          "b\x1d"
                                          "c\x1e"
                                          "d\x1f"
                                          "e",
                                          5},
                                         {"a\x1b"
                                          "b",
                                          1},
                                         {"a\xc2\x85"
                                          "b\xc2\xa0"
                                          "c",
                                          3},
                                         {"a\xe1\x9a\x80"
                                          "b",
                                          2},
                                         {"a\xe1\xa0\x8e"
                                          "b",
                                          1},  // U+180E is no white space
                                         {"a\xe2\x80\x80"
                                          "b\xe2\x80\x8a"
                                          "c",
                                          3},
                                         {"a\xe2\x80\x8b"
                                          "b",
                                          1},  // nor is U+200B
                                         {"a\xe2\x80\xa8"
                                          "b\xe2\x80\xa9"
                                          "c\xe2\x80\xaf"
                                          "d",
                                          4},
                                         {"a\xe2\x81\x9f"
                                          "b\xe3\x80\x80"
                                          "c",
                                          3},
                                         {"a\xef\xbb\xbf"
                                          "b",
                                          1},  // nor U+FEFF
                                         {"\xf0\x9f\x98\x80 \xf0\x9f\x98\x80", 2}}) {
    EXPECT_EQ(count_words(c.text), c.n) << c.text;
  }
  EXPECT_EQ(count_words(std::string_view("a\0b", 3)), 1u);
  EXPECT_EQ(count_words("a\xe2"), 1u);  // never reads beyond the end
}

}  // namespace
}  // namespace tovamill
