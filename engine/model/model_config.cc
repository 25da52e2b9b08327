#include "engine/model/model_config.h"

#include "engine/model/config_reader.h"
#include "kernels/types/error.h"

namespace tovamill {

void check_heads(const ModelShape& shape, const std::string& where) {
  const auto fail = [&](const std::string& problem) { throw BadData(where + ": " + problem); };
  if (shape.n_heads % shape.n_kv_heads != 0) {
    fail(std::to_string(shape.n_heads) + " attention heads are not a multiple of " +
         std::to_string(shape.n_kv_heads) + " key-value heads");
  }
  if (shape.head_dim % 2 != 0 || shape.head_dim < kHeadDimLimits.min ||
      shape.head_dim > kHeadDimLimits.max) {
    fail("the head size " + std::to_string(shape.head_dim) + " is not an even number of 2 to 512");
  }
}

}  // namespace tovamill
