// tovamill completion: scripts that let shells complete the program's commands and options.
#include <iostream>

#include "jobs/commands/commands.h"
#include "jobs/commands/completion_script.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

int run_completion(const Request& request) {
  const std::string& shell = request.operands.front();
  if (shell != "bash" && shell != "zsh")
    throw Error(ExitCode::usage, "no completion for '" + shell + "': give bash or zsh");
  std::cout << (shell == "bash" ? bash_completion() : zsh_completion());
  return 0;
}

}  // namespace

Subcommand completion_command() {
  Subcommand command;
  command.name = "completion";
  command.synopsis = "bash|zsh";
  command.summary = "a script with which bash or zsh completes tovamill's options";
  command.introduction =
      "Prints a script from which the shell completes commands, options and the names that these\n"
      "take. An installed tovamill has it in place already.\n";
  command.examples =
      "  source <(tovamill completion bash)\n"
      "  tovamill completion zsh > ~/.zfunc/_tovamill     # a folder of $fpath\n";
  command.operand = "SHELL";
  command.run = run_completion;
  return command;
}

}  // namespace tovamill
