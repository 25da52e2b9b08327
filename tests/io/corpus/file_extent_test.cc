#include "io/corpus/file_extent.h"

#include <gtest/gtest.h>

#include "io/corpus/corpus.h"

namespace tovamill {
namespace {

// 10 rows of 100 bytes of text, in groups of 4.
constexpr FileExtent kRows{.n_places = 10, .n_text_bytes = 1000, .cut_every = 4, .is_exact = true};
constexpr FileExtent kBytes{
    .n_places = 1000, .n_text_bytes = 1000, .cut_every = 1, .is_exact = true};

TEST(FileExtent, RangesHoldTextInProportionToTheirPlaces) {
  EXPECT_EQ(kRows.n_text_bytes_in(0, kToTheEnd), 1000u);
  EXPECT_EQ(kRows.n_text_bytes_in(4, 6), 200u);
  EXPECT_EQ(kBytes.n_text_bytes_in(17, 20), 3u);
  EXPECT_EQ(kBytes.n_text_bytes_in(999, kToTheEnd), 1u);
  EXPECT_EQ(kBytes.n_text_bytes_in(2000, kToTheEnd), 1u) << "behind an estimated end";
  EXPECT_EQ(FileExtent{}.n_text_bytes_in(0, kToTheEnd), 1u);
}

TEST(FileExtent, CutsStandWhereGroupsOfRowsBegin) {
  EXPECT_EQ(kRows.cut_after(0, 1), 4u);
  EXPECT_EQ(kRows.cut_after(0, 400), 4u);
  EXPECT_EQ(kRows.cut_after(0, 500), 8u);
  EXPECT_EQ(kRows.cut_after(5, 0), 8u);
  EXPECT_EQ(kRows.cut_after(8, 100), 12u) << "behind the end: the range is given whole";
  EXPECT_EQ(kBytes.cut_after(7, 0), 8u);
  EXPECT_EQ(kBytes.cut_after(7, 30), 37u);
}

TEST(FileExtent, CutsAtBytesOfTheDiskAreAPartition) {
  EXPECT_EQ(kRows.cut_at_byte(0, 77), 0u);
  EXPECT_EQ(kRows.cut_at_byte(40, 77), 4u);
  EXPECT_EQ(kRows.cut_at_byte(76, 77), 8u);
  EXPECT_EQ(kRows.cut_at_byte(77, 77), 10u);
  for (const std::uint64_t at : {0u, 1u, 999u, 1000u}) EXPECT_EQ(kBytes.cut_at_byte(at, 1000), at);
  const FileExtent large{
      .n_places = 1ull << 62, .n_text_bytes = 1ull << 62, .cut_every = 1, .is_exact = true};
  EXPECT_EQ(large.cut_at_byte((1ull << 61) + 1, 1ull << 62), (1ull << 61) + 1);
}

TEST(CorpusFormat, IsSaidByTheEndOfTheNameInAnyCase) {
  EXPECT_EQ(format_of("/a/NOVEL.TXT"), CorpusFormat{});
  EXPECT_EQ(format_of("a.JsonL.Gz"),
            (CorpusFormat{CorpusFormat::Kind::jsonl, CorpusFormat::Compression::gzip}));
  EXPECT_EQ(format_of("a.ndjson"), format_of("a.jsonl"));
  EXPECT_EQ(format_of("a.ndjson.bz2"), format_of("a.jsonl.bz2"));
  EXPECT_EQ(format_of("a.ndjson.gz")->name(), ".jsonl.gz");
  EXPECT_EQ(format_of("a.md"), std::nullopt);
  EXPECT_EQ(format_of("a.gz"), std::nullopt);
  EXPECT_EQ(format_of("a.txt.gz.zst"), std::nullopt);
  EXPECT_EQ(format_of("txt"), std::nullopt);
}

TEST(CorpusFormat, SaysWhatHoldsOfItsFiles) {
  const CorpusFormat text{}, lines = *format_of("a.jsonl"), packed = *format_of("a.jsonl.zst");
  EXPECT_TRUE(text.is_one_record() && !text.has_lines() && text.division() == Division::whole);
  EXPECT_TRUE(!lines.is_one_record() && lines.has_lines() && lines.division() == Division::bytes);
  EXPECT_TRUE(packed.has_lines() && packed.division() == Division::whole);
  EXPECT_EQ(packed.name(), ".jsonl.zst");
  EXPECT_FALSE(extent_of({.path = "/a.txt", .n_bytes = 9, .format = text}).can_be_cut());
  EXPECT_TRUE(extent_of({.path = "/a.jsonl", .n_bytes = 9, .format = lines}).can_be_cut());
  EXPECT_FALSE(extent_of({.path = "/a.jsonl", .n_bytes = 0, .format = lines}).can_be_cut());
  const FileExtent estimated = extent_of({.path = "/a.jsonl.zst", .n_bytes = 9, .format = packed});
  EXPECT_TRUE(!estimated.is_exact && !estimated.can_be_cut() && estimated.n_text_bytes > 9);
}

}  // namespace
}  // namespace tovamill
