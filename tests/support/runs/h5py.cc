#include "tests/support/runs/h5py.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/support/runs/subprocess.h"

namespace tovamill::testing {

std::string python_with_h5py() {
  for (const std::string python : {"python3", "/usr/bin/python3"}) {
    if (run_subprocess({python, "-c", "import h5py"}).exit_code == 0) return python;
  }
  throw std::runtime_error("no python3 has h5py: install python3-h5py");
}

void check_by_h5py(const std::string& results) {
  const ProgramResult checked =
      run_subprocess({python_with_h5py(),
                      TOVAMILL_SOURCE_DIR "/tests/support/programs/check_results.py", results});
  EXPECT_EQ(checked.exit_code, 0) << checked.out << checked.err;
}

}  // namespace tovamill::testing
