// cuBLAS promises nothing of rows beside each other, so GEMMs are tried at the start. A file of
// its own: tests that stand for cuBLAS say themselves what they do.
#include "kernels/cuda/gemm/gemm.h"

namespace tovamill::cuda {

bool Gemm::may_depend_on_rows() { return true; }

}  // namespace tovamill::cuda
