// Completion of command lines for shells, from the same descriptions as --help.
#pragma once

#include <string>

namespace tovamill {

// A script for bash (with or without the package bash-completion), to be sourced.
std::string bash_completion();

// The function _tovamill for zsh, to be put into a folder of $fpath.
std::string zsh_completion();

}  // namespace tovamill
