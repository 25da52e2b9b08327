// Scores computed again from results.h5 against those of the runs themselves.
#include "workers/run/rescore_run.h"

#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "io/results/hdf5_file.h"
#include "kernels/types/error.h"
#include "pipeline/run_directory/run_directory.h"
#include "tests/support/compress.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/generate_runs.h"
#include "tests/support/runs/results_text.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::error_of;
using testing::results_parts;
using testing::words;

class Rescore : public ::testing::Test {
 protected:
  Rescore() {
    write_hf_model(testing::TinyModel{}, d.path() / "model");
    // The texts of a first run become parts of the references, so that scores are not all 0.
    d.write("corpus/r.jsonl", lines(nullptr));
    const RunOptions first = options("first");
    testing::score(first);
    for (const testing::WrittenRow& row : testing::written_rows(first.out)) {
      seen[row.document].resize(row.question_index + 1);
      seen[row.document][row.question_index] = row.text;
    }
    d.write("corpus/r.jsonl", lines(json::object()));
  }

  RunOptions options(const std::string& out) const {
    RunOptions o =
        testing::tiny_generation(d.path() / "model", d.path() / "corpus", d.path() / out);
    o.corpus.reference_key = "reference";
    o.generation.task = TaskChoice::automatic;
    o.generation.max_new_tokens = 12;
    return o;
  }
  // Records of one question, of several, without any, and a broken one. With references where
  // `references` is not null.
  std::string lines(const json& references) const {
    std::string all;
    for (std::uint64_t i = 0; i < 6; ++i) {
      json r{{"id", "r" + std::to_string(i)}, {"text", words(10 + 20 * i, i)}};
      if (i % 3 == 0) r["question"] = "what is it?";
      if (i % 3 == 1) r["question"] = {"who?", "where?"};
      if (!references.is_null() && i != 5) r["reference"] = reference_of(i);
      all += r.dump() + "\n";
      if (i == 2) all += "{broken\n";
    }
    return all;
  }
  json reference_of(std::uint64_t i) const {
    const std::uint64_t row = i > 2 ? i + 1 : i;  // of /documents
    // Its words in another form: the same stems.
    const auto near = [&](std::size_t q) {
      std::string other;
      for (const char c : seen.at(row).at(q)) {
        const bool ends = !std::isalpha(static_cast<unsigned char>(c)) && !other.empty() &&
                          std::isalpha(static_cast<unsigned char>(other.back()));
        if (ends) other += "s";
        other += c;
      }
      return other + " connections " + words(4, i);
    };
    if (i % 3 == 1) return {near(0), {near(1), "connected runs"}};
    if (i % 3 == 0) return {"connection", near(0)};
    return near(0);
  }
  std::string results(const std::string& out) const { return results_path(d.path() / out); }

  testing::TemporaryDirectory d;
  std::map<std::uint64_t, std::vector<std::string>> seen;  // texts of the first run, by document
};

// All that the two say but the fingerprint.
void expect_same(const std::string& a, const std::string& b) {
  auto first = results_parts(a), second = results_parts(b);
  for (auto* parts : {&first, &second}) {
    std::string& root = parts->at("/");
    const std::size_t at = root.find("@fingerprint");
    root.erase(at, root.find('\n', at) - at);
  }
  for (const auto& [path, text] : first) EXPECT_EQ(second[path], text) << path;
  EXPECT_EQ(first.size(), second.size());
}

TEST_F(Rescore, GivesTheNumbersOfTheRun) {
  RunOptions stemmed = options("stemmed");
  stemmed.generation.stem = true;
  const RunSummary plain = testing::score(options("plain")), other = testing::score(stemmed);
  ASSERT_EQ(plain.n_with_references, 7u);
  ASSERT_GT(plain.text_best[0].value, 0.0);
  ASSERT_NE(plain.text_best[0].value, other.text_best[0].value);

  const std::string out = d.path() / "again.h5";
  const Rescored again = rescore({.results = results("plain"), .out = out});
  expect_same(out, results("plain"));
  EXPECT_EQ(again.summary.text_best[2].standard_error, plain.text_best[2].standard_error);
  EXPECT_EQ(again.summary.n_tokens, plain.n_tokens);
  EXPECT_EQ(again.summary.n_documents, 7u);
  EXPECT_EQ(again.summary.n_failed, 1u);
  EXPECT_EQ(again.summary.results_path, out);

  rescore({.results = results("plain"), .stems = true});  // in place
  expect_same(results("plain"), results("stemmed"));
  rescore({.results = results("plain")});
  expect_same(results("plain"), out);
  EXPECT_FALSE(std::filesystem::exists(results("plain") + ".rescore.tmp"));
}

TEST_F(Rescore, TakesReferencesFromAnotherFile) {
  testing::score(options("plain"));
  RunOptions without = options("without");
  without.corpus.reference_key = "";
  testing::score(without);
  error_of([&] { rescore({.results = results("without")}); }, ExitCode::bad_data);
  // The corpus itself serves, packed too: its texts are passed over.
  std::string corpus = lines(json::object());
  corpus.erase(corpus.find("{broken\n"), 8);
  d.write("references.jsonl.gz", testing::gzip(corpus));
  EXPECT_EQ(rescore({.results = results("without"),
                     .out = d.path() / "packed.h5",
                     .references = d.path() / "references.jsonl.gz"})
                .n_unmatched,
            0u);
  expect_same(d.path() / "packed.h5", results("plain"));
  std::string records;
  for (std::uint64_t i = 0; i < 5; ++i)
    records += json{{"key", "r" + std::to_string(i)}, {"gold", reference_of(i)}}.dump() + "\n";
  d.write("gold.jsonl", records);
  const std::string out = d.path() / "filled.h5";
  const Rescored filled = rescore({.results = results("without"),
                                   .out = out,
                                   .references = d.path() / "gold.jsonl",
                                   .id_key = "key",
                                   .reference_key = "gold"});
  EXPECT_EQ(filled.n_unmatched, 1u);
  expect_same(out, results("plain"));
}

TEST_F(Rescore, SaysWhatIsWrongWithReferences) {
  testing::score(options("plain"));
  std::ifstream file(results("plain"), std::ios::binary);
  const std::string before{std::istreambuf_iterator<char>(file), {}};
  const auto error = [&](const std::string& content, const std::string& name, ExitCode code) {
    d.write(name, content);
    return error_of([&] { rescore({.results = results("plain"), .references = d.path() / name}); },
                    code);
  };
  const auto line = [](const json& id, const json& reference) {
    return json{{"id", id}, {"reference", reference}}.dump() + "\n";
  };
  for (const auto& [content, part] : std::vector<std::pair<std::string, std::string>>{
           {"{\n", "line 1: broken JSON"},
           {line("r1", {"a", "b", "c"}), "each of the 2 questions of 'r1'"},
           {line("r0", "a") + line("r0", "b"), "line 2: another record"},
           {line("r0", 3), "neither a string nor a list"},
           {line("nobody", "a"), "for none of the texts"}}) {
    const std::string message = error(content, "gold.jsonl", ExitCode::bad_data);
    EXPECT_TRUE(testing::contains(message, part)) << message;
  }
  error("text", "gold.txt", ExitCode::usage);
  d.write("several/a.jsonl", line("r0", "a"));
  d.write("several/b.jsonl", line("r1", {"a", "b"}));
  EXPECT_TRUE(testing::contains(
      error_of([&] { rescore({.results = results("plain"), .references = d.path() / "several"}); },
               ExitCode::usage),
      "several is 2 files: give one"));
  error_of([&] { rescore({.results = d.path() / "nothing.h5"}); }, ExitCode::no_input);
  error_of([&] { rescore({.results = d.path() / "gold.txt"}); }, ExitCode::bad_data);
  std::ifstream after(results("plain"), std::ios::binary);
  EXPECT_TRUE(std::string(std::istreambuf_iterator<char>(after), {}) == before);
}

}  // namespace
}  // namespace tovamill
