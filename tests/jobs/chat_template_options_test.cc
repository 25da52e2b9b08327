// --chat-template, --system and --prompt-date through the built program: what is refused and how,
// and that a run is continued with the same ones only.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/jobs/bad_input.h"
#include "tests/support/runs/results_text.h"

namespace tovamill {
namespace {

using nlohmann::json;
using testing::contains;
using testing::ProgramResult;
using testing::run_tovamill;

constexpr char kTurns[] =
    "{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}\n{% endfor %}[assistant]"
    "{% if enable_thinking is defined and not enable_thinking %} no thoughts{% endif %} "
    "{{ strftime_now('%Y') }}";

class ChatTemplateOptions : public BadInput {
 protected:
  std::vector<std::string> generate(const std::vector<std::string>& more,
                                    const std::string& out = "run") const {
    std::vector<std::string> all{"generate",
                                 "--model",
                                 model(),
                                 "--corpus",
                                 d.path() / "corpus.txt",
                                 "--out",
                                 d.path() / out,
                                 "--max-new-tokens",
                                 "2",
                                 "--threads",
                                 "1"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  void own_template(const std::string& jinja) const {
    d.write("model/tokenizer_config.json", json({{"chat_template", jinja}}).dump());
  }
};

TEST_F(ChatTemplateOptions, RefusesWhatIsNoTemplate) {
  const std::string refusing =
      "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
      "{{ messages[0].content }}";
  d.write("loops.jinja",
          "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}"
          "{% endfor %}{{ messages[0].content }}");
  d.write("doubling.jinja",
          "{% set n = namespace(s='ab') %}{% for i in range(64) %}{% set n.s = "
          "n.s ~ n.s %}{% endfor %}{{ messages[0].content }}");
  d.write("deep.jinja", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
  d.write("nested.jinja", "{{ " + std::string(200'000, '('));
  d.write("broken.jinja", "{{ messages[0].content }}\n  {% if %}");
  d.write("include.jinja", "{{ messages[0].content }}{% include 'x' %}");
  d.write("out.jinja", "Hello");
  d.write("empty.jinja", "");
  d.write("bytes.jinja", "{{ messages[0].content }}\xff");
  d.write("long.jinja", std::string((1 << 20) + 1, 'x'));
  d.write("refusing.jinja", refusing);
  d.write("turns.jinja", kTurns);
  const std::string folder = d.path().string() + "/";
  struct Refused {
    std::vector<std::string> options;
    int code;
    const char* part;
  };
  const Refused cases[] = {
      {{"--chat-template", "vicuna"}, 64, "'vicuna' is neither a file nor known"},
      {{"--chat-template", folder + "nosuch.jinja"}, 64, "is neither a file nor known"},
      {{"--chat-template", folder}, 66, "cannot be read"},
      {{"--chat-template", folder + "loops.jinja"}, 78, "it takes too long or grows too large"},
      {{"--chat-template", folder + "doubling.jinja"}, 78, "it takes too long or grows too large"},
      {{"--chat-template", folder + "deep.jinja"}, 78, "it nests too deeply"},
      {{"--chat-template", folder + "nested.jinja"}, 78, "line 1, column"},
      {{"--chat-template", folder + "broken.jinja"}, 78, "line 2, column 9: a value is missing"},
      {{"--chat-template", folder + "include.jinja"}, 78, "column 26: the statement 'include'"},
      {{"--chat-template", folder + "out.jinja"}, 78, "it leaves the message out"},
      {{"--chat-template", folder + "empty.jinja"}, 78, "is empty"},
      {{"--chat-template", folder + "bytes.jinja"}, 65, "is not UTF-8 at its byte 25"},
      {{"--chat-template", folder + "long.jinja"}, 65, "is longer than 1 MiB"},
      {{"--chat-template", "chatml"}, 78, "needs the control token '<|im_start|>'"},
      {{"--chat-template", "none", "--system", "Be brief."}, 78, "--system does not go with"},
      {{"--system", "Be brief."}, 78, "--system does not go with"},  // the model has no template
      {{"--chat-template", folder + "refusing.jinja", "--system", "x"},
       78,
       "it does not take one: line 1, column 56: it refuses the messages: 'no system'"},
      {{"--chat-template", folder + "turns.jinja", "--system", "\xff"},
       78,
       "--system is not UTF-8"},
      {{"--prompt-date", "2026-02-30"}, 78, "--prompt-date"},
      {{"--prompt-date", "yesterday"}, 78, "--prompt-date"},
      {{"--prompt-date", "2026-2-3"}, 78, "--prompt-date"},
  };
  for (const auto& [options, code, part] : cases) {
    SCOPED_TRACE(options.back());
    expect_refused(generate(options), code, part);
  }
}

TEST_F(ChatTemplateOptions, AHostileTemplateOfTheModelIsRefused) {
  for (const char* jinja :
       {"{% for i in range(999999999999) %}{% endfor %}", "{{ 'x' * 99999999999 }}",
        "{% macro m(n) %}{{ m(n) }}{% endmacro %}{{ m(1) }}", "{{ messages | nope }}",
        "{% set a = 'a' %}{% set a = a + a %}{{ a.nope }}{{ nope() }}"}) {
    own_template(jinja);
    expect_refused(generate({}), 78, "its chat template cannot be used (line 1, column ");
  }
}

TEST_F(ChatTemplateOptions, ARunSaysHowReasoningIsSwitchedOff) {
  own_template(kTurns);
  const ProgramResult result =
      run_tovamill(generate({"--system", "Be brief.", "--task", "summary"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(contains(result.out + result.err,
                       "chat template of the model, task summary; reasoning switched off by "
                       "enable_thinking=false"))
      << result.out << result.err;
}

TEST_F(ChatTemplateOptions, ARunIsContinuedWithTheSameOnesOnly) {
  d.write("turns.jinja", kTurns);
  d.write("same.jinja", kTurns);
  d.write("other.jinja", std::string(kTurns) + " ");
  const std::string folder = d.path().string() + "/";
  const auto start = [&](const std::string& file, const std::vector<std::string>& more) {
    std::vector<std::string> options{"--chat-template", folder + file};
    options.insert(options.end(), more.begin(), more.end());
    return run_tovamill(generate(options));
  };
  EXPECT_EQ(start("turns.jinja", {"--system", "A"}).exit_code, 0);
  EXPECT_EQ(start("same.jinja", {"--system", "A"}).exit_code, 0);
  const std::pair<ProgramResult, const char*> changed[] = {
      {start("other.jinja", {"--system", "A"}), "--chat-template was"},
      {start("turns.jinja", {"--system", "B"}), "--system was A and is B"},
      {start("turns.jinja", {}), "--system was A and is not there"},
      {start("turns.jinja", {"--system", "A", "--prompt-date", "2026-01-01"}),
       "--prompt-date was not there and is 2026-01-01"},
  };
  for (const auto& [result, part] : changed) {
    EXPECT_EQ(result.exit_code, 78) << part;
    EXPECT_TRUE(contains(result.err, part)) << result.err;
  }
}

TEST_F(ChatTemplateOptions, AMessageThatTheTemplateRefusesFailsItsDocument) {
  d.write("picky.jinja",
          "{% if 'bad' in messages[0].content %}{{ raise_exception('so bad') }}{% endif %}"
          "{{ messages[0].content }}");
  d.write("two.jsonl", "{\"text\":\"one bad\"}\n{\"text\":\"three\"}\n");
  const std::string out = d.path() / "picky";
  const ProgramResult result = run_tovamill(
      {"generate", "--model", model(), "--corpus", d.path() / "two.jsonl", "--out", out,
       "--max-new-tokens", "2", "--threads", "1", "--chat-template", d.path() / "picky.jinja"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const testing::Results r(out);
  EXPECT_EQ(r.failure_reason, std::vector<std::string>{"bad-tokens"});
  EXPECT_EQ(r.failure_line, std::vector<std::uint64_t>{1});
}

}  // namespace
}  // namespace tovamill
