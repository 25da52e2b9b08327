// Which build this is: for --version, the journals and results.h5.
#pragma once

#include <string>

namespace tovamill {

std::string program_version();  // "0.1.0"
std::string
git_hash();  // "1a2b3c4d5e6f", with "-dirty" where the sources were changed; "unknown" outside git
std::string build_description();  // "Release, GNU 12.2.0"

}  // namespace tovamill
