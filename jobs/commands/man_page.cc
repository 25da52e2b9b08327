#include "jobs/commands/man_page.h"

#include <array>
#include <sstream>
#include <string_view>
#include <utility>

#include "jobs/command_line/option_descriptions.h"
#include "jobs/commands/commands.h"
#include "kernels/types/version.h"

namespace tovamill {
namespace {

using Entry = std::pair<std::string_view, std::string_view>;

// As jobs/README.md, "Exit codes", has them (kernels/types/error.h).
constexpr std::array<Entry, 10> kExitCodes{{
    {"0", "done"},
    {"1", "internal error, or out of memory"},
    {"64", "the command line is wrong"},
    {"65",
     "bad data: a broken or unsupported model; bad records with --strict or over "
     "--max-bad-fraction"},
    {"66", "an input that does not exist or cannot be read"},
    {"69", "the device that was asked for is not there, or gnuplot, which report draws with"},
    {"73", "an output cannot be created"},
    {"74", "reading or writing failed on the way"},
    {"75", "stopped early with the finished work saved: run the same command again"},
    {"78", "options that contradict each other, the file of --config, or the run directory"},
}};

constexpr std::array<Entry, 2> kEnvironment{{
    {"SLURM_CPUS_PER_TASK, OMP_NUM_THREADS", "threads of a rank where --threads does not say"},
    {"OMPI_COMM_WORLD_SIZE, PMIX_RANK, SLURM_STEP_ID and others of mpirun and srun",
     "tell whether the process is one of several ranks"},
}};

constexpr std::array<Entry, 4> kFiles{{
    {"DIR/journal/", "every finished document, from which a run continues"},
    {"DIR/status.json", "how far the run is; tovamill status DIR reads it"},
    {"DIR/results.h5", "the results, written at the end; h5py, pandas and xarray read it"},
    {"FILE of --config", "options as \"option = value\" lines; --print-config writes one"},
}};

// Text as troff prints it unchanged: backslashes, minus signs, and a dot or quote that begins a
// line.
std::string escaped(std::string_view text) {
  std::string out;
  bool at_start = true;
  for (const char c : text) {
    if (at_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
    at_start = c == '\n';
  }
  return out;
}

std::string bold(std::string_view text) { return "\\fB" + escaped(text) + "\\fR"; }
std::string italic(std::string_view text) { return "\\fI" + escaped(text) + "\\fR"; }

std::string header(std::string name) {
  for (char& c : name) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return ".TH " + name + " 1 \"\" \"tovamill " + program_version() + "\" \"User Commands\"\n";
}

std::string tagged(const std::string& tag, std::string_view text) {
  return ".TP\n" + tag + "\n" + escaped(text) + "\n";
}

template <class Entries>
std::string entries(const Entries& list) {
  std::string text;
  for (const auto& [tag, meaning] : list) text += tagged(bold(tag), meaning);
  return text;
}

// Blank lines part paragraphs.
std::string paragraphs(const std::string& text) {
  std::istringstream lines(text);
  std::string out;
  for (std::string line; std::getline(lines, line);)
    out += line.empty() ? ".PP\n" : escaped(line) + "\n";
  return out;
}

std::string verbatim(const std::string& text) { return ".EX\n" + escaped(text) + ".EE\n"; }

std::string options(const Subcommand& command) {
  std::string text;
  for (const OptionSection& section : option_sections(command)) {
    text += ".SS " + escaped(section.title) + "\n";
    for (const OptionHelp& option : section.options) {
      std::string tag = bold("--" + option.name);
      if (!option.argument.empty()) tag += " " + italic(option.argument);
      text += tagged(tag, option.help);
    }
  }
  return text;
}

}  // namespace

std::string man_page(const Subcommand& command) {
  std::string page = header("tovamill-" + command.name);
  page += ".SH NAME\ntovamill\\-" + command.name + " \\- " + escaped(command.summary) + "\n";
  page += ".SH SYNOPSIS\n" + bold("tovamill " + command.name) + " " + escaped(command.synopsis) +
          "\n.SH DESCRIPTION\n" + paragraphs(command.introduction) + ".SH OPTIONS\n" +
          options(command);
  if (!command.examples.empty()) page += ".SH EXAMPLES\n" + verbatim(command.examples);
  page += ".SH EXIT STATUS\n" + entries(kExitCodes);
  return page + ".SH SEE ALSO\n.BR tovamill (1)\n";
}

std::string program_man_page() {
  std::string page = header("tovamill");
  page +=
      ".SH NAME\ntovamill \\- score and summarise corpora with a bounded key\\-value cache\n"
      ".SH SYNOPSIS\n" +
      bold("tovamill") + " " + italic("COMMAND") + " [" + italic("options") + "]\n.br\n" +
      bold("tovamill-launch") + " \\-n " + italic("TASKS") + " tovamill " + italic("COMMAND") +
      " [" + italic("options") + "]\n.SH DESCRIPTION\n" + paragraphs(program_purpose()) +
      ".SH COMMANDS\n";
  std::string see_also = ".SH SEE ALSO\n.BR tovamill\\-launch (1)";
  for (const Subcommand& command : all_commands()) {
    page += tagged(bold(command.name), command.summary);
    see_also += ",\n.BR tovamill\\-" + command.name + " (1)";
  }
  page += ".SH EXIT STATUS\n" + entries(kExitCodes) + ".SH ENVIRONMENT\n" + entries(kEnvironment) +
          ".SH FILES\n" + entries(kFiles);
  return page + see_also + "\n";
}

}  // namespace tovamill
