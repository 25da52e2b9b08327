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

// Plain types that every folder may know, whatever else of kernels/ it may not.
const std::set<std::string> kPlainTypes{"kernels/error.h",       "kernels/tensor.h",
                                        "kernels/model_shape.h", "kernels/cache_options.h",
                                        "kernels/version.h",     "kernels/printable.h",
                                        "kernels/format.h"};

TEST(Layering, FoldersIncludeOnlyTheFoldersBelowThem) {
  const std::map<std::string, std::set<std::string>> allowed{
      {"kernels", {}},
      {"engine", {"kernels"}},
      {"io", {}},
      {"pipeline", {"io"}},
      {"workers", {"kernels", "engine", "io", "pipeline"}},
      {"jobs", {"kernels", "engine", "io", "pipeline", "workers"}},
      {"tests", {"kernels", "engine", "io", "pipeline", "workers", "jobs"}}};
  const std::vector<Include> includes = find_includes();
  EXPECT_GT(includes.size(), 100u) << "the sources were not found";
  for (const Include& include : includes) {
    if (!include.is_ours || kGenerated.contains(include.target)) continue;
    const std::string from = folder_of(include.file), to = folder_of(include.target);
    const bool plain = kPlainTypes.contains(include.target);
    EXPECT_TRUE(from == to || plain || allowed.at(from).contains(to))
        << include.file << " includes " << include.target << ", which its folder may not";
  }
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
      {"HDF5", starts({"hdf5", "H5"}), starts({"io/hdf5_file.cc", "tests/"})},
      {"MPI", starts({"mpi.h"}), starts({"pipeline/", "tests/"})},
      {"CUDA", starts({"cuda", "cublas", "cub/", "cooperative_groups", "nccl", "mma.h", "nv"}),
       starts({"kernels/cuda/"})},
      {"cuBLAS", starts({"cublas"}), starts({"kernels/cuda/products.cc", "kernels/cuda/measure.cc"})},
      {"NCCL", starts({"nccl"}), starts({"kernels/cuda/communicator.h", "kernels/cuda/group.cc", "kernels/cuda/link.cc"})},
      {"oneDNN", starts({"dnnl", "oneapi/"}),
       starts({"kernels/", "jobs/bench/products_benchmark.cc"})},
      {"PCRE2", starts({"pcre2"}), starts({"engine/", "tests/"})},
      {"Boost", starts({"boost/"}), starts({"jobs/", "tests/support/cuda_emulation/"})},
      {"GoogleTest", starts({"gtest/", "gmock/"}), starts({"tests/"})}};
  std::set<std::string> mpi_files;
  for (const Include& include : find_includes()) {
    if (include.is_ours) continue;
    for (const Rule& rule : rules) {
      if (!rule.is_header(include.target)) continue;
      EXPECT_TRUE(rule.may_stand_in(include.file))
          << include.file << " includes <" << include.target << ">, of " << rule.what;
      if (rule.what == "MPI" && folder_of(include.file) == "pipeline")
        mpi_files.insert(include.file);
    }
  }
  EXPECT_LE(mpi_files.size(), 1u) << "one file only includes <mpi.h>";
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
