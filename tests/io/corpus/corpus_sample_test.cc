// Samples of corpora: what they stand for, bad records, and how far estimates from them are off.
#include "io/corpus/corpus_sample.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "io/corpus/line_probe.h"
#include "io/files/utf8.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::TemporaryDirectory;

struct Sums {
  double disk = 0, text = 0, records = 0, bad = 0, kept = 0, letters = 0;
};

// `letters` counts the x of the texts, as plan counts tokens: scaled from the pieces to the texts.
Sums sums_of(const std::vector<Sample>& samples) {
  Sums sums;
  for (const Sample& s : samples) {
    double kept = 0, letters = 0;
    for (const std::string& text : s.texts) {
      EXPECT_EQ(valid_utf8_prefix(text), text.size());
      kept += static_cast<double>(text.size());
      letters += static_cast<double>(std::count(text.begin(), text.end(), 'x'));
    }
    sums.disk += s.weight * static_cast<double>(s.n_disk_bytes);
    sums.text += s.weight * static_cast<double>(s.n_text_bytes);
    sums.records += s.weight * static_cast<double>(s.n_records);
    sums.bad += s.weight * static_cast<double>(s.n_bad);
    sums.kept += kept;
    if (kept > 0) sums.letters += s.weight * letters * static_cast<double>(s.n_text_bytes) / kept;
  }
  return sums;
}

class CorpusSample : public ::testing::Test {
 protected:
  std::vector<Sample> sample(const SampleBudget& budget = {}) {
    options.paths = {d.path()};
    files = list_corpus(options);
    n_bytes = 0;
    for (const CorpusFile& f : files) n_bytes += static_cast<double>(f.n_bytes);
    return sample_corpus(files, options, budget);
  }

  TemporaryDirectory d;
  CorpusOptions options;
  std::vector<CorpusFile> files;
  double n_bytes = 0;
};

std::string line_of(const std::string& text) {
  return nlohmann::json{{"text", text}}.dump() + "\n";
}

// `n` letters, each an x with probability `share`, else a y.
std::string letters(std::size_t n, double share, std::mt19937& random) {
  std::string text(n, ' ');
  for (char& c : text) c = random() < share * 0x1p32 ? 'x' : 'y';
  return text;
}

TEST_F(CorpusSample, OfASmallCorpusIsAllOfIt) {
  d.write("a.txt",
          "\xef\xbb\xbf"
          "A text of \xc3\xa4.");
  d.write("b.jsonl", line_of("one") + "\n" + line_of("two") + "{\"other\": 1}\n" + line_of("end"));
  const std::vector<Sample> samples = sample();
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_TRUE(samples[0].whole && samples[1].whole);
  EXPECT_EQ(samples[0].texts, std::vector<std::string>{"A text of \xc3\xa4."})
      << "without its mark";
  EXPECT_EQ(samples[1].texts, (std::vector<std::string>{"one", "two", "end"}));
  EXPECT_EQ(samples[1].n_records, 4u) << "a blank line is none";
  EXPECT_EQ(samples[1].n_bad, 1u);
  EXPECT_EQ(samples[1].n_text_bytes, 9u);
  EXPECT_EQ(sums_of(samples).disk, n_bytes);
}

TEST_F(CorpusSample, BadFilesAreCountedAndCostNothingElse) {
  d.write("bad.txt", "not \xff UTF-8");
  d.write("empty.txt", "");
  d.write("good.txt", "good");
  std::filesystem::create_symlink("/nowhere", d.path() / "gone.txt");
  d.write("torn.txt.gz", "\x1f\x8bnothing");
  const Sums sums = sums_of(sample());
  EXPECT_EQ(sums.records, 5);
  EXPECT_EQ(sums.bad, 4);
  EXPECT_EQ(sums.text, 4);
}

TEST_F(CorpusSample, OfLargeTextsKeepsToItsBudgetAndCutsNoCharacter) {
  std::string text;
  while (text.size() < 300'000) text += "\xe2\x82\xac\xc3\xa4 ";
  d.write("a.txt", text);
  d.write("b.txt", text);
  const std::vector<Sample> samples = sample({.n_places = 8, .n_bytes = 8001});
  EXPECT_EQ(samples.size(), 8u);
  const Sums sums = sums_of(samples);
  EXPECT_LE(sums.kept, 8001);
  EXPECT_GT(sums.kept, 7900);
  EXPECT_EQ(sums.disk, sums.text);
  EXPECT_EQ(sums.bad, 0) << "places that cut a character are not bad records";
  EXPECT_NE(samples.front().file, samples.back().file);
}

TEST_F(CorpusSample, OfManySmallTextsTakesNeighboursUntilThePlaceIsFull) {
  for (int i = 0; i < 500; ++i) d.write("t" + std::to_string(i) + ".txt", std::string(100, 'x'));
  const std::vector<Sample> samples = sample({.n_places = 4, .n_bytes = 4000});
  EXPECT_EQ(samples.size(), 40u);
  for (const Sample& s : samples) EXPECT_TRUE(s.whole);
}

// Records of few and of many lines at a place; long records have a greater share of x than short
// ones, which a sample that prefers either gets wrong.
TEST_F(CorpusSample, EstimatesRecordsAndLettersOfShortAndLongLines) {
  for (const double mean : {100.0, 20'000.0}) {
    std::mt19937 random(7);
    std::exponential_distribution<double> length(1.0 / mean);
    std::string lines;
    double n_records = 0, n_letters = 0, n_bad = 0;
    while (lines.size() < 4'000'000) {
      const auto n = static_cast<std::size_t>(1 + length(random));
      const std::string text = letters(n, static_cast<double>(n) > mean ? 0.6 : 0.3, random);
      const bool is_bad = random() % 4 == 0;
      lines += is_bad ? "{\"tixt\": \"" + text + "\"}\n" : line_of(text);
      ++n_records;
      n_bad += is_bad;
      if (!is_bad) n_letters += static_cast<double>(std::count(text.begin(), text.end(), 'x'));
    }
    d.write("a.jsonl", lines);
    const Sums sums = sums_of(sample({.n_places = 400, .n_bytes = 1'600'000}));
    const double scale = n_bytes / sums.disk;
    // Four standard errors of 400 places that are as different as records are.
    EXPECT_NEAR(sums.letters * scale / n_letters, 1.0, 0.15) << mean;
    EXPECT_NEAR(sums.bad / sums.records, n_bad / n_records, 0.15) << mean;
    if (mean < 1000.0) {
      EXPECT_NEAR(sums.records * scale / n_records, 1.0, 0.05) << mean;
    }
    EXPECT_LE(sums.kept, 1'700'000) << mean;
  }
}

TEST_F(CorpusSample, OfLinesOfOneLengthKnowsTheirNumber) {
  std::string lines;
  for (int i = 0; i < 400; ++i) lines += line_of(std::string(9987, 'x'));  // 10,000 bytes each
  d.write("a.jsonl", lines);
  const Sums sums = sums_of(sample({.n_places = 16, .n_bytes = 160'000}));
  EXPECT_NEAR(sums.records * n_bytes / sums.disk, 400.0, 1e-6);
  EXPECT_NEAR(sums.letters * n_bytes / sums.disk, 400.0 * 9987.0, 1e-3);
}

TEST_F(CorpusSample, OfALineWithoutEndTakesAPiece) {
  d.write("a.jsonl", std::string(36u << 20, 'x'));
  const Sums sums = sums_of(sample({.n_places = 4, .n_bytes = 4000}));
  EXPECT_GT(sums.kept, 0);
  EXPECT_LE(sums.kept, 4000);
  EXPECT_EQ(sums.letters, sums.disk);
}

TEST_F(CorpusSample, OfACompressedFileEstimatesTheTextFromItsStart) {
  std::mt19937 random(3);
  std::string text;
  while (text.size() < 6u << 20) text += letters(1 << 16, 0.5, random);
  gzFile file = gzopen((d.path() / "a.txt.gz").c_str(), "wb1");
  ASSERT_EQ(gzwrite(file, text.data(), static_cast<unsigned>(text.size())),
            static_cast<int>(text.size()));
  gzclose(file);
  const Sums sums = sums_of(sample({.n_places = 8, .n_bytes = 80'000}));
  EXPECT_NEAR(sums.text * n_bytes / sums.disk / static_cast<double>(text.size()), 1.0, 0.02);
  EXPECT_LE(sums.kept, 90'000);
  EXPECT_GT(sums.kept, 60'000);
}

TEST_F(CorpusSample, OfASmallCompressedFileIsAllOfIt) {
  gzFile file = gzopen((d.path() / "a.jsonl.gz").c_str(), "wb");
  const std::string lines = line_of("one") + "broken\n" + line_of("two");
  gzwrite(file, lines.data(), static_cast<unsigned>(lines.size()));
  gzclose(file);
  const std::vector<Sample> samples = sample();
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_TRUE(samples[0].whole);
  EXPECT_EQ(samples[0].n_disk_bytes, files[0].n_bytes);
  EXPECT_EQ(samples[0].texts, (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(samples[0].n_bad, 1u);
}

TEST(LineProbe, FindsLinesFromAnywhere) {
  const TemporaryDirectory d;
  const std::string path = d.write("a",
                                   "\xef\xbb\xbf"
                                   "ab\n\ncdef\ng");
  LineProbe lines(path);
  ASSERT_TRUE(lines.ok());
  std::string line;
  const auto around = [&](std::uint64_t offset) {
    EXPECT_TRUE(lines.seek_line_around(offset));
    EXPECT_TRUE(lines.next(line));
    return line;
  };
  EXPECT_EQ(around(0), "ab");
  EXPECT_EQ(around(5), "ab") << "its line ending is its own";
  EXPECT_EQ(around(6), "");
  EXPECT_EQ(around(9), "cdef");
  EXPECT_EQ(around(12), "g");
  EXPECT_EQ(lines.n_line_bytes(), 1u);
  EXPECT_FALSE(lines.next(line));
  EXPECT_TRUE(lines.seek_behind_line(4));
  EXPECT_EQ(lines.position(), 6u);
  EXPECT_FALSE(lines.seek_behind_line(12)) << "no line ending behind it";
  EXPECT_FALSE(LineProbe((d.path() / "none").string()).ok());
}

}  // namespace
}  // namespace tovamill
