// Whole files as gzip and zstd would write them.
#pragma once

#include <string>

namespace tovamill::testing {

std::string gzip(const std::string& bytes);  // one member
std::string zstd(const std::string& bytes);  // one frame

}  // namespace tovamill::testing
