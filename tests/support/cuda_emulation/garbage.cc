#include "tests/support/cuda_emulation/garbage.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <vector>

namespace tovamill::emulation {
namespace {

constexpr std::size_t kMapping = std::size_t{4} << 20;  // mapped again and again

std::size_t whole_mappings(std::size_t n) { return (n + kMapping - 1) / kMapping * kMapping; }

// A file of kMapping bytes of garbage, without a name; -1 where there is none.
int make_file() {
  const int made = memfd_create("garbage", MFD_CLOEXEC);
  if (made < 0) return made;
  const std::vector<char> bytes(kMapping, static_cast<char>(kGarbage));
  if (write(made, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size())) return made;
  close(made);
  return -1;
}

int file() {
  static const int made = make_file();
  return made;
}

bool is_mapped(std::size_t n) { return n >= kMapping && file() >= 0; }

void* map(std::size_t n) {
  void* begin = mmap(nullptr, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (begin == MAP_FAILED) return nullptr;
  for (std::size_t at = 0; at < n; at += kMapping) {
    void* mapping = static_cast<char*>(begin) + at;
    if (mmap(mapping, kMapping, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
             file(), 0) != mapping) {
      munmap(begin, n);
      return nullptr;
    }
  }
  return begin;
}

}  // namespace

void* garbage(std::size_t n_bytes) {
  if (is_mapped(n_bytes)) return map(whole_mappings(n_bytes));
  void* p = std::aligned_alloc(256, (n_bytes + 255) / 256 * 256);
  if (p != nullptr) std::memset(p, kGarbage, n_bytes);
  return p;
}

void give_back(void* memory, std::size_t n_bytes) {
  if (is_mapped(n_bytes)) {
    munmap(memory, whole_mappings(n_bytes));
  } else {
    std::free(memory);
  }
}

}  // namespace tovamill::emulation
