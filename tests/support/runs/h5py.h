// Python's view of results.
#pragma once

#include <string>

namespace tovamill::testing {

// A Python that has h5py. Throws std::runtime_error naming the package where there is none.
std::string python_with_h5py();

// Reads a results.h5 through h5py and compares it with what io/README.md says of it.
void check_by_h5py(const std::string& results);

}  // namespace tovamill::testing
