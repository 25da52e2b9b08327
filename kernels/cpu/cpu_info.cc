#include "kernels/cpu/cpu_info.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr std::uint64_t kUnlimitedBytes =
    1ull << 60;  // control groups v1 say "no limit" with a huge number

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The folders of this process's control group for `controller` (v1) or the unified hierarchy
// (empty), inmost first. A container may not see its own path; then the root of the mount stands
// for it.
std::vector<std::string> cgroup_folders(const std::string& controller) {
  std::string root = "/sys/fs/cgroup";
  if (!controller.empty()) root += "/" + controller;
  std::vector<std::string> folders;
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers = ",";
    controllers.append(line, first + 1, second - first - 1).append(",");
    if (controllers.find("," + controller + ",") == std::string::npos) continue;
    std::string path = line.substr(second + 1);
    while (path.size() > 1) {
      folders.push_back(root + path);
      path.resize(path.rfind('/'));
    }
  }
  folders.push_back(root);
  return folders;
}

// The least of what `read` gives for the process's control groups of both versions; 0 where nothing
// limits.
template <class Value, class Read>
Value least_limit(const std::string& controller, Read&& read) {
  Value least = 0;
  for (const std::string& version : {std::string(), controller}) {
    for (const std::string& folder : cgroup_folders(version)) {
      const Value value = read(folder, version.empty());
      if (value > 0 && (least == 0 || value < least)) least = value;
    }
  }
  return least;
}

double quota_cores(const std::string& folder, bool unified) {
  double quota = 0.0, period = 0.0;
  if (unified) {
    std::istringstream(first_line(folder + "/cpu.max")) >> quota >>
        period;  // "max 100000" fails: no limit
  } else {
    std::istringstream(first_line(folder + "/cpu.cfs_quota_us")) >> quota;  // -1: no limit
    std::istringstream(first_line(folder + "/cpu.cfs_period_us")) >> period;
  }
  return quota > 0.0 && period > 0.0 ? quota / period : 0.0;
}

std::uint64_t read_bytes(const std::string& path) {
  std::uint64_t bytes = 0;
  std::istringstream(first_line(path)) >> bytes;
  return bytes < kUnlimitedBytes ? bytes : 0;
}

std::uint64_t limit_bytes(const std::string& folder, bool unified) {
  return read_bytes(folder + (unified ? "/memory.max" : "/memory.limit_in_bytes"));
}

// What may still be taken below the limit of one group; page cache counts as used, so this is
// cautious.
std::uint64_t left_bytes(const std::string& folder, bool unified) {
  const std::uint64_t limit = limit_bytes(folder, unified);
  const std::uint64_t used =
      read_bytes(folder + (unified ? "/memory.current" : "/memory.usage_in_bytes"));
  return limit > 0 ? std::max<std::uint64_t>(limit - std::min(limit, used), 1) : 0;
}

// What is unknown for want of a file descriptor would choose other kernels.
std::ifstream open_facts(const char* path) {
  std::ifstream file(path);
  if (!file && (errno == EMFILE || errno == ENFILE))
    throw Error(ExitCode::io, std::string("cannot open '") + path + "': " + std::strerror(errno) +
                                  ": raise the limit of open files (ulimit -n)");
  return file;
}

void read_cpuinfo(CpuInfo& info) {
  std::ifstream file = open_facts("/proc/cpuinfo");
  std::set<std::string> flags;
  std::string line;
  while (std::getline(file, line) && (info.model.empty() || flags.empty())) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string value = line.substr(std::min(colon + 2, line.size()));
    if (line.starts_with("model name")) info.model = value;
    if (line.starts_with("vendor_id")) info.is_intel = value == "GenuineIntel";
    if (!line.starts_with("flags")) continue;
    std::istringstream words(value);
    for (std::string word; words >> word;) flags.insert(word);
  }
  if (info.model.empty()) info.model = "unknown";
  const auto has_all = [&](std::initializer_list<const char*> names) {
    return std::all_of(names.begin(), names.end(),
                       [&](const char* name) { return flags.contains(name); });
  };
  info.has_avx2 = has_all({"avx2", "fma", "f16c"});
  info.has_avx512 = has_all({"avx512f", "avx512bw", "avx512dq", "avx512vl"});
  info.has_avx512_bf16 = info.has_avx512 && has_all({"avx512_bf16"});
  info.has_amx_bf16 = has_all({"amx_tile", "amx_bf16"});
}

void read_memory(CpuInfo& info) {
  std::ifstream file = open_facts("/proc/meminfo");
  std::string key, rest;
  std::uint64_t kib = 0;
  while (file >> key >> kib && std::getline(file, rest)) {
    if (key == "MemTotal:") info.memory_bytes = kib * 1024;
    if (key == "MemAvailable:") info.memory_available_bytes = kib * 1024;
  }
  info.cgroup_memory_bytes = least_limit<std::uint64_t>("memory", limit_bytes);
  if (info.cgroup_memory_bytes >= info.memory_bytes) info.cgroup_memory_bytes = 0;
  const auto left = least_limit<std::uint64_t>("memory", left_bytes);
  if (left > 0) info.memory_available_bytes = std::min(info.memory_available_bytes, left);
}

}  // namespace

std::int32_t CpuInfo::n_cores_usable() const {
  std::int32_t n = n_cores_affinity;
  if (cgroup_cores > 0.0) n = std::min(n, static_cast<std::int32_t>(std::ceil(cgroup_cores)));
  return std::max(n, 1);
}

CpuInfo cpu_info() {
  CpuInfo info;
  read_cpuinfo(info);
  read_memory(info);
  info.n_cores_online = static_cast<std::int32_t>(std::max(sysconf(_SC_NPROCESSORS_ONLN), 1L));
  cpu_set_t cores;
  const bool known = sched_getaffinity(0, sizeof(cores), &cores) == 0;  // fails above 1,024 cores
  info.n_cores_affinity = known ? std::max(CPU_COUNT(&cores), 1) : info.n_cores_online;
  info.cgroup_cores = least_limit<double>("cpu", quota_cores);
  return info;
}

ComputeType preferred_type(const CpuInfo& info) {
  const bool is_fast = info.has_amx_bf16 || (info.has_avx512_bf16 && !info.is_intel);
  return is_fast ? ComputeType::bf16 : ComputeType::f32;
}

}  // namespace tovamill
