// The tokenizer classes of transformers 5.24: which one AutoTokenizer chooses, and the rules that
// some of them put in the place of what tokenizer.json says.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/tokenizer_files/auto_tokenizer.h"

namespace tovamill {

// Whose rules hold: the file's, or those of the class of the same name.
enum class ClassRules { file, llama, qwen2, qwen3_5, gpt2, gemma, cohere };

// AutoTokenizer's choice by `tokenizer_class` of `config` (tokenizer_config.json, merged), or else
// of config.json, and by the latter's `model_type`. Throws BadData for a class whose rules are not
// known here.
ClassRules choose_rules(const HfTokenizerFiles& files, const nlohmann::json& config,
                        const std::string& where);

// A pre-tokenizer of the file that cuts and that GPT2Tokenizer of transformers 5 drops; empty where
// there is none. Files such as SmolLM2's name that class and were trained with their Digits, which
// transformers 4 kept (huggingface/transformers#45920).
std::string step_dropped_by_gpt2(const nlohmann::json& tokenizer);

// Throws BadData where a class other than GPT2Tokenizer would drop a step of the file that cuts:
// the file is how the model was trained, and the class an error of its configuration.
void check_steps(const nlohmann::json& tokenizer, ClassRules rules, const std::string& where);

// Puts the steps that the class builds in place of the file's; not for ClassRules::file.
void apply_class(ClassRules rules, const nlohmann::json& config, AutoTokenizerSettings& out,
                 const std::string& where);

// The special tokens that a class has where the configuration does not name them.
std::map<std::string, std::string> default_tokens(ClassRules rules);

}  // namespace tovamill
