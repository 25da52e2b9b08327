// Manual pages and completion: that they hold what --help holds, and that shells can run them.
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "jobs/command_line/option_descriptions.h"
#include "jobs/commands/commands.h"
#include "jobs/commands/completion_script.h"
#include "jobs/commands/man_page.h"
#include "kernels/types/error.h"
#include "tests/support/runs/subprocess.h"

namespace tovamill {
namespace {

using testing::run_subprocess;
using testing::run_tovamill;

std::string with_troff_dashes(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '-' ? std::string("\\-") : std::string(1, c);
  return out;
}

TEST(ManPage, HoldsEveryOptionOfEveryCommand) {
  for (const Subcommand& command : all_commands()) {
    const std::string page = man_page(command);
    for (const std::string& option : option_names(command)) {
      const std::string tag = ".TP\n\\fB" + with_troff_dashes("--" + option) + "\\fR";
      EXPECT_NE(page.find(tag), std::string::npos) << command.name << " --" << option;
    }
    EXPECT_EQ(run_tovamill({"help", "--man", command.name}).out, page);
  }
}

TEST(ManPage, OfTheProgramNamesEveryCommandAndExitCode) {
  const std::string page = program_man_page();
  for (const Subcommand& command : all_commands()) {
    EXPECT_NE(page.find(".TP\n\\fB" + command.name + "\\fR\n"), std::string::npos) << command.name;
    EXPECT_NE(page.find(".BR tovamill\\-" + command.name + " (1)"), std::string::npos);
  }
  for (const ExitCode code :
       {ExitCode::usage, ExitCode::bad_data, ExitCode::no_input, ExitCode::no_device,
        ExitCode::cannot_create, ExitCode::io, ExitCode::stopped, ExitCode::configuration}) {
    const std::string tag = "\\fB" + std::to_string(static_cast<int>(code)) + "\\fR\n";
    EXPECT_NE(page.find(tag), std::string::npos) << tag;
  }
}

// A line that begins with a dot is a command to troff: one of ours by mistake would vanish.
TEST(ManPage, EveryLineWithADotIsAKnownMacro) {
  const std::set<std::string> known{".TH", ".SH", ".SS", ".TP", ".PP", ".BR", ".EX", ".EE", ".br"};
  std::vector<std::string> pages{program_man_page()};
  for (const Subcommand& command : all_commands()) pages.push_back(man_page(command));
  for (const std::string& page : pages) {
    std::istringstream lines(page);
    for (std::string line; std::getline(lines, line);) {
      EXPECT_NE(line.substr(0, 1), "'") << line;
      if (line.starts_with('.')) {
        EXPECT_TRUE(known.contains(line.substr(0, line.find(' ')))) << line;
      }
    }
  }
}

TEST(ManPage, WantsOneCommandThatThereIs) {
  EXPECT_EQ(run_tovamill({"help", "--man", "scor"}).exit_code, 64);
  EXPECT_EQ(run_tovamill({"help", "--man", "score", "plan"}).exit_code, 64);
}

// What bash offers for the last of `words`, separated by blanks.
std::string completed_by_bash(const std::string& words) {
  const std::string script =
      "source <(\"$0\" completion bash); COMP_WORDS=(" + words +
      "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tovamill; echo \"${COMPREPLY[*]}\"";
  const auto result = run_subprocess({"bash", "-euc", script, TOVAMILL_PROGRAM});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.out;
}

TEST(Completion, OfBashKnowsCommandsOptionsAndTheNamesTheyTake) {
  EXPECT_EQ(completed_by_bash("tovamill summ"), "summarize\n");
  EXPECT_EQ(completed_by_bash("tovamill help insp"), "inspect\n");
  EXPECT_EQ(completed_by_bash("tovamill score --cache-s"), "--cache-size\n");
  EXPECT_EQ(completed_by_bash("tovamill score --policy tova-"), "tova-head tova-ema\n");
  EXPECT_EQ(completed_by_bash("tovamill score --device ''"), "auto cpu cuda\n");
  EXPECT_EQ(completed_by_bash("tovamill generate --chat-template qw"), "qwen\n");
  const std::string file = std::string(TOVAMILL_SOURCE_DIR) + "/CMakeLists.txt";
  EXPECT_EQ(completed_by_bash("tovamill generate --chat-template " + file), file + "\n");
}

TEST(Completion, OfBashOffersFilesWhereTheseAreMeant) {
  const std::string file = std::string(TOVAMILL_SOURCE_DIR) + "/CMakeLists.txt";
  EXPECT_EQ(completed_by_bash("tovamill score --model " + file), file + "\n");
  EXPECT_EQ(completed_by_bash("tovamill score --strict --config " + file), file + "\n");
}

TEST(Completion, OfZshHoldsEveryOptionWithItsChoices) {
  const std::string script = zsh_completion();
  EXPECT_EQ(script.find("#compdef tovamill\n"), 0u);
  for (const Subcommand& command : all_commands()) {
    EXPECT_NE(script.find("\n    " + command.name + ")\n      _arguments"), std::string::npos);
    for (const std::string& option : option_names(command))
      EXPECT_NE(script.find("--" + option + "["), std::string::npos) << option;
  }
  EXPECT_NE(script.find(":(auto cpu cuda)'"), std::string::npos);
}

TEST(Completion, OfAnotherShellIsRefused) {
  const auto result = run_tovamill({"completion", "fish"});
  EXPECT_EQ(result.exit_code, 64);
  EXPECT_NE(result.err.find("give bash or zsh"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace tovamill
