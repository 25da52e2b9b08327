// What a run shows.
#include "jobs/command_line/console.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/temporary_directory.h"
#include "workers/options/budgets.h"

namespace tovamill {
namespace {

RunProgress progress_at(double seconds) {
  RunProgress progress;
  progress.seconds = seconds;
  progress.n_documents = 3;
  progress.n_tokens = 1234567;
  progress.tokens_per_second = 987.6;
  progress.fraction = 0.25;
  progress.seconds_left = 125.0;
  return progress;
}

std::size_t n_lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

TEST(Console, PrintsALineEvery30SecondsWithoutATerminal) {
  const RunOptions options;
  std::ostringstream out, err;
  Console console(options, out, err, false);
  for (int second = 0; second <= 95; ++second) console.progress(progress_at(second));
  EXPECT_EQ(n_lines(err.str()), 3u);
  EXPECT_EQ(err.str().substr(0, err.str().find('\n')),
            "3 documents, 1,234,567 tokens, 988 tokens/s, 25.0 %, 2 min 05 s left");
  EXPECT_EQ(out.str(), "");
}

TEST(Console, RedrawsOneLineOnATerminalAndClearsItAtTheEnd) {
  const RunOptions options;
  std::ostringstream out, err;
  {
    Console console(options, out, err, true);
    for (int i = 0; i < 10; ++i) console.progress(progress_at(0.1 * i));
  }
  EXPECT_EQ(n_lines(err.str()), 0u);
  EXPECT_NE(err.str().find("1,234,567 tokens"), std::string::npos);
  EXPECT_TRUE(err.str().ends_with("\r\033[K"));
}

TEST(Console, TellsThatMemoryHoldsFewerStreamsThanAreWanted) {
  const RunOptions options;
  RunInfo info;
  info.streams = info.wanted_streams = 64;
  const auto lines = [&] {
    std::ostringstream out, err;
    Console(options, out, err, false).started(info);
    return out.str() + err.str();
  };
  EXPECT_EQ(lines().find("memory is short"), std::string::npos);
  info.streams = 37;
  EXPECT_NE(lines().find("37 streams (not 64 streams: the memory is short), "), std::string::npos)
      << lines();
}

TEST(Console, TellsHowManyPlacesALayerHas) {
  testing::TemporaryDirectory d;
  const BudgetTable table{
      .model = "", .merge = 0, .sizes = {32, 64}, .errors = {{1.0, 0.5}, {0.5, 0.25}}};
  RunOptions o;
  const auto state = [&] {
    std::ostringstream out, err;
    Console(o, out, err, false).started(RunInfo());
    const std::string text = out.str() + err.str();
    const std::size_t at = text.find("state  ");
    return text.substr(at, text.find('\n', at) - at);
  };
  const auto expect = [&](const std::string& part) {
    EXPECT_NE(state().find(part), std::string::npos) << state();
  };
  expect("policy tova, at most 512 tokens per layer, positions clipped");
  o.cache.merge = 16;
  expect("policy tova, at most 512 places per layer, 16 of them for merged tokens, positions");
  o.budgets = d.write("b.json", json_of(table).dump());
  o.cache.cache_size = 80;
  expect("80 places per layer on average (68 to 92 by " + o.budgets +
         "), 16 of them for merged tokens, positions");
  o.cache.merge = 0;
  o.cache.cache_size = 64;
  expect("64 places per layer on average (52 to 76 by " + o.budgets + "), positions");
  o.cache = {.policy = Policy::full};
  o.budgets = kNoBudgets;
  expect("policy full, positions clipped");
}

TEST(Console, JsonLogsAreOneObjectPerLine) {
  RunOptions options;
  options.log_format = "json";
  std::ostringstream out, err;
  Console console(options, out, err, true);
  RunInfo info;
  info.model_description = "llama";
  console.started(info);
  console.progress(progress_at(31.0));
  RunSummary summary;
  summary.perplexity_token = 27.5;
  summary.bits_per_byte_se = std::numeric_limits<double>::quiet_NaN();
  summary.results_path = "run\xff/results.h5";
  console.finished(summary);
  EXPECT_EQ(err.str(), "");
  std::istringstream lines(out.str());
  std::vector<nlohmann::json> events;
  for (std::string line; std::getline(lines, line);) events.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].at("model"), "llama");
  EXPECT_EQ(events[1].at("tokens"), 1234567);
  EXPECT_EQ(events[2].at("perplexity_token"), 27.5);
  EXPECT_TRUE(events[2].at("bits_per_byte_se").is_null());
}

TEST(Console, TableNamesTheFirstFailuresAndWhereAllAre) {
  const RunOptions options;
  RunSummary summary;
  summary.n_documents = 2000;
  summary.n_failed = 1003;
  summary.first_failures = {{"/c/a.jsonl", 7, 99, "invalid-json", "broken JSON"},
                            {"/c/b.jsonl", 0, 1234, "missing-key", "the key 'text' is missing"},
                            {"/c/\x1b[0m\n.txt", 0, 0, "empty", ""}};
  std::ostringstream out, err;
  Console(options, out, err, false).finished(summary);
  const std::string blanks(22, ' ');
  EXPECT_NE(out.str().find("failed                1,003 (all are in /failures of the results, and "
                           "tovamill export lists them)\n" +
                           blanks + "/c/a.jsonl, line 7: invalid-json: broken JSON\n" + blanks +
                           "/c/b.jsonl, byte 1234: missing-key: the key 'text' is missing\n" +
                           blanks + "/c/ [0m .txt: empty\n" + blanks + "and 1,000 more\n"),
            std::string::npos)
      << out.str();
}

TEST(Console, FailuresAreInTheJsonEvent) {
  RunOptions options;
  options.log_format = "json";
  RunSummary summary;
  summary.first_failures = {{"/c/a.jsonl", 7, 99, "invalid-json", "broken JSON"}};
  std::ostringstream out, err;
  Console(options, out, err, false).finished(summary);
  const auto event = nlohmann::json::parse(out.str());
  EXPECT_EQ(event["first_failures"], nlohmann::json({{{"file", "/c/a.jsonl"},
                                                      {"line", 7},
                                                      {"offset", 99},
                                                      {"reason", "invalid-json"},
                                                      {"text", "broken JSON"}}}));
}

TEST(Console, FirstLinesTellWhatIsLeftOut) {
  RunOptions options;
  RunInfo info;
  info.left_out.add_other_ending("/c/a.md");
  const auto shown = [&] {
    std::ostringstream out, err;
    Console(options, out, err, false).started(info);
    return out.str() + err.str();
  };
  EXPECT_NE(
      shown().find("left out              1 file, neither .txt nor .jsonl nor .ndjson: 1 .md\n"),
      std::string::npos)
      << shown();
  options.log_format = "json";
  EXPECT_EQ(nlohmann::json::parse(shown())["left_out"]["by_ending"][".md"], 1);
}

TEST(Console, WideNumbersAreShortForPeopleAndWholeInJson) {
  RunOptions options;
  RunSummary summary;
  summary.n_documents = 2;
  summary.perplexity_word = 207101713074040672.0;
  summary.perplexity_word_se = 80122781686379.8594;
  summary.seconds = 1.0;
  summary.tokens_per_second = 26501.4;
  const auto shown = [&] {
    std::ostringstream out, err;
    Console(options, out, err, false).finished(summary);
    return out.str();
  };
  EXPECT_NE(shown().find("perplexity per word   2.0710e+17 +- 8.0123e+13\n"), std::string::npos)
      << shown();
  EXPECT_NE(shown().find("26,501 tokens/s"), std::string::npos) << shown();
  options.log_format = "json";
  EXPECT_EQ(nlohmann::json::parse(shown())["perplexity_word"], 207101713074040672.0);
}

TEST(Console, ProgressCountsFailuresBesideDocuments) {
  const RunOptions options;
  RunProgress progress = progress_at(31.0);
  progress.n_failed = 5;
  std::ostringstream out, err;
  Console(options, out, err, false).progress(progress);
  EXPECT_EQ(err.str().find("3 documents, 5 failed, 1,234,567 tokens"), 0u) << err.str();
}

TEST(Console, TableHasErrorsOnlyForSeveralDocuments) {
  const RunOptions options;
  RunSummary summary;
  summary.n_documents = 1;
  summary.perplexity_token = 27.5;
  summary.perplexity_token_se = 0.25;
  std::ostringstream one, two, err;
  Console(options, one, err, false).finished(summary);
  summary.n_documents = 2;
  Console(options, two, err, false).finished(summary);
  EXPECT_EQ(one.str().find("+-"), std::string::npos);
  EXPECT_NE(two.str().find("27.5000 +- 0.2500"), std::string::npos);
}

}  // namespace
}  // namespace tovamill
