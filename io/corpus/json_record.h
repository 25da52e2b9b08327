// The fields that a line of a .jsonl corpus contributes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "io/corpus/corpus.h"

namespace tovamill {

struct JsonFields {
  std::optional<std::string> id;    // a string, or a number as written; nothing for any other value
  std::optional<std::string> text;  // set unless `reason` is, or texts are not wanted
  // The JSON of the question's and the references' values; empty where the key is absent or not
  // asked for.
  std::string questions, references;
  std::string reason;  // empty, or "invalid-json", "missing-key", "not-a-string", "invalid-utf8"
  std::string explanation;  // for people, without the file and line

  bool operator==(const JsonFields&) const = default;
};

class JsonRecordParser {
 public:
  // Takes the keys of `options`.
  explicit JsonRecordParser(const CorpusOptions& options);
  ~JsonRecordParser();

  // Parses one line without its line ending. Of repeated keys the last one counts, as in Python.
  // The capacity of `line` may grow by the parser's padding; its content stays.
  JsonFields parse(std::string& line);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tovamill
