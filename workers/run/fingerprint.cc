#include "workers/run/fingerprint.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string_view>

#include "io/files/utf8.h"
#include "io/model/digest.h"
#include "kernels/types/error.h"
#include "workers/options/budgets.h"
#include "workers/options/option_values.h"
#include "workers/options/sweep.h"
#include "workers/probe/probe_corpus.h"

namespace tovamill {
namespace {

// Counts up when the same options give other numbers or another journal format than before.
constexpr int kNumbersVersion = 4;

// The same for all spellings of a path: "texts/", "./texts", "texts//". At the end of a glob a
// slash means something: directories only.
std::string spelled_alike(const std::string& path) {
  const std::filesystem::path normal = std::filesystem::absolute(path).lexically_normal();
  const bool is_glob = path.find_first_of("*?[") != std::string::npos;
  const bool ends_in_slash = !normal.has_filename() && normal.has_relative_path();
  return (ends_in_slash && !is_glob ? normal.parent_path() : normal).string();
}

// Paths of a corpus: neither their order nor a double changes what is read. Those of journals that
// an earlier program wrote are as they were given.
nlohmann::json corpus_alike(const nlohmann::json& paths) {
  if (!paths.is_array()) return paths;
  std::set<std::string> alike;
  for (const nlohmann::json& path : paths) {
    if (!path.is_string()) return paths;
    alike.insert(spelled_alike(path.get<std::string>()));
  }
  return alike;
}

// JSON holds UTF-8 only, the names of files any bytes: those that are not UTF-8 as \xNN.
std::string as_utf8(std::string_view bytes) {
  std::string valid;
  while (!bytes.empty()) {
    const std::size_t n = valid_utf8_prefix(bytes);
    valid += bytes.substr(0, n);
    bytes.remove_prefix(n);
    if (bytes.empty()) break;
    char escape[5];
    std::snprintf(escape, sizeof escape, "\\x%02x",
                  static_cast<unsigned>(static_cast<unsigned char>(bytes.front())));
    valid += escape;
    bytes.remove_prefix(1);
  }
  return valid;
}

// A value for one line of a message: a prompt may be a whole file.
std::string text(const nlohmann::json& value) {
  constexpr std::size_t kMostBytes = 60;
  if (value.is_array()) {
    std::string all;
    for (const nlohmann::json& one : value) all += (all.empty() ? "" : " and ") + text(one);
    return all.empty() ? "empty" : all;
  }
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  if (text.empty()) return "empty";
  const std::string first = text.substr(0, std::min(kMostBytes, text.find('\n')));
  if (first.size() == text.size()) return text;
  return "'" + first.substr(0, valid_utf8_prefix(first)) + "...'";
}

// Options that came after runs had begun without them: where they are not given, the fingerprints
// are those of such runs.
constexpr std::array<const char*, 4> kLaterOptions{"merge", "budgets", "system", "prompt-date"};

bool is_default_of_later(std::string_view name, const std::string& value) {
  return (name == "merge" && value == "0") || (name == "budgets" && value == kNoBudgets) ||
         (name == "system" && value.empty()) || (name == "prompt-date" && value == kPromptDate);
}

// What --budgets comes to: "96 272 64 ...".
std::string layer_sizes_text(const RunOptions& options) {
  std::string text;
  for (const std::int32_t size : with_budgets(options).layer_sizes)
    text += (text.empty() ? "" : " ") + text_of(size);
  return text;
}

// A setting of a sweep as it decides: "tova-512: policy=tova cache-size=512 ...".
std::string setting_line(const SweepSetting& setting, const ModelConfig& config) {
  std::string line = setting.name + ":";
  visit_swept_fields(setting.options, [&](std::string_view name, const auto& field, Effect effect) {
    if (!has_effect(effect, setting.options)) return;
    if (is_default_of_later(name, text_of(field))) return;
    std::string value = text_of(field);
    if (name == "clip-distance")
      value = text_of(clip_distance(setting.options.cache, config.shape));
    if (name == "budgets") value = layer_sizes_text(setting.options);
    line += " " + std::string(name) + "=" + value;
  });
  return line;
}

// Of a sweep: what its settings are, in the place of what those of one run would be. Runs without
// one have the fingerprints that they had before there were sweeps.
void fingerprint_sweep(nlohmann::json& fields, const RunOptions& options,
                       const ModelConfig& config) {
  fields.erase("sweep");
  if (!is_sweep(options)) return;
  visit_swept_fields(options, [&](std::string_view name, const auto&, Effect) {
    fields.erase(std::string(name));
  });
  for (const SweepSetting& setting : sweep_of(options).settings)
    fields["sweep"].push_back(as_utf8(setting_line(setting, config)));
}

// What is recorded beside the numbers, where it is asked for: runs without have the fingerprints
// that they had before there was such an option.
constexpr std::array<const char*, 4> kRecordedBeside{"nll-by-position", "position-bin", "analyze",
                                                     "lexicon"};

void fingerprint_analysis(nlohmann::json& fields, const RunOptions& options) {
  if (!options.nll_by_position) fields.erase("nll-by-position"), fields.erase("position-bin");
  if (!options.analyze) fields.erase("analyze");
  if (options.lexicon.empty() || options.job_kind != Job::score) return;
  Digest digest;
  digest.add(std::string_view(read_lexicon_file(options.lexicon)));
  fields["lexicon"] = digest.hex();
}

}  // namespace

nlohmann::json fingerprint(const RunOptions& options, const ModelFiles& files,
                           const ModelConfig& config, const Tokenizer& tokenizer,
                           const std::string& dtype) {
  nlohmann::json fields = nlohmann::json::object();
  visit_fields(options, [&](std::string_view name, const auto& field, Effect effect, const char*) {
    if (effect == Effect::convenience || !has_effect(effect, options)) return;
    if constexpr (requires { field.front().front(); }) {
      for (const std::string& value : field)
        fields[std::string(name)].push_back(
            as_utf8(name == "corpus" ? spelled_alike(value) : value));
    } else {
      fields[std::string(name)] = as_utf8(text_of(field));
    }
  });
  if (fields.contains("corpus")) fields["corpus"] = corpus_alike(fields["corpus"]);
  if (options.job_kind != Job::score) {
    fields["job"] = name_of(options.job_kind);
    fields["prompt"] = as_utf8(options.generation.prompt);
    // A file by what it holds, wherever it lies.
    if (!options.generation.chat_template_text.empty())
      fields["chat-template"] = options.generation.chat_template_text;
  }
  if (options.job_kind == Job::probe) {
    Digest haystack;
    haystack.add(std::string_view(options.probe.haystack_text));
    fields["haystack"] = options.probe.haystack.empty() ? "" : haystack.hex();
    fields["probe-version"] = kProbeVersion;
  }
  fields["model"] = files.digest();
  fields["tokenizer"] = tokenizer.digest();
  fields["dtype"] = dtype;
  fields["device"] = text_of(options.device);
  fields["block"] = text_of(options.block > 0 ? options.block : kRopeSegmentTokens);
  fields["clip-distance"] = text_of(clip_distance(options.cache, config.shape));
  fields["numbers-version"] = kNumbersVersion;
  for (const char* name : kLaterOptions) {
    if (fields.contains(name) && is_default_of_later(name, fields[name].get<std::string>()))
      fields.erase(name);
  }
  if (fields.contains("budgets")) fields["budgets"] = layer_sizes_text(options);
  fingerprint_analysis(fields, options);
  fingerprint_sweep(fields, options, config);
  return fields;
}

std::string fingerprint_digest(const nlohmann::json& fields) {
  Digest digest;
  digest.add(std::string_view(fields.dump()));
  return digest.hex();
}

void check_same(const nlohmann::json& before, const nlohmann::json& now,
                const std::string& run_directory) {
  std::string differences;
  const bool was_sweep = before.contains("sweep") && !now.contains("sweep");
  for (const auto& [key, value] : now.items()) {
    const auto found = before.find(key);
    if (was_sweep && found == before.end()) continue;  // of each of its settings
    if (found != before.end() && *found == value) continue;
    if (key == "corpus" && found != before.end() && corpus_alike(*found) == value) continue;
    const std::string name = key == "job" ? "the command" : "--" + key;
    differences += (differences.empty() ? "" : ", ") + name + " was " +
                   (found == before.end() ? "not there" : text(*found)) + " and is " + text(value);
  }
  for (const char* key : kRecordedBeside) {
    if (before.contains(key) && !now.contains(key))
      differences += (differences.empty() ? "--" : ", --") + std::string(key) + " was " +
                     text(before[key]) + " and is not there";
  }
  for (const char* name : kLaterOptions) {
    if (before.contains(name) && !now.contains(name) && !now.contains("sweep"))
      differences += (differences.empty() ? "--" : ", --") + std::string(name) + " was " +
                     text(before[name]) + " and is not there";
  }
  if (was_sweep)
    differences += (differences.empty() ? "" : ", ") + std::string("--sweep was ") +
                   text(before["sweep"]) + " and is not there";
  if (differences.empty()) return;
  throw Error(
      ExitCode::configuration,
      run_directory + ": holds a run with other options (" + differences +
          "): to keep it give a new --out, to delete it and start afresh add --overwrite, to "
          "continue it give the options that it has");
}

}  // namespace tovamill
