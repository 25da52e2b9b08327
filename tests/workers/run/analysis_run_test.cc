// --nll-by-position and --analyze: what stands in results.h5 against naive counts from --token-nll
// and --trace-state.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <sstream>

#include "engine/classes/token_classes.h"
#include "io/results/hdf5_file.h"
#include "pipeline/analysis/analysis_rows.h"
#include "pipeline/results/export.h"
#include "pipeline/results/results_file.h"
#include "pipeline/run_directory/run_directory.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/results_text.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/temporary_directory.h"
#include "workers/load/loaded_model.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;
using testing::Results;
using testing::score;
using testing::words;

class AnalysisRun : public ::testing::Test {
 protected:
  AnalysisRun() {
    write_hf_model(testing::TinyModel{}, d.path() / "model");
    for (int i = 0; i < 4; ++i)
      d.write("corpus/" + std::to_string(i) + ".txt",
              "Bob's 12 dogs.\n" +
                  words(static_cast<std::size_t>(30 + 90 * i), static_cast<std::uint64_t>(i)));
    d.write("corpus/z.txt", "a");  // one token: nothing is scored
  }
  RunOptions options(const std::string& out = "run") const {
    RunOptions o = testing::tiny_options(d.path() / "model", d.path() / "corpus", d.path() / out);
    o.token_nll = o.trace_state = o.nll_by_position = o.analyze = true;
    return o;
  }
  static Hdf5File file(const RunOptions& o) { return {results_path(o.out), Hdf5File::Mode::read}; }

  testing::TemporaryDirectory d;
};

void expect_positions(const RunOptions& o) {
  const Results r(o.out);
  const Hdf5File file(results_path(o.out), Hdf5File::Mode::read);
  const PositionBins bins{static_cast<std::uint64_t>(o.position_bin)};
  const auto chunk = static_cast<std::size_t>(o.cache.chunk_tokens);
  std::map<std::size_t, std::pair<double, std::uint64_t>> all;
  const auto offsets = file.read_all<std::uint64_t>("/nll_by_position/offsets");
  const auto own_sum = file.read_all<double>("/nll_by_position/document_nll_sum");
  const auto own_n = file.read_all<std::uint64_t>("/nll_by_position/document_n_tokens");
  ASSERT_EQ(offsets.size(), r.n_tokens.size() + 1);
  for (std::size_t i = 0; i < r.n_tokens.size(); ++i) {
    std::map<std::size_t, std::pair<double, std::uint64_t>> own;
    for (std::size_t t = 0; t < r.n_tokens[i]; ++t) {
      const float nll = r.nll[r.offsets[i] + t];
      if (std::isnan(nll)) continue;
      const std::size_t bin = bins.index(chunk > 0 ? t % chunk : t);
      own[bin].first += static_cast<double>(nll);
      ++own[bin].second;
    }
    for (std::size_t b = 0; b < offsets[i + 1] - offsets[i]; ++b) {
      EXPECT_EQ(own_sum[offsets[i] + b], own[b].first) << "document " << i << ", bin " << b;
      EXPECT_EQ(own_n[offsets[i] + b], own[b].second);
      all[b].first += own[b].first;
      all[b].second += own[b].second;
    }
  }
  const auto sum = file.read_all<double>("/nll_by_position/nll_sum"),
             mean = file.read_all<double>("/nll_by_position/nll");
  const auto n = file.read_all<std::uint64_t>("/nll_by_position/n_tokens");
  const auto first = file.read_all<std::uint64_t>("/nll_by_position/position"),
             last = file.read_all<std::uint64_t>("/nll_by_position/last");
  ASSERT_EQ(sum.size(), all.size());
  std::uint64_t n_scored = 0;
  for (std::size_t b = 0; b < sum.size(); ++b) {
    EXPECT_EQ(sum[b], all[b].first);
    EXPECT_EQ(n[b], all[b].second);
    EXPECT_TRUE(n[b] == 0 || mean[b] == sum[b] / static_cast<double>(n[b]));
    EXPECT_EQ(first[b], bins.first(b));
    EXPECT_EQ(last[b] + 1, bins.first(b + 1));
    n_scored += n[b];
  }
  std::uint64_t expected = 0;
  for (const std::uint64_t scored : r.n_scored) expected += scored;
  EXPECT_EQ(n_scored, expected);
}

TEST_F(AnalysisRun, HasTheNllByPositionOfTheTokens) {
  for (const std::int32_t bin : {0, 1, 50}) {
    for (const std::int32_t chunk : {0, 64}) {
      RunOptions o = options("run" + std::to_string(bin) + "-" + std::to_string(chunk));
      o.position_bin = bin;
      o.cache.chunk_tokens = chunk;
      score(o);
      SCOPED_TRACE(o.out);
      expect_positions(o);
    }
  }
}

struct Naive {
  std::uint64_t tokens = 0;
  std::vector<ClassCounters> layers;
};
struct NaiveCounts {
  std::map<std::string, Naive> classes;
  std::vector<StateCounters> states;  // (n_layers)
};

// From the steps at which tokens left, and their classes.
NaiveCounts naive_counts(const RunOptions& o) {
  const Results r(o.out);
  const auto n_layers = static_cast<std::size_t>(testing::TinyModel{}.n_layers);
  const auto tokenizer = open_model(o.model).tokenizer;
  const TokenClassifier classifier(*tokenizer, nullptr);
  const std::size_t chunk = o.cache.chunk_tokens > 0
                                ? static_cast<std::size_t>(o.cache.chunk_tokens)
                                : std::numeric_limits<std::size_t>::max();
  const auto k = static_cast<std::uint64_t>(o.cache.cache_size);
  NaiveCounts counts;
  auto& classes = counts.classes;
  auto& states = counts.states;
  states.resize(n_layers);
  for (std::size_t i = 0; i < r.n_tokens.size(); ++i) {
    const std::size_t begin = r.offsets[i], end = r.offsets[i + 1];
    const TokenLabels labels = classifier.label(std::span(r.ids).subspan(begin, end - begin));
    for (std::size_t t = 0; t < end - begin; ++t) {
      const std::size_t chunk_begin = t / chunk * chunk,
                        chunk_end = std::min(end - begin, chunk_begin + std::min(chunk, end));
      Naive& c = classes[kTokenClassNames[labels.classes[t]]];
      c.layers.resize(n_layers);
      ++c.tokens;
      for (std::size_t l = 0; l < n_layers; ++l) {
        const std::int32_t death = r.eviction_step[l * r.ids.size() + begin + t];
        const bool survives = death < 0;
        // In the state after steps t ... gone - 1; at step k of the chunk it is full.
        const std::size_t gone = survives ? chunk_end : static_cast<std::size_t>(death);
        std::uint64_t full = 0, recent = 0;
        for (std::size_t step = t; step < gone; ++step) {
          if (step - chunk_begin < k) continue;
          ++full;
          recent += step - t < k / 2;
        }
        ClassCounters& own = c.layers[l];
        (survives ? own.n_survivors : own.n_evictions) += 1;
        (survives ? own.survivor_steps : own.evicted_steps) += gone - t - (survives ? 1 : 0);
        own.full_steps += full;
        states[l].full_steps += full;
        states[l].recent_full_steps += recent;
        if (t != chunk_begin) continue;
        ++states[l].n_first;
        states[l].n_first_evictions += !survives;
        states[l].first_steps += gone - t - (survives ? 1 : 0);
      }
    }
  }
  return counts;
}

void expect_classes(const RunOptions& o) {
  const Hdf5File file(results_path(o.out), Hdf5File::Mode::read);
  NaiveCounts counts = naive_counts(o);
  auto& classes = counts.classes;
  const auto& states = counts.states;
  const std::size_t n_layers = states.size();
  std::size_t n_rows = 0;
  each_analysis_row(file, AnalysisTable::classes, [&](const AnalysisRow& row) {
    const std::string name = std::get<std::string>(row[1].second);
    const auto count = [&](std::size_t c) {
      return static_cast<std::uint64_t>(std::get<std::int64_t>(row[c].second));
    };
    ++n_rows;
    ASSERT_TRUE(classes.contains(name)) << name;
    EXPECT_EQ(count(2), classes[name].tokens) << name;
    const std::int64_t layer = std::get<std::int64_t>(row[3].second);
    if (layer < 0) return;
    const auto l = static_cast<std::size_t>(layer);
    const ClassCounters& c = classes[name].layers[l];
    EXPECT_EQ(count(4), c.n_evictions) << name << layer;
    EXPECT_EQ(count(5), c.evicted_steps) << name << layer;
    EXPECT_EQ(count(6), c.n_survivors) << name << layer;
    EXPECT_EQ(count(7), c.survivor_steps) << name << layer;
    EXPECT_NEAR(std::get<double>(row[8].second),
                static_cast<double>(c.evicted_steps + c.survivor_steps) /
                    static_cast<double>(c.n_evictions + c.n_survivors),
                1e-12 * static_cast<double>(c.evicted_steps + c.survivor_steps + 1));
    EXPECT_DOUBLE_EQ(std::get<double>(row[10].second),
                     static_cast<double>(c.full_steps) / static_cast<double>(states[l].full_steps));
  });
  EXPECT_EQ(n_rows, classes.size() * (n_layers + 1));
  const auto recent = file.read_all<double>("/analysis/recent_half_share"),
             first = file.read_all<double>("/analysis/first_token_lifetime");
  const auto full = file.read_all<std::uint64_t>("/analysis/full_steps");
  for (std::size_t l = 0; l < n_layers; ++l) {
    EXPECT_EQ(full[l], states[l].full_steps);
    EXPECT_DOUBLE_EQ(recent[l], static_cast<double>(states[l].recent_full_steps) /
                                    static_cast<double>(states[l].full_steps));
    EXPECT_DOUBLE_EQ(first[l], static_cast<double>(states[l].first_steps) /
                                   static_cast<double>(states[l].n_first));
  }
}

TEST_F(AnalysisRun, HasTheLifetimesOfTheTrace) {
  for (const Policy policy : {Policy::tova, Policy::tova_ema, Policy::window}) {
    for (const std::int32_t chunk : {0, 100}) {
      RunOptions o = options(std::string(name_of(policy)) + std::to_string(chunk));
      o.cache.policy = policy;
      o.cache.chunk_tokens = chunk;
      score(o);
      SCOPED_TRACE(o.out);
      expect_classes(o);
    }
  }
}

// A full state of `window` holds the newest k: half of it is the newest half.
TEST_F(AnalysisRun, OfAWindowKnowsTheSharesBeforehand) {
  RunOptions o = options();
  o.cache.policy = Policy::window;
  score(o);
  const Hdf5File f = file(o);
  for (const double share : f.read_all<double>("/analysis/recent_half_share"))
    EXPECT_DOUBLE_EQ(share, 0.5);
  RunOptions full = options("full");
  full.cache.policy = Policy::full;
  score(full);
  const Hdf5File g = file(full);
  for (const double share : g.read_all<double>("/analysis/recent_half_share"))
    EXPECT_TRUE(std::isnan(share)) << "no state is full";
  for (const auto n : g.read_all<std::uint64_t>("/analysis/classes/evictions")) EXPECT_EQ(n, 0u);
}

TEST_F(AnalysisRun, HeadWisePoliciesCountEveryGroup) {
  RunOptions o = options();
  o.cache.policy = Policy::tova_head;
  score(o);
  const Hdf5File f = file(o);
  const auto sum = [&](const char* name) {
    std::uint64_t all = 0;
    for (const auto n : f.read_all<std::uint64_t>(name)) all += n;
    return all;
  };
  EXPECT_EQ(sum("/analysis/classes/evictions"), sum("/cache/evictions"));
  EXPECT_EQ(sum("/analysis/classes/survivors"), sum("/cache/survivors"));
  EXPECT_EQ(sum("/analysis/classes/evicted_steps") + sum("/analysis/classes/survivor_steps"),
            sum("/cache/token_lifetime"));
}

TEST_F(AnalysisRun, ABosIsSpecialAndTagsAreThoseOfTheLexicon) {
  RunOptions o = options();
  o.bos = BosMode::always;
  o.cache.chunk_tokens = 50;
  o.lexicon = d.write("words.tsv", "bob\tNNP\n's\tPOS\n12\tCD\ndogs\tNNS\n.\t.\n");
  score(o);
  const Hdf5File f = file(o);
  std::uint64_t n_chunks = 0;
  for (const std::uint64_t n : Results(o.out).n_tokens) n_chunks += (n + 49) / 50;
  std::map<std::string, std::int64_t> tokens;
  each_analysis_row(f, AnalysisTable::classes, [&](const AnalysisRow& row) {
    tokens[std::get<std::string>(row[1].second)] = std::get<std::int64_t>(row[2].second);
  });
  EXPECT_EQ(tokens["special"], static_cast<std::int64_t>(n_chunks));
  for (const char* tag : {"NNP", "POS", "CD", "NNS", "."}) EXPECT_GE(tokens[tag], 4) << tag;
  EXPECT_EQ(tokens["POS"], tokens["possessive"]);
}

TEST_F(AnalysisRun, ExportGivesItsTables) {
  RunOptions o = options();
  score(o);
  const std::string path = results_path(o.out);
  for (const AnalysisTable table : {AnalysisTable::positions, AnalysisTable::classes}) {
    for (const ExportFormat format : {ExportFormat::csv, ExportFormat::jsonl}) {
      std::ostringstream out;
      export_results(path, {.format = format, .table = table}, out);
      std::size_t n_rows = 0;
      each_analysis_row(file(o), table, [&](const AnalysisRow&) { ++n_rows; });
      const std::string text = out.str();
      EXPECT_EQ(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')),
                n_rows + (format == ExportFormat::csv));
      EXPECT_EQ(text.starts_with(analysis_csv_header(table) + "\n"), format == ExportFormat::csv);
      EXPECT_TRUE(is_exported_file(d.write("exported", text))) << text.substr(0, 200);
    }
  }
  o = options("without");
  o.analyze = o.nll_by_position = false;
  score(o);
  std::ostringstream out;
  EXPECT_TRUE(contains(
      error_of(
          [&] { export_results(results_path(o.out), {.table = AnalysisTable::positions}, out); },
          ExitCode::usage),
      "score with --nll-by-position"));
}

TEST_F(AnalysisRun, IsPartOfTheFingerprintWhereItIsAskedFor) {
  RunOptions with = options(), without = options("without");
  without.analyze = without.nll_by_position = false;
  with.lexicon = d.write("words.tsv", "bob\tNNP\n");
  score(with);
  score(without);
  const auto refused = [&](RunOptions o, auto change, const char* what) {
    change(o);
    const std::string message = error_of([&] { score(o); }, ExitCode::configuration);
    EXPECT_TRUE(contains(message, what)) << message;
  };
  refused(
      without, [](RunOptions& o) { o.analyze = true; }, "--analyze was not there and is true");
  refused(
      without, [](RunOptions& o) { o.nll_by_position = true; },
      "--nll-by-position was not there and is true");
  refused(
      with, [](RunOptions& o) { o.analyze = false, o.lexicon = ""; },
      "--analyze was true and is not there");
  refused(
      with, [](RunOptions& o) { o.position_bin = 9; }, "--position-bin was 0 and is 9");
  refused(
      with, [&](RunOptions& o) { o.lexicon = d.write("other.tsv", "bob\tNN\n"); }, "--lexicon was");
  refused(
      with, [](RunOptions& o) { o.lexicon = ""; }, "--lexicon was");
  with.lexicon = d.write("copy.tsv", "bob\tNNP\n");
  EXPECT_EQ(score(with).n_documents, 5u) << "the same words elsewhere";
  refused(
      without, [](RunOptions& o) { o.position_bin = 9; }, "--nll-by-position");
  refused(
      without, [](RunOptions& o) { o.lexicon = "x"; }, "--analyze");
}

}  // namespace
}  // namespace tovamill
