// This host as Linux's /proc shows it: its name, the id of its boot, and which processes are
// tovamill.
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <fstream>
#include <sstream>

#include "pipeline/run_directory/run_report.h"

namespace tovamill {
namespace {

double clock_s(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// A process is tovamill by its name, or by that to which this program was renamed.
// /proc/<pid>/stat is "pid (name) state ...", the name being the program's first 15 bytes, whatever
// they are; the start, in clock ticks since the boot, is the 20th field behind the name (proc(5)).
std::optional<double> tovamill_started(std::int64_t pid) {
  if (pid == getpid()) return std::nullopt;
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  const std::size_t open = line.find('('), close = line.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open) return std::nullopt;
  const std::string name = line.substr(open + 1, close - open - 1);
  const std::string ours = std::string(program_invocation_short_name).substr(0, 15);
  if (!name.starts_with("tovamill") && name != ours) return std::nullopt;
  std::istringstream fields(line.substr(close + 1));
  std::string state, skipped;
  fields >> state;
  for (int i = 0; i < 18; ++i) fields >> skipped;
  double ticks = 0.0;
  if (!(fields >> ticks) || state == "Z" || state == "X") return std::nullopt;
  const double age_s = clock_s(CLOCK_BOOTTIME) - ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
  return clock_s(CLOCK_REALTIME) - age_s;
}

}  // namespace

RunProbe this_machine() {
  RunProbe probe{.now_unix_s = clock_s(CLOCK_REALTIME),
                 .host = "",
                 .boot_id = "",
                 .tovamill_started = tovamill_started};
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  probe.host = name;
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::getline(file, probe.boot_id);
  return probe;
}

}  // namespace tovamill
