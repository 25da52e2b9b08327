// Whole files as gzip, zstd and others would write them.
#pragma once

#include <string>

namespace tovamill::testing {

std::string gzip(const std::string& bytes);   // one member
std::string zstd(const std::string& bytes);   // one frame
std::string xz(const std::string& bytes);     // one stream
std::string bzip2(const std::string& bytes);  // one member

}  // namespace tovamill::testing
