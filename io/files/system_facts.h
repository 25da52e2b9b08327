// What the system says of this machine since its start, and of how this program was installed.
#pragma once

#include <cstdint>
#include <string>

namespace tovamill {

std::string host_name();
int process_id();
// The id of this boot; empty where the system has none.
std::string boot_id();
// Processes that the kernel has killed since the boot because memory ran out; 0 where it is not
// known.
std::uint64_t n_oom_kills();
// The name of the script that starts this program as several ranks: "tovamill-launch" where it is
// installed beside the program, else "jobs/launch.sh".
std::string launch_script();

}  // namespace tovamill
