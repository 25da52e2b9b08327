// Who may include whom, and where the headers of other libraries may stand (CONTRIBUTING.md says
// why).
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace tovamill {
namespace {

namespace fs = std::filesystem;

struct Include {
  std::string file;    // that includes, from the source root
  std::string target;  // as written between the quotes or brackets
  bool is_ours;        // in quotes
};

const std::vector<std::string> kFolders{"kernels", "engine", "io",   "pipeline",
                                        "workers", "jobs",   "tests"};

std::vector<Include> find_includes() {
  std::vector<Include> includes;
  const fs::path root = TOVAMILL_SOURCE_DIR;
  const std::set<std::string> endings{".h", ".cc", ".cu", ".cuh"};
  for (const std::string& folder : kFolders) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / folder)) {
      if (!endings.contains(entry.path().extension().string())) continue;
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string directive, target;
        words >> directive >> target;
        if (directive == "#" && target == "include")
          words >> target;
        else if (directive != "#include")
          continue;
        if (target.size() < 3) continue;
        includes.push_back({entry.path().lexically_relative(root).string(),
                            target.substr(1, target.size() - 2), target.front() == '"'});
      }
    }
  }
  return includes;
}

std::string folder_of(const std::string& path) { return path.substr(0, path.find('/')); }

// Made by the build, not a file of ours.
const std::set<std::string> kGenerated{"tovamill_build.h"};

// The rooms that each room may include besides itself and `kernels/types`.
const std::map<std::string, std::set<std::string>> kMayInclude{
    {"engine/classes", {"engine/text", "engine/tokenizer"}},
    {"engine/metrics", {"engine/text"}},
    {"engine/model", {"engine/quantization", "engine/sampling", "kernels"}},
    {"engine/prompt", {"engine/text", "engine/tokenizer"}},
    {"engine/quantization", {}},
    {"engine/sampling", {"engine/tokenizer", "kernels/policy"}},
    {"engine/text", {}},
    {"engine/tokenizer", {"engine/text"}},
    {"engine/tokenizer_files", {"engine/text", "engine/tokenizer"}},
    {"io/compression", {"io/files"}},
    {"io/corpus", {"io/compression", "io/files"}},
    {"io/files", {}},
    {"io/model", {"engine/model", "io/files"}},
    {"io/results", {"io/files"}},
    {"kernels", {"kernels/policy"}},
    {"kernels/cpu", {"kernels", "kernels/policy"}},
    {"kernels/cpu/attention", {"kernels", "kernels/cpu", "kernels/policy"}},
    {"kernels/cpu/step", {"kernels", "kernels/cpu", "kernels/cpu/attention"}},
    {"kernels/cuda/attention",
     {"kernels", "kernels/cuda/device", "kernels/cuda/gemm", "kernels/cuda/state"}},
    {"kernels/cuda/device", {"kernels", "kernels/cpu", "kernels/policy"}},
    {"kernels/cuda/experts", {"kernels", "kernels/cuda/device", "kernels/cuda/gemm"}},
    {"kernels/cuda/gemm", {"kernels", "kernels/cuda/device"}},
    {"kernels/cuda/nccl", {"kernels", "kernels/cuda/device"}},
    {"kernels/cuda/state",
     {"kernels", "kernels/cuda/device", "kernels/cuda/gemm", "kernels/policy"}},
    {"kernels/cuda/step",
     {"kernels", "kernels/cuda/attention", "kernels/cuda/device", "kernels/cuda/experts",
      "kernels/cuda/gemm", "kernels/cuda/nccl", "kernels/cuda/state"}},
    {"kernels/policy", {}},
    {"kernels/reference", {"kernels", "kernels/policy"}},
    {"kernels/types", {"kernels/policy"}},
    {"pipeline/analysis", {"io/files", "io/results", "pipeline/run_directory"}},
    {"pipeline/distributed", {"io/corpus", "io/files"}},
    {"pipeline/probe", {"io/results", "pipeline/run_directory"}},
    {"pipeline/report",
     {"io/files", "io/results", "pipeline/analysis", "pipeline/probe", "pipeline/results",
      "pipeline/run_directory"}},
    {"pipeline/results",
     {"io/corpus", "io/files", "io/results", "pipeline/analysis", "pipeline/probe",
      "pipeline/run_directory"}},
    {"pipeline/run_directory", {"io/corpus", "io/files", "io/results", "pipeline/distributed"}},
    {"workers/documents",
     {"engine/classes", "engine/metrics", "engine/model", "engine/prompt", "engine/sampling",
      "engine/text", "engine/tokenizer", "io/corpus", "io/files", "io/model", "io/results",
      "kernels", "pipeline/results", "pipeline/run_directory", "workers/lease", "workers/load",
      "workers/options"}},
    {"workers/lease",
     {"io/corpus", "io/results", "pipeline/distributed", "pipeline/run_directory"}},
    {"workers/load",
     {"engine/model", "engine/quantization", "engine/tokenizer", "engine/tokenizer_files",
      "io/files", "io/model", "kernels", "kernels/cpu", "pipeline/distributed", "workers/options",
      "workers/stages"}},
    {"workers/options",
     {"engine/prompt", "engine/sampling", "io/corpus", "io/files", "pipeline/distributed",
      "pipeline/probe"}},
    {"workers/plan",
     {"engine/model", "engine/tokenizer", "io/corpus", "kernels", "kernels/cpu",
      "workers/documents", "workers/lease", "workers/load", "workers/options", "workers/stages"}},
    {"workers/probe",
     {"engine/text", "engine/tokenizer", "io/model", "pipeline/probe", "workers/options"}},
    {"workers/run",
     {"io/corpus", "io/files", "io/model", "io/results", "kernels", "kernels/cpu",
      "pipeline/distributed", "pipeline/results", "pipeline/run_directory", "workers/documents",
      "workers/lease", "workers/load", "workers/options", "workers/plan", "workers/probe",
      "workers/stages"}},
    {"workers/stages", {"engine/model", "io/files", "kernels", "pipeline/distributed"}},
    {"jobs/command_line",
     {"io/files", "io/model", "kernels/cpu", "pipeline/distributed", "pipeline/probe",
      "workers/load", "workers/options", "workers/run", "workers/stages"}},
    {"jobs/commands",
     {"io/corpus", "io/files", "io/model", "io/results", "jobs/command_line", "kernels",
      "kernels/cpu", "pipeline/distributed", "pipeline/probe", "pipeline/report",
      "pipeline/results", "pipeline/run_directory", "workers/load", "workers/options",
      "workers/plan", "workers/probe", "workers/run", "workers/stages"}}};

// Which top folders a folder may include: the order in which they are built on each other.
const std::map<std::string, std::set<std::string>> kFoldersBelow{
    {"kernels", {"kernels/policy"}},
    {"engine", {"kernels"}},
    {"io", {"engine"}},  // shapes of random models are those of the families
    {"pipeline", {"io"}},
    {"workers", {"kernels", "engine", "io", "pipeline"}},
    {"jobs", {"kernels", "engine", "io", "pipeline", "workers"}}};

std::string room_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

TEST(Layering, RoomsIncludeOnlyTheRoomsOfTheirList) {
  const std::vector<Include> includes = find_includes();
  EXPECT_GT(includes.size(), 100u) << "the sources were not found";
  for (const Include& include : includes) {
    if (!include.is_ours || kGenerated.contains(include.target)) continue;
    const std::string from = room_of(include.file), to = room_of(include.target);
    if (folder_of(from) == "tests" || from == "jobs" || from == "jobs/bench") continue;
    EXPECT_TRUE(kMayInclude.contains(from)) << from << " has no list of rooms";
    if (from == to || to == "kernels/types" || !kMayInclude.contains(from)) continue;
    EXPECT_TRUE(kMayInclude.at(from).contains(to))
        << include.file << " includes " << include.target << ", which its room may not";
  }
}

// What the lists say: only folders below, and no two rooms that include each other.
TEST(Layering, ListsOfRoomsHaveNoCyclesAndOnlyFoldersBelow) {
  for (const auto& [from, rooms] : kMayInclude) {
    for (const std::string& to : rooms) {
      EXPECT_TRUE(folder_of(from) == folder_of(to) ||
                  kFoldersBelow.at(folder_of(from)).contains(folder_of(to)))
          << from << " lists " << to;
      EXPECT_TRUE(kMayInclude.contains(to)) << from << " lists " << to << ", which has no list";
      std::set<std::string> seen;
      std::vector<std::string> open{to};
      while (!open.empty()) {
        const std::string room = open.back();
        open.pop_back();
        if (!seen.insert(room).second || !kMayInclude.contains(room)) continue;
        for (const std::string& next : kMayInclude.at(room)) open.push_back(next);
      }
      EXPECT_FALSE(seen.contains(from)) << from << " and " << to << " include each other";
    }
  }
}

// A room that outgrows this is two subjects.
TEST(Layering, RoomsHoldAtMostFortyFiles) {
  std::map<std::string, int> n_files;
  for (const std::string& folder : kFolders) {
    for (const fs::directory_entry& entry :
         fs::recursive_directory_iterator(fs::path(TOVAMILL_SOURCE_DIR) / folder)) {
      if (entry.is_regular_file() && entry.path().extension() != ".json" &&
          entry.path().extension() != ".bin")
        ++n_files[room_of(entry.path().lexically_relative(TOVAMILL_SOURCE_DIR).string())];
    }
  }
  for (const auto& [room, n] : n_files) EXPECT_LE(n, 40) << room;
}

TEST(Layering, QuotedIncludesNameFilesFromTheSourceRoot) {
  for (const Include& include : find_includes()) {
    if (!include.is_ours || kGenerated.contains(include.target)) continue;
    EXPECT_TRUE(fs::exists(fs::path(TOVAMILL_SOURCE_DIR) / include.target))
        << include.file << ": " << include.target;
  }
}

TEST(Layering, HeadersOfOtherLibrariesStandInTheirPlacesOnly) {
  using Test = std::function<bool(const std::string&)>;
  struct Rule {
    std::string what;
    Test is_header, may_stand_in;
  };
  const auto starts = [](std::vector<std::string> prefixes) -> Test {
    return [prefixes](const std::string& text) {
      return std::any_of(prefixes.begin(), prefixes.end(),
                         [&](const std::string& p) { return text.starts_with(p); });
    };
  };
  const std::vector<Rule> rules{
      {"HDF5", starts({"hdf5", "H5"}), starts({"io/results/hdf5_", "tests/"})},
      {"MPI", starts({"mpi.h"}), starts({"pipeline/distributed/mpi_", "tests/"})},
      {"CUDA", starts({"cuda", "cublas", "cub/", "cooperative_groups", "nccl", "mma.h", "nv"}),
       starts({"kernels/cuda/"})},
      {"cuBLAS", starts({"cublas"}), starts({"kernels/cuda/gemm/cublas.h"})},
      {"NCCL", starts({"nccl"}),
       starts({"kernels/cuda/nccl/communicator.h", "kernels/cuda/nccl/group.cc"})},
      {"oneDNN", starts({"dnnl", "oneapi/"}), starts({"kernels/", "jobs/bench/gemm_benchmark.cc"})},
      {"decompression", starts({"zlib", "zstd", "lzma", "bzlib"}),
       starts({"io/compression/", "tests/"})},
      {"Oniguruma", starts({"onig"}), starts({"engine/tokenizer/regex.cc"})},
      {"Boost", starts({"boost/"}),
       starts({"jobs/command_line/", "jobs/bench/", "jobs/commands/",
               "tests/support/cuda_emulation/"})},
      {"GoogleTest", starts({"gtest/", "gmock/"}), starts({"tests/"})}};
  for (const Include& include : find_includes()) {
    if (include.is_ours) continue;
    for (const Rule& rule : rules) {
      if (!rule.is_header(include.target)) continue;
      EXPECT_TRUE(rule.may_stand_in(include.file))
          << include.file << " includes <" << include.target << ">, of " << rule.what;
    }
  }
}

// The files of the repository, or of the folder where the sources came without one.
std::vector<std::string> top_level_entries() {
  std::set<std::string> entries;
  const std::string command = "git -C '" TOVAMILL_SOURCE_DIR "' ls-files 2>/dev/null";
  if (FILE* pipe = popen(command.c_str(), "r")) {
    std::array<char, 4096> line;
    while (std::fgets(line.data(), line.size(), pipe) != nullptr) {
      std::string path = line.data();
      path.resize(path.find_last_not_of('\n') + 1);
      entries.insert(folder_of(path));
    }
    pclose(pipe);
  }
  if (entries.empty()) {
    for (const fs::directory_entry& entry : fs::directory_iterator(TOVAMILL_SOURCE_DIR)) {
      if (!entry.path().filename().string().starts_with("build"))
        entries.insert(entry.path().filename().string());
    }
  }
  return {entries.begin(), entries.end()};
}

TEST(Layering, TopLevelHoldsTheSevenFoldersAndTheUsualFiles) {
  std::set<std::string> allowed(kFolders.begin(), kFolders.end());
  allowed.insert({"CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE", "CHANGELOG.md",
                  "CONTRIBUTING.md", ".clang-format", ".clang-tidy", ".gitignore", ".gitattributes",
                  ".ci", ".git"});
  for (const std::string& entry : top_level_entries())
    EXPECT_TRUE(allowed.contains(entry)) << entry;
}

}  // namespace
}  // namespace tovamill
