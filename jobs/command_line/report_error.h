// One line on stderr for whatever goes wrong, and its exit code.
#pragma once

#include <exception>

namespace tovamill {

// Says what `error` holds, unless other tasks of this launch say the same, and returns its exit
// code.
int report_error(std::exception_ptr error);

}  // namespace tovamill
