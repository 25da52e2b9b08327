#include "jobs/commands.h"

#include <algorithm>
#include <iostream>

#include "jobs/launcher.h"
#include "jobs/suggestion.h"
#include "kernels/error.h"
#include "workers/run_check.h"

namespace tovamill {
namespace {

constexpr const char* kPurpose =
    "tovamill scores corpora of documents with language models whose key-value cache is\n"
    "bounded: however long a document is, each layer keeps at most --cache-size tokens. It\n"
    "summarises them and answers questions about them with such models, too.\n";

std::string program_help() {
  std::string text = std::string(kPurpose) + "\nUsage: tovamill COMMAND [options]\n\nCommands:\n";
  for (const Command& command : all_commands()) {
    text +=
        "  " + command.name + std::string(10 - command.name.size(), ' ') + command.summary + "\n";
  }
  text += "  help      the help of a command: tovamill help score\n\n";
  text += "  --version   this build and its libraries\n  --help      this text\n\n";
  return text + "A first run:  tovamill score --model model.gguf --corpus texts/ --out run1\n";
}

Command find_command(const std::string& name) {
  std::vector<std::string> names;
  for (const Command& command : all_commands()) {
    if (command.name == name) return command;
    names.push_back(command.name);
  }
  names.push_back("help");
  throw Error(ExitCode::usage, "unknown command '" + name + "'" + did_you_mean(name, names, "") +
                                   " (see tovamill --help)");
}

int print_help(const std::vector<std::string>& words) {
  if (words.size() > 1) throw Error(ExitCode::usage, "help takes one command: tovamill help score");
  std::cout << (words.empty() ? program_help() : help_text(find_command(words.front())));
  return 0;
}

// Started as several tasks, they share the work of this command; of others the first task does all.
bool shares_work(const std::string& name) {
  const std::vector<Command> commands = all_commands();
  return std::any_of(commands.begin(), commands.end(),
                     [&](const Command& c) { return c.is_run && c.name == name; });
}

void check(RunOptions options) {
  read_prompt_file(options.generation);
  check_run(options);
}

void print_note(const Launcher& launcher) {
  const std::string note = note_on_launch(launcher);
  if (!note.empty()) std::cerr << "tovamill: note: " << note << std::endl;
}

}  // namespace

std::vector<Command> all_commands() {
  return {score_command(),  summarize_command(), generate_command(), plan_command(),
          status_command(), tokenize_command(),  inspect_command(),  merge_command(),
          export_command(), rescore_command(),   doctor_command()};
}

OptionGroup corpus_group() {
  return {"Corpus", {"glob", "text-key", "id-key", "max-record-bytes", "limit", "skip"}};
}

int run_program(const std::vector<std::string>& arguments) {
  const Launcher launcher = find_launcher(process_environment());
  const bool is_shared = !arguments.empty() && shares_work(arguments.front());
  if (!is_shared && !speaks(launcher)) return 0;
  if (arguments.empty()) {
    std::cerr << program_help();
    return static_cast<int>(ExitCode::usage);
  }
  const std::string& first = arguments.front();
  const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (first == "help") return print_help(rest);
  if (first == "--help" || first == "-h") return print_help({});
  if (first == "--version" || first == "-V") {
    std::cout << version_text();
    return 0;
  }
  if (first.starts_with('-')) {
    throw Error(ExitCode::usage,
                "unknown option '" + first + "': a command comes first (see tovamill --help)");
  }
  const Command command = find_command(first);
  Request request = parse_arguments(command, rest);
  request.options.command = "tovamill";
  for (const std::string& argument : arguments) request.options.command += " " + argument;
  const bool is_question = request.help || request.check || request.print_config;
  if (is_question && !speaks(launcher)) return 0;
  if (request.help) {
    std::cout << help_text(command);
    return 0;
  }
  if (request.check) check(request.options);
  if (request.print_config) std::cout << config_text(command, request.options);
  if (is_question) return 0;
  if (is_shared) print_note(launcher);
  return command.run(request);
}

}  // namespace tovamill
