// The built program on input that is broken, and what it must say.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "tests/support/error_of.h"
#include "tests/support/models/model_builder.h"
#include "tests/support/runs/score_runs.h"
#include "tests/support/runs/subprocess.h"
#include "tests/support/temporary_directory.h"

namespace tovamill {

class BadInput : public ::testing::Test {
 protected:
  BadInput() {
    d.write("corpus.txt", testing::words(30, 1));
    write_hf_model(testing::TinyModel{}, model());
  }

  std::filesystem::path model() const { return d.path() / "model"; }
  std::vector<std::string> command(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all{
        "score", "--model",        model(),     "--corpus", d.path() / "corpus.txt",
        "--out", d.path() / "run", "--threads", "1"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  // The command with another value of an option.
  std::vector<std::string> with(const std::string& option, const std::string& value) const {
    std::vector<std::string> all = command();
    const auto at = std::find(all.begin(), all.end(), option);
    if (at == all.end()) return command({option, value});
    *std::next(at) = value;
    return all;
  }
  // Ends with `code`, one line on stderr that holds `part`, and nothing on stdout.
  static void expect_refused(const std::vector<std::string>& arguments, int code,
                             const std::string& part) {
    const testing::ProgramResult result = testing::run_tovamill(arguments);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err.find("tovamill: error: "), 0u) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_TRUE(testing::contains(result.err, part))
        << "wanted: " << part << "\ngot: " << result.err;
    EXPECT_LT(result.err.size(), 2000u);
    for (const char* ours :
         {"what():", "terminate", ".cc:", "json.exception", "std::", "internal error"}) {
      EXPECT_FALSE(testing::contains(result.err, ours)) << result.err;
    }
  }
  // A run that got beyond its start shows its first lines; then one line says what ended it.
  static void expect_ended(const testing::ProgramResult& result, int code,
                           const std::string& part) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    const std::size_t at = result.err.find("tovamill: error: ");
    ASSERT_NE(at, std::string::npos) << result.err;
    EXPECT_EQ(result.err.find('\n', at), result.err.size() - 1) << result.err;
    EXPECT_TRUE(testing::contains(result.err.substr(at), part)) << result.err;
  }
  // A file of the model directory changed, refused, and put back.
  void expect_bad_file(const char* name, const std::string& content, const std::string& part,
                       int code = 65) const {
    SCOPED_TRACE(std::string(name) + ": " + content.substr(0, 60));
    const std::string before = testing::content_of(model() / name);
    d.write(std::string("model/") + name, content);
    expect_refused(command(), code, part);
    d.write(std::string("model/") + name, before);
  }
  void expect_bad_config(const std::function<void(nlohmann::json&)>& change,
                         const std::string& part) const {
    nlohmann::json config = testing::tiny_config(testing::TinyModel{});
    change(config);
    expect_bad_file("config.json", config.dump(), part);
  }
  void expect_bad_tokenizer(const std::function<void(nlohmann::json&)>& change,
                            const std::string& part) const {
    nlohmann::json tokenizer = testing::tiny_tokenizer_json(testing::TinyModel{}.vocab_size);
    change(tokenizer);
    expect_bad_file("tokenizer.json", tokenizer.dump(), part);
  }

  testing::TemporaryDirectory d;
};

}  // namespace tovamill
