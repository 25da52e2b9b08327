#include "workers/options/probe_options.h"

#include <algorithm>
#include <sstream>

#include "kernels/types/error.h"
#include "workers/options/option_values.h"

namespace tovamill {
namespace {

constexpr std::uint64_t kShortest = 16, kLongest = 1u << 30;  // tokens of a text
constexpr std::uint64_t kMostDocuments = 10'000'000;

// `read` makes a value of each part.
template <class Read>
auto values_of(const std::string& option, const std::string& list, Read&& read) {
  std::vector<decltype(read(std::string()))> values;
  std::istringstream parts(list + ",");
  for (std::string part; std::getline(parts, part, ',');) {
    if (part.empty())
      throw Error(ExitCode::usage, option + " '" + list +
                                       "' has an empty value: give them with a "
                                       "comma between two");
    const auto value = read(part);
    if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
  }
  return values;
}

}  // namespace

std::vector<ProbeTask> tasks_of(const ProbeOptions& o) {
  return values_of("--tasks", o.tasks, [](const std::string& name) {
    if (const auto task = probe_task_named(name)) return *task;
    std::string known;
    for (const char* one : kProbeTaskNames) known.append(known.empty() ? "" : ", ").append(one);
    throw Error(ExitCode::usage, "--tasks: '" + name + "' is not known: choose of " + known);
  });
}

std::vector<std::uint64_t> lengths_of(const ProbeOptions& o) {
  return values_of("--lengths", o.lengths, [](const std::string& text) {
    std::uint64_t length = 0;
    read_text("--lengths", text, length);
    check_range(
        length >= kShortest && length <= kLongest, "--lengths", text,
        "give " + std::to_string(kShortest) + " to " + std::to_string(kLongest) + " tokens");
    return length;
  });
}

std::vector<double> depths_of(const ProbeOptions& o) {
  return values_of("--depths", o.depths, [](const std::string& text) {
    double depth = 0.0;
    read_text("--depths", text, depth);
    check_range(depth >= 0.0 && depth <= 1.0, "--depths", text, "give shares from 0 to 1");
    return depth + 0.0;  // -0 is 0
  });
}

void validate_probe(const ProbeOptions& o) {
  check_range(o.n >= 1 && o.n <= 1'000'000, "--n", text_of(o.n),
              "give 1 to 1000000 documents of each kind");
  check_range(o.needles >= 1 && o.needles <= 64, "--needles", text_of(o.needles),
              "give 1 to 64 sentences");
  check_range(o.hops >= 0 && o.hops <= 64, "--hops", text_of(o.hops), "give 0 to 64 variables");
  const std::uint64_t n_all = tasks_of(o).size() * lengths_of(o).size() * depths_of(o).size() *
                              static_cast<std::uint64_t>(o.n);
  if (n_all > kMostDocuments)
    throw Error(ExitCode::usage, "--tasks, --lengths, --depths and --n make " +
                                     std::to_string(n_all) + " documents, more than " +
                                     std::to_string(kMostDocuments) + ": give fewer");
}

}  // namespace tovamill
