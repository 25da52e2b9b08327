#include "workers/plan/plan_run.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>

#include "engine/model/forward.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/types/error.h"
#include "workers/documents/prompting.h"
#include "workers/load/choose_dtype.h"
#include "workers/load/gpu_places.h"
#include "workers/load/loaded_model.h"
#include "workers/load/model_parts.h"
#include "workers/options/budgets.h"
#include "workers/options/sweep.h"
#include "workers/plan/useful_streams.h"
#include "workers/stages/stage_cut.h"

namespace tovamill {
namespace {

bool wants_bos(const RunOptions& options, const Tokenizer& tokenizer) {
  return !surrounding_tokens(tokenizer, options.bos).leading.empty();
}

ComputeType chosen_dtype(const RunOptions& options, const ModelShape& shape, RunPlan& plan) {
  try {
    return choose_dtype(options, shape, plan.memory.available_bytes);
  } catch (const Error& e) {
    plan.rejection = e.what();
    return options.dtype.value_or(ComputeType::bf16);
  }
}

// What a rank with these layers takes; fits the step's streams to it. The backend's options are of
// the whole model.
MemoryPlan memory_of(const ModelMetadata& head, const RunOptions& options, const LayerRange& range,
                     const BackendOptions& whole, RunPlan& plan) {
  const bool is_gpu = device_of(options) == DeviceKind::cuda;
  BackendOptions made = whole;
  made.shape = shape_of(head.config.shape, range);
  std::vector<std::unique_ptr<Backend>> backends;  // of the settings of a sweep
  for (const CacheOptions& cache : caches_of(options)) {
    made.cache = cache;
    made.beside = backends.empty() ? nullptr : &backends.front()->device();
    backends.push_back(make_backend(device_of(options), made));
  }
  plan.device = backends.front()->device().description();
  plan.dtype = backends.front()->device().dtype_name();
  MemoryPlan memory = plan.memory;
  memory.weight_bytes = packed_bytes(head.config.shape, range, expanded_to(made.dtype).storage);
  const std::uint64_t left = memory.available_bytes > memory.weight_bytes
                                 ? memory.available_bytes - memory.weight_bytes
                                 : 0;
  Model shell;  // for the sizes of the buffers, which do not depend on the weights
  shell.config = head.config;
  shell.range = range;
  const auto stream_bytes = [&] {
    StreamBytes bytes;
    for (const auto& b : backends)
      bytes.add(*b, Forward(shell, *b, plan.step.max_rows, plan.step.n_streams, plan.step.block)
                        .buffer_bytes());
    return bytes;
  };
  try {
    fit_streams(plan.step, options, stream_bytes(),
                options.memory_budget > 0 ? options.memory_budget
                : is_gpu                  ? left
                                          : left / 10 * 8);
  } catch (const Error& e) {
    if (plan.rejection.empty()) plan.rejection = e.what();
    if (options.streams == 0) plan.step.n_streams = 1;
  }
  set_rows(plan.step);
  const StreamBytes bytes = stream_bytes();
  memory.state_bytes = bytes.each;
  memory.all_states_bytes = memory.state_bytes * static_cast<std::uint64_t>(plan.step.n_streams);
  memory.workspace_bytes = bytes.workspace;
  memory.buffer_bytes = bytes.buffers;
  return memory;
}

// The steps of load_model without the weights. Returns what a backend of the whole model is made
// of.
BackendOptions plan_memory(const ModelMetadata& head, const RunOptions& options, RunPlan& plan) {
  const ModelShape& shape = head.config.shape;
  for (const CacheOptions& cache : caches_of(options)) check_budgets(cache, shape);
  const bool is_gpu = device_of(options) == DeviceKind::cuda;
  const GpuShare gpu = is_gpu ? gpu_share({.gpu = 0, .n_on_gpu = 1}) : GpuShare{};
  plan.memory.available_bytes = is_gpu ? gpu.n_bytes : cpu_info().memory_available_bytes;
  if (!ModelFiles::is_in_memory(options.model)) {
    for (const TensorView& t : head.files->tensors()) plan.memory.file_bytes += t.n_bytes;
  }
  plan.step = plan_rows(options);
  set_rows(plan.step);
  BackendOptions made{.shape = shape,
                      .cache = caches_of(options).front(),
                      .dtype = chosen_dtype(options, shape, plan),
                      .n_threads = plan.n_threads,
                      .max_rows = plan.step.max_rows,
                      .max_block = plan.step.block,
                      .device_index = gpu.index};
  if (is_gpu) limit_rows(plan.step, shape, caches_of(options), plan.memory.available_bytes / 2);
  made.max_rows = plan.step.max_rows;
  MemoryPlan most;
  for (const LayerRange& range : plan.stages) {
    const MemoryPlan memory = memory_of(head, options, range, made, plan);
    plan.stage_memory.push_back(memory.needed_bytes());
    if (memory.needed_bytes() > most.needed_bytes()) most = memory;
  }
  plan.memory = most;
  made.max_rows = plan.step.max_rows;
  return made;
}

// What is read and written where nothing ends before --max-new-tokens.
WritingPlan plan_writing(const ModelMetadata& head, const RunOptions& options,
                         const CorpusPlan& c) {
  const GenerationOptions& g = options.generation;
  const Prompting prompting(*head.files, *head.tokenizer, options);
  CorpusRecord record;
  if (!c.question.empty()) record.questions = {c.question};
  const bool asks = prompting.n_questions(record) > 0;
  const double n_good = c.n_documents - c.n_bad;
  WritingPlan w{.prompt = prompting.description()};
  w.prompt_tokens = static_cast<std::int32_t>(
      prompting.prompt("", asks ? &record.questions.front() : nullptr).ids.size());
  w.n_texts = (asks ? c.n_questions : n_good) * g.samples;
  w.texts_are_exact = c.tokens_are_exact;
  double each = c.tokens_per_document();
  if (g.max_document_tokens > 0) each = std::min<double>(each, g.max_document_tokens);
  if (g.strategy == Strategy::stream) {
    w.n_read = n_good * each + w.n_texts * w.prompt_tokens;
    w.n_written = w.n_texts * g.max_new_tokens;
    return w;
  }
  // Each answer reads all chunks, then the answers to them, and so on until one chunk is left.
  const double chunk = options.cache.chunk_tokens;
  double n_prompts = 0.0, n_read = 0.0;
  for (double length = each;; length = std::ceil(length / chunk) * g.max_new_tokens) {
    const double n_chunks = std::max(1.0, std::ceil(length / chunk));
    n_prompts += n_chunks;
    n_read += length;
    if (n_chunks <= 1.0) break;
  }
  w.n_read = w.n_texts * (n_read + n_prompts * w.prompt_tokens);
  w.n_written = w.n_texts * n_prompts * g.max_new_tokens;
  return w;
}

// The streams that a corpus of few documents, or of few texts, really fills.
StepPlan busy_step(const RunPlan& plan) {
  StepPlan step = plan.step;
  const double n = plan.writing ? plan.writing->n_texts : plan.corpus.n_documents;
  const double of_a_rank = std::ceil(n / plan.n_eviction_groups());
  const double busy = std::clamp(of_a_rank, 1.0, static_cast<double>(step.n_streams));
  step.n_streams = static_cast<std::int32_t>(busy);
  set_rows(step);
  return step;
}

void calibrate_plan(const ModelMetadata& head, const RunOptions& options, BackendOptions made,
                    RunPlan& plan) {
  if (plan.corpus.ids.empty()) return;
  const ModelWeights weights = weights_of(*head.files, head.config);
  const StepPlan step = busy_step(plan);
  made.max_rows = step.max_rows;
  // A tokenizer may know tokens that the model does not have: documents with these fail.
  std::vector<std::int32_t> ids(plan.corpus.ids.begin(), plan.corpus.ids.end());
  for (std::int32_t& id : ids) id = std::min(id, head.config.shape.vocab_size - 1);
  for (const CacheOptions& cache : caches_of(options)) {
    made.cache = cache;
    made.cache.layer_sizes.clear();  // its few layers stand for all: they have the mean size
    const Calibration c = calibrate(head.config, weights,
                                    {.device = device_of(options),
                                     .backend = made,
                                     .plan = step,
                                     .document_tokens = plan.corpus.tokens_per_document(),
                                     .ids = ids,
                                     .n_writers = plan.writing ? step.n_streams : 0});
    if (plan.calibration)
      plan.calibration->add(c);
    else
      plan.calibration = c;
  }
}

}  // namespace

std::int32_t RunPlan::n_eviction_groups() const {
  const auto n_stages = static_cast<std::int32_t>(std::max<std::size_t>(1, stages.size()));
  return std::max<std::int32_t>(1, n_ranks / n_stages);
}

// Steps stream through the stages as fast as the slowest of them takes one.
double RunPlan::tokens_per_second() const {
  if (!calibration) return 0.0;
  const Calibration& c = *calibration;
  double slowest = 0.0;
  for (const LayerRange& s : stages)
    slowest = std::max(slowest, s.n * c.layer_s + (s.has_head() ? c.head_s + c.other_s : 0.0));
  const double faster = stages.size() > 1 && slowest > 0.0 ? c.step_s / slowest : 1.0;
  return c.tokens_per_second() * faster * n_eviction_groups();
}

double RunPlan::written_per_second() const {
  return calibration ? calibration->written_per_second() * n_eviction_groups() : 0.0;
}

double RunPlan::largest_share() const {
  return corpus.n_tokens > 0.0 ? std::min(1.0, corpus.largest.n_tokens / corpus.n_tokens) : 0.0;
}

bool RunPlan::largest_decides() const {
  return n_eviction_groups() > 1 && largest_share() * n_eviction_groups() > 1.0;
}

double RunPlan::seconds() const {
  const double rate = tokens_per_second();
  if (!(rate > 0.0)) return 0.0;
  double seconds = (writing ? writing->n_read : corpus.n_tokens) / rate;
  if (writing && written_per_second() > 0.0) seconds += writing->n_written / written_per_second();
  return seconds * (largest_decides() ? largest_share() * n_eviction_groups() : 1.0);
}

RunPlan plan_run(const RunOptions& given, const PlanSetting& setting) {
  RunOptions options = given;
  RankInfo self;
  self.gpus = gpu_identities(options.device);
  options.device = choose_device(options.device, std::span(&self, 1), 0);
  if (device_of(options) == DeviceKind::cuda) check_gpus(std::span(&self, 1), 0, 1);
  RunPlan plan;
  plan.job = options.job_kind;
  if (is_sweep(options)) {
    for (const SweepSetting& s : sweep_of(options).settings) plan.settings.push_back(s.name);
  }
  plan.n_ranks = setting.n_ranks == 1 ? options.stages : setting.n_ranks;
  check_groups(plan.n_ranks, options.dedicated_coordinator && setting.n_ranks > 1 ? 1 : 0,
               options.stages);
  plan.n_threads = setting.n_threads;
  plan.n_cores = cpu_info().n_cores_usable();
  options.useful_streams = useful_streams(options);
  std::vector<CorpusFile> files = list_corpus(corpus_of(options), &plan.left_out);
  ModelMetadata head = open_model(options.model);
  fit_config(options, head.config);
  weights_of(*head.files, head.config);  // a broken model is told before a sample is read
  plan.model = head.files->path() + ": " + describe_model(*head.files, head.config);
  plan.tokenizer = head.tokenizer->description();
  plan.stages = cut_layers(head.config.shape, options.stages);
  const BackendOptions made = plan_memory(head, options, plan);
  plan.shards = plan_shards(files, plan.n_eviction_groups());
  // The prompts of texts have a BOS of their own.
  const bool has_bos = options.job_kind == Job::score && wants_bos(options, *head.tokenizer);
  plan.corpus = plan_corpus(std::move(files), options, *head.tokenizer, has_bos);
  if (options.job_kind != Job::score) plan.writing = plan_writing(head, options, plan.corpus);
  if (setting.calibrates) calibrate_plan(head, options, made, plan);
  return plan;
}

}  // namespace tovamill
