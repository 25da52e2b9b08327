#include "workers/load/thread_choice.h"

#include <algorithm>

namespace tovamill {

std::int32_t choose_threads(const ThreadChoice& choice) {
  if (choice.asked > 0) return choice.asked;
  const std::int32_t share = choice.n_host_cores / std::max(1, choice.n_local);
  const std::int32_t wanted = choice.from_environment.value_or(share);
  return std::max(1, std::min(wanted, choice.n_own_cores));
}

}  // namespace tovamill
