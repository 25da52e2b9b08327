// tovamill doctor: what this machine and launch offer a run.
#include <filesystem>
#include <iostream>

#include "jobs/command_line/launcher.h"
#include "jobs/commands/commands.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/gpu_info.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "pipeline/distributed/mpi_session.h"
#include "workers/load/device.h"

namespace tovamill {
namespace {

void print(const std::string& name, const std::string& value) {
  std::cout << name << std::string(name.size() < 18 ? 18 - name.size() : 1, ' ') << value << "\n";
}

std::string yes_no(bool yes) { return yes ? "yes" : "no"; }

void print_cpu(const CpuInfo& cpu) {
  print("CPU", cpu.model);
  std::string cores = std::to_string(cpu.n_cores_usable()) + " usable (" +
                      std::to_string(cpu.n_cores_online) + " online, affinity " +
                      std::to_string(cpu.n_cores_affinity) + ", control group ";
  cores += cpu.cgroup_cores > 0.0 ? fixed_point(cpu.cgroup_cores, 2) + ")" : "without a quota)";
  print("cores", cores);
  print("instructions", "AVX2 " + yes_no(cpu.has_avx2) + ", AVX-512 " + yes_no(cpu.has_avx512) +
                            ", AVX512-BF16 " + yes_no(cpu.has_avx512_bf16) + ", AMX-BF16 " +
                            yes_no(cpu.has_amx_bf16));
  print("--dtype auto", std::string(name_of(preferred_type(cpu))));
  std::string memory =
      human_bytes(cpu.memory_bytes) + ", " + human_bytes(cpu.memory_available_bytes) + " available";
  if (cpu.cgroup_memory_bytes > 0)
    memory += ", control group's limit " + human_bytes(cpu.cgroup_memory_bytes);
  print("memory", memory);
}

// As choose_threads does it, without knowing the other tasks' cores: they are taken to be the same.
std::int32_t threads_of(const Launcher& launcher, const CpuInfo& cpu) {
  const std::int32_t own = cpu.n_cores_usable();
  return choose_threads({.from_environment = launcher.threads,
                         .n_host_cores = own,
                         .n_own_cores = own,
                         .n_local = 1});
}

void print_launcher(const Launcher& launcher, const CpuInfo& cpu) {
  const std::string name = launcher.name.empty() ? "none: started plainly" : launcher.name;
  std::string tasks = counted(launcher.n_tasks, "task");
  if (launcher.n_tasks > 1)
    tasks += ", with" + std::string(launcher.has_pmix ? "" : "out") + " PMIx; this is task " +
             std::to_string(launcher.rank);
  print("launcher", name + ", " + tasks);
  for (const auto& [variable, value] : launcher.variables) print("", variable + "=" + value);
  print("MPI", launcher.n_tasks > 1 ? mpi_library_version()
                                    : mpi_library_version() + ", not used by a single task");
  try {
    check_launch(launcher);
  } catch (const Error& error) {
    print("warning", error.what());
  }
  const std::string note = note_on_launch(launcher);
  if (!note.empty()) print("note", note);
  const bool shares = launcher.n_tasks > 1 && !launcher.threads;
  print("--threads auto", std::to_string(threads_of(launcher, cpu)) +
                              (shares ? ", divided among the tasks that share these cores" : ""));
  if (launcher.threads.value_or(0) > cpu.n_cores_usable()) {
    print("warning",
          "the environment asks for more threads than cores are usable: only so many are taken");
  }
}

void print_cuda() {
  const GpuInfo info = gpu_info();
  if (info.is_built) print("CUDA", info.versions);
  for (const std::string& device : info.devices) print("GPU", device);
  if (!info.rejection.empty()) print(info.is_built ? "GPU" : "CUDA", info.rejection);
}

void print_rate(const char* name, ComputeType dtype, std::int32_t n_threads) {
  const double rate = measure_gemm(dtype, n_threads);
  print(name, rate > 0.0
                  ? fixed_point(rate * 1e-9, 0) + " GFLOP/s with " + counted(n_threads, "thread")
                  : "not on this CPU");
}

int run_doctor(const Request& request) {
  std::cout << version_text() << "\n";
  const CpuInfo cpu = cpu_info();
  const Launcher launcher = find_launcher(process_environment());
  print_cpu(cpu);
  print_launcher(launcher, cpu);
  print_cuda();
  if (!request.flag("no-measure")) {
    const std::int32_t n_threads = threads_of(launcher, cpu);
    std::cout << std::flush;
    print_rate("products, f32", ComputeType::f32, n_threads);
    print_rate("products, bf16", ComputeType::bf16, n_threads);
  }
  return 0;
}

}  // namespace

Subcommand doctor_command() {
  Subcommand command;
  command.name = "doctor";
  command.synopsis = "[options]";
  command.summary = "what this machine and launch offer: cores, memory, libraries";
  command.introduction =
      "Prints what a run would find here: the CPU and its instruction sets, the cores and the "
      "memory\n"
      "that this process may really use, the launcher's environment, the libraries, and the rate "
      "of\n"
      "matrix products (about a second).\n";
  command.examples = "  tovamill doctor\n  srun -n 1 -c 16 tovamill doctor\n";
  command.extras = {{"no-measure", "", "false", "leave out the matrix products"}};
  command.run = run_doctor;
  return command;
}

}  // namespace tovamill
