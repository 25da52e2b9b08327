#include "pipeline/probe/probe_datasets.h"

#include <cmath>
#include <limits>

namespace tovamill {
namespace {

constexpr double kNoDepth = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kLongestTask = 16;  // bytes
constexpr char kAnswers[] = "/probe/answer", kCellDimension[] = "/probe/cells/cell";

Hdf5DatasetOptions column(const char* long_name, const char* units, const char* scale) {
  return {.long_name = long_name, .units = units, .scales = {scale}, .expected = 0};
}

}  // namespace

struct ProbeDatasets::Rows {
  explicit Rows(Hdf5File& f) : file(make_group(f)) {}

  static Hdf5File& make_group(Hdf5File& f) {
    f.create_group("/probe");
    f.set_attribute("/probe", "definition", kProbeDefinition);
    return f;
  }
  static Hdf5DatasetOptions about(const char* long_name, const char* units = "1") {
    return column(long_name, units, kAnswers);
  }

  void finish() {
    file.create_dimension(kAnswers, generation.n_columns(), "answer, in the order of /generations");
    task.finish();
    for (auto* counts : {&generation, &length}) counts->finish();
    for (auto* counts : {&sample, &n_keys, &n_found}) counts->finish();
    depth.finish();
  }

  Hdf5File& file;
  Hdf5Appender<std::uint64_t> generation{file, "/probe/generation", about("row of /generations")};
  Hdf5StringAppender task{file, "/probe/task", about("task"), kLongestTask};
  Hdf5Appender<std::uint64_t> length{file, "/probe/length",
                                     about("length that was wanted of the text", "tokens")};
  Hdf5Appender<double> depth{
      file, "/probe/depth",
      about("share of the filler before what is sought; NaN: it stands in no one place")};
  Hdf5Appender<std::uint32_t> sample{file, "/probe/sample", about("which of its kind, from 0")};
  Hdf5Appender<std::uint32_t> n_keys{file, "/probe/n_keys", about("keys that are sought")};
  Hdf5Appender<std::uint32_t> n_found{file, "/probe/n_found",
                                      about("keys that the generated text holds")};
};

ProbeDatasets::ProbeDatasets(Hdf5File& file) : file_(file) {}
ProbeDatasets::~ProbeDatasets() = default;

void ProbeDatasets::add(const DocumentRecord& record, std::uint64_t first) {
  if (record.generations.empty()) return;
  const auto key = probe_key_of(record.id);
  if (!key) return;
  for (const Generation& g : record.generations) {
    const std::uint64_t row = first++;
    if (g.references.empty()) continue;  // --reference-key was not given: it cannot be judged
    if (!rows_) rows_ = std::make_unique<Rows>(file_);
    const auto n_keys = static_cast<std::uint32_t>(g.references.size());
    const std::uint32_t n_found = n_keys_found(g.text, g.references);
    rows_->generation.append(row);
    rows_->task.append(name_of(key->task));
    rows_->length.append(key->length);
    rows_->depth.append(key->depth.value_or(kNoDepth));
    rows_->sample.append(key->sample);
    rows_->n_keys.append(n_keys);
    rows_->n_found.append(n_found);
    cells_.add(*key, n_found, n_keys);
  }
}

void ProbeDatasets::finish() {
  if (!rows_) return;
  rows_->finish();
  write_cells();
}

void ProbeDatasets::write_cells() {
  const std::vector<ProbeCell> cells = cells_.cells();
  file_.create_group("/probe/cells");
  file_.create_dimension(kCellDimension, cells.size(), "task, length and depth");
  Hdf5StringAppender task(file_, "/probe/cells/task", column("task", "1", kCellDimension),
                          kLongestTask);
  for (const ProbeCell& c : cells) task.append(name_of(c.task));
  task.finish();
  const auto numbers = [&]<class T>(const char* name, const char* long_name, const char* units,
                                    T (*value)(const ProbeCell&)) {
    Hdf5Appender<T> out(file_, std::string("/probe/cells/") + name,
                        column(long_name, units, kCellDimension));
    for (const ProbeCell& c : cells) out.append(value(c));
    out.finish();
  };
  using Cell = const ProbeCell&;
  numbers(
      "length", "length that was wanted of the texts", "tokens", +[](Cell c) { return c.length; });
  numbers(
      "depth", "share of the filler before what is sought; NaN: in no one place", "1",
      +[](Cell c) { return c.depth.value_or(kNoDepth); });
  numbers(
      "n", "answers", "1", +[](Cell c) { return c.n; });
  numbers(
      "n_right", "answers with all of their keys", "1", +[](Cell c) { return c.n_right; });
  numbers(
      "accuracy", "share of right answers", "1", +[](Cell c) { return c.accuracy(); });
  numbers(
      "accuracy_se", "its standard error", "1", +[](Cell c) { return c.accuracy_se(); });
  numbers(
      "accuracy_low", "lower end of its interval of 95 % (Wilson)", "1",
      +[](Cell c) { return c.interval().low; });
  numbers(
      "accuracy_high", "upper end of its interval of 95 % (Wilson)", "1",
      +[](Cell c) { return c.interval().high; });
  numbers(
      "found", "mean share of keys found", "1", +[](Cell c) { return c.found(); });
  numbers(
      "found_se", "its standard error", "1", +[](Cell c) { return c.found_se(); });
}

}  // namespace tovamill
