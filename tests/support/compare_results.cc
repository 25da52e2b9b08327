// compare_results A B: whether two results.h5 say the same to the bit, /run and the attributes that
// a file itself calls run-dependent aside. Exit code 0: the same; 1: they differ, and standard
// output names what differs; 2: one cannot be read.
#include <exception>
#include <iostream>
#include <string>

#include "tests/support/results_text.h"

namespace {

// Standard output names what differs.
bool compare(const std::string& path_a, const std::string& path_b) {
  const auto a = tovamill::testing::results_parts(path_a);
  const auto b = tovamill::testing::results_parts(path_b);
  for (const auto& [name, part] : a) {
    const auto other = b.find(name);
    if (other == b.end()) {
      std::cout << name << " is in the first file only\n";
    } else if (part != other->second) {
      std::cout << name << " differs\n";
    }
  }
  for (const auto& [name, part] : b) {
    if (!a.contains(name)) std::cout << name << " is in the second file only\n";
  }
  return a == b;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: compare_results A B\n";
    return 2;
  }
  try {
    return compare(argv[1], argv[2]) ? 0 : 1;
  } catch (const std::exception& e) {
    std::cerr << "compare_results: " << e.what() << "\n";
    return 2;
  }
}
