#include "pipeline/run_directory/document_record.h"

#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <random>

#include "kernels/types/error.h"
#include "tests/support/runs/synthetic_run.h"

namespace tovamill {
namespace {

using testing::synthetic_document;

DocumentRecord with_everything() {
  DocumentRecord r = synthetic_document(1, {.n_layers = 2, .trace = true, .mean_tokens = 5});
  r.token_nll.assign(r.n_tokens, 0.5f);
  r.id = std::string("a\0b\xff", 4);
  r.offset = std::numeric_limits<std::uint64_t>::max();
  r.n_words = std::uint64_t{1} << 63;
  r.span_begin = 300;
  r.span_end = std::numeric_limits<std::uint64_t>::max();
  r.n_lines = 1000;
  r.nll_sum = -0.0;
  r.nll_sum_sq = std::numeric_limits<double>::infinity();
  r.clip_distance = -1;
  r.failure_reason.assign(1, 'x');
  r.layers[1].lifetime.fill(std::numeric_limits<std::uint64_t>::max());
  r.layers[1].evicted_weight = std::numeric_limits<double>::denorm_min();
  r.token_lifetimes.push_back({std::numeric_limits<std::int32_t>::max(), 1, 2});
  r.rank = -1;
  r.generations = synthetic_document(1, {.generations = true}).generations;
  Generation& last = r.generations.emplace_back();
  last.question = last.sample = std::numeric_limits<std::uint32_t>::max();
  last.text = std::string("\0nul", 4);
  last.finish_reason = FinishReason::stop;
  last.references = {"", std::string(1, '\0'), "\xe6\x97\xa5"};
  last.scores.emplace();
  last.scores->best[4] = 1.0;
  last.scores->mean[0] = std::numeric_limits<double>::denorm_min();
  return r;
}

TEST(LogBin, HoldsThePowersOfTwo) {
  EXPECT_EQ(log_bin(0), 0);
  EXPECT_EQ(log_bin(1), 0);
  EXPECT_EQ(log_bin(2), 1);
  EXPECT_EQ(log_bin(3), 1);
  EXPECT_EQ(log_bin(4), 2);
  EXPECT_EQ(log_bin((1ull << 31) - 1), 30);
  EXPECT_EQ(log_bin(1ull << 31), 31);
  EXPECT_EQ(log_bin(~0ull), 31);
}

TEST(PositionBins, AreQuartersOfPowersOfTwoOrOfOneWidth) {
  const PositionBins quarters;
  std::vector<std::uint64_t> first;
  for (std::size_t b = 0; b < 14; ++b) first.push_back(quarters.first(b));
  EXPECT_EQ(first,
            (std::vector<std::uint64_t>{0, 2, 4, 8, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80}));
  for (const PositionBins& bins :
       {quarters, PositionBins{1}, PositionBins{1024}, PositionBins{7}}) {
    for (std::uint64_t p = 0; p < 5000; ++p) {
      const std::size_t b = bins.index(p);
      ASSERT_LE(bins.first(b), p);
      ASSERT_LT(p, bins.first(b + 1));
    }
  }
  EXPECT_EQ(quarters.index(1'000'000), 67u);  // 917504 to 1048575
  EXPECT_EQ(PositionBins{1024}.index(1'000'000), 976u);
}

TEST(DocumentRecord, ComesBackAsItWent) {
  for (const DocumentRecord& r :
       {DocumentRecord{}, with_everything(), synthetic_document(3), synthetic_document(7)})
    EXPECT_EQ(decode_document(encode(r), "here"), r);
  for (int i = 0; i < 100; ++i) {
    const DocumentRecord r = synthetic_document(i, {.generations = true});
    EXPECT_EQ(decode_document(encode(r), "here"), r);
  }
}

TEST(DocumentRecord, OfAnotherVersionIsRefusedByNumber) {
  std::vector<std::byte> bytes = encode(synthetic_document(1));
  bytes[0] = std::byte{2};
  try {
    decode_key(bytes, "here");
    ADD_FAILURE() << "it was read";
  } catch (const BadData& e) {
    EXPECT_EQ(
        std::string(e.what()),
        "here: the record has version 2, this program reads 3 to 5: the file is damaged or of "
        "another program version");
  }
}

DocumentRecord with_analysis() {
  DocumentRecord r = with_everything();
  r.analysis = {
      .has_positions = true,
      .bins = {1024},
      .positions = {{0, 0.0}, {1024, -0.0}, {3, 1e300}},
      .states = {{1, 2, 3, 4, 5}, {std::numeric_limits<std::uint64_t>::max(), 0, 1, 1, 7}},
      .classes = {{"newline", false, 3, {{1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}}},
                  {"NN", true, 0, {{}, {0, 0, 1, 300, 0}}}}};
  return r;
}

TEST(DocumentRecord, KeepsAnAnalysis) {
  const DocumentRecord r = with_analysis();
  const auto bytes = encode(r);
  EXPECT_EQ(decode_document(bytes, "here"), r);
  EXPECT_EQ(std::to_integer<int>(bytes.front()), 5);
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_THROW(decode_document(std::span(bytes).first(n), "here"), BadData) << n;
  DocumentRecord other = r;
  other.analysis.classes[1].layers[1].survivor_steps = 301;
  EXPECT_NE(decode_document(encode(other), "here"), r);
  other.analysis.states.pop_back();
  for (ClassRecord& c : other.analysis.classes) c.layers.pop_back();
  EXPECT_THROW(decode_document(encode(other), "here"), BadData) << "of another number of layers";
}

DocumentRecord with_settings() {
  DocumentRecord r = synthetic_document(2, {});
  r.settings = {with_everything(), with_analysis(), synthetic_document(3), synthetic_document(7)};
  return r;
}

TEST(DocumentRecord, OfASweepHoldsThoseOfItsSettings) {
  const DocumentRecord r = with_settings();
  const auto bytes = encode(r);
  EXPECT_EQ(decode_document(bytes, "here"), r);
  EXPECT_TRUE(decode_key(bytes, "here").has_settings);
  EXPECT_FALSE(decode_key(encode(synthetic_document(3)), "here").has_settings);
  EXPECT_EQ(std::to_integer<int>(encode(synthetic_document(3)).front()), 3)
      << "other records stay readable for earlier programs";
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_THROW(decode_document(std::span(bytes).first(n), "here"), BadData) << n;
}

TEST(DocumentRecord, OfASettingHasNoSettings) {
  DocumentRecord r = synthetic_document(2);
  r.settings = {with_settings()};
  EXPECT_THROW(decode_document(encode(r), "here"), BadData);
}

TEST(DocumentRecord, RefusesTextsThatCannotBe) {
  for (const auto change :
       {+[](DocumentRecord& r) { r.generations[0].ids.push_back(1); },
        +[](DocumentRecord& r) { r.generations[0].prompt_hash += "0"; },
        +[](DocumentRecord& r) { r.generations[1] = r.generations[0]; },
        +[](DocumentRecord& r) { std::swap(r.generations[0], r.generations[1]); },
        +[](DocumentRecord& r) { r.generations.back().references.clear(); },
        +[](DocumentRecord& r) { r.generations[0].finish_reason = static_cast<FinishReason>(2); },
        +[](DocumentRecord& r) { r.status = DocumentRecord::Status::failed; }}) {
    DocumentRecord r = with_everything();
    ASSERT_GE(r.generations.size(), 3u);
    ASSERT_EQ(r.generations[0].prompt_hash.size(), 16u);
    change(r);
    EXPECT_THROW(decode_document(encode(r), "here"), BadData);
  }
}

TEST(DocumentRecord, KeepsTheBitsOfNaN) {
  DocumentRecord r;
  r.n_tokens = 3;
  for (const std::uint32_t bits : {0x7fc00000u, 0xffc12345u, 0x7f800001u})
    r.token_nll.push_back(std::bit_cast<float>(bits));
  r.nll_sum = std::bit_cast<double>(0x7ff8000000000123ull);
  const DocumentRecord back = decode_document(encode(r), "here");
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(std::bit_cast<std::uint32_t>(back.token_nll[i]),
              std::bit_cast<std::uint32_t>(r.token_nll[i]));
  EXPECT_EQ(std::bit_cast<std::uint64_t>(back.nll_sum), std::bit_cast<std::uint64_t>(r.nll_sum));
}

TEST(DocumentRecord, GivesItsKeyWithoutTheRest) {
  const DocumentRecord r = with_everything();
  const RecordKey key = decode_key(encode(r), "here");
  EXPECT_EQ(key.file, r.file);
  EXPECT_EQ(key.offset, r.offset);
  EXPECT_EQ(key.span_begin, r.span_begin);
  EXPECT_EQ(key.span_end, r.span_end);
  EXPECT_EQ(key.n_lines, r.n_lines);
  EXPECT_EQ(key.n_tokens, r.n_tokens);
  EXPECT_EQ(key.id, r.id);
  EXPECT_EQ(key.status, r.status);
  EXPECT_EQ(key.failure_text, r.failure_text);
}

TEST(DocumentRecord, CutAnywhereIsRefused) {
  const std::vector<std::byte> bytes = encode(with_everything());
  for (std::size_t n = 0; n < bytes.size(); ++n)
    ASSERT_THROW(decode_document(std::span(bytes).first(n), "here"), BadData) << n;
  std::vector<std::byte> longer = bytes;
  longer.push_back(std::byte{0});
  EXPECT_THROW(decode_document(longer, "here"), BadData);
}

TEST(DocumentRecord, DamagedNeverDoesMoreThanThrow) {
  const std::vector<std::vector<std::byte>> whole{encode(with_everything()),
                                                  encode(with_analysis())};
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::byte> damaged = whole[static_cast<std::size_t>(round % 2)];
    for (unsigned n = 1 + random() % 4; n > 0; --n)
      damaged[random() % damaged.size()] = static_cast<std::byte>(random());
    try {
      decode_document(damaged, "here");
    } catch (const BadData& e) {
      EXPECT_EQ(std::string(e.what()).rfind("here: ", 0), 0u);
    }
  }
}

TEST(DocumentRecord, WantsOneEntryPerToken) {
  for (const auto change : {+[](DocumentRecord& r) { r.token_nll.pop_back(); },
                            +[](DocumentRecord& r) { r.token_ids.push_back(0); },
                            +[](DocumentRecord& r) { r.eviction_step.pop_back(); }}) {
    DocumentRecord r = with_everything();
    change(r);
    EXPECT_THROW(decode_document(encode(r), "here"), BadData);
  }
}

}  // namespace
}  // namespace tovamill
