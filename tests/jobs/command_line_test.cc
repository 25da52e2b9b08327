// The command line, the INI file and what they say of mistakes.
#include "jobs/command_line/command_line.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "jobs/command_line/option_descriptions.h"
#include "jobs/commands/commands.h"
#include "kernels/types/error.h"
#include "tests/support/temporary_directory.h"
#include "workers/options/option_values.h"

namespace tovamill {
namespace {

using Words = std::vector<std::string>;

RunOptions options_of(const Words& arguments) {
  return parse_arguments(score_command(), arguments).options;
}

std::string lines_of(const RunOptions& options) {
  return config_lines(options, [](std::string_view) { return true; });
}

// Code and message of what `act` throws.
template <class Act>
std::pair<ExitCode, std::string> failure_of(Act&& act) {
  try {
    act();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {ExitCode::done, ""};
}

void expect_failure(const Words& arguments, ExitCode code, const std::string& part) {
  const auto [found, message] = failure_of([&] { validate(options_of(arguments)); });
  EXPECT_EQ(static_cast<int>(found), static_cast<int>(code)) << message;
  EXPECT_NE(message.find(part), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

void expect_score_failure(Words arguments, ExitCode code, const std::string& part) {
  const Words required{"--model", "m", "--corpus", "c", "--out", "o"};
  arguments.insert(arguments.begin(), required.begin(), required.end());
  expect_failure(arguments, code, part);
}

// Every field at a value that is not its default and hard to print.
RunOptions unusual_options() {
  RunOptions o;
  o.model = "models/with blank; and # and = and \"quotes\"";
  o.out = "\" quoted\\\n\tout ";
  o.device = DeviceKind::cpu;
  o.dtype = ComputeType::f32;
  o.corpus = {{" first", "second*.txt", "third\r", "\xff not UTF-8"},
              "*.t?t",
              "",
              "content",
              "",
              12345678901234567ull,
              "asks # what",
              "answers;"};
  o.generation.task = TaskChoice::qa;
  o.generation.prompt_file = "prompts/my prompt.txt";
  o.generation.chat_template = "chatml";
  o.generation.system = " Be # brief.\n\"Now\"; ";
  o.generation.prompt_date = "2026-02-28";
  o.generation.instruction = InstructionChoice::before;
  o.probe.tasks = "words";
  o.probe.lengths = "512";
  o.probe.depths = "0.5";
  o.probe.n = 3;
  o.probe.needles = 5;
  o.probe.hops = 6;
  o.probe.haystack = "novel.txt";
  o.generation.pin_instruction = o.generation.stem = true;
  o.generation.prefill = Prefill::full;
  o.generation.max_document_tokens = 8000;
  o.generation.truncate = Truncation::middle;
  o.generation.strategy = Strategy::chunk;
  o.generation.max_new_tokens = 99;
  o.generation.min_new_tokens = 9;
  o.generation.samples = 3;
  o.generation.sampling = {0.7, 40, 0.9, 0.05, 1.2, 18446744073709551615ull};
  o.generation.stop = {"\n\n", " \"end\" ", "# no comment"};
  o.generation.stream_jsonl = "out/live results.jsonl";
  o.cache = {.policy = Policy::window,
             .cache_size = 77,
             .pin = 3,
             .sinks = 2,
             .recent = 9,
             .ema = 0.1 + 0.2,
             .merge = 5,
             .positions = Positions::in_state,
             .clip_distance = 4096,
             .chunk_tokens = 1000};
  o.budgets = "tuned \"budgets\".json";
  o.sweep = "policy=full,tova cache-size=16,32";
  o.bos = BosMode::never;
  o.parse_special = o.token_nll = o.trace_state = o.strict = o.overwrite = o.accept_appended = true;
  o.nll_by_position = o.analyze = true;
  o.position_bin = 1024;
  o.lexicon = "words.tsv";
  o.block = 128;
  o.streams = 7;
  o.memory_budget = (1ull << 62) + 1;
  o.ranks_per_gpu = 2;
  o.threads = 3;
  o.stages = 4;
  o.limit = 10;
  o.skip = 5;
  o.part = {3, 16};
  o.sync_seconds = 1e-3;
  o.save_every = 60.0;
  o.silence_seconds = 7.5;
  o.dedicated_coordinator = true;
  o.broadcast_weights = true;
  o.progress_seconds = 0.25;
  o.max_bad_fraction = 1.0 / 3.0;
  o.log_format = "json";
  return o;
}

TEST(CommandLine, PrintedConfigReadsBackToTheSameOptions) {
  const testing::TemporaryDirectory directory;
  for (const RunOptions& options : {RunOptions(), unusual_options()}) {
    const std::string text = lines_of(options).empty() ? "" : "# all\n" + lines_of(options);
    const RunOptions again = options_of({"--config", directory.write("run.ini", text)});
    EXPECT_EQ(lines_of(again), lines_of(options));
    for (const Subcommand& command : {score_command(), summarize_command()})
      EXPECT_EQ(config_text(command, again), config_text(command, options));
  }
}

TEST(CommandLine, UnusualOptionsDifferFromTheDefaultsInEveryField) {
  std::vector<std::string> usual, unusual;
  const auto collect = [](const RunOptions& options, std::vector<std::string>& texts) {
    visit_fields(options, [&](std::string_view name, const auto&, Effect, const char*) {
      texts.push_back(config_lines(options, [&](std::string_view n) { return n == name; }));
    });
  };
  collect(RunOptions(), usual);
  collect(unusual_options(), unusual);
  ASSERT_EQ(usual.size(), unusual.size());
  for (std::size_t i = 0; i < usual.size(); ++i) EXPECT_NE(usual[i], unusual[i]);
}

// --n, but not --needles
bool shows(const std::string& help, const std::string& name) {
  const std::string option = "--" + name;
  for (std::size_t at = help.find(option); at != help.npos; at = help.find(option, at + 1)) {
    const char behind = at + option.size() < help.size() ? help[at + option.size()] : ' ';
    if (std::isalnum(static_cast<unsigned char>(behind)) == 0 && behind != '-') return true;
  }
  return false;
}

TEST(CommandLine, EveryOptionOfARunIsShownInOneGroupOfTheCommandsThatTakeIt) {
  std::map<std::string, std::multiset<std::string>> shown;
  for (const Subcommand& command : {score_command(), summarize_command(), probe_command()}) {
    for (const OptionGroup& group : command.groups)
      shown[command.name].insert(group.names.begin(), group.names.end());
  }
  const RunOptions defaults;
  visit_fields(defaults, [&](std::string_view field, const auto&, Effect effect, const char* help) {
    const std::string name(field);
    EXPECT_NE(std::string(help), "") << name;
    for (const Subcommand& command : {score_command(), summarize_command(), probe_command()}) {
      EXPECT_LE(shown[command.name].count(name), 1u) << name;
      const std::string own = help_text(command).substr(0, help_text(command).find("Examples:"));
      EXPECT_EQ(shows(own, name), takes(command, name) || name == "help")
          << command.name << " --" << name;
    }
    EXPECT_GE(
        shown["score"].count(name) + shown["summarize"].count(name) + shown["probe"].count(name),
        1u)
        << name;
    EXPECT_EQ(effect == Effect::probing, shown["probe"].count(name) == 1 &&
                                             shown["score"].count(name) == 0 &&
                                             shown["summarize"].count(name) == 0)
        << name;
    EXPECT_FALSE(effect == Effect::generation && takes(score_command(), name)) << name;
  });
}

TEST(CommandLine, CommandLineWinsOverTheFileAndReplacesItsLists) {
  const testing::TemporaryDirectory directory;
  const std::string file =
      directory.write("run.ini",
                      "# a comment\n; another\n\n  cache-size = 64 \r\ncorpus = a\n"
                      "corpus=b\nstrict = yes\ntoken-nll = on\nmodel = from file");
  const RunOptions from_file = options_of({"--config", file});
  EXPECT_EQ(from_file.cache.cache_size, 64);
  EXPECT_EQ(from_file.corpus.paths, (Words{"a", "b"}));
  EXPECT_TRUE(from_file.strict);
  EXPECT_EQ(from_file.model, "from file");
  const RunOptions both =
      options_of({"--cache-size=128", "--corpus", "c", "--strict=false", "--config", file});
  EXPECT_EQ(both.cache.cache_size, 128);
  EXPECT_EQ(both.corpus.paths, (Words{"c"}));
  EXPECT_FALSE(both.strict);
  EXPECT_TRUE(both.token_nll);
}

TEST(CommandLine, ListsCollectAndTheLastOfOtherOptionsCounts) {
  const RunOptions options = options_of({"--corpus", "a", "b", "--pin", "1", "--corpus", "c",
                                         "--pin=2", "--recent", "-1", "--skip", "0"});
  EXPECT_EQ(options.corpus.paths, (Words{"a", "b", "c"}));
  EXPECT_EQ(options.cache.pin, 2);
  EXPECT_EQ(options.cache.recent, -1);
}

TEST(CommandLine, FlagsTakeNoFollowingWord) {
  expect_failure({"--strict", "false"}, ExitCode::usage, "unexpected argument 'false'");
  EXPECT_TRUE(options_of({"--strict"}).strict);
  EXPECT_TRUE(options_of({"--strict=no", "--strict", "--model", "m"}).strict);
}

TEST(CommandLine, ByteSizesTakeSuffixes) {
  const std::vector<std::pair<std::string, std::uint64_t>> cases{
      {"0", 0},         {"4096", 4096}, {"1K", 1024}, {"1.5G", 3ull << 29}, {"2GiB", 2ull << 30},
      {"3MB", 3000000}, {"7k", 7168}};
  for (const auto& [text, bytes] : cases)
    EXPECT_EQ(options_of({"--memory-budget", text}).memory_budget, bytes) << text;
  for (const char* text :
       {"-1", "1X", "G", "1.5.5G", "1 G", "", "1e3", "9999999T", "99999999999999999999"}) {
    const auto [code, message] = failure_of([&] {
      options_of({std::string("--memory-budget"), text});
    });
    EXPECT_EQ(code, ExitCode::usage) << text;
    EXPECT_NE(message.find("--memory-budget"), std::string::npos) << message;
  }
}

TEST(CommandLine, UnknownOptionsAreRefusedWithASuggestion) {
  expect_failure({"--cache"}, ExitCode::usage, "did you mean --cache-size?");
  expect_failure({"--cahce-size", "5"}, ExitCode::usage, "did you mean --cache-size?");
  expect_failure({"--max"}, ExitCode::usage,
                 "did you mean --max-record-bytes or --max-bad-fraction?");
  expect_failure({"-model", "m"}, ExitCode::usage, "did you mean --model?");
  const auto [code, message] = failure_of([] { options_of({"--zzzzzz"}); });
  EXPECT_EQ(code, ExitCode::usage);
  EXPECT_EQ(message, "unknown option '--zzzzzz' (see tovamill score --help)");
}

TEST(CommandLine, BrokenArgumentsAreUsageErrors) {
  expect_failure({"--model"}, ExitCode::usage, "--model needs a value");
  expect_failure({"--model", "--out", "o"}, ExitCode::usage, "--model needs a value");
  expect_failure({"--corpus", "--out=o"}, ExitCode::usage, "--corpus needs a value");
  expect_failure({"--corpus", "a", "--", "b"}, ExitCode::usage, "unexpected argument 'b'");
  expect_failure({"--cache-size", "many"}, ExitCode::usage,
                 "--cache-size 'many' is not a whole number");
  expect_failure({"--cache-size", "5.0"}, ExitCode::usage, "--cache-size '5.0'");
  expect_failure({"--cache-size", "99999999999"}, ExitCode::usage, "--cache-size");
  expect_failure({"--ema", "nan"}, ExitCode::usage, "--ema 'nan' is not a number");
  expect_failure({"--strict=perhaps"}, ExitCode::usage, "--strict 'perhaps'");
  expect_failure({"--policy", "lru"}, ExitCode::usage,
                 "--policy 'lru' is not known: choose one of tova,");
  expect_failure({"--positions", "relative"}, ExitCode::usage, "--positions 'relative'");
  expect_failure({"--bos", "maybe"}, ExitCode::usage, "--bos 'maybe'");
  expect_failure({"--corpus", ""}, ExitCode::usage, "--corpus '' is empty");
  expect_failure({"book.txt"}, ExitCode::usage,
                 "unexpected argument 'book.txt': paths of the corpus go after --corpus");
  expect_failure({}, ExitCode::usage, "--model is missing");
  expect_failure({"--model", "m"}, ExitCode::usage, "--corpus is missing");
  expect_failure({"--model", "m", "--corpus", "c"}, ExitCode::usage, "--out is missing");
}

TEST(CommandLine, ImpossibleValuesAreNamedWithTheirRange) {
  expect_score_failure({}, ExitCode::done, "");
  expect_score_failure({"--device", "tpu"}, ExitCode::usage, "choose one of auto, cpu, cuda");
  expect_score_failure({"--dtype", "f16"}, ExitCode::usage, "choose one of auto, bf16, f32");
  expect_score_failure({"--log-format", "xml"}, ExitCode::usage, "choose one of text, json");
  expect_score_failure({"--text-key", ""}, ExitCode::usage, "--text-key is missing");
  expect_score_failure({"--cache-size", "0"}, ExitCode::configuration,
                       "--cache-size 0 is out of range");
  expect_score_failure({"--block", "4097"}, ExitCode::configuration,
                       "--block 4097 is out of range");
  expect_score_failure({"--streams", "-1"}, ExitCode::configuration, "--streams -1");
  expect_score_failure({"--threads", "-2"}, ExitCode::configuration, "--threads -2");
  expect_score_failure({"--sync-seconds", "0"}, ExitCode::configuration, "--sync-seconds 0");
  expect_score_failure({"--max-bad-fraction", "1.5"}, ExitCode::configuration,
                       "--max-bad-fraction 1.5");
  expect_score_failure({"--max-record-bytes", "0"}, ExitCode::configuration,
                       "--max-record-bytes 0");
}

TEST(CommandLine, OptionsOfAnotherPolicyContradict) {
  expect_score_failure({"--sinks", "4"}, ExitCode::configuration,
                       "--sinks has no effect with --policy tova");
  expect_score_failure({"--pin", "4", "--policy", "window"}, ExitCode::configuration,
                       "give --sinks instead");
  expect_score_failure({"--recent", "4"}, ExitCode::configuration, "--recent has no effect");
  expect_score_failure({"--ema", "0.5"}, ExitCode::configuration, "--ema has no effect");
  expect_score_failure({"--clip-distance", "5", "--positions", "absolute"}, ExitCode::configuration,
                       "--clip-distance");
  expect_score_failure({"--sinks", "4", "--policy", "window"}, ExitCode::done, "");
  expect_score_failure({"--ema", "0.5", "--policy", "tova-ema"}, ExitCode::done, "");
}

TEST(CommandLine, MistakesInTheFileNameFileAndLine) {
  const testing::TemporaryDirectory directory;
  const auto expect = [&](const std::string& content, const std::string& part) {
    const std::string file = directory.write("bad.ini", content);
    const auto [code, message] = failure_of([&] { options_of({"--config", file}); });
    EXPECT_EQ(code, ExitCode::configuration) << message;
    EXPECT_EQ(message.find(file + ":"), 0u) << message;
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect("\ncahce-size = 3\n", ":2: unknown option 'cahce-size'; did you mean cache-size?");
  expect("cache-size = many\n", ":1: cache-size 'many' is not a whole number");
  expect("cache-size = 1\ncache-size = 2\n", ":2: cache-size is given twice");
  expect("cache-size\n", ":1: not an `option = value` line");
  expect("= 3\n", ":1: not an `option = value` line");
  expect("[score]\n", ":1: sections are not used");
  expect("model = \"open\n", ":1: model '\"open' is not a complete quoted text");
  expect("model = \"a\" b\n", ":1: model");
  expect("config = other.ini\n", ":1: unknown option 'config'");
  for (const std::string& missing :
       {(directory.path() / "none.ini").string(), directory.path().string()}) {
    const auto [code, message] = failure_of([&] { options_of({"--config", missing}); });
    EXPECT_EQ(code, ExitCode::no_input) << message;
    EXPECT_NE(message.find(missing), std::string::npos) << message;
  }
}

TEST(CommandLine, PartsAreOneOfSeveral) {
  EXPECT_EQ(options_of({"--part", "3/16"}).part, (Part{3, 16}));
  EXPECT_EQ(options_of({}).part, (Part{1, 1}));
  for (const char* wrong : {"", "3", "3/", "/3", "a/b", "-1/3", "1/3/", "1 / 3", "1/99999999999"})
    expect_score_failure({"--part", wrong}, ExitCode::usage, "--part");
  for (const char* wrong : {"0/3", "4/3", "0/0", "1/0"})
    expect_score_failure({"--part", wrong}, ExitCode::configuration, "--part");
}

TEST(CommandLine, OneFileServesSubcommandsThatTakeFewerOptions) {
  const testing::TemporaryDirectory directory;
  const std::string file =
      directory.write("run.ini", config_text(score_command(), unusual_options()));
  EXPECT_EQ(parse_arguments(tokenize_command(), {"--config", file}).options.limit, 10u);
  EXPECT_EQ(failure_of([&] {
              parse_arguments(tokenize_command(), {"--cache-size", "5"});
            }).first,
            ExitCode::usage);
}

TEST(CommandLine, OperandsAreCounted) {
  EXPECT_EQ(parse_arguments(merge_command(), {"run1"}).operands, Words{"run1"});
  EXPECT_TRUE(parse_arguments(inspect_command(), {"--json", "run1"}).flag("json"));
  EXPECT_FALSE(parse_arguments(inspect_command(), {"run1"}).flag("json"));
  for (const Words& wrong : {Words{}, Words{"a", "b"}, Words{""}}) {
    EXPECT_EQ(failure_of([&] { parse_arguments(export_command(), wrong); }).first, ExitCode::usage);
  }
  const Request several = parse_arguments(merge_command(), {"a", "b", "--out", "c"});
  EXPECT_EQ(several.operands, (Words{"a", "b"}));
  EXPECT_EQ(several.extras.at("out"), "c");
  for (const Words& wrong : {Words{}, Words{"a", ""}}) {
    EXPECT_EQ(failure_of([&] { parse_arguments(merge_command(), wrong); }).first, ExitCode::usage);
  }
}

TEST(CommandLine, HelpIsGivenWhateverElseStandsThere) {
  EXPECT_TRUE(parse_arguments(score_command(), {"--help", "--cache-size", "many", "stray"}).help);
  EXPECT_TRUE(parse_arguments(merge_command(), {"-h"}).help);
}

}  // namespace
}  // namespace tovamill
