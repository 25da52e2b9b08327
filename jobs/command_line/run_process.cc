#include "jobs/command_line/run_process.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <iostream>

#include "io/model/model_files.h"
#include "jobs/command_line/report_error.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/types/error.h"
#include "workers/load/gpu_places.h"
#include "workers/load/model_copy.h"
#include "workers/load/thread_choice.h"
#include "workers/stages/stage_cut.h"
#include "workers/stages/stage_exchange.h"

namespace tovamill {
namespace {

// A launch may find the run directory held by ranks of the launch before, which notice its end
// within seconds.
constexpr double kLockWaitSeconds = 15.0;

constexpr std::chrono::seconds kWordSeconds{5};

// The ranks that need the model's files from rank 0: those of hosts other than rank 0's, the first
// of each.
std::vector<int> receivers(const std::vector<RankInfo>& ranks) {
  std::vector<int> members{0};
  for (const RankInfo& r : ranks) {
    if (r.host_index > 0 && r.local_rank == 0) members.push_back(r.rank);
  }
  return members;
}

std::vector<int> ranks_of_host(const std::vector<RankInfo>& ranks, int host_index) {
  std::vector<int> members;
  for (const RankInfo& r : ranks) {
    if (r.host_index == host_index) members.push_back(r.rank);
  }
  return members;
}

// A container's share of the cores is not seen in affinity masks.
std::int32_t within_quota(std::int32_t n_cores) {
  const double quota = cpu_info().cgroup_cores;
  return quota > 0.0 ? std::min(n_cores, static_cast<std::int32_t>(std::ceil(quota))) : n_cores;
}

// Tells `text` of the first member to the others.
std::string tell(MpiSession& session, std::string text, const std::vector<int>& members) {
  std::uint64_t n = text.size();
  session.broadcast(std::as_writable_bytes(std::span(&n, 1)), members);
  text.resize(n);
  if (n > 0) session.broadcast(std::as_writable_bytes(std::span(text)), members);
  return text;
}

}  // namespace

RunProcess::RunProcess(RunOptions& options, const std::function<void()>& prepare)
    : launcher_(find_launcher(process_environment())) {
  check_launch(launcher_);
  const std::string note = note_on_launch(launcher_);
  if (!note.empty()) std::cerr << "tovamill: " << note << "\n";
  options.job = launcher_.job;
  options.is_restart = launcher_.n_restarts > 0;
  options.slurm_job = process_environment()("SLURM_JOB_ID").value_or("");
  if (launcher_.n_tasks > 1) {
    start_session(options, prepare);
  } else {
    if (prepare) prepare();
    launch_ = lone_launch(lone_, gpu_identities(options.device));
  }
  const RankInfo& self = launch_.ranks[static_cast<std::size_t>(launch_.channel->rank())];
  options.threads = choose_threads({.asked = options.threads,
                                    .from_environment = launcher_.threads,
                                    .n_host_cores = within_quota(self.n_host_cores),
                                    .n_own_cores = cpu_info().n_cores_usable(),
                                    .n_local = self.n_local});
  launch_.launch_id = launcher_.launch_id;
  if (session_ || launcher_.n_restarts > 0) launch_.lock_wait_s = kLockWaitSeconds;
}

void RunProcess::prepare_together(const std::function<void()>& prepare) {
  std::vector<int> all;
  for (int r = 0; r < session_->n_ranks(); ++r) all.push_back(r);
  const bool is_first = session_->rank() == 0;
  std::future<void> work;
  if (is_first) work = std::async(std::launch::async, prepare);
  // A broadcast that stands still ends the ranks, so there are words meanwhile.
  for (bool is_done = false; !is_done;) {
    const bool ready = is_first && work.wait_for(kWordSeconds) == std::future_status::ready;
    is_done = tell(*session_, is_first && !ready ? "." : "", all).empty();
  }
  std::string failure;  // its exit code and a blank before it
  std::exception_ptr error;
  if (is_first) {
    try {
      work.get();
    } catch (const Error& e) {
      error = std::current_exception();
      failure = std::to_string(static_cast<int>(e.code())) + " " + e.what();
    } catch (const std::exception& e) {
      error = std::current_exception();
      failure = std::to_string(static_cast<int>(ExitCode::internal)) + " " + e.what();
    }
  }
  failure = tell(*session_, failure, all);
  if (error) std::rethrow_exception(error);
  if (!failure.empty())
    throw Error(static_cast<ExitCode>(std::atoi(failure.c_str())),
                failure.substr(failure.find(' ') + 1));
}

void RunProcess::start_session(RunOptions& options, const std::function<void()>& prepare) {
  MpiOptions mpi;
  mpi.detach_pmix = launcher_.detach_pmix;
  mpi.gpus = gpu_identities(options.device);
  session_ = MpiSession::start(mpi);
  check_ranks(launcher_, session_->n_ranks());
  launch_.ranks = session_->ranks();
  const int first = first_worker(options, launch_), self = session_->rank();
  check_groups(session_->n_ranks(), first, options.stages);
  if (prepare) prepare_together(prepare);
  share_nccl_group(options);
  if (options.broadcast_weights && !ModelFiles::is_in_memory(options.model)) copy_model(options);
  if (options.stages > 1 && self >= first)
    session_->connect(stage_group(self, first, options.stages));
  session_->end_start_up();
  launch_.bulk = session_->bulk_channel();
  launch_.channel = &session_->channel();
}

// So that one of the ranks with a GPU each can send the others the weights that it has read. NCCL
// has no two ranks on one GPU.
void RunProcess::share_nccl_group(const RunOptions& options) {
  const int first = first_worker(options, launch_), n_ranks = session_->n_ranks();
  // Ranks of different stages have different weights.
  if (options.stages > 1 || n_ranks - first < 2 || session_->rank() < first ||
      choose_device(options.device, launch_.ranks, first) != DeviceKind::cuda)
    return;
  for (const GpuPlace& place : place_on_gpus(launch_.ranks, first, options.ranks_per_gpu)) {
    if (place.n_on_gpu > 1) return;
  }
  struct Word {
    bool is_there = false;
    NcclGroupId id;
  } word;
  if (session_->rank() == first) {
    std::string why;  // then each reads for itself
    if (const auto id = make_nccl_group_id(why)) word = {true, *id};
  }
  std::vector<int> members;
  for (int r = first; r < n_ranks; ++r) members.push_back(r);
  session_->broadcast(std::as_writable_bytes(std::span(&word, 1)), members);
  if (word.is_there) launch_.nccl_group = word.id;
}

// Rank 0's model goes to one rank of each other host; the ranks there open that copy, and when all
// have, its directory is removed again.
void RunProcess::copy_model(RunOptions& options) {
  const RankInfo& self = session_->self();
  const std::vector<int> members = receivers(launch_.ranks);
  const Broadcast broadcast = [&](std::span<std::byte> bytes) {
    session_->broadcast(bytes, members);
  };
  if (self.host_index == 0) {
    if (self.rank == 0 && members.size() > 1) send_model(options.model, broadcast);
    return;
  }
  const std::vector<int> local = ranks_of_host(launch_.ranks, self.host_index);
  ModelCopy copy;
  if (self.local_rank == 0)
    copy = receive_model(broadcast, std::filesystem::temp_directory_path().string());
  options.model = tell(*session_, copy.path(), local);
  launch_.metadata = open_model(options.model);
  for (const int root : local) {  // passed once every rank has opened it
    std::vector<int> order{root};
    for (const int r : local) {
      if (r != root) order.push_back(r);
    }
    tell(*session_, "", order);
  }
}

int RunProcess::run(const std::function<void(RunLaunch&)>& body) {
  int code = 0;
  try {
    body(launch_);
    if (!std::cout.flush())
      throw Error(ExitCode::io,
                  "standard output cannot be written: is its disk full, or its reader gone?");
  } catch (...) {
    code = report_error(std::current_exception());
  }
  return leave(code);
}

int RunProcess::leave(int code) {
  tell_exit_code(launcher_, code);
  if (!session_) return code;
  // With the file there, the code of the process itself only makes launchers linger.
  const int shown = launcher_.exit_file.empty() ? code : 0;
  std::cout.flush();
  std::cerr.flush();
  if (session_->end(launch_.all_alive, shown)) return shown;
  _exit(shown);
}

}  // namespace tovamill
