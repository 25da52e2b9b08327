// tovamill status: how far a run is, whether it lives, and what to do next.
#include <algorithm>
#include <cmath>
#include <ctime>
#include <iostream>
#include <map>

#include "jobs/commands/commands.h"
#include "jobs/commands/status_text.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "pipeline/run_directory/run_directory.h"

namespace tovamill {
namespace {

using nlohmann::json;

std::string shown(const std::optional<std::uint64_t>& n) { return n ? with_thousands(*n) : "-"; }
std::string shown(const std::optional<double>& value) {
  const bool is_count = value && *value >= 0.0 && *value < 1e15;
  return is_count ? with_thousands(static_cast<std::uint64_t>(std::llround(*value))) : "-";
}
std::string duration(const std::optional<double>& s) {
  return s ? human_duration(std::max(0.0, *s)) : "-";
}

std::string utc(double unix_s) {
  if (!(std::abs(unix_s) < 1e11)) return "-";
  const auto seconds = static_cast<std::time_t>(unix_s);
  std::tm parts{};
  char text[32];
  gmtime_r(&seconds, &parts);
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

// "run1: running, live", "run1: dead since 2026-11-22 10:00:00 UTC (3 min 05 s ago), was running".
std::string heading(const std::string& directory, const RunReport& r) {
  std::string text = directory + ": ";
  if (!r.problem.empty()) {
    text += r.problem == "is not there" ? "no status.json"
                                        : "status.json cannot be read (it " + r.problem + ")";
  } else if (r.state.empty()) {
    text += "status.json names no state";
  } else if (r.is_final || r.live) {
    text += r.state + (r.live ? ", live" : "");
  } else {
    text += "dead";
    if (r.updated_unix_s)
      text += " since " + utc(*r.updated_unix_s) + " (" + duration(r.age_s) + " ago)";
    text += ", was " + r.state;
  }
  if (r.exit_code && r.is_final) text += ", exit code " + std::to_string(*r.exit_code);
  if (r.launch) text += ", launch " + std::to_string(*r.launch);
  if (r.live && r.pid)
    text += ", process " + std::to_string(*r.pid) + (r.host.empty() ? "" : " on " + r.host);
  return text + "\n";
}

std::string totals(const RunReport& r) {
  std::string text;
  if (!r.message.empty()) text += row("message", r.message);
  if (r.n_documents) {
    std::string done = with_thousands(*r.n_documents) + " done";
    if (r.n_failed) done += ", " + with_thousands(*r.n_failed) + " failed";
    if (r.n_quarantined && *r.n_quarantined > 0)
      done += ", " + with_thousands(*r.n_quarantined) + " of these quarantined";
    text += row("documents", done);
  }
  if (r.n_tokens) {
    const bool has_rate = r.tokens_per_second.has_value();
    text += row("tokens", with_thousands(*r.n_tokens) +
                              (has_rate ? ", " + shown(r.tokens_per_second) + " per second" : ""));
  }
  if (r.fraction || r.n_bytes) {
    std::string progress = r.fraction ? fixed_point(100.0 * *r.fraction, 1) + " %" : "";
    if (r.n_bytes) progress += (progress.empty() ? "" : " of ") + human_bytes(*r.n_bytes);
    if (r.n_files) progress += " in " + counted(*r.n_files, "file");
    text += row("progress", progress);
    if (!r.left_out.empty()) text += row("left out", r.left_out);
  }
  if (r.seconds) {
    const bool goes_on = r.live && r.seconds_left.has_value();
    text += row("time",
                duration(r.seconds) + (goes_on ? ", " + duration(r.seconds_left) + " left" : ""));
  }
  if (r.live && r.age_s) text += row("written", duration(r.age_s) + " ago");
  return text;
}

std::string journal_line(const RunReport& r) {
  const JournalTotals& j = r.journals;
  std::string text = counted(j.n, "file") + ", " + human_bytes(j.n_bytes);
  if (j.n_documents) text += ", " + counted(*j.n_documents, "document");
  const bool newer = !r.live && r.updated_unix_s && j.newest_unix_s > *r.updated_unix_s + 1.0;
  if (newer) text += " (written after status.json: what they hold counts)";
  return row("journals", text);
}

// Columns as wide as their widest cell; numbers to the right.
std::string table(const std::vector<std::vector<std::string>>& rows,
                  const std::vector<bool>& is_number) {
  std::vector<std::size_t> widths(is_number.size());
  for (const auto& cells : rows) {
    for (std::size_t c = 0; c < widths.size(); ++c)
      widths[c] = std::max(widths[c], cells[c].size());
  }
  std::string text;
  for (const auto& cells : rows) {
    std::string line;
    for (std::size_t c = 0; c < widths.size(); ++c) {
      const std::string blanks(widths[c] - cells[c].size(), ' ');
      line += (c == 0 ? "" : "  ") + (is_number[c] ? blanks + cells[c] : cells[c] + blanks);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string rank_table(const std::vector<RankReport>& ranks,
                       const std::vector<std::size_t>& which) {
  std::vector<std::vector<std::string>> rows{
      {"rank", "host", "state", "documents", "tokens", "tokens/s", "silent", "device, note"}};
  for (const std::size_t i : which) {
    const RankReport& r = ranks[i];
    const std::string last = r.device + (r.device.empty() || r.note.empty() ? "" : "; ") + r.note;
    rows.push_back({shown(r.rank), r.host, r.state, shown(r.n_documents), shown(r.n_tokens),
                    shown(r.tokens_per_second), duration(r.silent_s), last});
  }
  return table(rows, {true, false, false, true, true, true, true, false});
}

// "1,000 ranks: 998 working, 2 dead".
std::string rank_totals(const std::vector<RankReport>& ranks) {
  std::map<std::string, std::uint64_t> states;
  for (const RankReport& r : ranks) ++states[r.state.empty() ? "of no known state" : r.state];
  std::string text = counted(ranks.size(), "rank") + ":";
  for (const auto& [state, n] : states) {
    text += std::string(text.ends_with(':') ? " " : ", ") + with_thousands(n) + " " + state;
  }
  return text + "\n";
}

std::string dead_ranks(const RunReport& r) {
  std::string names;
  std::size_t n = 0;
  for (const RankReport& rank : r.ranks) {
    if (rank.state != "dead" || ++n > kMostDeadShown) continue;
    names += (names.empty() ? "" : ", ") + shown(rank.rank) +
             (rank.host.empty() ? "" : " on " + rank.host) +
             (rank.note.empty() ? "" : " (" + rank.note + ")");
  }
  if (n > kMostDeadShown) names += " and " + with_thousands(n - kMostDeadShown) + " more";
  return n == 0 ? "" : row("dead ranks", names);
}

std::string failures(const RunReport& r) {
  if (r.failures.empty()) return "";
  std::string text = "\nthe latest failures\n";
  for (const FailureReport& f : r.failures) {
    text += "  " + f.file + (f.offset ? ", byte " + std::to_string(*f.offset) : "") + ": " +
            f.reason + (f.text.empty() ? "" : ": " + f.text) + "\n";
  }
  return text;
}

std::string next_step(const std::string& directory, const RunReport& r) {
  const std::string so_far = "; what is done so far: tovamill merge " + directory;
  if (r.live) {
    const bool waits = r.age_s && *r.age_s > 60.0;
    return waits ? "it lives but has not written status.json for " + duration(r.age_s) +
                       ": look at its log"
                 : "nothing: it is at work";
  }
  if (r.state == "done") return "tovamill export " + results_path(directory);
  if (r.state == "failed" && r.exit_code == static_cast<int>(ExitCode::configuration))
    return "what the message says; the run is as it was before that start" + so_far;
  if (r.state == "failed")
    return "mend what the message says, then run the same command again" + so_far;
  return "run the same command again to continue" + so_far;
}

}  // namespace

std::vector<std::size_t> ranks_that_matter(const std::vector<RankReport>& ranks, bool all) {
  std::vector<std::size_t> order(ranks.size()), chosen;
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  if (all || ranks.size() <= kMostRanksShown) return order;
  std::size_t n_dead = 0;
  std::vector<std::size_t> rated;
  for (const std::size_t i : order) {
    if (ranks[i].state == "dead") {
      if (++n_dead <= kMostDeadShown) chosen.push_back(i);
    } else if (ranks[i].tokens_per_second) {
      rated.push_back(i);
    }
  }
  std::stable_sort(rated.begin(), rated.end(), [&](std::size_t a, std::size_t b) {
    return *ranks[a].tokens_per_second < *ranks[b].tokens_per_second;
  });
  const std::size_t n = std::min(kMostExtremesShown, rated.size() / 2);
  chosen.insert(chosen.end(), rated.begin(), rated.begin() + static_cast<std::ptrdiff_t>(n));
  chosen.insert(chosen.end(), rated.end() - static_cast<std::ptrdiff_t>(n), rated.end());
  return chosen;
}

std::string status_text(const std::string& directory, const RunReport& r, bool all_ranks) {
  std::string text = heading(directory, r) + totals(r) + dead_ranks(r) + journal_line(r);
  if (!r.ranks.empty()) {
    const std::vector<std::size_t> which = ranks_that_matter(r.ranks, all_ranks);
    text += "\n" + rank_table(r.ranks, which);
    if (which.size() < r.ranks.size())
      text += "(dead, slowest and fastest ranks; --all shows every one)\n";
    text += rank_totals(r.ranks);
  }
  return text + failures(r) + (r.ranks.empty() && r.failures.empty() ? "" : "\n") +
         row("to do next", next_step(directory, r));
}

namespace {

int run_status(const Request& request) {
  const std::string& directory = request.operands.front();
  const RunReport report = read_run_report(directory, this_machine());
  if (request.flag("json")) {
    std::cout << report_json(report).dump(2, ' ', false, json::error_handler_t::replace) << "\n";
  } else {
    std::cout << status_text(directory, report, request.flag("all"));
  }
  return 0;
}

}  // namespace

Subcommand status_command() {
  Subcommand command;
  command.name = "status";
  command.synopsis = "DIR [--json] [--all]";
  command.summary = "a running or dead run: done, failed, tokens/s, time left";
  command.introduction =
      "DIR is the run directory that --out named. Shows what the run says of itself in\n"
      "DIR/status.json every few seconds, whether it lives, its ranks, the latest failures, and\n"
      "what the journals hold. Nothing is written, and the run is not disturbed. The exit code is\n"
      "0 whatever became of the run: \"state\" and \"exit_code\" of --json tell that.\n";
  command.examples = "  tovamill status run1\n  tovamill status run1 --json\n";
  command.extras = {{"json", "", "false", "print a JSON object"},
                    {"all", "", "false", "show every rank, however many there are"}};
  command.operand = "DIR";
  command.run = run_status;
  return command;
}

}  // namespace tovamill
