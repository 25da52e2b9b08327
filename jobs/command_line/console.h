// What `score` shows: first lines, progress, and a table at the end; as text, or with --log-format
// json as JSON lines. Text: first lines and progress on `err`, the table on `out`. JSON: one object
// per line on `out`, each with "event".
#pragma once

#include <iosfwd>

#include "workers/run/corpus_run.h"

namespace tovamill {

// The rows of the final table that tell of texts and their scores, and where these are.
void print_texts(const RunSummary& summary, std::ostream& out);

class Console : public RunObserver {
 public:
  // `is_terminal`: `err` is a terminal, whose last line is redrawn; otherwise a line is printed
  // every 30 seconds.
  Console(const RunOptions& options, std::ostream& out, std::ostream& err, bool is_terminal);
  ~Console() override;
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  void started(const RunInfo& info) override;
  void progress(const RunProgress& progress) override;
  void note(const std::string& text) override;
  void finished(const RunSummary& summary);

 private:
  void clear_line();

  const RunOptions& options_;
  std::ostream& out_;
  std::ostream& err_;
  bool is_terminal_;
  bool is_json_;
  bool line_is_drawn_ = false;
  double last_shown_s_ = 0.0;  // RunProgress::seconds of what was shown last
};

}  // namespace tovamill
