// What generation_config.json wants is done, or named. Which keys change what transformers 5.24
// generates stands in goldens/texts/generation.json, made by make_generation_goldens.py.
#include "workers/documents/generation_defaults.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "tests/support/error_of.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::contains;

TEST(GenerationDefaults, EveryKeyThatChangesTheTextsOfTransformersIsNamed) {
  const json golden = json::parse(
      std::ifstream(TOVAMILL_SOURCE_DIR "/tests/support/goldens/texts/generation.json"));
  // Read (end_tokens.h), or does nothing alone.
  const std::set<std::string> unnamed{"eos_token_id", "length_penalty", "early_stopping"};
  int n_named = 0;
  for (const json& item : golden.at("cases")) {
    const json& config = item.at("config");
    const std::string said = differing_defaults(config, {});
    if (item.at("changes") == true) {
      n_named += 1;
      for (const auto& [key, value] : config.items())
        EXPECT_EQ(contains(said, key + " "), !unnamed.contains(key)) << config << ": " << said;
    } else if (!config.contains("num_beams") &&
               !config.contains("exponential_decay_length_penalty")) {
      EXPECT_EQ(said, "") << config;
    }
  }
  EXPECT_GE(n_named, 24);
}

TEST(GenerationDefaults, WhatTheOptionsSayIsNotNamed) {
  GenerationOptions options;
  options.max_new_tokens = 100;
  options.min_new_tokens = 5;
  options.samples = 2;
  options.stop = {"\n\n", "END"};
  options.sampling = {.temperature = 0.6, .top_k = 20, .top_p = 0.95, .repetition_penalty = 1.1};
  const json wanted{
      {"do_sample", true},      {"temperature", 0.6},        {"top_k", 20},
      {"top_p", 0.95},          {"repetition_penalty", 1.1}, {"max_new_tokens", 100},
      {"max_length", 20},       {"min_new_tokens", 5},       {"num_return_sequences", 2},
      {"stop_strings", {"END"}}};
  EXPECT_EQ(differing_defaults(wanted, options), "");
  options.sampling.top_k = 0;
  options.stop.clear();
  EXPECT_EQ(differing_defaults(wanted, options),
            "not as generation_config.json says: top_k 20 (--top-k), stop_strings [\"END\"] "
            "(--stop)");
}

TEST(GenerationDefaults, KeysOfOtherKindsOfGeneration) {
  const std::vector<std::pair<json, std::string>> cases{
      {nullptr, ""},
      {json::object(), ""},
      {{{"num_beams", 4}}, "num_beams 4 (not supported)"},
      {{{"dola_layers", "high"}}, "dola_layers 'high' (not supported)"},
      {{{"constraints", {1}}}, "constraints [1] (not supported)"},
      {{{"penalty_alpha", 0.6}}, "penalty_alpha 0.6 (not supported)"},
      {{{"num_beam_groups", 2}}, "num_beam_groups 2 (not supported)"},
      {{{"token_healing", true}}, "token_healing true (not supported)"},
      {{{"encoder_no_repeat_ngram_size", 3}}, "encoder_no_repeat_ngram_size 3 (not supported)"},
      {{{"stop_strings", "END"}}, "stop_strings 'END' (--stop)"},
      {{{"do_sample", true}, {"temperature", "hot"}}, "temperature 'hot' (--temperature)"},
      {{{"suppress_tokens", std::vector<int>(99, 12345)}}, "..."},
  };
  for (const auto& [config, part] : cases) {
    const std::string said = differing_defaults(config, {});
    EXPECT_TRUE(part.empty() ? said.empty() : contains(said, part)) << config << ": " << said;
  }
}

TEST(GenerationDefaults, OfGgufAreTheKeysOfLlamaCpp) {
  EXPECT_EQ(differing_gguf_defaults({{"general.name", "x"}}, {}), "");
  EXPECT_EQ(differing_gguf_defaults({{"general.sampling.temp", 0.0}}, {}), "");
  EXPECT_EQ(differing_gguf_defaults({{"general.sampling.temp", 0.6},
                                     {"general.sampling.top_k", 20},
                                     {"general.sampling.sequence", "kp"},
                                     {"tokenizer.ggml.suppress_tokens", {7, 8}}},
                                    {}),
            "not as the file says: general.sampling.temp 0.6 (--temperature), "
            "general.sampling.top_k 20 (--top-k), general.sampling.sequence 'kp' (not supported), "
            "tokenizer.ggml.suppress_tokens [7,8] (not supported)");
}

}  // namespace
}  // namespace tovamill
