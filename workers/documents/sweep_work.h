// Several settings of a run (workers/options/sweep.h): each reads a document in a stream of its
// own, with steps of its own. What a setting gives is what a run of it alone would give. A document
// that is scored becomes tokens once; prompts are put together for each setting.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "workers/documents/document_work.h"
#include "workers/documents/score_work.h"
#include "workers/documents/tokenizer_threads.h"
#include "workers/load/loaded_model.h"
#include "workers/options/sweep.h"

namespace tovamill {

// Finished once all of its parts are. A part that is through before the others leaves its record
// here, and its state to the next document.
class SweepDocument final : public DocumentInFlight {
 public:
  // `parts` of the settings in their order, each made of a record with this text.
  SweepDocument(const Sweep& sweep, std::uint64_t n_bytes,
                std::vector<std::unique_ptr<SweptDocument>> parts);

  bool finished() const override;
  // Where no setting can take it: the first one's reason.
  const std::string& rejection() const override;
  std::uint64_t n_bytes() const override { return n_bytes_; }
  double fraction_done() const override;  // the mean of the settings
  // About the bytes of all its parts.
  std::vector<std::byte> save() const override;
  // A setting whose part does not fit starts anew, whatever the others do.
  bool restore(std::span<const std::byte> bytes) override;
  // A record with those of all settings; of a document that all of them reject the one that stands
  // for all.
  DocumentRecord finish(int rank) override;

  // The part of a setting that is through while others are not; null where there is none.
  std::unique_ptr<SweptDocument> release_finished(std::size_t setting);
  // The part of a setting, if it still has one.
  std::unique_ptr<SweptDocument> release(std::size_t setting);

 private:
  struct Part {
    std::unique_ptr<SweptDocument> document;  // null: it is through
    DocumentRecord record;                    // then
    std::string digest;                       // then: SweptDocument::digest
  };
  bool is_through(const Part& part) const { return !part.document || part.document->finished(); }

  const Sweep& sweep_;
  std::uint64_t n_bytes_;
  std::vector<Part> parts_;
};

class SweepWork final : public DocumentWork {
 public:
  // All outlive the object. `sweep` is that of the options.
  SweepWork(LoadedModel& model, const RunOptions& options, Sweep sweep);

  std::size_t n_open() const override { return documents_.size(); }
  bool has_room() const override;
  std::unique_ptr<DocumentInFlight> open(CorpusRecord& record) override;
  // A step of each setting that has documents. Tokens count once for each setting.
  std::size_t step() override;
  std::size_t drain() override;
  void close(std::unique_ptr<DocumentInFlight> document) override;
  std::string description() const override;
  // {"settings": [{"name": ..., "tokens": ..., "seconds": ...}]}: of the steps.
  std::string statistics() const override;

 private:
  struct Setting {
    std::unique_ptr<DocumentWork> work;
    ScoreWork* scoring = nullptr;  // the same, of a sweep of `score`
    std::uint64_t n_tokens = 0;
    double seconds = 0.0;
  };
  Setting make_setting(LoadedModel& model, std::size_t index) const;
  template <class Take>
  std::size_t each_setting(Take&& take);

  Sweep sweep_;
  TokenizerThreads tokenizer_;
  bool parse_special_;
  std::vector<Setting> settings_;
  std::list<SweepDocument*> documents_;
};

}  // namespace tovamill
