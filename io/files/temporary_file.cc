#include "io/files/temporary_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <random>
#include <string_view>

#include "io/files/durable.h"
#include "kernels/types/error.h"

namespace tovamill {
namespace {

namespace fs = std::filesystem;

constexpr int kMostLinks = 40;               // as the kernel follows
constexpr std::size_t kMostNameBytes = 200;  // of the target's in the temporary's, which ends it
constexpr std::size_t kHexDigits = 16;
constexpr std::string_view kEnding = ".tmp";
constexpr int kTries = 100;

// What a signal handler may read: the names of the files that are there now.
constexpr std::size_t kSlots = 16;
std::array<std::atomic<const char*>, kSlots> temporary_files{};

int enter(const char* path) {
  for (std::size_t i = 0; i < kSlots; ++i) {
    const char* none = nullptr;
    if (temporary_files[i].compare_exchange_strong(none, path)) return static_cast<int>(i);
  }
  return -1;  // then only the destructor removes it
}

void on_end(int signal_number) {
  remove_temporary_files();
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

std::string front_of(const std::string& name) { return "." + name.substr(0, kMostNameBytes) + "."; }

std::string random_hex() {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::random_device random;
  std::string text;
  while (text.size() < kHexDigits) text += kDigits[random() % 16];
  return text;
}

// The owner first: a change of owner takes bits off the mode.
void resemble(int descriptor, const struct stat& there) {
  if (fchown(descriptor, there.st_uid, there.st_gid) != 0)
    static_cast<void>(!fchown(descriptor, static_cast<uid_t>(-1), there.st_gid));
  static_cast<void>(!fchmod(descriptor, there.st_mode & 07777));
}

}  // namespace

std::string target_of(const std::string& path) {
  fs::path at = path;
  std::error_code error;
  for (int i = 0; i < kMostLinks; ++i) {
    const fs::path link = fs::read_symlink(at, error);
    if (error) return at.string();  // no link
    at = link.is_absolute() ? link : at.parent_path() / link;
  }
  throw Error(ExitCode::cannot_create,
              "'" + path + "' leads in a circle of symbolic links: give another path");
}

TemporaryFile::TemporaryFile(const std::string& target) : target_(target) {
  const fs::path place(target);
  const std::string front = (place.parent_path() / front_of(place.filename().string())).string();
  for (int i = 0; i < kTries && descriptor_ < 0; ++i) {
    path_ = front + random_hex() + std::string(kEnding);
    descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && errno != EEXIST && errno != EINTR) break;
  }
  if (descriptor_ < 0) {
    throw Error(code_of_failure(errno, ExitCode::cannot_create),
                "cannot create '" + target + "': " + why_io_failed(errno));
  }
  slot_ = enter(path_.c_str());
  struct stat there {};
  if (stat(target.c_str(), &there) == 0) resemble(descriptor_, there);
}

TemporaryFile::~TemporaryFile() {
  if (slot_ >= 0) temporary_files[static_cast<std::size_t>(slot_)] = nullptr;
  if (!path_.empty()) unlink(path_.c_str());
  if (descriptor_ >= 0) close(descriptor_);
}

void TemporaryFile::replace_target(bool durably) {
  if (durably) {
    rename_durably(path_, target_);
  } else if (std::rename(path_.c_str(), target_.c_str()) != 0) {
    throw Error(ExitCode::io, "renaming to '" + target_ + "' failed: " + why_io_failed(errno));
  }
  if (slot_ >= 0) temporary_files[static_cast<std::size_t>(slot_)] = nullptr;
  slot_ = -1;
  path_.clear();
}

bool is_temporary_name(const std::string& name, const std::string& of) {
  const std::string front = front_of(of);
  if (name.size() != front.size() + kHexDigits + kEnding.size() || !name.starts_with(front) ||
      !name.ends_with(kEnding))
    return false;
  return name.find_first_not_of("0123456789abcdef", front.size()) == front.size() + kHexDigits;
}

void remove_temporary_files() {
  for (std::atomic<const char*>& file : temporary_files) {
    if (const char* path = file.exchange(nullptr)) unlink(path);
  }
}

void remove_temporary_files_on_signals() {
  for (const int s : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    if (sigaction(s, nullptr, &action) != 0 || action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = on_end;
    sigaction(s, &action, nullptr);
  }
}

}  // namespace tovamill
