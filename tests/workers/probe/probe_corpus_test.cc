// The texts of probes: what they hide, where, and how long they are.
#include "workers/probe/probe_corpus.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "engine/text/sha256.h"
#include "pipeline/probe/probe_score.h"
#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/models/real_tokenizers.h"
#include "tests/support/temporary_directory.h"
#include "workers/probe/filler.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;

std::unique_ptr<Tokenizer> tiny() {
  return Tokenizer::from_hf(testing::tiny_tokenizer_json(320), nlohmann::json(), "tiny");
}

RunOptions probe_of(const std::string& tasks, const std::string& lengths) {
  RunOptions o;
  o.job_kind = Job::probe;
  o.probe.tasks = tasks;
  o.probe.lengths = lengths;
  o.probe.n = 2;
  return o;
}

std::string corpus_text(const Tokenizer& tokenizer, const RunOptions& options) {
  std::ostringstream out;
  ProbeCorpus(tokenizer, options).write(out);
  return out.str();
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

// The published first values of SplitMix64 from 0.
TEST(ProbeRandom, IsSplitMix64) {
  ProbeRandom random{};
  EXPECT_EQ(random.next(), 0xe220a8397b1dcdafu);
  EXPECT_EQ(random.next(), 0x6e789e6aa1b965f4u);
  EXPECT_EQ(random.next(), 0x06c45d188009454fu);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 200; ++i) seen.insert(random.below(7));
  EXPECT_EQ(seen.size(), 7u);
  EXPECT_EQ(*seen.rbegin(), 6u);
  EXPECT_EQ(random.below(1), 0u);
  EXPECT_NE(ProbeRandom({1, 2}).next(), ProbeRandom({2, 1}).next());
}

TEST(ProbeFiller, CutsATextIntoItsSentences) {
  struct Case {
    const char* text;
    std::vector<std::string_view> sentences;
  };
  for (const Case& c :
       {Case{"", {}}, Case{" \n\n ", {}}, Case{"One", {"One"}},
        Case{"One. Two! \"Three?\" Four", {"One. ", "Two! ", "\"Three?\" ", "Four"}},
        Case{"It is 3.14 now.\nNext", {"It is 3.14 now.\n", "Next"}},
        Case{"A title\n\nA text.", {"A title\n\n", "A text."}},
        Case{"\n\nHello ... there.", {"Hello ... ", "there."}},
        Case{"Caf\xC3\xA9. Th\xC3\xA9!", {"Caf\xC3\xA9. ", "Th\xC3\xA9!"}}})
    EXPECT_EQ(sentences_of(c.text), c.sentences) << c.text;
}

TEST(ProbeFiller, OfOurOwnHoldsNothingThatIsHidden) {
  const std::vector<std::string_view> none;
  ProbeRandom random{1};
  Filler filler(none, random);
  std::set<std::string> sentences;
  for (int i = 0; i < 500; ++i) {
    const std::string text = filler.next();
    sentences.insert(text);
    EXPECT_EQ(text.find_first_of("0123456789"), std::string::npos) << text;
    EXPECT_EQ(text.find_first_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 1), std::string::npos) << text;
    EXPECT_TRUE(text.ends_with(". ") || text.ends_with(".\n\n")) << text;
    for (const char* word : {"pass key", "locker", "variable"})
      EXPECT_EQ(text.find(word), std::string::npos) << text;
  }
  EXPECT_GT(sentences.size(), 490u);
}

TEST(ProbeFiller, GoesRoundTheUsersText) {
  const std::vector<std::string_view> given = sentences_of("One. Two. Three.");
  ProbeRandom random{3};
  Filler filler(given, random);
  std::string text;
  for (int i = 0; i < 6; ++i) text += filler.next();
  for (const char* word : {"One. ", "Two. ", "Three.\n\n"}) EXPECT_EQ(count_of(text, word), 2u);
}

TEST(ProbeTask, WordsAreNoPartsOfEachOther) {
  const std::vector<std::string>& words = probe_words();
  EXPECT_GE(words.size(), 100u);
  for (const std::string& a : words) {
    for (const std::string& b : words)
      EXPECT_TRUE(&a == &b || b.find(a) == b.npos) << a << " " << b;
  }
}

TEST(ProbeTask, CommonWordsStandMostOften) {
  for (const std::size_t n : {20u, 21u, 50u, 100u, 333u, 1000u, 2001u, 20'000u}) {
    ProbeRandom random{n};
    const WordLists lists(random);
    std::istringstream words(lists.list(n));
    std::map<std::string, std::size_t> counts;
    std::size_t total = 0;
    for (std::string word; words >> word; ++total) ++counts[word];
    EXPECT_EQ(total, n);
    std::size_t least = n, most = 0;
    const std::vector<std::string> keys = lists.question().keys;
    ASSERT_EQ(keys.size(), kCommonWords);
    for (const auto& [word, count] : counts) {
      if (std::find(keys.begin(), keys.end(), word) != keys.end())
        least = std::min(least, count);
      else
        most = std::max(most, count);
    }
    for (const std::string& key : keys) EXPECT_EQ(counts[key], least) << n;
    EXPECT_GE(least, most + 2) << n;
    if (n >= 2000) {
      EXPECT_EQ(least, 10 * most) << n;
    }
  }
}

TEST(ProbeTask, VariablesAreAChainInOrder) {
  ProbeRandom random{5};
  const ProbeQuestion q =
      make_probe_question(ProbeTask::variables, 0.5, {.needles = 1, .hops = 4}, random);
  ASSERT_EQ(q.hidden.size(), 5u);
  ASSERT_EQ(q.keys.size(), 5u);
  const std::string value = q.question.substr(q.question.find("value ") + 6, 5);
  EXPECT_EQ(q.hidden[0].text, "The variable " + q.keys[0] + " has the value " + value + ".");
  for (std::size_t i = 1; i < 5; ++i)
    EXPECT_EQ(q.hidden[i].text,
              "The variable " + q.keys[i] + " has the value of " + q.keys[i - 1] + ".");
  EXPECT_EQ(q.question, "Which variables have the value " + value + "? Name all 5 of them.");
  for (std::size_t i = 0; i < 5; ++i)
    EXPECT_NEAR(q.hidden[i].depth, 0.5 + 0.1 * static_cast<double>(i), 1e-12);
  EXPECT_EQ(std::set<std::string>(q.keys.begin(), q.keys.end()).size(), 5u);
}

TEST(ProbeTask, OneNeedleOfManyIsAskedFor) {
  ProbeRandom random{6};
  const ProbeQuestion q =
      make_probe_question(ProbeTask::needles, 0.25, {.needles = 40, .hops = 1}, random);
  ASSERT_EQ(q.hidden.size(), 40u);
  ASSERT_EQ(q.keys.size(), 1u);
  EXPECT_EQ(q.hidden[0].depth, 0.25);
  const std::string name = q.question.substr(30, q.question.size() - 31);
  EXPECT_EQ(q.question, "Which number opens the locker " + name + "?");
  std::set<std::string> texts;
  for (const HiddenSentence& h : q.hidden) {
    texts.insert(h.text);
    EXPECT_EQ(contains(h.text, name + " opens"), &h == &q.hidden[0]);
    EXPECT_EQ(contains(h.text, q.keys[0]), &h == &q.hidden[0]);
  }
  EXPECT_EQ(texts.size(), 40u);
}

// The corpus never changes but with kProbeVersion.
TEST(ProbeCorpus, HasTheSameBytesEverywhere) {
  RunOptions o = probe_of("passkey,needles,variables,words", "700,1500");
  const auto tokenizer = tiny();
  const std::string text = corpus_text(*tokenizer, o);
  EXPECT_EQ(count_of(text, "\n"), 2u * 2u * (3u * 5u + 1u));
  EXPECT_EQ(sha256_hex(text), "3402a8cbfc65b2b14278fd40e74b1e9b8b3ff9e4d8d9bf1399cac3a9002ce979");
  o.generation.sampling.seed = 2;
  EXPECT_NE(corpus_text(*tokenizer, o), text);
}

TEST(ProbeCorpus, TextsAreAsLongAsWanted) {
  std::vector<std::pair<std::string, std::unique_ptr<Tokenizer>>> tokenizers;
  tokenizers.emplace_back("tiny", tiny());
  for (const char* name : {"llama2", "llama3_1", "qwen3"}) {
    if (auto t = testing::shared_tokenizer(name)) tokenizers.emplace_back(name, std::move(t));
  }
  RunOptions o = probe_of("passkey,needles,variables,words", "1000,4096");
  o.probe.depths = "0,0.4,1";
  for (const auto& [name, tokenizer] : tokenizers) {
    const ProbeCorpus corpus(*tokenizer, o);
    for (const ProbeKey& key : corpus.keys()) {
      SCOPED_TRACE(name + " " + id_of(key));
      const ProbeDocument d = corpus.document(key);
      std::vector<TokenId> ids;
      tokenizer->encode(d.text, false, ids);
      EXPECT_EQ(d.n_tokens, ids.size());
      EXPECT_LE(ids.size(), key.length);
      EXPECT_GE(static_cast<double>(ids.size()), 0.99 * static_cast<double>(key.length));
      EXPECT_EQ(n_keys_found(d.text, d.keys), d.keys.size());
    }
  }
}

TEST(ProbeCorpus, WhatIsHiddenStandsAtItsDepth) {
  const auto tokenizer = tiny();
  RunOptions o = probe_of("passkey,needles,variables", "6000");
  o.probe.depths = "0,0.25,0.5,0.75,1";
  const ProbeCorpus corpus(*tokenizer, o);
  for (const ProbeKey& key : corpus.keys()) {
    SCOPED_TRACE(id_of(key));
    const ProbeDocument d = corpus.document(key);
    ASSERT_FALSE(d.where.empty());
    const double behind = static_cast<double>(d.text.size());
    EXPECT_NEAR(static_cast<double>(d.where[0]) / behind, *key.depth, 0.12);
    if (*key.depth == 0.0 && key.task == ProbeTask::passkey) {
      EXPECT_EQ(d.where[0], 0u);
    }
    if (*key.depth == 1.0 && key.task == ProbeTask::passkey) {
      EXPECT_TRUE(d.text.ends_with("is the pass key."));
    }
    if (key.task == ProbeTask::variables) {
      EXPECT_TRUE(std::is_sorted(d.where.begin(), d.where.end()));
    }
  }
}

TEST(ProbeCorpus, TextsOfASampleDifferInTheDepthAlone) {
  const auto tokenizer = tiny();
  const RunOptions o = probe_of("needles", "2000");
  const ProbeCorpus corpus(*tokenizer, o);
  const ProbeDocument first = corpus.document({ProbeTask::needles, 2000, 0.0, 1}),
                      last = corpus.document({ProbeTask::needles, 2000, 1.0, 1}),
                      other = corpus.document({ProbeTask::needles, 2000, 0.0, 0});
  EXPECT_EQ(first.keys, last.keys);
  EXPECT_EQ(first.question, last.question);
  EXPECT_NE(first.text, last.text);
  EXPECT_NE(first.keys, other.keys);
  // And on nothing that the rest of the corpus is.
  RunOptions more = probe_of("passkey,needles", "100000,2000,4000");
  more.probe.n = 7;
  more.probe.depths = "1,0.3,0";
  EXPECT_EQ(ProbeCorpus(*tokenizer, more).document({ProbeTask::needles, 2000, 0.0, 1}).text,
            first.text);
}

TEST(ProbeCorpus, RecordsAreLinesForGenerate) {
  const auto tokenizer = tiny();
  RunOptions o = probe_of("passkey,words", "800");
  o.probe.depths = "0.5";
  o.probe.n = 1;
  std::istringstream lines(corpus_text(*tokenizer, o));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  const auto r = nlohmann::json::parse(line);
  EXPECT_TRUE(line.starts_with("{\"id\":\"probe/passkey/800/0.5/0\",\"text\":"));
  EXPECT_EQ(r["task"], "passkey");
  EXPECT_EQ(r["length"], 800);
  EXPECT_EQ(r["depth"], 0.5);
  EXPECT_EQ(r["sample"], 0);
  EXPECT_GE(r["tokens"], 792);
  ASSERT_EQ(r["reference"].size(), 1u);
  EXPECT_EQ(count_of(r["text"].get<std::string>(), r["reference"][0].get<std::string>()), 2u);
  EXPECT_EQ(r["question"], "What is the pass key?");
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_TRUE(nlohmann::json::parse(line)["depth"].is_null());
  EXPECT_FALSE(std::getline(lines, line));
}

TEST(ProbeCorpus, TakesTheUsersText) {
  const testing::TemporaryDirectory d;
  d.write("novel.txt", "The whale rose. It was white, and it was large!\n\nNobody spoke.");
  RunOptions o = probe_of("passkey", "600");
  o.probe.haystack = d.path() / "novel.txt";
  read_haystack(o.probe);
  const auto tokenizer = tiny();
  const ProbeDocument x = ProbeCorpus(*tokenizer, o).document({ProbeTask::passkey, 600, 0.5, 0});
  EXPECT_GT(count_of(x.text, "The whale rose."), 3u);
  EXPECT_GE(x.n_tokens, 594u);
  d.write("bad.txt", "caf\xE9");
  d.write("empty.txt", " \n");
  for (const auto& [name, code, said] :
       {std::tuple{"none.txt", ExitCode::no_input, "none.txt cannot be read"},
        std::tuple{"bad.txt", ExitCode::bad_data, "byte 3: is not UTF-8"},
        std::tuple{"empty.txt", ExitCode::bad_data, "holds no word"}}) {
    ProbeOptions bad;
    bad.haystack = d.path() / name;
    EXPECT_TRUE(contains(error_of([&] { read_haystack(bad); }, code), said)) << name;
  }
}

TEST(ProbeCorpus, RefusesALengthThatHoldsNothing) {
  const auto tokenizer = tiny();
  const RunOptions o = probe_of("variables", "100");
  const ProbeCorpus corpus(*tokenizer, o);
  EXPECT_TRUE(
      contains(error_of([&] { corpus.document(corpus.keys().front()); }, ExitCode::configuration),
               "--lengths 100: what the task variables hides alone has"));
}

TEST(ProbeOptions, RefusesWhatItCannotReadByName) {
  constexpr ExitCode usage = ExitCode::usage, range = ExitCode::configuration;
  struct Case {
    std::string ProbeOptions::*list;
    const char *given, *said;
    ExitCode code;
  };
  for (const Case& c :
       {Case{&ProbeOptions::tasks, "passkey,haystacks", "--tasks: 'haystacks' is not known", usage},
        Case{&ProbeOptions::tasks, "", "--tasks '' has an empty value", usage},
        Case{&ProbeOptions::tasks, "passkey,,words", "has an empty value", usage},
        Case{&ProbeOptions::lengths, "1024,many", "--lengths", usage},
        Case{&ProbeOptions::lengths, "8", "--lengths", range},
        Case{&ProbeOptions::depths, "0,1.5", "--depths", range},
        Case{&ProbeOptions::depths, "-0.1", "--depths", range},
        Case{&ProbeOptions::depths, "nan", "--depths", usage},
        Case{&ProbeOptions::depths, "half", "--depths", usage}}) {
    ProbeOptions o;
    o.*c.list = c.given;
    EXPECT_TRUE(contains(error_of([&] { validate_probe(o); }, c.code), c.said)) << c.given;
  }
  for (std::int32_t ProbeOptions::*number :
       {&ProbeOptions::n, &ProbeOptions::needles, &ProbeOptions::hops}) {
    ProbeOptions o;
    o.*number = -1;
    error_of([&] { validate_probe(o); }, range);
  }
  ProbeOptions o;
  o.lengths = "4K,4096,1K";  // each once
  EXPECT_EQ(lengths_of(o).size(), 2u);
  o.depths = "0,-0,1";
  EXPECT_EQ(depths_of(o), (std::vector<double>{0.0, 1.0}));
}

}  // namespace
}  // namespace tovamill
