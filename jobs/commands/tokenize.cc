// tovamill tokenize: the tokens of every document as JSON lines. Needs the tokenizer's files only.
#include <iostream>
#include <nlohmann/json.hpp>

#include "io/corpus/left_out.h"
#include "io/corpus/record_reader.h"
#include "jobs/commands/commands.h"
#include "kernels/types/error.h"
#include "kernels/types/format.h"
#include "workers/load/model_parts.h"
#include "workers/options/option_values.h"
#include "workers/run/run_outputs.h"

namespace tovamill {
namespace {

using Json = nlohmann::ordered_json;

void print_line(std::ostream& out, const Json& line) {
  out << line.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
}

struct Counts {
  std::uint64_t n_records = 0;
  std::uint64_t n_failed = 0;
};

void report_failure(const CorpusRecord& record, const RunOptions& options) {
  const std::string where =
      record.file + (record.line > 0 ? ":" + std::to_string(record.line) : "");
  if (options.strict) throw BadData(where + ": " + record.failure_text + " (--strict)");
  print_line(std::cerr, {{"file", record.file},
                         {"line", record.line},
                         {"offset", record.offset},
                         {"reason", record.failure_reason},
                         {"text", record.failure_text}});
}

class Printer {
 public:
  Printer(const Tokenizer& tokenizer, const Request& request)
      : tokenizer_(tokenizer),
        parse_special_(request.options.parse_special),
        prints_ids_(request.flag("ids")),
        around_(surrounding_tokens(tokenizer, request.options.bos)) {}

  // False, with the failure in `record`, where the tokenizer does not take the text.
  bool print(CorpusRecord& record) {
    ids_ = around_.leading;
    try {
      tokenizer_.encode(record.text, parse_special_, ids_);
    } catch (const UnencodableText& e) {
      record.failure_reason = "bad-tokens";
      record.failure_text = e.what();
      return false;
    }
    ids_.insert(ids_.end(), around_.trailing.begin(), around_.trailing.end());
    Json line{{"id", record.id}, {"n_tokens", ids_.size()}, {"n_bytes", record.text.size()}};
    if (prints_ids_) line["ids"] = ids_;
    print_line(std::cout, line);
    return true;
  }

 private:
  const Tokenizer& tokenizer_;
  bool parse_special_;
  bool prints_ids_;
  SurroundingTokens around_;
  std::vector<TokenId> ids_;
};

// False once --limit records are read.
bool tokenize_file(const CorpusFile& file, const RunOptions& options, Printer& printer,
                   std::uint64_t& n_seen, Counts& counts) {
  const auto records = open_records(file, options.corpus);
  CorpusRecord record;
  while (options.limit == 0 || counts.n_records < options.limit) {
    if (!records->next(record)) return true;
    if (n_seen++ < options.skip) continue;
    ++counts.n_records;
    if (!record.ok() || !printer.print(record)) {
      ++counts.n_failed;
      report_failure(record, options);
    }
    if (!std::cout)
      throw Error(ExitCode::io,
                  "standard output cannot be written: is its disk full, or its reader gone?");
  }
  return false;
}

int run_tokenize(const Request& request) {
  RunOptions options = request.options;
  if (options.out.empty())
    options.out = ".";  // nothing is written there; `score` alone must have it
  validate(options);
  const auto files = ModelFiles::open(options.model, ModelFiles::Parts::tokenizer_only);
  const auto tokenizer = tokenizer_of(*files);
  Printer printer(*tokenizer, request);
  Counts counts;
  std::uint64_t n_seen = 0;
  LeftOut left_out;
  const std::vector<CorpusFile> corpus = list_corpus(options.corpus, &left_out);
  if (const std::string text = left_out.text(); !text.empty())
    print_line(std::cerr, {{"left_out", text}});
  check_standard_streams(options, corpus);
  for (const CorpusFile& file : corpus) {
    if (!tokenize_file(file, options, printer, n_seen, counts)) break;
  }
  const double bad =
      counts.n_records > 0 ? static_cast<double>(counts.n_failed) / counts.n_records : 0.0;
  if (bad > options.max_bad_fraction) {
    throw BadData(with_thousands(counts.n_failed) + " of " + with_thousands(counts.n_records) +
                  " records are bad, more than --max-bad-fraction " +
                  text_of(options.max_bad_fraction) + " allows");
  }
  return 0;
}

}  // namespace

Subcommand tokenize_command() {
  Subcommand command;
  command.name = "tokenize";
  command.synopsis = "--model M --corpus PATH... [--ids] [options]";
  command.summary = "the tokens of every document as JSON lines on standard output";
  command.introduction =
      "Prints {\"id\", \"n_tokens\", \"n_bytes\"} for every document, with the tokens that `score` "
      "would\n"
      "see (without --chunk-tokens, which may add more BOS). Only the files of the tokenizer are "
      "needed, no weights. Records that cannot be read "
      "are\n"
      "JSON lines on standard error, and so is what the corpus leaves out.\n";
  command.examples =
      "  tovamill tokenize --model model.gguf --corpus novels/\n"
      "  tovamill tokenize --model Llama-2-7b-hf/ --corpus questions.jsonl --text-key question "
      "--ids\n";
  command.groups = {{"What is read", {"model", "corpus"}},
                    corpus_group(),
                    {"Tokens", {"bos", "parse-special"}},
                    {"Running", {"strict", "max-bad-fraction"}}};
  command.extras = {{"ids", "", "false", "print the token ids too"}};
  command.run = run_tokenize;
  return command;
}

}  // namespace tovamill
