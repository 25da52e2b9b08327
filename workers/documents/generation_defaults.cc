#include "workers/documents/generation_defaults.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "engine/model/config_reader.h"

namespace tovamill {

namespace {

using nlohmann::json;

constexpr std::string_view kUnsupported = "not supported";
constexpr std::size_t kLongestValue = 60;

// A key for which there is no option, and the number (also of a flag) without effect. Null, "" and
// what is empty have none either.
struct Unsupported {
  std::string_view key;
  double neutral;
};

constexpr Unsupported kHfUnsupported[] = {{"assistant_early_exit", 0},
                                          {"bad_words_ids", 0},
                                          {"begin_suppress_tokens", 0},
                                          {"constraints", 0},
                                          {"custom_generate", 0},
                                          {"diversity_penalty", 0},
                                          {"dola_layers", 0},
                                          {"encoder_no_repeat_ngram_size", 0},
                                          {"encoder_repetition_penalty", 1},
                                          {"epsilon_cutoff", 0},
                                          {"eta_cutoff", 0},
                                          {"exponential_decay_length_penalty", 0},
                                          {"force_words_ids", 0},
                                          {"forced_decoder_ids", 0},
                                          {"forced_eos_token_id", -1},
                                          {"guidance_scale", 1},
                                          {"max_time", 0},
                                          {"no_repeat_ngram_size", 0},
                                          {"num_beam_groups", 1},
                                          {"num_beams", 1},
                                          {"penalty_alpha", 0},
                                          {"sequence_bias", 0},
                                          {"suppress_tokens", 0},
                                          {"token_healing", 0},
                                          {"top_h", 1},
                                          {"typical_p", 1},
                                          {"watermarking_config", 0}};

constexpr Unsupported kGgufUnsupported[] = {{"general.sampling.mirostat", 0},
                                            {"general.sampling.sequence", 0},
                                            {"general.sampling.xtc_probability", 0},
                                            {"tokenizer.ggml.suppress_tokens", 0}};

double number_of(const json& value) {
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  return value.is_number() ? value.get<double>() : std::nan("");
}

std::string text_of_value(const json& value) {
  if (value.is_object()) return shown(value);
  const std::string text =
      value.is_array() ? value.dump(-1, ' ', true, json::error_handler_t::replace) : shown(value);
  return text.size() <= kLongestValue ? text : text.substr(0, kLongestValue) + "...";
}

class Differences {
 public:
  explicit Differences(const json& fields) : fields_(fields) {}

  const json& at(std::string_view key) const {
    static const json kNothing;
    if (!fields_.is_object()) return kNothing;
    const auto place = fields_.find(key);
    return place == fields_.end() ? kNothing : *place;
  }

  // Names the key unless it is absent or the number that the option says.
  void number(std::string_view key, double in_effect, std::string_view option) {
    const json& value = at(key);
    if (value.is_null()) return;
    if (!(std::abs(number_of(value) - in_effect) <= 1e-6 * std::abs(in_effect))) name(key, option);
  }

  void unsupported(const Unsupported& one) {
    const json& value = at(one.key);
    const bool is_empty =
        value.is_string() ? value.get_ref<const std::string&>().empty() : value.empty();
    if (!is_empty && number_of(value) != one.neutral) name(one.key, kUnsupported);
  }

  void name(std::string_view key, std::string_view why) {
    text_ += (text_.empty() ? "" : ", ") + std::string(key) + " " + text_of_value(at(key)) + " (" +
             std::string(why) + ")";
  }

  // "" where nothing differs.
  std::string text(const std::string& file) const {
    return text_.empty() ? "" : "not as " + file + " says: " + text_;
  }

 private:
  const json& fields_;
  std::string text_;
};

// A text or a list of texts.
bool all_given(const json& wanted, const std::vector<std::string>& stop) {
  const auto is_given = [&](const json& text) {
    return text.is_string() &&
           std::find(stop.begin(), stop.end(), text.get_ref<const std::string&>()) != stop.end();
  };
  return wanted.is_array() ? std::all_of(wanted.begin(), wanted.end(), is_given) : is_given(wanted);
}

// generate() looks at these only where it samples: it does where do_sample says so, or where the
// user here does.
void name_sampling(Differences& found, const SamplingOptions& sampling) {
  const bool wants_sampling = found.at("do_sample") == true;
  if (!wants_sampling && sampling.temperature == 0) return;
  if (wants_sampling && sampling.temperature == 0) found.name("do_sample", "--temperature");
  found.number("temperature", sampling.temperature, "--temperature");
  found.number("top_k", sampling.top_k, "--top-k");
  found.number("top_p", sampling.top_p, "--top-p");
  found.number("min_p", sampling.min_p, "--min-p");
}

void name_lengths(Differences& found, const GenerationOptions& options) {
  if (found.at("max_new_tokens").is_null()) {
    found.number("max_length", -1, "--max-new-tokens, without the prompt");
  } else {
    found.number("max_new_tokens", options.max_new_tokens, "--max-new-tokens");
  }
  if (found.at("min_new_tokens").is_null()) {
    found.number("min_length", 0, "--min-new-tokens, without the prompt");
  } else {
    found.number("min_new_tokens", options.min_new_tokens, "--min-new-tokens");
  }
}

}  // namespace

std::string differing_defaults(const json& generation_config, const GenerationOptions& options) {
  Differences found(generation_config);
  name_sampling(found, options.sampling);
  found.number("repetition_penalty", options.sampling.repetition_penalty, "--repetition-penalty");
  name_lengths(found, options);
  found.number("num_return_sequences", options.samples, "--samples");
  const json& stop = found.at("stop_strings");
  if (!stop.empty() && !all_given(stop, options.stop)) found.name("stop_strings", "--stop");
  for (const Unsupported& one : kHfUnsupported) found.unsupported(one);
  return found.text("generation_config.json");
}

std::string differing_gguf_defaults(const json& metadata, const GenerationOptions& options) {
  const SamplingOptions& sampling = options.sampling;
  Differences found(metadata);
  found.number("general.sampling.temp", sampling.temperature, "--temperature");
  found.number("general.sampling.top_k", sampling.top_k, "--top-k");
  found.number("general.sampling.top_p", sampling.top_p, "--top-p");
  found.number("general.sampling.min_p", sampling.min_p, "--min-p");
  found.number("general.sampling.penalty_repeat", sampling.repetition_penalty,
               "--repetition-penalty");
  for (const Unsupported& one : kGgufUnsupported) found.unsupported(one);
  return found.text("the file");
}

}  // namespace tovamill
