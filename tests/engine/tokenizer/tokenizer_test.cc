// Tokenizers small enough to follow by hand, and files that must be refused.
#include "engine/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <thread>

#include "kernels/types/error.h"

namespace tovamill {
namespace {

using nlohmann::json;
using Ids = std::vector<TokenId>;

Ids encode(const Tokenizer& tokenizer, std::string_view text, bool parse_special = false) {
  Ids ids;
  tokenizer.encode(text, parse_special, ids);
  return ids;
}

json added(TokenId id, const std::string& content, bool special) {
  return {{"id", id},        {"content", content}, {"special", special}, {"single_word", false},
          {"lstrip", false}, {"rstrip", false},    {"normalized", false}};
}

// Bytes a, b, c, space (Ġ); merges ab, then abc, then " a".
json tiny_byte_level() {
  return {
      {"model",
       {{"type", "BPE"},
        {"vocab",
         {{"a", 0}, {"b", 1}, {"c", 2}, {"Ġ", 3}, {"ab", 4}, {"abc", 5}, {"Ġa", 6}, {"</s>", 7}}},
        {"merges", {"a b", "ab c", "Ġ a"}}}},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"added_tokens",
       {added(7, "</s>", true), added(8, "<think>", false), added(9, "cc", false)}}};
}

// ▁, a, b, byte tokens <0x00> to <0xFF> from 10 on; merges ▁a, then ▁ab.
json tiny_sentencepiece() {
  json vocab = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}, {"▁", 3},  {"a", 4},
                {"b", 5},     {"▁a", 6},  {"▁ab", 7},  {"ba", 8}, {"aa", 9}};
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char kHex[] = "0123456789ABCDEF";
    vocab[std::string{'<', '0', 'x', kHex[byte / 16], kHex[byte % 16], '>'}] = 10 + byte;
  }
  return {
      {"model",
       {{"type", "BPE"},
        {"vocab", vocab},
        {"merges", json::array({json::array({"▁", "a"}), json::array({"▁a", "b"}),
                                json::array({"b", "a"}), json::array({"a", "a"})})},
        {"unk_token", "<unk>"},
        {"fuse_unk", true},
        {"byte_fallback", true}}},
      {"normalizer",
       {{"type", "Sequence"},
        {"normalizers",
         {{{"type", "Prepend"}, {"prepend", "▁"}},
          {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}}}}},
      {"added_tokens", {added(0, "<unk>", true), added(1, "<s>", true), added(2, "</s>", true)}},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}}}}};
}

std::unique_ptr<Tokenizer> load(const json& tokenizer, const json& config = nullptr) {
  return Tokenizer::from_hf(tokenizer, config, "tokenizer.json");
}

TEST(Tokenizer, MergesBytesByRank) {
  const auto tokenizer = load(tiny_byte_level());
  EXPECT_EQ(encode(*tokenizer, "abc ab b"),
            (Ids{5, 3, 4, 3, 1}));  // in " ab" the merge ab comes before " a"
}

TEST(Tokenizer, LeavesControlTokensOutOfPlainText) {
  const auto tokenizer = load(tiny_byte_level());
  EXPECT_EQ(encode(*tokenizer, "a</s>b<think>"),
            (Ids{0, 1}));  // < / s > t h i n k have no tokens here
  EXPECT_EQ(encode(*tokenizer, "a</s>b<think>", true), (Ids{0, 7, 1, 8}));
  EXPECT_EQ(encode(*tokenizer, "accc"),
            (Ids{0, 9, 2}));  // an added token of another shape is found in any text
}

TEST(Tokenizer, FallsBackToBytes) {
  const auto tokenizer = load(tiny_sentencepiece());
  EXPECT_EQ(encode(*tokenizer, "ab é"), (Ids{7, 3, 10 + 0xc3, 10 + 0xa9}));
  EXPECT_EQ(encode(*tokenizer, "aaba"), (Ids{6, 4, 8}));
  EXPECT_EQ(encode(*tokenizer, ""), Ids{});
}

// AutoTokenizer of transformers 5 does not look at add_bos_token; where it says something else than
// the post-processor, nobody knows what is meant.
TEST(Tokenizer, PutsBeforeATextWhatThePostProcessorSays) {
  EXPECT_EQ(load(tiny_sentencepiece())->leading(), Ids{1});
  EXPECT_EQ(load(tiny_sentencepiece())->bos_id(), 1);
  EXPECT_EQ(load(tiny_sentencepiece(), {{"add_bos_token", true}})->leading(), Ids{1});
  EXPECT_THROW(load(tiny_sentencepiece(), {{"add_bos_token", false}}), BadData);
  EXPECT_EQ(load(tiny_byte_level())->leading(), Ids{});
  EXPECT_EQ(load(tiny_byte_level(), {{"eos_token", {{"content", "</s>"}}}})->eos_id(), 7);
}

TEST(Tokenizer, DigestChangesWithWhatDecidesTheIds) {
  json other = tiny_byte_level();
  other["model"]["merges"] = {"ab c", "a b", "Ġ a"};
  EXPECT_NE(load(other)->digest(), load(tiny_byte_level())->digest());
  EXPECT_EQ(load(tiny_byte_level(), {{"eos_token", "</s>"}})->digest(),
            load(tiny_byte_level())->digest());
}

TEST(Tokenizer, DecodeKeepsControlTokensOnRequest) {
  const auto tokenizer = load(tiny_byte_level());
  EXPECT_EQ(tokenizer->decode({5, 7, 6, 99, -1}, false), "abc a");
  EXPECT_EQ(tokenizer->decode({5, 7, 6}, true), "abc</s> a");
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const auto tokenizer = load(tiny_byte_level());
  for (const std::string_view text :
       {"a\xff", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80"}) {
    EXPECT_THROW(encode(*tokenizer, text), BadData);
  }
}

TEST(Tokenizer, EncodesFromSeveralThreads) {
  const auto tokenizer = load(tiny_sentencepiece());
  std::vector<Ids> results(4);
  std::vector<std::thread> threads;
  for (Ids& result : results) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) tokenizer->encode("ab aba é", false, result);
    });
  }
  for (auto& thread : threads) thread.join();
  for (const Ids& result : results) EXPECT_EQ(result, results[0]);
}

// A text without a place to cut it takes O(n log n): quadratic code would not end within the test's
// time limit.
TEST(Tokenizer, EncodesLongRunsInReasonableTime) {
  json qwen = tiny_byte_level();
  qwen["normalizer"] = {{"type", "NFC"}};
  const auto byte_level = load(qwen);
  const auto sentencepiece = load(tiny_sentencepiece());
  std::vector<std::string> runs;
  for (const std::string unit :
       {"a", "ab", " ", "\n", " \n", "😀", "\u0301\u0316", "中", "▁", "'", "<"}) {
    std::string& run = runs.emplace_back();
    while (run.size() < 400'000) run += unit;
  }
  for (const std::string& run : runs) {
    encode(*byte_level, run);
    EXPECT_FALSE(encode(*sentencepiece, run).empty());
  }
}

struct Broken {
  const char* pointer;  // what is replaced
  const char* value;    // JSON
};

class BrokenTokenizer : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenTokenizer, IsRefused) {
  for (json tokenizer : {tiny_byte_level(), tiny_sentencepiece()}) {
    tokenizer[json::json_pointer(GetParam().pointer)] = json::parse(GetParam().value);
    try {
      load(tokenizer);
      ADD_FAILURE() << GetParam().pointer << " = " << GetParam().value << " was taken";
    } catch (const BadData& error) {
      EXPECT_NE(std::string(error.what()).find("tokenizer.json"), std::string::npos)
          << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BrokenTokenizer,
    ::testing::Values(
        Broken{"/model", "3"}, Broken{"/model", "[]"}, Broken{"/model/type", "\"WordPiece\""},
        Broken{"/model/type", "\"Unigram\""}, Broken{"/model/type", "7"},
        Broken{"/model/vocab", "{}"}, Broken{"/model/vocab", "[\"a\"]"},
        Broken{"/model/vocab/a", "-1"}, Broken{"/model/vocab/a", "1.5"},
        Broken{"/model/vocab/a", "\"x\""}, Broken{"/model/vocab/a", "18446744073709551615"},
        Broken{"/model/vocab/a", "4194304"}, Broken{"/model/vocab/a", "1"},
        Broken{"/model/vocab/", "40"}, Broken{"/model/merges", "{}"},
        Broken{"/model/merges", "[[\"a\"]]"}, Broken{"/model/merges", "[1]"},
        Broken{"/model/merges", "[\"ab\"]"}, Broken{"/model/merges", "[\"a zz\"]"},
        Broken{"/model/merges", "[[\"a\",\"\"]]"}, Broken{"/model/dropout", "0.1"},
        Broken{"/model/byte_fallback", "\"yes\""}, Broken{"/model/unk_token", "\"nowhere\""},
        Broken{"/model/end_of_word_suffix", "\"</w>\""},
        Broken{"/normalizer", "{\"type\":\"BertNormalizer\"}"},
        Broken{"/normalizer", "{\"type\":\"Strip\",\"strip_left\":true}"},
        Broken{"/normalizer", "{\"type\":\"Precompiled\"}"},
        Broken{"/normalizer", "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"abc\"}"},
        Broken{"/normalizer", "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}"},
        Broken{"/normalizer",
               "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"/////wAAAAA=\"}"},
        Broken{"/model", R"({"type":"Unigram"})"},
        Broken{"/model", R"({"type":"Unigram","vocab":[]})"},
        Broken{"/model", R"({"type":"Unigram","vocab":{"a":1}})"},
        Broken{"/model", R"({"type":"Unigram","unk_id":3,"vocab":[["a",-1.0]]})"},
        Broken{"/model", R"({"type":"Unigram","vocab":[["a",-1.0],["a",-2.0]]})"},
        Broken{"/model", R"({"type":"Unigram","vocab":[["a"]]})"},
        Broken{"/model", R"({"type":"Unigram","vocab":[["a",30.5]]})"},
        Broken{"/model", R"({"type":"WordPiece","vocab":{"a":1}})"}, Broken{"/normalizer", "[]"},
        Broken{"/normalizer", "{\"type\":\"Sequence\",\"normalizers\":1}"},
        Broken{"/pre_tokenizer", "{\"type\":\"BertPreTokenizer\"}"},
        Broken{"/pre_tokenizer",
               "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"}"},
        Broken{"/pre_tokenizer",
               "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Gone\"}"},
        Broken{"/pre_tokenizer", "{\"type\":\"Metaspace\",\"replacement\":\"\"}"},
        Broken{"/decoder", "{\"type\":\"WordPiece\"}"},
        Broken{"/post_processor", "{\"type\":\"BertProcessing\"}"}, Broken{"/added_tokens", "{}"},
        Broken{"/added_tokens", "[{\"id\":\"0\",\"content\":\"q\"}]"},
        Broken{"/added_tokens", "[{\"id\":99999,\"content\":\"q\"}]"},
        Broken{"/added_tokens", "[{\"id\":2,\"content\":\"a\"}]"}));

TEST(BrokenTokenizers, AnEndlessRegularExpressionIsAnError) {
  json tokenizer = tiny_byte_level();
  tokenizer["pre_tokenizer"] = {
      {"type", "Split"}, {"pattern", {{"Regex", "(a+)+$|(a|aa)+c"}}}, {"behavior", "Isolated"}};
  EXPECT_THROW(encode(*load(tokenizer), std::string(5000, 'a') + "b"), BadData);
}

TEST(BrokenTokenizers, DeepSequencesAreRefused) {
  json step = {{"type", "NFC"}};
  for (int i = 0; i < 100; ++i) step = {{"type", "Sequence"}, {"normalizers", {step}}};
  json tokenizer = tiny_byte_level();
  tokenizer["normalizer"] = step;
  EXPECT_THROW(load(tokenizer), BadData);
}

}  // namespace
}  // namespace tovamill
