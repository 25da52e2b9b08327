#include <gtest/gtest.h>

#include "engine/prompt/prompt.h"
#include "tests/support/error_of.h"

namespace tovamill {
namespace {

using testing::contains;
using testing::error_of;

PromptTemplate parse(std::string_view text) { return PromptTemplate::parse(text, "p.txt"); }

std::string filled(const PromptTemplate& prompt, const std::string& document = "D",
                   const std::string& question = "Q") {
  return prompt.before_document(question) + (prompt.has_document() ? document : "") +
         prompt.after_document(question);
}

TEST(PromptTemplate, FillsFieldsAndHalvesBraces) {
  const PromptTemplate prompt = parse("{{x}} {question}\n{document}{{{question}}}\n");
  EXPECT_TRUE(prompt.has_document());
  EXPECT_TRUE(prompt.has_question());
  EXPECT_EQ(prompt.before_document("Q?"), "{x} Q?\n");
  EXPECT_EQ(prompt.after_document("Q?"), "{Q?}");
  const PromptTemplate plain = parse("Caf\u00e9\r\n");
  EXPECT_FALSE(plain.has_document() || plain.has_question());
  EXPECT_EQ(filled(plain), "Caf\u00e9");
  EXPECT_EQ(filled(parse("x\n\n")), "x\n");
}

TEST(PromptTemplate, FieldsInTheQuestionAreText) {
  const PromptTemplate prompt = parse("{question} {document}");
  EXPECT_EQ(filled(prompt, "{question}", "{document} {{ {x"), "{document} {{ {x {question}");
}

TEST(PromptTemplate, SaysWhereItIsWrong) {
  const std::pair<std::string, std::string> cases[] = {
      {"a\nb\u00e9{foo}", "p.txt, line 2, column 3: the field 'foo' is unknown"},
      {"{ document }", "line 1, column 1: the field ' document ' is unknown"},
      {"{}", "line 1, column 1: the field '' is unknown"},
      {"{\u00e9\t}", "the field '\\xC3\\xA9\\x09' is unknown"},
      {"x {document", "line 1, column 3: a single '{'"},
      {"x {docu\nment}", "line 1, column 3: a single '{'"},
      {"x {docu{ment}", "line 1, column 3: a single '{'"},
      {"x }", "line 1, column 3: a single '}'"},
      {"{{}", "line 1, column 3: a single '}'"},
      {"{document}\n\n {document}", "line 3, column 2: {document} is there twice"},
      {"ab\n\xff", "line 2, column 1: is not UTF-8"},
      {"", "p.txt: is empty"},
      {" \r\n\n", "p.txt: is empty"}};
  for (const auto& [text, expected] : cases) {
    const std::string message =
        error_of([&, &source = text] { parse(source); }, ExitCode::configuration);
    EXPECT_TRUE(contains(message, expected)) << message;
  }
  EXPECT_NO_THROW(parse("{question} and {question}"));
}

TEST(PromptTemplate, StandsAroundTheDocument) {
  const PromptTemplate instruction = parse("Say {question}.");
  EXPECT_EQ(filled(instruction.around_document(InstructionPlace::before)), "Say Q.\n\nD");
  EXPECT_EQ(filled(instruction.around_document(InstructionPlace::after)), "D\n\nSay Q.");
  EXPECT_EQ(filled(instruction.around_document(InstructionPlace::both)), "Say Q.\n\nD\n\nSay Q.");
  EXPECT_EQ(filled(parse("<{document}>").around_document(InstructionPlace::both)), "<D>");
}

TEST(PromptTemplate, BuiltInOnesHaveEachFieldWhereItBelongs) {
  for (const Task task : {Task::summary, Task::qa}) {
    for (const bool asks : {false, true}) {
      const bool has_question = asks || task == Task::qa;
      for (const auto place :
           {InstructionPlace::before, InstructionPlace::after, InstructionPlace::both}) {
        const PromptTemplate prompt = PromptTemplate::built_in(task, place, asks);
        EXPECT_TRUE(prompt.has_document());
        EXPECT_EQ(prompt.has_question(), has_question);
        const std::string before = prompt.before_document("QQ"),
                          after = prompt.after_document("QQ");
        const bool leads = place != InstructionPlace::after;
        EXPECT_EQ(before.empty(), !leads);
        EXPECT_EQ(contains(before, "QQ"), has_question && place == InstructionPlace::before);
        EXPECT_EQ(contains(after, "QQ"), has_question && place != InstructionPlace::before);
        EXPECT_EQ(contains(after, "above"), place != InstructionPlace::before) << after;
        EXPECT_FALSE(leads && !contains(before, "below")) << before;
        EXPECT_TRUE(after.ends_with(task == Task::qa ? "\n\nAnswer:" : "\n\nSummary:")) << after;
      }
    }
  }
}

TEST(PromptTemplate, AChatIsNotCuedForASummaryWithoutQuestion) {
  for (const auto place :
       {InstructionPlace::before, InstructionPlace::after, InstructionPlace::both}) {
    const auto text = [&](Task task, bool asks, bool is_chat) {
      return filled(PromptTemplate::built_in(task, place, asks, is_chat));
    };
    EXPECT_EQ(text(Task::summary, false, true) + "\n\nSummary:", text(Task::summary, false, false));
    EXPECT_EQ(text(Task::summary, true, true), text(Task::summary, true, false));
    EXPECT_EQ(text(Task::qa, true, true), text(Task::qa, true, false));
  }
}

TEST(PromptTemplate, ContinuationIsTheDocumentAlone) {
  for (const auto place :
       {InstructionPlace::before, InstructionPlace::after, InstructionPlace::both}) {
    EXPECT_EQ(filled(PromptTemplate::built_in(Task::continuation, place, true)), "D");
  }
}

}  // namespace
}  // namespace tovamill
