#include "jobs/commands/commands.h"

#include <algorithm>
#include <iostream>

#include "jobs/command_line/launcher.h"
#include "jobs/command_line/suggestion.h"
#include "jobs/commands/man_page.h"
#include "kernels/types/error.h"
#include "workers/run/probe_run.h"
#include "workers/run/run_check.h"

namespace tovamill {
namespace {

constexpr const char* kPurpose =
    "tovamill scores corpora of documents with language models whose key-value cache is\n"
    "bounded: however long a document is, each layer keeps at most --cache-size tokens. It\n"
    "summarises them and answers questions about them with such models, too.\n";

std::string program_help() {
  std::string text = program_purpose() + "\nUsage: tovamill COMMAND [options]\n\nCommands:\n";
  for (const Subcommand& command : all_commands()) {
    text +=
        "  " + command.name + std::string(12 - command.name.size(), ' ') + command.summary + "\n";
  }
  text +=
      "  help        the help of a command: tovamill help score (help --man score: as a manual "
      "page)\n  version     this build and its libraries, as --version\n\n";
  text += "  --version   this build and its libraries\n  --help      this text\n\n";
  return text + "A first run:  tovamill score --model model.gguf --corpus texts/ --out run1\n";
}

Subcommand find_command(const std::string& name) {
  std::vector<std::string> names;
  for (const Subcommand& command : all_commands()) {
    if (command.name == name) return command;
    names.push_back(command.name);
  }
  names.insert(names.end(), {"help", "version"});
  throw Error(ExitCode::usage, "unknown command '" + name + "'" + did_you_mean(name, names, "") +
                                   " (see tovamill --help)");
}

// Manual pages are printed as troff reads them: tovamill help --man score | man -l -
int print_man_page(const std::vector<std::string>& words) {
  if (words.size() > 1)
    throw Error(ExitCode::usage, "help --man takes one command: tovamill help --man score");
  std::cout << (words.empty() ? program_man_page() : man_page(find_command(words.front())));
  return 0;
}

int print_help(const std::vector<std::string>& words) {
  if (!words.empty() && words.front() == "--man")
    return print_man_page({words.begin() + 1, words.end()});
  if (words.size() > 1) throw Error(ExitCode::usage, "help takes one command: tovamill help score");
  const bool is_of_all = words.empty() || words.front() == "help" || words.front() == "version";
  std::cout << (is_of_all ? program_help() : help_text(find_command(words.front())));
  return 0;
}

int print_version(const std::vector<std::string>& words) {
  if (words == std::vector<std::string>{"--help"}) return print_help({});
  if (!words.empty()) throw Error(ExitCode::usage, "version takes nothing else: tovamill version");
  std::cout << version_text();
  return 0;
}

// Started as several tasks, they share the work of this command; of others the first task does all.
bool shares_work(const std::string& name) {
  const std::vector<Subcommand> commands = all_commands();
  return std::any_of(commands.begin(), commands.end(),
                     [&](const Subcommand& c) { return c.is_run && c.name == name; });
}

void check(RunOptions options) {
  read_prompt_file(options.generation);
  if (options.job_kind == Job::probe) name_probe_corpus(options);
  check_run(options);
}

void print_note(const Launcher& launcher) {
  const std::string note = note_on_launch(launcher);
  if (!note.empty()) std::cerr << "tovamill: note: " << note << std::endl;
}

}  // namespace

std::string program_purpose() { return kPurpose; }

std::vector<Subcommand> all_commands() {
  return {score_command(), summarize_command(), generate_command(), probe_command(),
          plan_command(),  status_command(),    tokenize_command(), inspect_command(),
          merge_command(), export_command(),    compare_command(),  report_command(),
          tune_command(),  rescore_command(),   doctor_command(),   completion_command()};
}

OptionGroup corpus_group() {
  return {"Corpus", {"glob", "text-key", "id-key", "max-record-bytes", "limit", "skip"}};
}

OptionGroup machine_group() {
  return {"Machine",
          {"device", "dtype", "block", "streams", "memory-budget", "ranks-per-gpu", "threads",
           "stages"}};
}

OptionGroup running_group() {
  return {"Running",
          {"sync-seconds", "save-every", "strict", "max-bad-fraction", "log-format",
           "progress-seconds"}};
}

OptionGroup ranks_group() {
  return {"Several ranks", {"dedicated-coordinator", "broadcast-weights", "silence-seconds"}};
}

int run_program(const std::vector<std::string>& arguments) {
  const Launcher launcher = find_launcher(process_environment());
  const bool is_shared = !arguments.empty() && shares_work(arguments.front());
  if (!is_shared && !may_print(launcher)) return 0;
  if (arguments.empty()) {
    std::cerr << program_help();
    return static_cast<int>(ExitCode::usage);
  }
  const std::string& first = arguments.front();
  const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (first == "help") return print_help(rest);
  if (first == "--help" || first == "-h") return print_help({});
  if (first == "version") return print_version(rest);
  if (first == "--version" || first == "-V") return print_version({});
  if (first.starts_with('-')) {
    throw Error(ExitCode::usage,
                "unknown option '" + first + "': a command comes first (see tovamill --help)");
  }
  const Subcommand command = find_command(first);
  Request request = parse_arguments(command, rest);
  request.options.command = "tovamill";
  for (const std::string& argument : arguments) request.options.command += " " + argument;
  const bool is_question = request.help || request.check || request.print_config;
  if (is_question && !may_print(launcher)) return 0;
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
