#include "pipeline/run_directory/journal_entries.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "kernels/types/error.h"

namespace tovamill {
namespace {

const SpanEntry kSpan{.file = "/c/x.jsonl", .begin = 300, .end = UINT64_MAX, .n_lines = 5};
const BegunEntry kBegun{.file = std::string("/c/\0\xff", 5), .offset = 1ull << 63};
const CrashEntry kCrash{.text = "signal 11"};

TEST(JournalEntries, ComeBackAsTheyWent) {
  EXPECT_EQ(decode_span(encode(kSpan), "here"), kSpan);
  EXPECT_EQ(decode_begun(encode(kBegun), "here"), kBegun);
  EXPECT_EQ(decode_crash(encode(kCrash), "here"), kCrash);
  EXPECT_EQ(decode_span(encode(SpanEntry{}), "here"), SpanEntry{});
}

TEST(JournalEntries, CutOrDamagedTheyOnlyThrow) {
  using Decode = std::function<void(std::span<const std::byte>)>;
  const std::vector<std::pair<std::vector<std::byte>, Decode>> entries{
      {encode(kSpan), [](auto bytes) { decode_span(bytes, "here"); }},
      {encode(kBegun), [](auto bytes) { decode_begun(bytes, "here"); }},
      {encode(kCrash), [](auto bytes) { decode_crash(bytes, "here"); }}};
  std::mt19937 random(1);
  for (const auto& [bytes, decode] : entries) {
    for (std::size_t n = 0; n < bytes.size(); ++n)
      EXPECT_THROW(decode(std::span(bytes).first(n)), BadData) << n;
    std::vector<std::byte> longer = bytes;
    longer.push_back(std::byte{0});
    EXPECT_THROW(decode(longer), BadData);
    for (int round = 0; round < 2000; ++round) {
      std::vector<std::byte> damaged = bytes;
      damaged[random() % damaged.size()] = static_cast<std::byte>(random());
      try {
        decode(damaged);
      } catch (const BadData& e) {
        EXPECT_EQ(std::string(e.what()).rfind("here: ", 0), 0u);
      }
    }
  }
}

TEST(JournalEntries, ASpanDoesNotEndBeforeItBegins) {
  EXPECT_THROW(decode_span(encode(SpanEntry{.file = "x", .begin = 2, .end = 1}), "here"), BadData);
}

}  // namespace
}  // namespace tovamill
