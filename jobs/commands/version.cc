#include "kernels/types/version.h"

#include <boost/version.hpp>

#include "jobs/commands/commands.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/gpu_measure.h"
#include "kernels/nccl_group.h"
#include "pipeline/distributed/mpi_session.h"

namespace tovamill {
namespace {

// CUDA as it was built with, cuBLAS and NCCL as they are loaded.
std::string cuda_line() {
  const std::string cublas = cublas_version(), nccl = nccl_version();
  if (cublas.empty()) return "CUDA: not built in";
  return std::string("CUDA ") + TOVAMILL_CUDA_VERSION + ", cuBLAS " + cublas +
         (nccl.empty() ? ", without NCCL" : ", NCCL " + nccl);
}

}  // namespace

std::vector<std::string> library_lines() {
  std::string boost = BOOST_LIB_VERSION;  // "1_74"
  for (char& c : boost) {
    if (c == '_') c = '.';
  }
  return {"oneDNN " + onednn_version(),
          std::string("HDF5 ") + TOVAMILL_HDF5_VERSION,
          "Boost " + boost,
          std::string("Oniguruma ") + TOVAMILL_ONIGURUMA_VERSION,
          std::string("zlib ") + TOVAMILL_ZLIB_VERSION + ", zstd " + TOVAMILL_ZSTD_VERSION +
              ", liblzma " + TOVAMILL_LZMA_VERSION + ", bzip2 " + TOVAMILL_BZIP2_VERSION,
          mpi_library_version(),
          cuda_line()};
}

std::string version_text() {
  std::string text =
      "tovamill " + program_version() + " (" + git_hash() + ", " + build_description() + ")\n";
  for (const std::string& line : library_lines()) text += "  " + line + "\n";
  return text;
}

}  // namespace tovamill
