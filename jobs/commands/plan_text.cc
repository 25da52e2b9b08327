#include "jobs/commands/plan_text.h"

#include <algorithm>
#include <cmath>

#include "kernels/types/format.h"
#include "workers/stages/stage_cut.h"

namespace tovamill {
namespace {

using Json = nlohmann::ordered_json;

std::uint64_t rounded(double n) {
  return static_cast<std::uint64_t>(std::llround(std::max(0.0, n)));
}

// "1,234", or "about 1,230" (three digits) for an estimate.
std::string number(double n, bool is_exact) {
  if (is_exact || n < 1000.0) return (is_exact ? "" : "about ") + with_thousands(rounded(n));
  const double unit = std::pow(10.0, std::floor(std::log10(n)) - 2.0);
  return "about " + with_thousands(rounded(std::round(n / unit) * unit));
}

std::string percent(double share) { return fixed_point(100.0 * share, share < 0.1 ? 1 : 0) + " %"; }

std::string corpus_rows(const CorpusPlan& c, const LeftOut& left_out) {
  std::string text;
  std::string kinds;
  for (const KindPlan& kind : c.kinds) {
    kinds += (kinds.empty() ? "" : ", ") + with_thousands(kind.n_files) + " " + kind.name + " (" +
             human_bytes(kind.n_bytes) + ")";
  }
  text += row("corpus", counted(c.n_files, "file") + ", " + human_bytes(c.n_bytes) + ": " + kinds);
  if (!left_out.text().empty()) text += row("left out", left_out.text());
  std::string documents = number(c.n_documents, c.documents_are_exact);
  if (c.n_bad >= 0.5) documents += ", " + number(c.n_bad, c.tokens_are_exact) + " of them bad";
  if (c.n_bad > 0.5 * c.n_documents) documents += ": are --text-key and the encoding right?";
  text += row("documents", documents);
  text += row("tokens", number(c.n_tokens, c.tokens_are_exact) + " in " +
                            human_bytes(rounded(c.n_text_bytes)) + " of text (" +
                            (c.tokens_are_exact ? "all of it" : human_bytes(c.n_sampled_bytes)) +
                            " was tokenized)");
  return text;
}

std::string writing_rows(const WritingPlan& w, const CorpusPlan& c) {
  std::string text =
      row("prompt", w.prompt + ": " +
                        counted(static_cast<std::uint64_t>(std::max(0, w.prompt_tokens)), "token") +
                        " around a document" + (c.question.empty() ? "" : " and a question"));
  text += row("texts", number(w.n_texts, w.texts_are_exact));
  text += row("tokens read", number(w.n_read, false));
  return text + row("tokens written", "at most " + number(w.n_written, w.texts_are_exact) +
                                          ", where every text takes --max-new-tokens");
}

std::string end_row(const RunPlan& plan) {
  const LargestFile& file = plan.corpus.largest;
  if (file.path.empty() || plan.corpus.n_tokens <= 0.0) return "";
  const double share = plan.largest_share();
  std::string text = file.path + ", " + human_bytes(file.n_bytes) + ", " + percent(share) +
                     " of the tokens, goes to one rank";
  if (plan.n_eviction_groups() > 1) {
    text += plan.largest_decides()
                ? ": it alone keeps that rank busy until the end, when the others have long done; "
                  "more than " +
                      counted(rounded(std::ceil(1.0 / share)), "rank") + " gain nothing"
                : ": " + percent(share * plan.n_eviction_groups()) +
                      " of a rank's time, and it is handed out first";
  }
  return row("largest file", text);
}

std::string shard_row(const RunPlan& plan) {
  const ShardPlan& s = plan.shards;
  std::string text = counted(s.n_shards, "shard") + " for " + counted(plan.n_ranks, "rank");
  if (s.n_cut_files > 0)
    text += ": " + counted(s.n_cut_files, "file") + " cut at about " + human_bytes(s.most_bytes);
  if (s.n_whole_files > 0)
    text += (s.n_cut_files > 0 ? ", " : ": ") + counted(s.n_whole_files, "file") + " whole";
  return row("shards", text);
}

std::string memory_rows(const RunPlan& plan) {
  const MemoryPlan& m = plan.memory;
  std::string text =
      row(plan.stages.size() > 1 ? "memory, largest stage" : "memory of a rank",
          human_bytes(m.needed_bytes()) + ": " + human_bytes(m.weight_bytes) + " weights (" +
              plan.dtype + "), " + human_bytes(m.all_states_bytes) + " states of " +
              counted(plan.step.n_streams, "stream") + ", " + human_bytes(m.workspace_bytes) +
              " workspace, " + human_bytes(m.buffer_bytes) + " buffers");
  if (plan.stages.size() > 1) {
    std::string each;
    for (const std::uint64_t n : plan.stage_memory)
      each += (each.empty() ? "" : " | ") + human_bytes(n);
    text += row("stages " + std::to_string(plan.stages.size()), text_of(plan.stages) + ": " + each);
  }
  if (m.file_bytes > 0)
    text += row("", human_bytes(m.file_bytes) + " of the model's files as page cache besides");
  std::string there = human_bytes(m.available_bytes) + " are available on this machine";
  if (m.needed_bytes() > 0)
    there += ": enough for " + counted(m.available_bytes / m.needed_bytes(), "such rank");
  text += row("memory here", there);
  if (!plan.rejection.empty()) text += row("it would not start", plan.rejection);
  return text;
}

std::string time_rows(const RunPlan& plan) {
  const std::string threads = counted(plan.n_threads, "thread");
  if (!plan.calibration) return row("time", "not measured");
  const Calibration& c = *plan.calibration;
  std::string text =
      row(plan.writing ? "reading speed" : "speed of a rank",
          fixed_point(c.tokens_per_second(), 0) + " tokens/s with " + threads + ": a step of " +
              counted(c.n_rows, "row") + " takes " + fixed_point(1e3 * c.layer_s, 1) +
              " ms a layer, " + fixed_point(1e3 * c.head_s, 1) + " ms the head (medians of " +
              counted(c.n_repeats, "step") + ")");
  if (plan.writing)
    text += row("writing speed", fixed_point(c.written_per_second(), 0) + " tokens/s with " +
                                     counted(c.n_writers, "text") +
                                     " side by side: a token of each takes " +
                                     fixed_point(1e3 * c.writing_s, 1) + " ms");
  std::string time =
      (plan.writing ? "up to about " : "") + human_duration(plan.seconds()) + " of computing";
  if (plan.n_ranks > 1) {
    time += " with " + counted(plan.n_ranks, "rank") +
            (plan.largest_decides() ? ", as long as the largest file takes" : "");
    if (plan.n_ranks * plan.n_threads > plan.n_cores)
      time += ", each on " +
              (plan.n_threads == 1 ? std::string("a core") : counted(plan.n_threads, "core")) +
              " of its own like these (this machine has " + with_thousands(plan.n_cores) + ")";
  }
  return text + row("time", time);
}

std::string sweep_row(const RunPlan& plan) {
  if (plan.settings.empty()) return "";
  std::string names;
  for (const std::string& name : plan.settings) names += (names.empty() ? "" : ", ") + name;
  return row("sweep",
             counted(plan.settings.size(), "setting") + " (the memory and time of all): " + names);
}

}  // namespace

std::string plan_text(const RunPlan& plan) {
  return row("model", plan.model) + row("tokenizer", plan.tokenizer) +
         row("device", plan.device + ", " + plan.dtype) + sweep_row(plan) +
         corpus_rows(plan.corpus, plan.left_out) +
         (plan.writing ? writing_rows(*plan.writing, plan.corpus) : "") + shard_row(plan) +
         end_row(plan) + memory_rows(plan) + time_rows(plan);
}

Json plan_json(const RunPlan& plan) {
  const CorpusPlan& c = plan.corpus;
  const MemoryPlan& m = plan.memory;
  Json kinds = Json::array();
  for (const KindPlan& kind : c.kinds) {
    kinds.push_back({{"name", kind.name},
                     {"files", kind.n_files},
                     {"bytes", kind.n_bytes},
                     {"documents", rounded(kind.n_documents)},
                     {"tokens_per_byte", kind.tokens_per_byte}});
  }
  Json json{{"job", name_of(plan.job)},
            {"model", plan.model},
            {"tokenizer", plan.tokenizer},
            {"device", plan.device},
            {"dtype", plan.dtype},
            {"settings", plan.settings},
            {"ranks", plan.n_ranks},
            {"stages", std::max<std::size_t>(1, plan.stages.size())},
            {"threads", plan.n_threads},
            {"streams", plan.step.n_streams},
            {"rows", plan.step.max_rows},
            {"files", c.n_files},
            {"bytes", c.n_bytes},
            {"kinds", kinds},
            {"files_left_out", plan.left_out.n_files()},
            {"left_out", plan.left_out.json()},
            {"documents", rounded(c.n_documents)},
            {"documents_exact", c.documents_are_exact},
            {"bad", rounded(c.n_bad)},
            {"text_bytes", rounded(c.n_text_bytes)},
            {"tokens", rounded(c.n_tokens)},
            {"tokens_exact", c.tokens_are_exact},
            {"sampled_bytes", c.n_sampled_bytes},
            {"shards", plan.shards.n_shards},
            {"shard_bytes", plan.shards.most_bytes},
            {"largest_file", nullptr}};
  if (!c.largest.path.empty()) {
    json["largest_file"] = {{"path", c.largest.path},
                            {"bytes", c.largest.n_bytes},
                            {"tokens", rounded(c.largest.n_tokens)},
                            {"share", plan.largest_share()}};
  }
  if (plan.stages.size() > 1) json["stage_memory_bytes"] = plan.stage_memory;
  json["memory"] = {{"needed_bytes", m.needed_bytes()},     {"weight_bytes", m.weight_bytes},
                    {"states_bytes", m.all_states_bytes},   {"state_bytes", m.state_bytes},
                    {"workspace_bytes", m.workspace_bytes}, {"buffer_bytes", m.buffer_bytes},
                    {"page_cache_bytes", m.file_bytes},     {"available_bytes", m.available_bytes}};
  if (const auto& w = plan.writing) {
    json["prompt"] = w->prompt;
    json["prompt_tokens"] = w->prompt_tokens;
    json["texts"] = rounded(w->n_texts);
    json["texts_exact"] = w->texts_are_exact;
    json["tokens_read"] = rounded(w->n_read);
    json["tokens_written_most"] = rounded(w->n_written);
    json["tokens_written_per_second"] = nullptr;
  }
  json["obstacle"] = plan.rejection.empty() ? Json() : Json(plan.rejection);
  json["calibration"] = nullptr;
  json["tokens_per_second"] = nullptr;
  json["seconds"] = nullptr;
  if (const auto& k = plan.calibration) {
    json["calibration"] = {
        {"rows", k->n_rows},       {"blocks", k->n_blocks}, {"state_tokens", k->state_tokens},
        {"repeats", k->n_repeats}, {"layer_s", k->layer_s}, {"head_s", k->head_s},
        {"other_s", k->other_s},   {"step_s", k->step_s},   {"seconds", k->seconds}};
    if (plan.writing) {
      json["calibration"]["writers"] = k->n_writers;
      json["calibration"]["writing_s"] = k->writing_s;
      json["tokens_written_per_second"] = plan.written_per_second();
    }
    json["tokens_per_second"] = plan.tokens_per_second();
    json["seconds"] = plan.seconds();
  }
  return json;
}

}  // namespace tovamill
