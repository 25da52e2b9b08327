// Manual pages in troff's man macros, from the same descriptions as --help.
#pragma once

#include <string>

#include "jobs/command_line/command_line.h"

namespace tovamill {

// tovamill-NAME(1) of a subcommand.
std::string man_page(const Subcommand& command);

// tovamill(1): what the program is, its subcommands, exit codes, environment and files.
std::string program_man_page();

}  // namespace tovamill
