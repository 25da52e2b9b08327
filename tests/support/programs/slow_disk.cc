// A library for LD_PRELOAD that makes writing to files as bad as it gets on a network file system:
// write(2) is interrupted or short at random, fsync and fdatasync take SLOW_DISK_MS milliseconds
// and are interrupted now and then. Nothing is lost.
#include <dlfcn.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

namespace {

// Fast, of any thread, and not the C library's rand: some numbers in no order.
std::uint32_t next_random() {
  static std::atomic<std::uint32_t> state{2463534242u};
  std::uint32_t x = state.load();
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  state.store(x);
  return x;
}

bool is_file(int descriptor) {
  struct stat s {};
  return fstat(descriptor, &s) == 0 && S_ISREG(s.st_mode);
}

template <class Function>
Function original(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" ssize_t write(int descriptor, const void* bytes, size_t n) {
  static const auto real = original<ssize_t (*)(int, const void*, size_t)>("write");
  if (!is_file(descriptor)) return real(descriptor, bytes, n);
  const std::uint32_t r = next_random() % 4;
  if (r == 0) {
    errno = EINTR;
    return -1;
  }
  return real(descriptor, bytes, r == 1 && n > 1 ? n / 2 : n);
}

namespace {

int slow_sync(int descriptor, const char* name, int share) {
  const auto real = original<int (*)(int)>(name);
  const char* ms = std::getenv("SLOW_DISK_MS");
  usleep(static_cast<useconds_t>(ms == nullptr ? 0 : std::atoi(ms) / share) * 1000);
  if (next_random() % 4 == 0) {
    errno = EINTR;
    return -1;
  }
  return real(descriptor);
}

}  // namespace

extern "C" int fdatasync(int descriptor) { return slow_sync(descriptor, "fdatasync", 1); }
extern "C" int fsync(int descriptor) { return slow_sync(descriptor, "fsync", 20); }
