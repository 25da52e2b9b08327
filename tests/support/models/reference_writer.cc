#include "tests/support/models/reference_writer.h"

#include <algorithm>
#include <limits>

#include "engine/model/forward.h"
#include "engine/model/model_config.h"
#include "io/model/model_files.h"
#include "workers/load/model_parts.h"

namespace tovamill::testing {

WrittenText write_by_reference(const std::string& model_path,
                               const std::vector<std::int32_t>& prompt,
                               const WriterSetting& setting) {
  const auto files = ModelFiles::open(model_path, ModelFiles::Parts::weights_only);
  const ModelConfig config = config_of(*files);
  const ModelWeights weights = weights_of(*files, config);
  const auto backend = make_backend(DeviceKind::reference, {.shape = config.shape,
                                                            .cache = setting.cache,
                                                            .n_threads = 2,
                                                            .max_rows = 1,
                                                            .max_block = 1});
  const Model model = pack_model(config, weights, backend->device());
  Forward forward(model, *backend, 1, 1, 1);
  const auto state = backend->make_state();
  WrittenText text;
  std::vector<std::int32_t> ids = prompt;
  for (std::size_t t = 0; t < ids.size(); ++t) {
    const bool is_prompt_end = t + 1 >= prompt.size();
    const StepBlock block{.state = state.get(),
                          .first_row = 0,
                          .n_tokens = 1,
                          .position = static_cast<std::int64_t>(t),
                          .pin = setting.pin,
                          .keeps_all = setting.keeps_prompt && !is_prompt_end};
    const std::vector<std::int32_t> rows(is_prompt_end ? 1 : 0, 0);
    std::int32_t best = -1;
    float highest = -std::numeric_limits<float>::infinity(), second = highest;
    forward.run({.blocks = std::span(&block, 1),
                 .ids = std::span(ids).subspan(t, 1),
                 .targets = {},
                 .logit_rows = rows,
                 .take_logits = [&](std::size_t, std::span<float> logits) {
                   for (std::size_t i = 0; i < logits.size(); ++i) {
                     if (logits[i] > highest) {
                       second = highest;
                       highest = logits[i];
                       best = static_cast<std::int32_t>(i);
                     } else {
                       second = std::max(second, logits[i]);
                     }
                   }
                 }});
    if (best < 0) continue;
    text.ids.push_back(best);
    text.is_near_tie.push_back(static_cast<double>(highest) - static_cast<double>(second) <
                               setting.near);
    const bool ends =
        std::find(setting.end_ids.begin(), setting.end_ids.end(), best) != setting.end_ids.end() ||
        text.ids.size() >= static_cast<std::size_t>(setting.max_new_tokens);
    if (ends) break;
    ids.push_back(best);
  }
  return text;
}

std::string difference(const WrittenText& reference, const std::vector<std::int32_t>& ids) {
  for (std::size_t i = 0; i < std::max(ids.size(), reference.ids.size()); ++i) {
    if (i < ids.size() && i < reference.ids.size() && ids[i] == reference.ids[i]) continue;
    if (i < reference.ids.size() && reference.is_near_tie[i]) return "";
    return "token " + std::to_string(i) + " is " +
           (i < ids.size() ? std::to_string(ids[i]) : "not there") + " and should be " +
           (i < reference.ids.size() ? std::to_string(reference.ids[i]) : "not there");
  }
  return "";
}

}  // namespace tovamill::testing
