// Texts and lines of corpus files as records.
#include "tests/support/corpus_records.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <fstream>

#include "io/corpus/record_reader.h"
#include "tests/support/compress.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::read_all;
using testing::read_bytes;
using testing::TemporaryDirectory;

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
  CorpusOptions o;
  o.paths = {d.write("x.jsonl", "{\"text\":\"a\"}\n")};
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

TEST(RecordReader, CountsAFileThatVanishedAsOneFailure) {
  const auto r =
      read_all({.path = "/nonexistent/x.jsonl", .format = {.kind = CorpusFormat::Kind::jsonl}}, {});
  ASSERT_EQ(r.size(), 1u);
  EXPECT_EQ(r[0].failure_reason, "unreadable");
  EXPECT_NE(r[0].failure_text.find("No such file"), std::string::npos);
}

}  // namespace
}  // namespace tovamill
