#include "jobs/command_line/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>

#include "jobs/command_line/sweep_table.h"
#include "kernels/types/format.h"
#include "kernels/types/version.h"
#include "workers/options/option_values.h"
#include "workers/options/sweep.h"

namespace tovamill {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kRedrawSeconds = 0.2;

// Paths need not be UTF-8; what is not is shown as U+FFFD. NaN becomes null.
void print_json(std::ostream& out, const Json& event) {
  out << event.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
}

std::size_t terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// "at most 512 tokens per layer", "256 places per layer on average (96 to 640 by budgets.json), 16
// of them for merged tokens".
std::string places_text(const CacheOptions& cache, const std::string& budgets) {
  const auto n = static_cast<std::uint64_t>(cache.cache_size);
  const std::string merged =
      cache.merge > 0 ? ", " + std::to_string(cache.merge) + " of them for merged tokens" : "";
  if (cache.layer_sizes.empty())
    return "at most " + counted(n, cache.merge > 0 ? "place" : "token") + " per layer" + merged;
  const auto [least, most] =
      std::minmax_element(cache.layer_sizes.begin(), cache.layer_sizes.end());
  return counted(n, "place") + " per layer on average (" +
         with_thousands(static_cast<std::uint64_t>(*least)) + " to " +
         with_thousands(static_cast<std::uint64_t>(*most)) + " by " + budgets + ")" + merged;
}

std::string first_lines(const RunOptions& options, const RunInfo& info) {
  std::string state = "policy " + text_of(options.cache.policy);
  if (is_bounded(options.cache) && options.sweep.empty())
    state += ", " + places_text(cache_of(options), options.budgets);
  state += ", positions " + text_of(options.cache.positions);
  std::string text = "tovamill " + program_version() + " (" + git_hash() + ")\n";
  text += row("model", info.model_description);
  text += row("tokenizer", info.tokenizer_description);
  text += row("device", info.device + ", " + info.dtype);
  if (info.n_ranks > 1) {
    text += row("ranks", with_thousands(info.n_ranks) + " on " + counted(info.n_hosts, "host") +
                             (info.sharing_note.empty() ? "" : "; " + info.sharing_note));
  }
  if (!info.stages.empty()) text += row("stages " + std::to_string(options.stages), info.stages);
  for (const std::string& note : budget_notes(options, info.model_description))
    text += row("budgets", note);
  if (!info.work.empty()) text += row(options.sweep.empty() ? "prompt" : "sweep", info.work);
  if (options.sweep.empty()) text += row("state", state);
  if (info.streams > 0)
    text +=
        row("memory",
            human_bytes(info.weight_bytes) + " weights, " + human_bytes(info.state_bytes) +
                " states of " + counted(info.streams, "stream") +
                (info.streams < info.wanted_streams
                     ? " (not " + counted(info.wanted_streams, "stream") + ": the memory is short)"
                     : "") +
                ", " + human_bytes(info.workspace_bytes) + " workspace" +
                (info.n_ranks > 1 ? " on rank 0" : ""));
  text += row("corpus", counted(info.n_files, "file") + ", " + human_bytes(info.n_bytes));
  if (const std::string left_out = info.left_out.text(); !left_out.empty())
    text += row("left out", left_out);
  if (info.n_documents_done > 0) {
    text += row("continuing", counted(info.n_documents_done, "document") + " done before");
  }
  return text;
}

std::string progress_line(const RunProgress& p) {
  std::string line = counted(p.n_documents, "document");
  if (p.n_failed > 0) line += ", " + with_thousands(p.n_failed) + " failed";
  line += ", " + counted(p.n_tokens, "token") + ", " + fixed_point(p.tokens_per_second, 0) +
          " tokens/s" + (p.n_ranks > 1 ? " on " + counted(p.n_ranks, "rank") + ", " : ", ") +
          fixed_point(100.0 * p.fraction, 1) + " %";
  return line + (p.seconds_left >= 0.0 ? ", " + human_duration(p.seconds_left) + " left" : "");
}

// "27.78 +- 0.41", the latter the standard error over documents, which one document does not have
// (NaN).
std::string with_error(double value, double standard_error, std::uint64_t n_documents) {
  const std::string text = perplexity_text(value);
  if (n_documents < 2 || std::isnan(standard_error)) return text;
  return text + " +- " + perplexity_text(standard_error);
}

std::string scoring_rows(const RunSummary& s, std::uint64_t n_good) {
  std::string text =
      row("tokens", with_thousands(s.n_tokens) + " (" + with_thousands(s.n_scored) + " scored)");
  text += row("words, bytes", with_thousands(s.n_words) + ", " + with_thousands(s.n_bytes));
  text +=
      row("perplexity per token", with_error(s.perplexity_token, s.perplexity_token_se, n_good));
  text += row("perplexity per word", with_error(s.perplexity_word, s.perplexity_word_se, n_good));
  return text + row("bits per byte", with_error(s.bits_per_byte, s.bits_per_byte_se, n_good));
}

std::string generation_rows(const RunSummary& s, std::uint64_t n_good, bool has_scores = true) {
  std::string text =
      row("tokens", with_thousands(s.n_tokens) + " (" + with_thousands(s.n_new_tokens) + " new)");
  text += row("words, bytes", with_thousands(s.n_words) + ", " + with_thousands(s.n_bytes));
  text += row("texts", with_thousands(s.n_generations) + " (" + with_thousands(s.n_stop) +
                           " ended by themselves, " + with_thousands(s.n_length) +
                           " cut at --max-new-tokens)");
  if (s.n_with_references == 0 || !has_scores) return text;
  text += row("with references", with_thousands(s.n_with_references));
  if (s.n_without_words > 0)
    text += row("", with_thousands(s.n_without_words) +
                        " of these have references without an ASCII letter or digit, the only "
                        "words of ROUGE: it is 0 for them");
  for (std::size_t i = 0; i < kTextScoreNames.size(); ++i) {
    text += row(kTextScoreNames[i],
                with_error(s.text_best[i].value, s.text_best[i].standard_error, n_good) +
                    " (mean of references " +
                    with_error(s.text_mean[i].value, s.text_mean[i].standard_error, n_good) + ")");
  }
  return text;
}

std::uint64_t n_good(const RunSummary& s) {
  const std::uint64_t n_bad = s.n_failed + s.n_unscored;
  return s.n_documents >= n_bad ? s.n_documents - n_bad : 0;
}

// Where it is: "file, line 3", or the byte where the line is not known. One line, whatever it says.
std::string shown(const FailedDocument& f) {
  std::string text = f.file;
  if (f.line > 0)
    text += ", line " + std::to_string(f.line);
  else if (f.offset > 0)
    text += ", byte " + std::to_string(f.offset);
  text += ": " + f.reason + (f.text.empty() ? "" : ": " + f.text);
  for (char& c : text) {
    if ((c >= 0 && c < ' ') || c == 0x7F) c = ' ';
  }
  return text;
}

// The first of them; where all are.
std::string failure_rows(const RunSummary& s) {
  if (s.n_failed == 0) return row("failed", "0");
  std::string text = row("failed", with_thousands(s.n_failed) +
                                       " (all are in /failures of the results, and tovamill export "
                                       "lists them)");
  for (const FailedDocument& f : s.first_failures) text += row("", shown(f));
  const std::uint64_t n_shown = s.first_failures.size();
  if (n_shown > 0 && n_shown < s.n_failed)
    text += row("", "and " + with_thousands(s.n_failed - n_shown) + " more");
  return text;
}

std::string summary_rows(const RunSummary& s, bool has_scores) {
  std::string text = row("documents", with_thousands(s.n_documents));
  text += failure_rows(s);
  if (s.n_unscored > 0)
    text +=
        row("unscored", with_thousands(s.n_unscored) +
                            " (no token of these has a likelihood: they are in no number below)");
  if (s.n_quarantined > 0) {
    text += row("quarantined",
                with_thousands(s.n_quarantined) + " of these: ranks died while they computed them");
  }
  if (s.n_ranks_lost > 0) {
    text += row("ranks lost", with_thousands(s.n_ranks_lost) + " (others did their work)");
  }
  if (s.settings.empty()) {
    text += s.generates ? generation_rows(s, n_good(s), has_scores) : scoring_rows(s, n_good(s));
    text += row("mean attended", fixed_point(s.mean_attended, 2) + " tokens per query and layer");
  } else {
    text += row("tokens",
                with_thousands(s.n_tokens) + ", read by " + counted(s.settings.size(), "setting"));
    text += row("words, bytes", with_thousands(s.n_words) + ", " + with_thousands(s.n_bytes));
  }
  text += row("speed", s.seconds > 0.0 ? fixed_point(s.tokens_per_second, 0) + " tokens/s over " +
                                             human_duration(s.seconds)
                                       : "- (everything was done before)");
  text += row("peak memory", human_bytes(s.peak_rss_bytes));
  text += row("results", s.results_path);
  return text + row("to read them", "tovamill export " + s.results_path + " --format " +
                                        (s.generates ? "jsonl" : "csv"));
}

// A probe has no use for text scores.
std::string summary_table(const RunSummary& s, Job job) {
  const bool has_scores = job != Job::probe;
  return summary_rows(s, has_scores) +
         (s.settings.empty() ? "" : "\n" + sweep_table(s.settings, has_scores));
}

void add_text_scores(Json& object, std::uint64_t n_with_references,
                     const std::array<Estimate, kTextScoreNames.size()>& best,
                     const std::array<Estimate, kTextScoreNames.size()>& mean) {
  if (n_with_references == 0) return;
  for (std::size_t i = 0; i < kTextScoreNames.size(); ++i) {
    const std::string name = kTextScoreNames[i];
    object[name] = best[i].value;
    object[name + "_se"] = best[i].standard_error;
    object[name + "_mean"] = mean[i].value;
    object[name + "_mean_se"] = mean[i].standard_error;
  }
}

Json text_settings_json(const RunSummary& s) {
  Json settings = Json::array();
  for (const SettingSummary& one : s.settings) {
    Json object{{"name", one.name},
                {"texts", one.summary.n_generations},
                {"new_tokens", one.summary.n_new_tokens},
                {"stop", one.summary.n_stop},
                {"length", one.summary.n_length},
                {"with_references", one.summary.n_with_references},
                {"mean_attended", one.summary.mean_attended},
                {"tokens_per_second", one.tokens_per_second}};
    add_text_scores(object, one.summary.n_with_references, one.summary.text_best,
                    one.summary.text_mean);
    settings.push_back(std::move(object));
  }
  return settings;
}

Json settings_json(const RunSummary& s) {
  if (s.generates) return text_settings_json(s);
  Json settings = Json::array();
  for (const SettingSummary& one : s.settings)
    settings.push_back({{"name", one.name},
                        {"perplexity_token", one.summary.perplexity_token.value},
                        {"perplexity_token_se", one.summary.perplexity_token.standard_error},
                        {"nll_difference", one.paired.nll_difference.value},
                        {"nll_difference_se", one.paired.nll_difference.standard_error},
                        {"perplexity_ratio", one.paired.perplexity_ratio.value},
                        {"perplexity_ratio_se", one.paired.perplexity_ratio.standard_error},
                        {"documents_in_both", one.paired.n_documents},
                        {"baseline", one.is_baseline},
                        {"mean_attended", one.summary.mean_attended},
                        {"tokens_per_second", one.tokens_per_second}});
  return settings;
}

// In place of what only scoring gives.
void add_generation(Json& event, const RunSummary& s) {
  for (const char* name :
       {"scored", "unscored", "perplexity_token", "perplexity_token_se", "perplexity_word",
        "perplexity_word_se", "bits_per_byte", "bits_per_byte_se"})
    event.erase(name);
  event["texts"] = s.n_generations;
  event["new_tokens"] = s.n_new_tokens;
  event["stop"] = s.n_stop;
  event["length"] = s.n_length;
  event["with_references"] = s.n_with_references;
  event["without_rouge_words"] = s.n_without_words;
  add_text_scores(event, s.n_with_references, s.text_best, s.text_mean);
}

Json failures_json(const RunSummary& s) {
  Json failures = Json::array();
  for (const FailedDocument& f : s.first_failures)
    failures.push_back({{"file", f.file},
                        {"line", f.line},
                        {"offset", f.offset},
                        {"reason", f.reason},
                        {"text", f.text}});
  return failures;
}

}  // namespace

void print_texts(const RunSummary& s, std::ostream& out) {
  out << row("documents", with_thousands(s.n_documents))
      << row("failed", with_thousands(s.n_failed)) << generation_rows(s, n_good(s))
      << row("results", s.results_path) << std::flush;
}

Console::Console(const RunOptions& options, std::ostream& out, std::ostream& err, bool is_terminal)
    : options_(options),
      out_(out),
      err_(err),
      is_terminal_(is_terminal),
      is_json_(options.log_format == "json") {}

Console::~Console() { clear_line(); }

void Console::clear_line() {
  if (line_is_drawn_) err_ << "\r\033[K" << std::flush;
  line_is_drawn_ = false;
}

void Console::started(const RunInfo& info) {
  if (!is_json_) {
    err_ << first_lines(options_, info) << std::flush;
    return;
  }
  print_json(out_, {{"event", "started"},
                    {"version", program_version()},
                    {"git_hash", git_hash()},
                    {"model", info.model_description},
                    {"tokenizer", info.tokenizer_description},
                    {"prompt", info.work},
                    {"device", info.device},
                    {"dtype", info.dtype},
                    {"threads", info.threads},
                    {"streams", info.streams},
                    {"policy", text_of(options_.cache.policy)},
                    {"cache_size", options_.cache.cache_size},
                    {"merge", options_.cache.merge},
                    {"budgets", options_.budgets},
                    {"positions", text_of(options_.cache.positions)},
                    {"weight_bytes", info.weight_bytes},
                    {"state_bytes", info.state_bytes},
                    {"workspace_bytes", info.workspace_bytes},
                    {"files", info.n_files},
                    {"bytes", info.n_bytes},
                    {"files_left_out", info.left_out.n_files()},
                    {"left_out", info.left_out.json()},
                    {"documents_done", info.n_documents_done},
                    {"ranks", info.n_ranks},
                    {"hosts", info.n_hosts}});
}

void Console::progress(const RunProgress& p) {
  const bool redraws = is_terminal_ && !is_json_;
  if (line_is_drawn_ || !redraws) {
    if (p.seconds - last_shown_s_ < (redraws ? kRedrawSeconds : options_.progress_seconds)) return;
  }
  last_shown_s_ = p.seconds;
  if (redraws) {
    err_ << "\r\033[K" << progress_line(p).substr(0, terminal_columns() - 1) << std::flush;
    line_is_drawn_ = true;
  } else if (!is_json_) {
    err_ << progress_line(p) << std::endl;
  } else {
    Json event{{"event", "progress"},    {"documents", p.n_documents},
               {"failed", p.n_failed},   {"tokens", p.n_tokens},
               {"seconds", p.seconds},   {"tokens_per_second", p.tokens_per_second},
               {"fraction", p.fraction}, {"seconds_left", nullptr},
               {"ranks", p.n_ranks}};
    if (p.seconds_left >= 0.0) event["seconds_left"] = p.seconds_left;
    print_json(out_, event);
  }
}

void Console::note(const std::string& text) {
  clear_line();
  if (is_json_) {
    print_json(out_, {{"event", "note"}, {"text", text}});
  } else {
    err_ << text << std::endl;
  }
}

void Console::finished(const RunSummary& s) {
  clear_line();
  if (!is_json_) {
    out_ << summary_table(s, options_.job_kind) << std::flush;
    return;
  }
  Json event{{"event", "finished"},
             {"documents", s.n_documents},
             {"failed", s.n_failed},
             {"unscored", s.n_unscored},
             {"first_failures", failures_json(s)},
             {"tokens", s.n_tokens},
             {"scored", s.n_scored},
             {"words", s.n_words},
             {"bytes", s.n_bytes},
             {"perplexity_token", s.perplexity_token},
             {"perplexity_token_se", s.perplexity_token_se},
             {"perplexity_word", s.perplexity_word},
             {"perplexity_word_se", s.perplexity_word_se},
             {"bits_per_byte", s.bits_per_byte},
             {"bits_per_byte_se", s.bits_per_byte_se},
             {"mean_attended", s.mean_attended},
             {"tokens_per_second", s.tokens_per_second},
             {"seconds", s.seconds},
             {"peak_rss_bytes", s.peak_rss_bytes},
             {"set_aside", s.n_quarantined},
             {"ranks_lost", s.n_ranks_lost},
             {"results", s.results_path}};
  if (s.generates) add_generation(event, s);
  if (!s.settings.empty() && s.generates) {
    for (const char* name :
         {"texts", "new_tokens", "stop", "length", "with_references", "without_rouge_words"})
      event.erase(name);  // of each setting
  }
  if (!s.settings.empty()) {
    for (const char* name :
         {"scored", "unscored", "perplexity_token", "perplexity_token_se", "perplexity_word",
          "perplexity_word_se", "bits_per_byte", "bits_per_byte_se", "mean_attended"})
      event.erase(name);
    event["settings"] = settings_json(s);
  }
  print_json(out_, event);
}

}  // namespace tovamill
