// Input that public reports say other programs left out, doubled or misread in silence, with what
// is right: that all of it is read, or that what is not fails by name.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "io/corpus/corpus.h"
#include "io/corpus/record_reader.h"
#include "tests/support/compress.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::gzip;
using testing::zstd;

struct ReportedInput {
  const char* report;
  const char* file;
  std::string bytes;
  std::vector<std::string> records;  // the texts in order; "!reason" of those that fail
};

std::string record_of(const std::string& text) { return R"({"text":")" + text + "\"}\n"; }

std::string repeated(const std::string& text, std::size_t n) {
  std::string all;
  for (std::size_t i = 0; i < n; ++i) all += text;
  return all;
}

// RFC 8878, 3.1.2: content for somebody else.
std::string skippable_frame(std::uint32_t n_bytes) {
  std::string frame = "\x50\x2a\x4d\x18";
  for (int i = 0; i < 4; ++i) frame += static_cast<char>(n_bytes >> 8 * i & 0xff);
  return frame + std::string(n_bytes, '\xa5');
}

// UTF-16 of characters up to U+FFFF without a byte order mark.
std::string utf16(std::u16string_view text, bool big_endian) {
  std::string bytes;
  for (const char16_t c : text) {
    const char low = static_cast<char>(c & 0xff), high = static_cast<char>(c >> 8);
    bytes += big_endian ? high : low;
    bytes += big_endian ? low : high;
  }
  return bytes;
}

std::vector<std::string> texts(const std::string& before, std::size_t n) {
  return std::vector<std::string>(n, before);
}

std::vector<ReportedInput> reported_json() {
  const std::string bom = "\xef\xbb\xbf";
  return {
      // ---- values beside the text ----
      {"aqlaboratory/openfold-3#167: NaN of numpy",
       "a.jsonl",
       "{\"text\":\"a\",\"resolution\":NaN}\n" + record_of("b"),
       {"a", "b"}},
      {"nst/JSONTestSuite#51: an exponent beyond float64",
       "a.jsonl",
       "{\"text\":\"a\",\"x\":1e9999}\n{\"x\":[-2.5E+400, 3],\"text\":\"b\"}\n",
       {"a", "b"}},
      {"nst/JSONTestSuite#51: and what is no number",
       "a.jsonl",
       "{\"text\":\"a\",\"x\":1.e9999}\n{\"text\":\"a\",\"x\":01e9999}\n"
       "{\"text\":\"a\",\"x\":1e9999x}\n{\"text\":\"a\",\"x\":+1e9999}\n" +
           record_of("1e9999 NaN"),
       {"!invalid-json", "!invalid-json", "!invalid-json", "!invalid-json", "1e9999 NaN"}},
      {"simdjson/simdjson#1778, TkTech/pysimdjson#37: an integer beyond 64 bits",
       "a.jsonl",
       "{\"text\":\"a\",\"num\":92233720368547758423}\n",
       {"a"}},
      {"facebookincubator/velox#8066: an integer beyond float64",
       "a.jsonl",
       "{\"text\":\"a\",\"num\":" + std::string(400, '7') + "}\n",
       {"a"}},
      {"daaain/claude-code-log#139: half a surrogate pair in another key",
       "a.jsonl",
       "{\"text\":\"a\",\"tool\":\"\\udcb2\"}\n{\"tool\":{\"x\":[\"\\ud83d\"]},\"text\":\"\\ud83d"
       "\\ude00\"}\n",
       {"a", "\xf0\x9f\x98\x80"}},
      {"aallan/vera#1308: and in the text, where UTF-8 has nothing for it",
       "a.jsonl",
       "{\"text\":\"a\\ud800b\",\"x\":NaN}\n{\"text\":\"a\",\"id\":\"\\udc00\"}\n" + record_of("b"),
       {"!invalid-utf8", "!invalid-utf8", "b"}},
      {"daaain/claude-code-log#139: beside broken JSON",
       "a.jsonl",
       "{\"text\":\"a\",\"tool\":\"\\udcb2\",}\n",
       {"!invalid-json"}},
      {"AdaCore/gnatcoll-core#3, danielaparker/jsoncons#505: a key twice",
       "a.jsonl",
       "{\"text\":\"first\",\"text\":\"last\"}\n",
       {"last"}},
      // ---- lines ----
      {"huggingface/datasets#3910, bytedance/deer-flow#5423: line ends of Unicode in a text",
       "a.jsonl",
       record_of("a\xe2\x80\xa8"
                 "b\xe2\x80\xa9"
                 "c\xc2\x85"
                 "d") +
           record_of("e"),
       {"a\xe2\x80\xa8"
        "b\xe2\x80\xa9"
        "c\xc2\x85"
        "d",
        "e"}},
      {"microsoft/graphrag#2424: blank lines",
       "a.jsonl",
       record_of("a") + "\n \t\r\n\r\n" + record_of("b"),
       {"a", "b"}},
      {"infiniflow/ragflow#19179: a byte order mark, few records",
       "a.jsonl",
       bom + record_of("a") + record_of("b"),
       {"a", "b"}},
      {"infiniflow/ragflow#19179: and many", "a.jsonl", bom + repeated(record_of("a"), 9),
       texts("a", 9)},
      {"jqlang/jq#45: of several files in one",
       "a.jsonl",
       bom + record_of("a") + bom + record_of("b"),
       {"a", "b"}},
      {"QwenLM/qwen-code#6316: no end of the last line",
       "a.jsonl",
       record_of("a") + R"({"text":"b"})",
       {"a", "b"}},
      {"elizaOS/eliza#30878: a record behind a torn one on its line",
       "a.jsonl",
       record_of("a") + "{\"text\":\"torn " + record_of("b") + record_of("c"),
       {"a", "!invalid-json", "c"}},
  };
}

std::vector<ReportedInput> reported_bytes() {
  const std::string line = record_of("a"), large(1'000'001, 'x');
  return {
      {"indygreg/python-zstandard#59, SpringMT/zstd-ruby#138: frames behind the first",
       "a.jsonl.zst", zstd(line) + zstd(line) + zstd(line), texts("a", 3)},
      {"indygreg/python-zstandard#59: a record over two frames",
       "a.jsonl.zst",
       zstd(line.substr(0, 5)) + zstd(line.substr(5)),
       {"a"}},
      {"facebook/zstd#904: a skippable frame, larger than the input buffer", "a.jsonl.zst",
       skippable_frame(300'000) + zstd(line) + skippable_frame(12) + zstd(line), texts("a", 2)},
      {"facebook/zstd#904: nothing else", "a.jsonl.zst", skippable_frame(40), {}},
      {"DataDog/zstd#129: a skippable frame at the end",
       "a.txt.zst",
       zstd(large) + skippable_frame(4),
       {large}},
      {"DataDog/zstd#129: that is torn",
       "a.jsonl.zst",
       zstd(line) + skippable_frame(40).substr(0, 20),
       {"a", "!truncated"}},
      {"libarchive/libarchive#2811: zstd padded with zeros, as zstd -d refuses it",
       "a.jsonl.zst",
       zstd(line) + std::string(512, '\0'),
       {"a", "!unreadable"}},
      {"madler/zlib#984, intel/isa-l#143: members behind the first", "a.jsonl.gz",
       gzip(line) + gzip("") + gzip(line), texts("a", 2)},
      {"tstack/lnav#785: noise behind a member",
       "a.jsonl.gz",
       gzip(line) + "noise",
       {"a", "!unreadable"}},
      {"huggingface/datatrove#78: an upload that ended early",
       "a.jsonl.gz",
       gzip(repeated(line, 2)).substr(0, gzip(repeated(line, 2)).size() - 4),
       {"a", "a", "!truncated"}},
      // ---- encodings ----
      {"esengine/DeepSeek-Reasonix#2891: UTF-16 without a mark, valid as UTF-8",
       "a.txt",
       utf16(u"A plain text, as Windows writes it.\r\n", false),
       {"!invalid-utf8"}},
      {"docling-project/docling#4308: big-endian",
       "a.txt",
       utf16(u"A plain text, as Windows writes it.\r\n", true),
       {"!invalid-utf8"}},
      {"docling-project/docling#4308: of Cyrillic, with hardly a NUL",
       "a.txt",
       utf16(u"\u041f\u0440\u0438\u0432\u0435\u0442", false),
       {"!invalid-utf8"}},
      {"docling-project/docling#4308: records",
       "a.jsonl",
       utf16(u"{\"text\":\"a\"}", false),
       {"!invalid-json"}},
      {"Rdatatable/data.table#2560: with a mark",
       "a.txt",
       "\xff\xfe" + utf16(u"text", false),
       {"!invalid-utf8"}},
      {"file/file#173: a text with one NUL is one",
       "a.txt",
       std::string("a text\0with one", 15),
       {std::string("a text\0with one", 15)}},
  };
}

void expect_records(const std::vector<ReportedInput>& inputs) {
  for (const ReportedInput& input : inputs) {
    SCOPED_TRACE(input.report);
    testing::TemporaryDirectory d;
    CorpusOptions options;
    options.paths = {d.write(input.file, input.bytes)};
    const auto reader = open_records(list_corpus(options).at(0), options);
    std::vector<std::string> records;
    for (CorpusRecord r; reader->next(r);)
      records.push_back(r.ok() ? r.text : "!" + r.failure_reason);
    EXPECT_EQ(records, input.records);
  }
}

TEST(ReportedRecords, AreReadOrFailByName) { expect_records(reported_json()); }
TEST(ReportedBytes, AreReadOrFailByName) { expect_records(reported_bytes()); }

}  // namespace
}  // namespace tovamill
