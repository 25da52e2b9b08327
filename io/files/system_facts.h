// What the system says of this process and of the machine's life so far.
#pragma once

#include <cstdint>
#include <string>

namespace tovamill {

std::string host_name();
int process_id();
// Changes with every start of the machine; empty where the system does not tell.
std::string boot_id();
// Processes that the kernel has killed since then because memory ran out; 0 where it does not tell.
std::uint64_t n_oom_kills();
// How the script that starts this program as several ranks is called: "tovamill-launch" where it is
// installed beside the program, else "jobs/launch.sh".
std::string launch_script();

}  // namespace tovamill
