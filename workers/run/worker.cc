#include "workers/run/worker.h"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "io/files/system_facts.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/device_failed.h"
#include "kernels/types/error.h"
#include "kernels/types/version.h"
#include "pipeline/run_directory/run_directory.h"
#include "workers/documents/document_loop.h"
#include "workers/documents/generate_work.h"
#include "workers/documents/saved_states.h"
#include "workers/documents/score_work.h"
#include "workers/documents/sweep_work.h"
#include "workers/load/gpu_places.h"
#include "workers/options/option_values.h"
#include "workers/options/sweep.h"
#include "workers/run/crash_mark.h"
#include "workers/run/fingerprint.h"
#include "workers/stages/stage_cut.h"
#include "workers/stages/stage_worker.h"

namespace tovamill {
namespace {

using nlohmann::json;

constexpr double kOrderWaitSeconds = 0.05;

std::string iso_time(std::time_t t) {
  char text[32];
  std::tm utc{};
  gmtime_r(&t, &utc);
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

// The options that mean something to the job.
std::string config_of(const RunOptions& options) {
  std::vector<std::string> others;
  visit_fields(options, [&](std::string_view name, const auto&, Effect effect, const char*) {
    const bool generates = name == "prompt" || name == "stream-jsonl";
    if (!has_effect(generates ? Effect::generation : effect, options)) others.emplace_back(name);
  });
  return config_lines(options, [&](std::string_view name) {
    return std::find(others.begin(), others.end(), name) == others.end();
  });
}

// What the attributes of a setting's results are made of.
json settings_json(const RunOptions& options, const LoadedModel& model) {
  const Sweep sweep = sweep_of(options);
  json settings = json::array();
  for (const SweepSetting& s : sweep.settings) {
    json values = json::object();
    visit_swept_fields(s.options, [&](std::string_view name, const auto& field, Effect effect) {
      if (!has_effect(effect, s.options)) return;
      std::string attribute(name);
      std::replace(attribute.begin(), attribute.end(), '-', '_');
      using Field = std::remove_cvref_t<decltype(field)>;
      if constexpr (std::is_arithmetic_v<Field> && !std::is_same_v<Field, bool>)
        values[attribute] = field;
      else
        values[attribute] = text_of(field);
    });
    values["clip_distance"] = clip_distance(s.options.cache, model.config.shape);
    settings.push_back({{"name", s.name},
                        {"baseline", &s == &sweep.settings[sweep.baseline()]},
                        {"options", values}});
  }
  return settings;
}

// Paths and the command line need not be UTF-8; what is not is shown as U+FFFD.
std::string journal_header(const RunOptions& options, const LoadedModel& model,
                           const json& run_fingerprint) {
  json header{
      {"fingerprint", run_fingerprint},
      {"job", name_of(options.job_kind)},
      {"config", config_of(options)},
      {"model", model.files->path() + " (" + model.description + ")"},
      {"tokenizer", model.tokenizer->description()},
      {"host", host_name()},
      {"boot_id", boot_id()},
      {"oom_kills", n_oom_kills()},
      {"device",
       model.backend->device().description() + ", " + model.backend->device().dtype_name() +
           (model.stages.size() > 1 ? ", stages: " + text_of(model.stages) : std::string())},
      {"command", options.command},
      {"slurm_job", options.slurm_job},
      {"program_version", program_version()},
      {"git_hash", git_hash()},
      {"started", iso_time(std::time(nullptr))}};
  if (is_sweep(options)) header["sweep"] = settings_json(options, model);
  return header.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Waits until the orders say what `enough` wants to know; false where the run is broken off before.
// A run that has nothing left to do gets its journals as well: they say that it is complete.
template <class Enough>
bool wait_for(WorkerMailbox& mailbox, Enough enough) {
  while (!mailbox.is_broken_off()) {
    if (enough(mailbox.orders())) return true;
    mailbox.wait_for_news(kOrderWaitSeconds);
  }
  return false;
}

WeightSharing sharing(const WorkerPlace& place, const Heartbeat& orders) {
  WeightSharing how;
  how.n_ranks_on_host = place.n_on_host;
  if (place.packs_first) {
    how.role = WeightSharing::Role::leader;
  } else if (orders.weights == WeightsOrder::map_packed) {
    how.role = WeightSharing::Role::follower;
    how.place = orders.weights_place;
  }
  return how;
}

GpuPart gpu_part(const WorkerPlace& place) {
  const GpuShare share = gpu_share(place.gpu);
  return {.index = share.index, .n_bytes = share.n_bytes, .group = place.nccl_group};
}

std::string stages_of(const LoadedModel& model) {
  if (model.stages.size() <= 1) return "";
  return text_of(model.stages) + (model.rows_note.empty() ? "" : "; " + model.rows_note);
}

// `documents`: null on a rank that takes none.
LoadedInfo info_of(const LoadedModel& model, const DocumentWork* documents) {
  const StreamBytes bytes = model.stream_bytes();
  return {.model_description = model.files->path() + ": " + model.description,
          .tokenizer_description = model.tokenizer->description(),
          .device = model.backend->device().description(),
          .dtype = model.backend->device().dtype_name(),
          .sharing_note = model.sharing_note,
          .work = documents == nullptr ? "" : documents->description(),
          .stages = stages_of(model),
          .n_threads = model.backend->device().n_threads(),
          .n_streams = model.plan.n_streams,
          .n_wanted_streams = model.plan.n_wanted,
          .weight_bytes = model.model.weight_bytes(),
          .state_bytes = std::min(model.plan.state_budget,
                                  bytes.each * static_cast<std::uint64_t>(model.plan.n_streams)),
          .workspace_bytes = bytes.workspace + bytes.buffers};
}

Registration registration_of(const LoadedModel& model, const json& run_fingerprint) {
  return {.host = host_name(),
          .pid = process_id(),
          .n_threads = model.backend->device().n_threads(),
          .device = model.backend->device().description(),
          .fingerprint = fingerprint_digest(run_fingerprint),
          .differences = "dtype " + model.backend->device().dtype_name() + ", model " +
                         model.files->digest() + ", tokenizer " + model.tokenizer->digest()};
}

void report_end(const WorkerCounters& counters, bool has_journal, WorkerMailbox& mailbox) {
  WorkerSituation s;
  s.phase = WorkerPhase::left;
  s.journal_is_open = has_journal;
  s.counters = counters;
  mailbox.publish(s);
}

// The journal may be what failed: then the first error is the one to tell.
template <class Close>
void close_quietly(const Close& close) {
  try {
    close(false);
  } catch (const Error&) {
  }
}

std::unique_ptr<DocumentWork> make_work(const RunOptions& options, LoadedModel& model) {
  if (is_sweep(options)) return std::make_unique<SweepWork>(model, options, sweep_of(options));
  if (options.job_kind == Job::score) return std::make_unique<ScoreWork>(model, options);
  return std::make_unique<GenerateWork>(model, options);
}

void work_through(const RunOptions& options, DocumentWork& documents, const LoadedModel& model,
                  const json& run_fingerprint, int rank, WorkerMailbox& mailbox) {
  const double start = now_s();
  RunJournal journal(journal_path(options.out, rank, mailbox.orders().launch),
                     journal_header(options, model, run_fingerprint), options.sync_seconds);
  const CrashMark mark(journal.descriptor());
  const SavedStates states(options.out, run_fingerprint.dump());
  LeaseSource source(options.corpus, mailbox, journal);
  DocumentLoop loop(documents, options, rank, source, journal, states, mailbox);
  const WorkerCounters& c = loop.counters();
  const auto close = [&](bool complete) {
    journal.close(json{
        {"seconds", now_s() - start},
        {"seconds_computing", c.seconds_computing},
        {"seconds_waiting", c.seconds_waiting},
        {"seconds_writing", journal.seconds_writing()},
        {"work", json::parse(documents.statistics())},
        {"timeline", loop.timeline().to_json()},
        {"complete",
         complete}}.dump());
  };
  try {
    close(loop.run());
  } catch (const OutOfMemory&) {
    throw;  // no orderly end: it counts against the documents in flight
  } catch (const DeviceFailed&) {
    throw;  // as little as where the rank was killed
  } catch (...) {
    close_quietly(close);
    throw;
  }
  report_end(c, true, mailbox);
}

// Serves the documents of stage 0's rank until that has no more.
void serve_stage(const LoadedModel& model, const StagePlace& place, WorkerMailbox& mailbox) {
  WorkerSituation s;
  s.phase = WorkerPhase::working;
  mailbox.publish(s);
  StageWorker stage_worker(model.model, *model.backend, *model.forward, place);
  try {
    stage_worker.serve();
  } catch (const StageLost&) {
    // Whoever is told to go need not say that it goes.
    const RunOrder order = mailbox.orders().order;
    if (order == RunOrder::wait || order == RunOrder::work) throw;
  }
  report_end({}, false, mailbox);
}

void work_or_throw(const RunOptions& given, std::optional<ModelMetadata> metadata,
                   const WorkerPlace& place, WorkerMailbox& mailbox) {
  RunOptions options = given;
  if (!metadata) metadata = open_model(options.model);
  const bool is_gpu = device_of(options) == DeviceKind::cuda;
  const bool is_staged = place.stages.n_stages > 1;
  const bool follows = place.n_on_host > 1 && !place.packs_first && !is_gpu && !is_staged;
  const auto may_load = [&](const Heartbeat& p) {
    return !p.dtype.empty() && (!follows || p.weights != WeightsOrder::wait);
  };
  if (!wait_for(mailbox, may_load)) return report_end({}, false, mailbox);
  const Heartbeat orders = mailbox.orders();
  read_text("--dtype", orders.dtype, options.dtype);
  options.useful_streams = orders.useful_streams;
  LoadedModel model =
      is_gpu ? load_model_on_gpu(std::move(*metadata), options, options.threads, gpu_part(place),
                                 place.stages)
             : load_model(std::move(*metadata), options, options.threads,
                          cpu_info().memory_available_bytes, sharing(place, orders), place.stages);
  if (place.packs_first) {
    // Also where they could not be shared: the others wait for the word, then pack their own.
    const WeightsPlace& p = model.weights_place;
    mailbox.offer_weights({p.pid, p.fd, p.n_bytes, p.identity});
  }
  options.dtype = given.dtype;
  const json run_fingerprint = fingerprint(options, *model.files, model.config, *model.tokenizer,
                                           model.backend->device().dtype_name());
  if (place.stages.stage > 0) {
    mailbox.register_worker(registration_of(model, run_fingerprint), info_of(model, nullptr));
    return serve_stage(model, place.stages, mailbox);
  }
  // What it refuses is refused before the first lease.
  const std::unique_ptr<DocumentWork> documents = make_work(options, model);
  mailbox.register_worker(registration_of(model, run_fingerprint), info_of(model, documents.get()));
  if (!wait_for(mailbox, [](const Heartbeat& p) { return p.launch > 0 && p.is_known; }))
    return report_end({}, false, mailbox);
  work_through(options, *documents, model, run_fingerprint, place.rank, mailbox);
}

}  // namespace

void work(const RunOptions& options, std::optional<ModelMetadata> metadata,
          const WorkerPlace& place, WorkerMailbox& mailbox) {
  try {
    work_or_throw(options, std::move(metadata), place, mailbox);
  } catch (...) {
    mailbox.fail(std::current_exception());
  }
}

}  // namespace tovamill
