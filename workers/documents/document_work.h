// What a worker does with documents, apart from where they come from and where results go: a
// document in flight, and the work that takes many of them through the model side by side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/corpus/corpus.h"
#include "pipeline/run_directory/document_record.h"

namespace tovamill {

class DocumentInFlight {
 public:
  virtual ~DocumentInFlight() = default;

  virtual bool finished() const = 0;
  // Why the document cannot go through the model at all; empty where it can, or where that is not
  // known yet: it will be finished then. Such a document only gives its record.
  virtual const std::string& rejection() const = 0;
  virtual std::uint64_t n_bytes() const = 0;  // of its text
  virtual double fraction_done() const = 0;   // 0: nothing is worth saving
  // Where the document stands between two steps, as bytes: everything counted so far and its
  // states. Not to be called when finished, nor while steps are in flight (DocumentWork::drain).
  virtual std::vector<std::byte> save() const = 0;
  // Takes up what `save` gave, on a document freshly opened of the same record with the same
  // options (the backend may differ as Backend::load says). False where the bytes do not fit, or
  // are none of ours: the document is fresh then. Throws OutOfMemory.
  virtual bool restore(std::span<const std::byte> bytes) = 0;
  // The finished document's record, or the failed one of a document with a reason to reject it.
  virtual DocumentRecord finish(int rank) = 0;
};

// One that may be through in one setting of a sweep while others are not.
class SweptDocument : public DocumentInFlight {
 public:
  // Of what it is made of: two of one digest take the same steps. After wait_for_text.
  virtual std::string digest() const = 0;
  // Until its tokens are there.
  virtual void wait_for_text() {}
  // It is through, and comes to what it came to before.
  virtual void end_with(DocumentRecord record) = 0;
};

class DocumentWork {
 public:
  virtual ~DocumentWork() = default;

  virtual std::size_t n_open() const = 0;
  // Whether one more document would be worked at with the next step: more would only be late.
  virtual bool has_room() const = 0;
  // Takes the document, of which `record` is empty then; null, and `record` as it was, where memory
  // has no room for it beside those that are open. Throws OutOfMemory where none is open.
  virtual std::unique_ptr<DocumentInFlight> open(CorpusRecord& record) = 0;
  // Puts as many steps of the model over the open documents on their way as may be, and ends the
  // oldest. Returns the tokens that it took; not to be called where no document is open.
  virtual std::size_t step() = 0;
  // Ends all steps that are in flight, and returns their tokens.
  virtual std::size_t drain() { return 0; }
  // Takes back what a document held, finished or not.
  virtual void close(std::unique_ptr<DocumentInFlight> document) = 0;
  // What is done, for the first lines of a run; empty where nothing is to be said.
  virtual std::string description() const { return ""; }
  // What the work has to say of itself for the journal's footer: a JSON object as text.
  virtual std::string statistics() const { return "{}"; }
};

// What random evictions in a document are drawn by (StepBlock::random_key): the seed, the name of
// its file, its place there and which `part` of it that is, so that they are the same on any number
// of ranks, after a restart, and where the corpus lies elsewhere.
std::uint64_t random_key(std::uint64_t seed, const DocumentRecord& document, std::uint64_t part);
// The record of a document that is none of the results: where it lies and what it accounts for.
DocumentRecord failed_record(const CorpusRecord& record, const std::string& reason,
                             const std::string& text, int rank);
// What the records of all documents begin with: identity, place and size.
DocumentRecord record_of(const CorpusRecord& record);

}  // namespace tovamill
