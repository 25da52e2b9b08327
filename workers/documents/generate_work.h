// Generating with continuous batching: each step takes a block of every sequence that reads, as far
// as its rows go, and a token of every sequence that writes. A sequence that is done gives its
// state to the next at once.
//
// Where several devices take a step one after another (stages), as many steps are in flight, each
// with its part of the sequences: while one device computes this part's tokens the others compute
// other parts'. On one device parts would only read the weights more often.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "workers/documents/document_work.h"
#include "workers/documents/generation_document.h"
#include "workers/load/loaded_model.h"

namespace tovamill {

// Throws as Prompting does.
GenerationSetting generation_setting(const LoadedModel& model, const RunOptions& options,
                                     const Prompting& prompting);

class GenerateWork final : public DocumentWork {
 public:
  // Both outlive the object.
  GenerateWork(LoadedModel& model, const RunOptions& options);
  // Of one setting of a sweep, with steps and `budget` bytes of states of its own.
  GenerateWork(LoadedModel& model, const RunOptions& options, StepRunner& runner,
               StateKeeper& states, std::uint64_t budget);
  ~GenerateWork() override;

  std::size_t n_open() const override { return documents_.size(); }
  bool has_room() const override;
  std::unique_ptr<DocumentInFlight> open(CorpusRecord& record) override;
  std::size_t step() override;
  std::size_t drain() override;
  void close(std::unique_ptr<DocumentInFlight> document) override;
  std::string description() const override { return prompting_.description(); }
  // "decoding": [[sequences, seconds, tokens], ...] of the time in which all sequences of all steps
  // in flight wrote, "seconds_reading" of all other steps, and the tokens read and written.
  std::string statistics() const override;

 private:
  struct Row {  // of a step: a sequence's block
    GenerationDocument* document;
    GenerationDocument::ActiveSequence* active;
    std::int32_t n;
  };
  struct Step {  // in flight
    std::vector<Row> rows;
    // Indices of the rows whose next token is sampled from logits, or is the argmax.
    std::vector<std::size_t> sampled, greedy;
    std::size_t n_tokens = 0;
    double begun_s = 0.0;
    bool decode_only() const {
      return sampled.size() + greedy.size() == rows.size() && n_tokens == rows.size();
    }
  };
  struct Decoding {
    double seconds = 0.0;
    std::uint64_t n_tokens = 0;
  };

  void assign_states(GenerationDocument& document);
  void hand_out_states();
  std::int32_t n_running() const;
  std::int32_t rows_to_read() const;
  void gather(bool writers, Step& step);
  bool submit();
  void collect();
  void count(const Step& step);

  LoadedModel& model_;
  StepRunner& runner_;
  StateKeeper& states_;
  Prompting prompting_;
  GenerationSetting setting_;
  StatePool pool_;
  Sampler sampler_;
  std::list<GenerationDocument*> documents_;  // in the order in which they were opened
  std::unique_ptr<GenerationDocument> held_;  // made, but there was no room for it
  std::deque<Step> in_flight_;                // the oldest first; a step stays where it is
  std::size_t n_collected_ = 0;               // tokens, of which no caller knows yet
  std::vector<StepBlock> blocks_;             // of the step that is gathered
  std::vector<std::int32_t> ids_, logit_rows_, argmax_rows_;
  double collected_s_ = 0.0;                  // when the last step ended
  std::map<std::size_t, Decoding> decoding_;  // by sequences
  double seconds_reading_ = 0.0;
  std::uint64_t n_read_ = 0, n_written_ = 0;
};

}  // namespace tovamill
