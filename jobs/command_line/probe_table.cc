#include "jobs/command_line/probe_table.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "jobs/command_line/sweep_table.h"
#include "kernels/types/format.h"

namespace tovamill {
namespace {

using ShowCell = std::function<std::string(const ProbeCell&)>;

std::string accuracy_text(const ProbeCell& c) {
  return fixed_point(c.accuracy(), 2) + " [" + fixed_point(c.interval().low, 2) + ", " +
         fixed_point(c.interval().high, 2) + "]";
}

std::string found_text(const ProbeCell& c) {
  const std::string text = fixed_point(c.found(), 2);
  return std::isnan(c.found_se()) ? text : text + " +- " + fixed_point(c.found_se(), 2);
}

std::string table_of(const std::vector<ProbeSetting>& settings, const char* title,
                     const std::set<ProbeTask>& tasks, const ShowCell& show) {
  std::set<std::uint64_t> lengths;
  for (const ProbeSetting& s : settings) {
    for (const ProbeCell& c : s.cells) {
      if (tasks.contains(c.task)) lengths.insert(c.length);
    }
  }
  std::vector<std::vector<std::string>> rows{{title, "setting"}};
  for (const std::uint64_t length : lengths)
    rows.front().push_back(with_thousands(length) + " tokens");
  for (const ProbeTask task : tasks) {
    for (const ProbeSetting& s : settings) {
      const std::vector<ProbeCell> cells = over_depths(s.cells);
      std::vector<std::string> row{std::string(name_of(task)), s.name};
      for (const std::uint64_t length : lengths) {
        const auto found = std::find_if(cells.begin(), cells.end(), [&](const ProbeCell& c) {
          return c.task == task && c.length == length;
        });
        row.push_back(found == cells.end() ? "-" : show(*found));
      }
      rows.push_back(std::move(row));
    }
  }
  return aligned(rows);
}

}  // namespace

std::string probe_table(const std::vector<ProbeSetting>& settings) {
  std::set<ProbeTask> tasks, with_keys;
  for (const ProbeSetting& s : settings) {
    for (const ProbeCell& c : s.cells) {
      tasks.insert(c.task);
      if (c.task == ProbeTask::variables || c.task == ProbeTask::words) with_keys.insert(c.task);
    }
  }
  if (tasks.empty()) return "";
  std::string text = table_of(settings, "right answers", tasks, accuracy_text);
  if (!with_keys.empty()) text += "\n" + table_of(settings, "keys found", with_keys, found_text);
  return text;
}

}  // namespace tovamill
