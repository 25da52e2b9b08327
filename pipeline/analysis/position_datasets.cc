#include "pipeline/analysis/position_datasets.h"

#include <string>

#include "kernels/types/error.h"

namespace tovamill {
namespace {

constexpr const char* kPositionsDefinition =
    "the position of a token counts from 0 at the first token of its document, or chunk, a BOS "
    "included; nll is the sum of the NLL of the scored tokens of a bin / their number; its "
    "standard "
    "error is over the D documents that reach the bin: sqrt(D/(D-1) * sum (nll_i - nll n_i)^2) / "
    "sum n_i (ratio estimator); NaN for fewer than two";

}  // namespace

void PositionDatasets::create(const DocumentRecord& r) {
  bins_ = r.analysis.bins;
  file_.create_group("/nll_by_position");
  offsets_.emplace(
      file_, "/nll_by_position/offsets",
      Hdf5DatasetOptions{
          .long_name = "where each document's bins begin, from its first bin to its last; the last "
                       "entry is where they end",
          .scales = {"/nll_by_position/edge"},
          .expected = n_expected_ + 1});
  const auto about = [&](const char* long_name, const char* units) {
    return Hdf5DatasetOptions{
        .long_name = long_name, .units = units, .scales = {"/nll_by_position/value"}};
  };
  n_tokens_.emplace(file_, "/nll_by_position/document_n_tokens",
                    about("scored tokens of the document in the bin", "tokens"));
  nll_.emplace(file_, "/nll_by_position/document_nll_sum", about("sum of their NLL", "nats"));
  for (std::uint64_t i = 0; i < n_before_; ++i) offsets_->append(std::uint64_t{0});
}

void PositionDatasets::add(const DocumentRecord& r) {
  const bool failed = r.status == DocumentRecord::Status::failed;
  if (!offsets_ && r.analysis.has_positions) create(r);
  if (!offsets_) {
    ++n_before_;
    lacks_ = lacks_ || !failed;
    return;
  }
  offsets_->append(n_values_);
  if (failed) return;
  if (lacks_ || !r.analysis.has_positions || r.analysis.bins.width != bins_.width)
    throw BadData("the record of " + r.file + " at byte " + std::to_string(r.offset) +
                  " does not hold the NLL by position that those before hold or lack: the journals "
                  "are of different options");
  const std::vector<PositionSum>& own = r.analysis.positions;
  if (own.size() > sums_.size()) sums_.resize(own.size());
  for (std::size_t b = 0; b < own.size(); ++b) {
    sums_[b].add(own[b].nll, static_cast<double>(own[b].n));
    n_tokens_->append(own[b].n);
    nll_->append(own[b].nll);
  }
  n_values_ += own.size();
}

void PositionDatasets::finish() {
  if (!offsets_) return;
  const std::string group = "/nll_by_position";
  offsets_->append(n_values_);
  file_.create_dimension(group + "/edge", offsets_->n_columns(), "edge between documents");
  file_.create_dimension(group + "/value", n_values_, "bin of a document, document after document");
  offsets_->finish();
  n_tokens_->finish();
  nll_->finish();
  std::vector<std::uint64_t> first;
  for (std::size_t b = 0; b < sums_.size(); ++b) first.push_back(bins_.first(b));
  file_.create_scale<std::uint64_t>(
      group + "/position", first,
      "first position of the bin; the bin ends before that of the next one, or as `last` says",
      "tokens");
  const auto write = [&]<class T>(const char* name, const char* long_name, const char* units,
                                  auto value) {
    Hdf5Appender<T> out(file_, group + "/" + name,
                        {.long_name = long_name,
                         .units = units,
                         .scales = {group + "/position"},
                         .expected = sums_.size()});
    for (std::size_t b = 0; b < sums_.size(); ++b) out.append(static_cast<T>(value(b)));
    out.finish();
  };
  using U = std::uint64_t;
  write.operator()<U>("last", "last position of the bin", "tokens",
                      [&](std::size_t b) { return bins_.first(b + 1) - 1; });
  write.operator()<U>("n_tokens", "scored tokens", "tokens",
                      [&](std::size_t b) { return sums_[b].n(); });
  write.operator()<U>("n_documents", "documents that reach the bin", "documents",
                      [&](std::size_t b) { return sums_[b].n_documents(); });
  write.operator()<double>("nll_sum", "sum of the NLL of the scored tokens", "nats",
                           [&](std::size_t b) { return sums_[b].y(); });
  write.operator()<double>("nll", "mean NLL of the scored tokens", "nats",
                           [&](std::size_t b) { return sums_[b].estimate().value; });
  write.operator()<double>("nll_se", "its standard error over documents", "nats",
                           [&](std::size_t b) { return sums_[b].estimate().standard_error; });
  file_.set_attribute(group, "bin_tokens", static_cast<std::int64_t>(bins_.width));
  file_.set_attribute(group, "definition", std::string(kPositionsDefinition));
}

}  // namespace tovamill
