#include "kernels/types/version.h"

#include "tovamill_build.h"

namespace tovamill {

std::string program_version() { return TOVAMILL_VERSION; }
std::string git_hash() { return TOVAMILL_GIT_HASH; }
std::string build_description() { return TOVAMILL_BUILD; }

}  // namespace tovamill
