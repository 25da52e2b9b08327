#include "io/files/system_facts.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace tovamill {

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

int process_id() { return static_cast<int>(getpid()); }

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

std::uint64_t n_oom_kills() {
  std::ifstream file("/proc/vmstat");
  std::string name;
  for (std::uint64_t value = 0; file >> name >> value;) {
    if (name == "oom_kill") return value;
  }
  return 0;
}

std::string launch_script() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  const bool is_installed =
      std::filesystem::exists(program.parent_path() / "tovamill-launch", error);
  return is_installed ? "tovamill-launch" : "jobs/launch.sh";
}

}  // namespace tovamill
