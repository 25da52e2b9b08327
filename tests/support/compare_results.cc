// compare_results A.h5 B.h5...: whether all say the same to the bit, but for /run and the attributes
// that depend on the run. Exits with 1, naming the first difference, where they do not.
#include <exception>
#include <iostream>
#include <sstream>
#include <string>

#include "tests/support/results_text.h"

namespace {

void show_difference(const std::string& a, const std::string& b) {
  std::istringstream lines_a(a), lines_b(b);
  std::string line_a, line_b;
  while (true) {
    const bool has_a = static_cast<bool>(std::getline(lines_a, line_a));
    const bool has_b = static_cast<bool>(std::getline(lines_b, line_b));
    if (!has_a && !has_b) return;
    if (has_a && has_b && line_a == line_b) continue;
    std::cout << "  " << (has_a ? line_a.substr(0, 300) : "nothing") << "\n  "
              << (has_b ? line_b.substr(0, 300) : "nothing") << "\n";
    return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: compare_results A.h5 B.h5...\n";
    return 64;
  }
  try {
    const std::string first = tovamill::testing::results_text(argv[1]);
    for (int i = 2; i < argc; ++i) {
      const std::string other = tovamill::testing::results_text(argv[i]);
      if (other == first) continue;
      std::cout << argv[1] << " and " << argv[i] << " differ:\n";
      show_difference(first, other);
      return 1;
    }
  } catch (const std::exception& e) {
    std::cout << e.what() << "\n";
    return 1;
  }
  return 0;
}
