// What a report's pictures are made with: gnuplot's script, child programs, escaped text.
#include "pipeline/report/picture.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>

#include "kernels/types/error.h"
#include "pipeline/report/child_program.h"
#include "pipeline/report/html.h"
#include "tests/support/error_of.h"

namespace tovamill {
namespace {

using testing::contains;

TEST(ReportPicture, TellsGnuplotNothingThatItWouldRun) {
  Picture p;
  p.name = p.title = p.description = "p";
  p.x_label = "`x`";
  p.y_label = "y'\n!z";
  for (const char* label : {"a'; system('touch y'); '", "`touch z`", "@macro $v \"q\" \\n"}) {
    PictureSeries s{.label = label, .points = {}};
    s.points = {{1.0, 2.0}};
    p.series.push_back(s);
  }
  const std::string script = gnuplot_script(p, PictureFormat::svg);
  for (const char* part : {"`", "@", "\\", "system('", "y'\n!", "$v"})
    EXPECT_FALSE(contains(script, part)) << part << "\n" << script;
  EXPECT_TRUE(contains(script, "title 'a?; system(?touch y?); ?'")) << script;
}

TEST(ReportPicture, LeavesOutWhatCannotBeDrawn) {
  Picture p;
  p.x_is_log = true;
  PictureSeries s{.label = "a", .points = {}};
  s.points = {{0.0, 1.0}, {1.0, std::nan("")}};
  p.series.push_back(s);
  EXPECT_FALSE(p.has_points());
  p.series.front().points.push_back({2.0, 3.0});
  EXPECT_TRUE(p.has_points());
  EXPECT_FALSE(contains(gnuplot_script(p, PictureFormat::svg), "nan"));
}

TEST(Escaped, LeavesOnlyCharactersOfXml) {
  EXPECT_EQ(escaped("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
  EXPECT_EQ(escaped(std::string("\0\x1b\x7f\t\n", 5)), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\t\n");
  EXPECT_EQ(escaped("\xFFx\xC3"), "\xEF\xBF\xBDx\xEF\xBF\xBD");
  EXPECT_EQ(escaped("\xEF\xBF\xBFx"), "\xEF\xBF\xBDx");
  EXPECT_EQ(escaped("caf\xC3\xA9"), "caf\xC3\xA9");
  EXPECT_EQ(shortened("caf\xC3\xA9s", 4), "caf...");
}

TEST(Child, ReadsAndWritesAndIsEndedAtItsLimit) {
  using std::chrono::milliseconds;
  const std::string input(3'000'000, 'x');
  const ChildResult copied = run_child({"cat"}, input, milliseconds(60'000), "coreutils");
  EXPECT_EQ(copied.exit_code, 0);
  EXPECT_TRUE(copied.out == input);
  const ChildResult failed =
      run_child({"sh", "-c", "echo no >&2; exit 3"}, "", milliseconds(60'000), "dash");
  EXPECT_EQ(failed.exit_code, 3);
  EXPECT_EQ(failed.err, "no\n");
  const ChildResult slow = run_child({"sleep", "600"}, "", milliseconds(50), "coreutils");
  EXPECT_TRUE(slow.timed_out);
  EXPECT_EQ(slow.exit_code, 137);
}

TEST(Child, ThatIsNotThereNamesItsPackage) {
  try {
    run_child({"no-such-program-here"}, "", std::chrono::seconds(1), "some-package");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::no_device);
    EXPECT_TRUE(contains(e.what(), "some-package")) << e.what();
  }
}

TEST(Picture, AMatrixMayHaveTicksAndALastColour) {
  Picture p;
  p.matrix = {.n_rows = 2, .n_columns = 1, .values = {0.25, 0.5}, .label = "share", .most = 1.0};
  p.x_ticks = {{0.0, "1024"}};
  p.y_ticks = {{0.0, "0.25"}, {1.0, "1"}};
  const std::string script = gnuplot_script(p, PictureFormat::svg);
  EXPECT_NE(script.find("set cbrange [0:1]"), std::string::npos) << script;
  EXPECT_NE(script.find("set ytics (\"0.25\" 0, \"1\" 1)"), std::string::npos) << script;
  EXPECT_NE(script.find("set xtics (\"1024\" 0)"), std::string::npos) << script;
  p.y_ticks.clear();
  p.matrix.most = 0.0;
  const std::string plain = gnuplot_script(p, PictureFormat::svg);
  EXPECT_NE(plain.find("set cbrange [0:0.5]"), std::string::npos) << plain;
  EXPECT_NE(plain.find("set ytics 0,1\n"), std::string::npos) << plain;
}

}  // namespace
}  // namespace tovamill
