// A device that has failed on the way.
#pragma once

#include <string>

#include "kernels/types/error.h"

namespace tovamill {

// The device of this rank is of no use any more; those of others may be.
class DeviceFailed : public Error {
 public:
  explicit DeviceFailed(const std::string& message) : Error(ExitCode::internal, message) {}
};

}  // namespace tovamill
