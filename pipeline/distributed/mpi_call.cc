#include "pipeline/distributed/mpi_call.h"

#include <mpi.h>

#include <array>

namespace tovamill {

void check_mpi(int code, const char* call, int rank) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw MpiError(call, rank, std::string(text.data(), static_cast<std::size_t>(length)));
}

}  // namespace tovamill
