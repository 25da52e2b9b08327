// Results of jobs that write texts.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <filesystem>

#include "io/results/hdf5_file.h"
#include "kernels/types/error.h"
#include "pipeline/results/merge.h"
#include "tests/support/runs/h5py.h"
#include "tests/support/runs/results_text.h"
#include "tests/support/runs/synthetic_run.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using testing::synthetic_document;
using testing::synthetic_documents;
using testing::synthetic_header;
using testing::TemporaryDirectory;
using testing::write_journal;

CorpusSummary merge_texts(const std::string& run) {
  ResultsHeader h = synthetic_header();
  h.job = "summarize";
  return merge_journals(run, scan_journals(run), h);
}

TEST(MergeTexts, HoldsEveryOne) {
  TemporaryDirectory d;
  auto all = synthetic_documents(200, {.generations = true});
  all[1].generations[0].text = std::string("nul \0 in it", 11);
  write_journal(d.path(), 0, 1, all);
  merge_texts(d.path());
  std::sort(all.begin(), all.end(), [](auto& a, auto& b) {
    return std::tie(a.file, a.offset) < std::tie(b.file, b.offset);
  });
  const Hdf5File file(results_path(d.path()), Hdf5File::Mode::read);
  const std::uint64_t n = file.shape("/generations/text")[0];
  const auto texts = [&](const std::string& name) {
    return file.read_strings("/generations/" + name, 0, n);
  };
  const auto counts = [&](const std::string& name) {
    return file.read_all<std::uint64_t>("/generations/" + name);
  };
  const auto id = texts("id"), question_text = texts("question_text"), text = texts("text"),
             reason = texts("finish_reason"), hash = texts("prompt_hash");
  const auto document = counts("document"), question = counts("question"),
             sample = counts("sample"), n_prompt = counts("n_prompt_tokens"),
             n_new = counts("n_new_tokens"), n_references = counts("n_references"),
             token_offsets = counts("token_offsets"),
             reference_offsets = counts("reference_offsets");
  const auto token_id = file.read_all<std::int32_t>("/generations/token_id");
  const auto reference =
      file.read_strings("/references/text", 0, file.shape("/references/text")[0]);
  const auto status = file.read_strings("/documents/status", 0, 200);
  ASSERT_EQ(token_offsets.size(), n + 1);
  ASSERT_EQ(reference_offsets.size(), n + 1);
  std::size_t row = 0, token = 0, at = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const DocumentRecord& r = all[i];
    EXPECT_EQ(status[i], r.status == DocumentRecord::Status::failed ? "failed" : "generated");
    for (const Generation& g : r.generations) {
      ASSERT_LT(row, n);
      EXPECT_EQ(document[row], i);
      EXPECT_EQ(id[row], r.id);
      EXPECT_EQ(question[row], g.question);
      EXPECT_EQ(sample[row], g.sample);
      EXPECT_EQ(question_text[row], g.question_text);
      EXPECT_EQ(text[row],
                g.text.find('\0') == std::string::npos ? g.text : "nul \xef\xbf\xbd in it");
      EXPECT_EQ(n_prompt[row], g.n_prompt_tokens);
      EXPECT_EQ(n_new[row], g.n_new_tokens);
      EXPECT_EQ(reason[row], name_of(g.finish_reason));
      EXPECT_EQ(hash[row], g.prompt_hash);
      EXPECT_EQ(n_references[row], g.references.size());
      EXPECT_EQ(token_offsets[row], token);
      EXPECT_EQ(reference_offsets[row], at);
      for (const std::int32_t t : g.ids) ASSERT_EQ(token_id[token++], t);
      for (const std::string& s : g.references) ASSERT_EQ(reference[at++], s);
      for (std::size_t k = 0; k < kTextScoreNames.size(); ++k) {
        const std::string path = std::string("/generations/") + kTextScoreNames[k];
        const double best = file.read<double>(path, row, 1)[0],
                     mean = file.read<double>(path + "_mean", row, 1)[0];
        ASSERT_EQ(std::isnan(best), !g.scores);
        ASSERT_EQ(std::isnan(mean), !g.scores);
        if (!g.scores) continue;
        ASSERT_EQ(best, g.scores->best[k]);
        ASSERT_EQ(mean, g.scores->mean[k]);
      }
      ++row;
    }
  }
  EXPECT_EQ(row, n);
  EXPECT_EQ(token_offsets[n], token_id.size());
  EXPECT_EQ(token, token_id.size());
  EXPECT_EQ(reference_offsets[n], reference.size());
  EXPECT_EQ(at, reference.size());
}

TEST(MergeTexts, DoesNotDependOnRanksAndHasEqualBytes) {
  TemporaryDirectory d;
  const auto all = synthetic_documents(300, {.generations = true});
  std::vector<std::vector<DocumentRecord>> parts(3);
  for (std::size_t i = all.size(); i-- > 0;) parts[(i * 7919) % 3].push_back(all[i]);
  const std::string one = d.path() / "one", again = d.path() / "again", three = d.path() / "three";
  write_journal(one, 0, 1, all);
  write_journal(again, 0, 1, all);
  for (int rank = 0; rank < 3; ++rank)
    write_journal(three, rank, 1, parts[static_cast<std::size_t>(rank)]);
  for (const std::string& run : {one, again, three}) merge_texts(run);
  EXPECT_TRUE(testing::results_text(results_path(one)) ==
              testing::results_text(results_path(three)));
  EXPECT_TRUE(testing::content_of(results_path(one)) == testing::content_of(results_path(again)));
}

TEST(MergeTexts, SaysNothingOfPerplexity) {
  const auto has = [](const Hdf5File& file, const std::string& object, const std::string& name) {
    const auto attributes = file.attributes(object);
    return std::any_of(attributes.begin(), attributes.end(),
                       [&](const auto& a) { return a.first == name; });
  };
  for (const auto& records :
       {std::vector<DocumentRecord>{}, synthetic_documents(20, {.generations = true})}) {
    TemporaryDirectory d;
    write_journal(d.path(), 0, 1, records);
    const CorpusSummary s = merge_texts(d.path());
    EXPECT_TRUE(s.generates);
    EXPECT_TRUE(std::isnan(s.perplexity_word.value));
    const Hdf5File file(s.results_path, Hdf5File::Mode::read);
    EXPECT_EQ(file.shape("/generations/text")[0], s.n_generations);
    EXPECT_EQ(file.shape("/references/text").size(), 1u);
    for (const char* name : {"perplexity_token", "perplexity_token_se", "bits_per_byte", "nll_sum"})
      EXPECT_FALSE(has(file, "/summary", name)) << name;
    for (const char* name : {"n_generations", "n_stop", "rouge1", "rouge1_se", "rouge1_mean",
                             "rouge1_mean_se", "exact_match_mean_se"})
      EXPECT_TRUE(has(file, "/summary", name)) << name;
    EXPECT_FALSE(has(file, "/", "ppl_definition"));
    EXPECT_TRUE(has(file, "/", "text_scores_definition"));
  }
  TemporaryDirectory d;
  write_journal(d.path(), 0, 1, synthetic_documents(20));
  const CorpusSummary s = merge_journals(d.path(), scan_journals(d.path()), synthetic_header());
  EXPECT_FALSE(s.generates);
  const Hdf5File file(s.results_path, Hdf5File::Mode::read);
  EXPECT_FALSE(file.exists("/generations"));
  EXPECT_FALSE(has(file, "/", "text_scores_definition"));
  EXPECT_FALSE(has(file, "/summary", "rouge1"));
}

TEST(MergeTexts, IsReadByH5py) {
  TemporaryDirectory d;
  for (const bool has_texts : {true, false}) {
    const std::string run = d.path() / (has_texts ? "texts" : "no-texts");
    auto records = synthetic_documents(150, {.generations = true});
    records[1].generations[0].text = std::string("nul \0 in it", 11);
    if (!has_texts) {
      for (DocumentRecord& r : records) r.generations.clear();
    }
    write_journal(run, 0, 1, records);
    merge_texts(run);
    testing::check_by_h5py(results_path(run));
  }
}

}  // namespace
}  // namespace tovamill
