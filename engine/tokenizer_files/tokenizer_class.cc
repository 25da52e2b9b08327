#include "engine/tokenizer_files/tokenizer_class.h"

#include <array>
#include <optional>
#include <string_view>

#include "engine/tokenizer/tokenizer_json.h"
#include "engine/tokenizer/word_pattern.h"

namespace tovamill {
namespace {

using nlohmann::json;

// The class that transformers registers for a model_type. `is_forced`: whatever the files say
// (MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS).
struct RegisteredClass {
  std::string_view model_type, name;
  bool is_forced = false;
};

// Of the language models; mistral's is TokenizersBackend where mistral_common is not installed.
constexpr std::string_view kBackend = "TokenizersBackend";
constexpr std::array kRegistered{
    RegisteredClass{"cohere", "CohereTokenizer"},
    RegisteredClass{"cohere2", "CohereTokenizer"},
    RegisteredClass{"dbrx", "GPT2Tokenizer"},
    RegisteredClass{"ernie4_5", kBackend, true},
    RegisteredClass{"ernie4_5_moe", kBackend, true},
    RegisteredClass{"falcon_mamba", "GPTNeoXTokenizer"},
    RegisteredClass{"flex_olmo", kBackend},
    RegisteredClass{"gemma", "GemmaTokenizer"},
    RegisteredClass{"gemma2", "GemmaTokenizer"},
    RegisteredClass{"gemma3", "GemmaTokenizer"},
    RegisteredClass{"gemma3_text", "GemmaTokenizer"},
    RegisteredClass{"gemma3n", "GemmaTokenizer"},
    RegisteredClass{"gemma3n_text", "GemmaTokenizer"},
    RegisteredClass{"glm", kBackend},
    RegisteredClass{"glm4", kBackend},
    RegisteredClass{"glm4_moe", kBackend},
    RegisteredClass{"gpt2", "GPT2Tokenizer"},
    RegisteredClass{"gpt_bigcode", kBackend},
    RegisteredClass{"gpt_neo", "GPT2Tokenizer"},
    RegisteredClass{"gpt_neox", "GPTNeoXTokenizer"},
    RegisteredClass{"gptj", "GPT2Tokenizer"},
    RegisteredClass{"granite", kBackend},
    RegisteredClass{"granitemoe", kBackend},
    RegisteredClass{"granitemoehybrid", kBackend},
    RegisteredClass{"granitemoeshared", kBackend},
    RegisteredClass{"hyperclovax", kBackend, true},
    RegisteredClass{"internlm2", kBackend, true},
    RegisteredClass{"internlm3", kBackend, true},
    RegisteredClass{"iquestcoder", kBackend, true},
    RegisteredClass{"jais2", "GPT2Tokenizer"},
    RegisteredClass{"jamba", kBackend, true},
    RegisteredClass{"mamba", "GPTNeoXTokenizer"},
    RegisteredClass{"mamba2", "GPTNeoXTokenizer"},
    RegisteredClass{"minicpm3", kBackend, true},
    RegisteredClass{"minimax_m2", kBackend, true},
    RegisteredClass{"ministral", kBackend},
    RegisteredClass{"ministral3", kBackend},
    RegisteredClass{"mistral", kBackend},
    RegisteredClass{"mistral3", kBackend},
    RegisteredClass{"mixtral", kBackend},
    RegisteredClass{"mpt", "GPTNeoXTokenizer"},
    RegisteredClass{"nemotron", kBackend, true},
    RegisteredClass{"olmo", "GPTNeoXTokenizer"},
    RegisteredClass{"olmo2", kBackend},
    RegisteredClass{"olmo3", kBackend},
    RegisteredClass{"olmoe", "GPTNeoXTokenizer"},
    RegisteredClass{"opt", "GPT2Tokenizer"},
    RegisteredClass{"persimmon", kBackend},
    RegisteredClass{"phi", "GPT2Tokenizer"},
    RegisteredClass{"phi3", kBackend, true},
    RegisteredClass{"phimoe", kBackend, true},
    RegisteredClass{"pixtral", kBackend},
    RegisteredClass{"qwen2", "Qwen2Tokenizer", true},
    RegisteredClass{"qwen2_moe", "Qwen2Tokenizer"},
    RegisteredClass{"qwen3", "Qwen2Tokenizer"},
    RegisteredClass{"qwen3_5", "Qwen3_5Tokenizer", true},
    RegisteredClass{"qwen3_5_text", "Qwen3_5Tokenizer"},
    RegisteredClass{"qwen3_moe", "Qwen2Tokenizer"},
    RegisteredClass{"qwen3_next", "Qwen2Tokenizer"},
    RegisteredClass{"recurrent_gemma", "GemmaTokenizer"},
    RegisteredClass{"rwkv", "GPTNeoXTokenizer"},
    RegisteredClass{"stablelm", kBackend},
    RegisteredClass{"starcoder2", "GPT2Tokenizer"},
    RegisteredClass{"zaya", "GemmaTokenizer"},
};

struct NamedRules {
  std::string_view name;
  ClassRules rules;
};

constexpr std::array kRules{
    NamedRules{"PreTrainedTokenizer", ClassRules::file},
    NamedRules{kBackend, ClassRules::file},
    NamedRules{"LlamaTokenizer", ClassRules::llama},
    NamedRules{"Qwen2Tokenizer", ClassRules::qwen2},
    NamedRules{"Qwen3_5Tokenizer", ClassRules::qwen3_5},
    NamedRules{"GPT2Tokenizer", ClassRules::gpt2},
    NamedRules{"GemmaTokenizer", ClassRules::gemma},
    NamedRules{"CohereTokenizer", ClassRules::cohere},
};

std::string without_fast(std::string name) {
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  return name;
}

std::string text_or_empty(const json& object, const char* key, const std::string& where) {
  return field(object, key).is_null() ? std::string() : string_field(object, key, where);
}

// Whether a pre-tokenizer, decoder or post-processor is, or has in its Sequence, one of `type`.
bool has_step(const json& step, std::string_view type) {
  if (!step.is_object()) return false;
  if (field(step, "type") == type) return true;
  for (const char* key : {"pretokenizers", "decoders", "processors"}) {
    for (const json& inner : field(step, key)) {
      if (has_step(inner, type)) return true;
    }
  }
  return false;
}

// transformers looks for "ByteLevel" in the text of the file, wherever it stands.
bool is_byte_level(const json& tokenizer) {
  for (const char* key : {"pre_tokenizer", "decoder", "post_processor"}) {
    if (has_step(field(tokenizer, key), "ByteLevel")) return true;
  }
  return field(field(tokenizer, "model"), "vocab").contains("ByteLevel");
}

ClassRules rules_of_class(std::string_view name, const std::string& where) {
  std::string known;
  for (const NamedRules& row : kRules) {
    if (row.name == name) return row.rules;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  refuse(where, "the tokenizer_class " + in_quotes(name) +
                    " is not supported (PreTrainedTokenizerFast, " +
                    known.substr(known.find(' ') + 1) + " are)");
}

json byte_level_split(const char* regex, bool add_prefix_space) {
  return {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"},
         {"pattern", {{"Regex", regex}}},
         {"behavior", "Isolated"},
         {"invert", false}},
        {{"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"use_regex", false}}}}};
}

json byte_level(bool add_prefix_space) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"use_regex", true}};
}

// The decoder of a vocabulary with ▁ for spaces and <0x..> for bytes.
json piece_decoder(bool drops_first_space) {
  json decoders = {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
                   {{"type", "ByteFallback"}},
                   {{"type", "Fuse"}}};
  if (drops_first_space)
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", decoders}};
}

void apply_llama(const json& config, AutoTokenizerSettings& out, const std::string& where) {
  const bool prefix = bool_field(config, "add_prefix_space", true, where);
  const bool legacy = bool_field(config, "legacy", false, where);
  out.normalizer = nullptr;
  out.pre_tokenizer = {{"type", "Metaspace"},
                       {"replacement", "▁"},
                       {"prepend_scheme", !prefix  ? "never"
                                          : legacy ? "always"
                                                   : "first"},
                       {"split", false}};
  out.decoder = piece_decoder(prefix);
  out.model = {{"byte_fallback", true}, {"fuse_unk", true}};
}

void apply_gemma(const json& config, AutoTokenizerSettings& out, const std::string& where) {
  const json& unknown = field(config, "unk_token");
  if (config.contains("unk_token") && unknown.is_null())
    refuse(where, "'unk_token' is null, which GemmaTokenizer does not take");
  out.normalizer = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}};
  out.pre_tokenizer = {{"type", "Split"},
                       {"pattern", {{"String", " "}}},
                       {"behavior", "MergedWithPrevious"},
                       {"invert", false}};
  out.decoder = piece_decoder(false);
  out.model = {{"byte_fallback", true},
               {"fuse_unk", true},
               {"unk_token", unknown.is_object() ? field(unknown, "content")
                             : unknown.is_null() ? json("<unk>")
                                                 : unknown}};
}

}  // namespace

ClassRules choose_rules(const HfTokenizerFiles& files, const json& config,
                        const std::string& where) {
  const std::string model_type = text_or_empty(files.config, "model_type", where);
  std::string name = text_or_empty(config, "tokenizer_class", where);
  if (name.empty()) name = text_or_empty(files.config, "tokenizer_class", where);
  name = without_fast(name);
  const RegisteredClass* registered = nullptr;
  for (const RegisteredClass& row : kRegistered) {
    if (row.model_type == model_type) registered = &row;
  }
  if (registered != nullptr && (name.empty() || registered->is_forced))
    return rules_of_class(registered->name, where);
  if (name.empty() || (registered != nullptr && registered->name == kBackend))
    return ClassRules::file;
  const ClassRules rules = rules_of_class(name, where);
  return rules == ClassRules::llama && is_byte_level(files.tokenizer) ? ClassRules::file : rules;
}

std::string step_dropped_by_gpt2(const json& tokenizer) {
  for (const char* type : {"Split", "Digits", "Metaspace"}) {
    if (has_step(field(tokenizer, "pre_tokenizer"), type)) return type;
  }
  return "";
}

void check_steps(const json& tokenizer, ClassRules rules, const std::string& where) {
  const auto refuse_drops = [&](std::initializer_list<const char*> types) {
    for (const char* type : types) {
      if (!has_step(field(tokenizer, "pre_tokenizer"), type)) continue;
      refuse(where,
             "tokenizer_class or model_type choose a class of transformers 5 that drops the "
             "pre-tokenizer " +
                 in_quotes(type) +
                 " of tokenizer.json (take tokenizer_class out of tokenizer_config.json to "
                 "have tokenizer.json as it stands)");
    }
  };
  switch (rules) {
    case ClassRules::file:
    case ClassRules::gpt2:
      return;
    case ClassRules::llama:
      return refuse_drops({"Split", "Digits", "WhitespaceSplit", "Whitespace", "Punctuation"});
    case ClassRules::qwen2:
    case ClassRules::qwen3_5:
      return refuse_drops({"Digits", "Metaspace", "WhitespaceSplit", "Whitespace", "Punctuation"});
    case ClassRules::gemma:
      return refuse_drops(
          {"Digits", "Metaspace", "ByteLevel", "WhitespaceSplit", "Whitespace", "Punctuation"});
    case ClassRules::cohere:
      return refuse_drops({"Split", "Metaspace", "WhitespaceSplit", "Whitespace", "Punctuation"});
  }
}

void apply_class(ClassRules rules, const json& config, AutoTokenizerSettings& out,
                 const std::string& where) {
  if (rules == ClassRules::llama) return apply_llama(config, out, where);
  if (rules == ClassRules::gemma) return apply_gemma(config, out, where);
  const bool prefix = bool_field(config, "add_prefix_space", false, where);
  out.decoder = {{"type", "ByteLevel"}};
  out.model = json::object();
  out.normalizer = {{"type", "NFC"}};
  if (rules == ClassRules::cohere) {
    out.pre_tokenizer = {
        {"type", "Sequence"},
        {"pretokenizers", {{{"type", "Digits"}, {"individual_digits", true}}, byte_level(prefix)}}};
  } else if (rules == ClassRules::gpt2) {
    out.normalizer = nullptr;
    out.pre_tokenizer = byte_level(prefix);
  } else {
    out.pre_tokenizer = byte_level_split(
        rules == ClassRules::qwen2 ? WordPattern::qwen2_regex() : WordPattern::qwen3_5_regex(),
        prefix);
  }
}

std::map<std::string, std::string> default_tokens(ClassRules rules) {
  switch (rules) {
    case ClassRules::file:
      return {};
    case ClassRules::llama:
      return {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}};
    case ClassRules::qwen2:
    case ClassRules::qwen3_5:
      return {{"pad_token", "<|endoftext|>"},
              {"eos_token", "<|endoftext|>"},
              {"unk_token", "<|endoftext|>"}};
    case ClassRules::gpt2:
      return {{"bos_token", "<|endoftext|>"},
              {"eos_token", "<|endoftext|>"},
              {"unk_token", "<|endoftext|>"}};
    case ClassRules::gemma:
      return {{"bos_token", "<bos>"},
              {"eos_token", "<eos>"},
              {"unk_token", "<unk>"},
              {"pad_token", "<pad>"},
              {"mask_token", "<mask>"}};
    case ClassRules::cohere:
      return {{"bos_token", "<BOS_TOKEN>"},  {"eos_token", "<|END_OF_TURN_TOKEN|>"},
              {"unk_token", "<UNK>"},        {"pad_token", "<PAD>"},
              {"cls_token", "<CLS>"},        {"sep_token", "<SEP>"},
              {"mask_token", "<MASK_TOKEN>"}};
  }
  return {};
}

}  // namespace tovamill
