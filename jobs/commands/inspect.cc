// tovamill inspect: what a model file, a results file or a journal holds.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "io/model/gguf_model.h"
#include "io/model/model_files.h"
#include "jobs/commands/commands.h"
#include "jobs/commands/inspect_parts.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "pipeline/results/export.h"
#include "pipeline/run_directory/run_directory.h"

namespace tovamill {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr const char* kWhatToGive =
    ": give a model, a run directory, its results.h5 or one of its journal/*.log";

std::string first_bytes(const fs::path& path, std::size_t n) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(ExitCode::no_input, path.string() + " cannot be opened for reading");
  std::string bytes(n, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(n));
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  return bytes;
}

enum class Kind { model, results, journal };

struct Target {
  Kind kind;
  std::string path;
};

Target find_target(const std::string& path) {
  if (ModelFiles::is_in_memory(path)) return {Kind::model, path};
  if (!fs::exists(path)) throw Error(ExitCode::no_input, path + " does not exist" + kWhatToGive);
  if (fs::is_directory(path)) {
    if (fs::exists(results_path(path))) return {Kind::results, results_path(path)};
    if (fs::exists(journal_directory(path))) {
      throw Error(ExitCode::no_input, path + " is a run without results.h5: run tovamill merge " +
                                          path + ", or inspect one of its journal/*.log");
    }
    if (!fs::exists(fs::path(path) / "config.json") && gguf_of_directory(path).empty())
      throw Error(ExitCode::no_input,
                  path +
                      " is neither a model directory (it has no config.json) nor a run directory "
                      "(it has neither results.h5 nor journal/)" +
                      kWhatToGive);
    return {Kind::model, path};
  }
  const std::string magic = first_bytes(path, 8);
  if (magic.starts_with("GGUF") || path.ends_with(".gguf")) return {Kind::model, path};
  if (magic == "\x89HDF\r\n\x1a\n") return {Kind::results, path};
  return {Kind::journal, path};
}

Json inspect_target(const Target& target) {
  if (target.kind == Kind::model) return inspect_model(target.path);
  return target.kind == Kind::results ? inspect_results(target.path) : inspect_journal(target.path);
}

std::string shown(const std::string& key, const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_unsigned() && key.find("bytes") != std::string::npos) {
    return with_thousands(value.get<std::uint64_t>()) + " (" +
           human_bytes(value.get<std::uint64_t>()) + ")";
  }
  if (value.is_number_integer() && value >= 0) return with_thousands(value.get<std::uint64_t>());
  if (value.is_number_float()) return fixed_point(value.get<double>(), 4);
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string spaced(std::string key) {
  for (char& c : key) {
    if (c == '_') c = ' ';
  }
  return key.starts_with("n ") ? key.substr(2) : key;
}

void print_table(const Json& object, const std::string& indent) {
  for (const auto& [key, value] : object.items()) {
    const std::string name = indent + spaced(key);
    if (value.is_object()) {
      std::cout << name << "\n";
      print_table(value, indent + "  ");
    } else {
      std::cout << name << std::string(name.size() < 30 ? 30 - name.size() : 1, ' ')
                << shown(key, value) << "\n";
    }
  }
}

int run_inspect(const Request& request) {
  const Target target = find_target(request.operands.front());
  if (request.flag("json")) {
    std::cout << inspect_target(target).dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  } else if (target.kind == Kind::results) {
    std::cout << describe_results(target.path);
  } else {
    print_table(inspect_target(target), "");
  }
  return 0;
}

}  // namespace

Subcommand inspect_command() {
  Subcommand command;
  command.name = "inspect";
  command.synopsis = "FILE [--json]";
  command.summary = "what a model, a results file or a journal holds";
  command.introduction =
      "FILE is a Hugging Face model directory, a .gguf file or random:NAME (architecture, shape, "
      "element types,\n"
      "tokenizer, bytes of state per token; every weight is looked for), a results.h5 or the run\n"
      "directory it lies in, or one of a run's journal/*.log.\n";
  command.examples = "  tovamill inspect model.gguf\n  tovamill inspect run1/results.h5 --json\n";
  command.extras = {{"json", "", "false", "print a JSON object"}};
  command.operand = "FILE";
  command.run = run_inspect;
  return command;
}

}  // namespace tovamill
