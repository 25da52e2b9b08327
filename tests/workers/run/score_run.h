// A tiny model and a corpus of seven documents, to be scored.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/attention/run_document.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/temporary_directory.h"
#include "workers/run/corpus_run.h"

namespace tovamill {

// Of the corpus.
inline std::string file_name(std::size_t document) {
  return std::string(1, static_cast<char>('a' + document)) + ".txt";
}

inline constexpr const char* kBadLines =
    "{\"text\":\"good one\"}\n"
    "{\"text\":\n"
    "{\"other\":\"x\"}\n"
    "{\"text\":3}\n"
    "{\"text\":\"\"}\n"
    "{\"text\":\"\xff\xfe\"}\n"
    "{\"text\":\"good two\"}\n";

class ScoreRun : public ::testing::Test {
 protected:
  ScoreRun() { write_hf_model(testing::TinyModel{}, d.path() / "model"); }

  std::string model() const { return d.path() / "model"; }
  std::string out(const std::string& name = "run") const { return d.path() / name; }
  RunOptions options(const std::string& name = "run") const {
    return testing::tiny_options(model(), d.path() / "corpus", out(name));
  }
  // The same documents as --token-nll and --trace-state see them.
  RunOptions traced(const std::string& name = "run") const {
    RunOptions o = options(name);
    o.token_nll = o.trace_state = true;
    return o;
  }
  // Seven documents; in path order a.txt ... g.txt.
  std::vector<std::string> write_corpus() const {
    std::vector<std::string> texts;
    for (int i = 0; i < 7; ++i) {
      texts.push_back(
          testing::words(static_cast<std::size_t>(5 + 40 * i), static_cast<std::uint64_t>(i)));
      d.write("corpus/" + file_name(static_cast<std::size_t>(i)), texts.back());
    }
    return texts;
  }
  testing::RunResult alone(const std::vector<std::int32_t>& ids, const CacheOptions& cache,
                           DeviceKind device = DeviceKind::cpu) const {
    return testing::run_document(model(), ids,
                                 {.device = device, .dtype = ComputeType::f32, .cache = cache});
  }

  testing::TemporaryDirectory d;
};

}  // namespace tovamill
