#include "workers/plan/tune_budgets.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "engine/model/attention_errors.h"
#include "io/corpus/record_reader.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "workers/load/gpu_places.h"
#include "workers/load/loaded_model.h"
#include "workers/load/model_parts.h"
#include "workers/options/option_values.h"

namespace tovamill {
namespace {

void check_setting(const TuneSetting& s, const CacheOptions& cache) {
  const auto check = [](bool ok, const std::string& what) {
    if (!ok) throw Error(ExitCode::configuration, what);
  };
  check(traits_of(cache.policy).takes(kTakesMerge), "--policy " + text_of(cache.policy) +
                                                        " takes no budgets: choose one of " +
                                                        policies_taking(kTakesMerge));
  check(s.n_texts >= 1 && s.n_texts <= 1000,
        "--texts " + text_of(s.n_texts) + " is out of range: give 1 to 1000 documents");
  check(s.n_tokens >= 3 * kRopeSegmentTokens && s.n_tokens <= (1 << 20),
        "--tokens " + text_of(s.n_tokens) + " is out of range: give 768 to 1048576");
  check(s.sizes.size() >= 2 && s.sizes.size() <= 32, "--sizes: give 2 to 32 sizes");
  std::int32_t last = cache.pin;
  for (const std::int32_t size : s.sizes) {
    check(size > last && size < s.n_tokens,
          "--sizes: " + text_of(size) +
              " does not fit: give ascending numbers of tokens, more than "
              "--pin and below --tokens (" +
              text_of(s.n_tokens) + ")");
    last = size;
  }
}

// The first documents that are long enough, cut to as many tokens as are wanted.
std::vector<std::vector<TokenId>> read_texts(const RunOptions& options, const LoadedModel& model,
                                             const TuneSetting& setting) {
  const std::size_t wanted = static_cast<std::size_t>(setting.n_tokens), fewest = wanted / 2;
  const SurroundingTokens around = surrounding_tokens(*model.tokenizer, options.bos);
  std::vector<std::vector<TokenId>> texts;
  std::uint64_t n_read = 0;
  for (const CorpusFile& file : list_corpus(options.corpus)) {
    const auto records = open_records(file, options.corpus);
    CorpusRecord record;
    while (texts.size() < static_cast<std::size_t>(setting.n_texts) && records->next(record)) {
      ++n_read;
      if (!record.ok()) continue;
      std::vector<TokenId> ids = around.leading;
      try {
        model.tokenizer->encode(record.text, options.parse_special, ids);
      } catch (const UnencodableText&) {
        continue;
      }
      if (ids.size() < fewest) continue;
      ids.resize(std::min(ids.size(), wanted));
      const TokenId most = model.config.shape.vocab_size - 1;
      for (TokenId& id : ids) id = std::min(id, most);
      texts.push_back(std::move(ids));
    }
  }
  if (texts.empty()) {
    throw Error(ExitCode::no_input, "none of " + counted(n_read, "document") + " has " +
                                        with_thousands(fewest) +
                                        " tokens: give longer ones, or fewer --tokens");
  }
  return texts;
}

}  // namespace

Tuning tune_budgets(const RunOptions& given, const TuneSetting& setting) {
  check_setting(setting, given.cache);
  RunOptions options = given;
  RankInfo self;
  self.gpus = gpu_identities(options.device);
  options.device = choose_device(options.device, std::span(&self, 1), 0);
  if (device_of(options) == DeviceKind::cuda) check_gpus(std::span(&self, 1), 0, 1);
  options.cache = CacheOptions{.policy = Policy::full, .positions = given.cache.positions};
  options.streams = 1;
  LoadedModel model = load_model(open_model(options.model), options, setting.n_threads,
                                 cpu_info().memory_available_bytes);
  const std::vector<std::vector<TokenId>> texts = read_texts(options, model, setting);
  BackendOptions made = model.backend_options;
  made.weights = nullptr;
  made.beside = &model.backend->device();
  std::vector<std::unique_ptr<Backend>> bounded;
  std::vector<Backend*> backends;
  for (const std::int32_t size : setting.sizes) {
    made.cache = given.cache;
    made.cache.cache_size = size + given.cache.merge;
    made.cache.layer_sizes.clear();
    bounded.push_back(make_backend(device_of(options), made));
    backends.push_back(bounded.back().get());
  }
  Tuning tuning;
  std::int64_t n_all = 0, n_done = 0;
  const std::int64_t first_counted = setting.n_tokens / 3;
  for (const std::vector<TokenId>& ids : texts) {
    n_all += static_cast<std::int64_t>(ids.size());
    tuning.n_tokens +=
        std::max<std::int64_t>(0, static_cast<std::int64_t>(ids.size()) - first_counted);
  }
  tuning.n_texts = static_cast<std::int32_t>(texts.size());
  tuning.table = {
      .model = model.description, .merge = given.cache.merge, .sizes = setting.sizes, .errors = {}};
  tuning.table.errors =
      attention_errors(model.model, *model.backend, backends,
                       {.texts = texts,
                        .block = std::min(model.plan.max_rows, kRopeSegmentTokens),
                        .first_counted = first_counted,
                        .tell = [&](std::int64_t n) {
                          n_done += n;
                          if (setting.tell) setting.tell(n_done, n_all);
                        }});
  return tuning;
}

}  // namespace tovamill
